"""Models of the Hub, by `huggingface_hub` itself, against a server that speaks its protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
for name in sys.stdin:
    try:
        print(regard.load(name.strip()).look("The bank").title, flush=True)
    except RegardError as error:
        print(type(error).__name__, " ".join(str(error).split()), flush=True)
"""


@contextmanager
def loading(environment: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """A process that loads models by their names; function that gives what came of one, in a line."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def load(name: str) -> str:
            print(name, file=process.stdin, flush=True)
            return process.stdout.readline().strip()  # type: ignore[union-attr]

        yield load
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


@pytest.mark.dependency
@pytest.mark.slow
def test_a_model_is_fetched_once_and_read_from_the_cache(
    hub: Any, pretrained: Callable[[str], Path], tmp_path: Path
) -> None:
    hub.add("me/tiny", pretrained("bert"))
    requested, home = hub.requested, tmp_path / "home"
    with loading(hub.environment(home, offline=True)) as load:
        assert "not in the cache" in load("hf:me/tiny@v1")
    assert not requested
    with loading(hub.environment(home)) as load:
        hub.damaged = {"model.safetensors", "tokenizer.json"}  # named by SHA-256, by Git's hash
        found = load("hf:me/tiny@v1")
        assert all(f"{name} arrived damaged" in found for name in hub.damaged)
        hub.damaged = {"tokenizer.json"}  # fetched again
        assert "tokenizer.json arrived damaged" in load("hf:me/tiny@v1")
        hub.damaged = set()
        assert load("hf:me/tiny@v1") == "The bank"
        assert any(path.endswith("model.safetensors") for path in requested)
        requested.clear()
        assert load("hf:me/tiny@v1") == "The bank"
        assert not any(path.endswith("model.safetensors") for path in requested)
        assert "no revision 'v2'" in load("hf:me/tiny@v2")
        assert "no such model" in load("hf:me/other")
    requested.clear()
    with loading(hub.environment(home, offline=True)) as load:
        assert load("hf:me/tiny@v1") == "The bank"
    assert not requested


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:a b", "hf:a/b@"])
def test_names(name: str) -> None:
    with pytest.raises(InputError, match="expected hf:OWNER/NAME"):
        local_folder(name)
