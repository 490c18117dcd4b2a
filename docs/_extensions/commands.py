"""Directive `regard-commands`: the help of every verb of `regard`, as a terminal of 88 columns prints it."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command
from typer.testing import CliRunner

COLUMNS = 88


class Commands(SphinxDirective):
    """A section for each verb, with its help word for word."""

    def run(self) -> list[nodes.Node]:
        """The sections, in the order of `regard --help`."""
        from regard.cli.app import app

        return [self._section(app, verb) for verb in get_command(app).commands]  # type: ignore[attr-defined]

    def _section(self, app: Any, verb: str) -> nodes.section:
        environment = {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS), "NO_COLOR": "1"}
        done = CliRunner().invoke(app, [verb, "--help"], prog_name="regard", env=environment)
        if done.exit_code:
            raise self.error(f"regard {verb} --help failed: {done.output}")
        text = "\n".join(line.rstrip() for line in done.output.strip("\n").split("\n"))
        section = nodes.section(ids=[f"regard-{verb}"], names=[f"regard {verb}"])
        section += nodes.title(text=f"regard {verb}")
        section += nodes.literal_block(text, text, language="none")
        self.state.document.note_explicit_target(section)
        return section


def setup(app: Any) -> dict[str, bool]:
    """Add the directive to Sphinx."""
    app.add_directive("regard-commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
