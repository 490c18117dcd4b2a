"""The page `docs/coverage.md`, written from what `benchmarks/coverage.py` measured."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["write_page"]

INTRODUCTION = """# Coverage of transformers

Every architecture of `transformers` {version} that has an automatic model class was built tiny, with random
weights, and watched in both ways of `regard.watch` and in the one that it chooses by itself. The truth is
taken without `regard`: eager mode's `output_attentions`, and the results of every `softmax` and of every fused
attention (by its formula), in float64. *Exact*: every attention is there, none is there twice or is none, and
no weight differs by more than 1e-5; through the dispatcher the output is the same bit for bit. *Refused*: an
error that says why. `python -m benchmarks.coverage` measures, `--page` writes this page; no number was typed by
hand.
"""


def write_page(measured: Path, page: Path) -> None:
    """Write the table by family."""
    import transformers

    rows = {}
    for line in measured.read_text().splitlines():
        row = json.loads(line)
        rows[row["name"]] = row
    built = [row for _, row in sorted(rows.items()) if "unbuilt" not in row]
    attending = [row for row in built if row["chosen"]["outcome"] != "no attention"]
    parts = [INTRODUCTION.format(version=transformers.__version__), _summary(rows, attending)]
    parts.append(_others(attending))
    parts.append(_table(attending))
    parts.append(_unbuilt(rows))
    page.write_text("\n".join(parts))


def _summary(rows: dict[str, Any], attending: list[Any]) -> str:
    lines = [
        f"Of {len(rows)} architectures {len(attending)} have attention and could be built and run; the "
        "others are listed at the end, or have no attention.",
        "",
        "| way | exact | refused | silent fault | error |",
        "|---|---|---|---|---|",
    ]
    for way, name in (
        ("chosen", "chosen by itself"),
        ("interface", '`way="interface"`'),
        ("dispatcher", '`way="dispatcher"`'),
    ):
        count = Counter(row[way]["outcome"] for row in attending)
        refused = count["refused"] + count["no attention"]
        lines.append(
            f"| {name} | {count['exact']} | {refused} | {count['silent fault']} | {count['error']} |"
        )
    worst = max((row["chosen"]["difference"] for row in attending if _exact(row)), default=0.0)
    lines += ["", f"The largest difference of any weight that counts as exact is {worst:.1e}.", ""]
    return "\n".join(lines)


def _exact(row: Any) -> bool:
    return bool(row["chosen"]["outcome"] == "exact")


def _others(attending: list[Any]) -> str:
    others = [row for row in attending if not _exact(row)]
    lines = ["## Not exact", ""]
    lines += [
        f"* **{row['name']}**, {row['chosen']['outcome']}: {_one_line(row['chosen']['reason'])}"
        for row in others
    ]
    return "\n".join([*lines, ""]) if others else ""


def _table(attending: list[Any]) -> str:
    lines = [
        "## By family",
        "",
        "| family | class | maps | chosen | interface | dispatcher |",
        "|---|---|---|---|---|---|",
    ]
    for row in attending:
        lines.append(
            f"| {row['name']} | {row['class']} | {row['chosen']['layers']} | "
            + " | ".join(row[way]["outcome"] for way in ("chosen", "interface", "dispatcher"))
            + " |"
        )
    return "\n".join([*lines, ""])


def _unbuilt(rows: dict[str, Any]) -> str:
    names = [name for name, row in sorted(rows.items()) if "unbuilt" in row]
    return (
        "## Not built\n\nTheir configurations or inputs could not be made small by rules, or need another "
        f"library ({len(names)}): {', '.join(names)}.\n"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
