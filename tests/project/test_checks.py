"""What `make check` must find: a planted fault, in every folder of Python that it covers."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MISSPELT = '''"""A module."""


def total(values: list[int]) -> int:
    """The sum."""
    return sum(valuse)
'''


@pytest.mark.parametrize("folder", ["src/regard", "tests", "benchmarks", "examples"])
def test_a_misspelt_name_is_found(folder):
    call = [sys.executable, "-m", "ruff", "check", "--stdin-filename", f"{folder}/planted.py", "-"]
    found = subprocess.run(call, input=MISSPELT, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert "F821" in found.stdout
    assert "valuse" in found.stdout


def test_a_sound_module_passes():
    call = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "src/regard/planted.py", "-"]
    sound = MISSPELT.replace("valuse", "values")
    found = subprocess.run(call, input=sound, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
