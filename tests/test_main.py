"""`python -m regard` is the command."""

from __future__ import annotations

import subprocess
import sys


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
