"""The tests of the web app's modules, run by Node."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.js")))
def test_module(name, run_node):
    run_node(HERE / name)
