"""`python -m regard` is the command."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_the_module_is_the_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "regard", "train", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0
    assert "Usage: regard train" in found.stdout
    assert found.stderr == ""


WITHOUT_EXTRAS = """
import sys
for name in ("transformers", "peft", "keras", "accelerate", "fastapi", "datasets", "anywidget"):
    sys.modules[name] = None  # an import of it raises ImportError
import regard
from regard.cli.app import app
import regard.api
assert "matplotlib" not in sys.modules  # only who draws waits for its import
model = regard.train(
    "classification", train=[("warm film", "good"), ("dull film", "bad")] * 10, preset="tiny",
    settings={"epochs": 1},
)
print(model.summary().parameters)
"""


@pytest.mark.slow
def test_models_of_ours_need_no_extra() -> None:
    program = [sys.executable, "-c", WITHOUT_EXTRAS]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
