"""The folder of an export: files of the runtime, tokenizers, a README, and a manifest with their hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regard.api.exporting.parity import Parity
from regard.api.tasks.model import Model
from regard.choices import ExportFormat
from regard.files import file_sha256
from regard.version import __version__

__all__ = ["MANIFEST", "README", "write_manifest"]

MANIFEST, README = "export.json", "README.md"


def write_manifest(
    place: Path, model: Model, to: ExportFormat, parity: Parity, facts: Mapping[str, Any]
) -> None:
    """Write `export.json`: what was exported, how its answers were compared, and the hash of every file.

    Args:
        place: the folder, complete but for the manifest.
        model: that was exported.
        to: the format.
        parity: what the comparison found.
        facts: what else a program needs to know, such as inputs and outputs.
    """
    files = sorted(path for path in place.rglob("*") if path.is_file())
    content = {
        "format": "regard-export",
        "version": 1,
        "to": to,
        "regard": __version__,
        "task": model.settings.task,
        "kind": model.settings.kind,
        "weights_sha256": model.weights,
        "max_tokens": model.settings.text.max_tokens,
        **({"labels": list(model.labels)} if model.labels else {}),
        **facts,
        "parity": {
            "texts": parity.texts,
            "compared": parity.compared,
            "largest_difference": parity.difference,
            "equal_answers": dict(parity.equal),
        },
        "sha256": {path.relative_to(place).as_posix(): file_sha256(path) for path in files},
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (place / MANIFEST).write_text(text + "\n", encoding="utf-8")
