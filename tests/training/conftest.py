from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOY = Path(__file__).parent / "toy.py"


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The toy run as a module."""
    spec = importlib.util.spec_from_file_location("regard_toy_run", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
