"""Models of the Hub, by `huggingface_hub` itself, against a server that speaks its protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regard.errors import InputError
from regard.integrations.pretrained.hub import local_folder

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import regard
from regard.errors import RegardError
try:
    print(regard.load(sys.argv[1]).look("The bank").title)
except RegardError as error:
    print(type(error).__name__, error)
"""


def test_a_model_is_fetched_once_and_read_from_the_cache(
    hub: Any, pretrained: Callable[[str], Path], tmp_path: Path
) -> None:
    hub.add("me/tiny", pretrained("bert"))
    requested = hub.requested

    def run(name: str, *, offline: bool = False) -> str:
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            env=hub.environment(tmp_path / "home", offline=offline),
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    assert "not in the cache" in run("hf:me/tiny@v1", offline=True)
    assert not requested
    hub.damaged = {"model.safetensors", "tokenizer.json"}  # named by SHA-256, and by Git's hash
    found = run("hf:me/tiny@v1")
    assert all(f"{name} arrived damaged" in found for name in hub.damaged)
    hub.damaged = {"tokenizer.json"}  # fetched again
    assert "tokenizer.json arrived damaged" in run("hf:me/tiny@v1")
    hub.damaged = set()
    assert run("hf:me/tiny@v1") == "The bank"
    assert any(path.endswith("model.safetensors") for path in requested)
    requested.clear()
    assert run("hf:me/tiny@v1", offline=True) == "The bank"
    assert not requested
    assert run("hf:me/tiny@v1") == "The bank"
    assert not any(path.endswith("model.safetensors") for path in requested)
    assert "no revision 'v2'" in run("hf:me/tiny@v2")
    assert "no such model" in run("hf:me/other")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:a b", "hf:a/b@"])
def test_names(name: str) -> None:
    with pytest.raises(InputError, match="expected hf:OWNER/NAME"):
        local_folder(name)
