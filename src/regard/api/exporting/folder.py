"""The folder of an export: files of the runtime, tokenizers, a README, and a manifest with their hashes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regard.api.exporting.parity import Parity
from regard.api.tasks.model import Model
from regard.choices import ExportFormat
from regard.errors import InputError
from regard.files import file_sha256
from regard.version import __version__

__all__ = ["MANIFEST", "README", "new_folder", "write_manifest"]

MANIFEST, README = "export.json", "README.md"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder that becomes `folder` when the block ends, and disappears if it ends early.

    Args:
        folder: new or empty.

    Raises:
        InputError: the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; choose a new folder (--out) for the export")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        unfinished = Path(place) / "export"
        unfinished.mkdir()
        yield unfinished
        unfinished.replace(folder)  # an empty folder may be replaced


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
