"""The command line: one file per verb, no logic. `regard --help` loads nothing heavy."""

from regard.cli.app import main

__all__ = ["main"]
