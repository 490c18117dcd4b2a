"""The verdict on a model's attention, saved in its folder for every view to show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from regard.api.storage.folder import write_json
from regard.api.storage.seal import SEAL, check_content, seal
from regard.errors import ModelFolderError
from regard.files import file_sha256
from regard.integrations.pretrained.folder import weight_files

__all__ = ["Findings", "read_findings", "save_verdict"]

FILE = "trust.json"
_FORMAT = 2  # 1, which had no such entry, was not sealed


@dataclass(frozen=True)
class Findings:
    """What `regard trust` found, as far as views act on it.

    Attributes:
        sentence: the verdict in words.
        level: of attention: `"good"`, `"partial"` or `"none"`; empty for a verdict on alignments.
        gradient_beats_random: whether taking out the tokens that gradient x input ranks first moves the answer
            more than random tokens do.
    """

    sentence: str
    level: str = ""
    gradient_beats_random: bool = False


def weights_hash(folder: Path) -> str:
    """SHA-256 of the weights as they are now; of several files, that of their hashes in order."""
    paths = weight_files(folder)
    if len(paths) == 1:
        return file_sha256(paths[0])
    return sha256("\n".join(map(file_sha256, paths)).encode()).hexdigest()


def save_verdict(folder: Path, verdict: dict[str, Any]) -> None:
    """Write a verdict beside the weights it is about, with their hash."""
    content = {"format": _FORMAT, "weights": weights_hash(folder), **verdict}
    write_json(folder / FILE, seal(content))


def read_findings(folder: Path | None) -> Findings | None:
    """Findings of the saved verdict; `None` if there is none, or it is about other weights.

    Raises:
        ModelFolderError: the file is not what `save_verdict` wrote.
    """
    if folder is None or not (folder / FILE).is_file():
        return None
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if "format" in content or SEAL in content:
            check_content(content, folder / FILE, "run `regard trust` again, or delete it")
        weights = content["weights"]
        findings = Findings(
            str(content["sentence"]), str(content.get("level", "")), _gradient_beats_random(content)
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFolderError(
            f"{folder / FILE}: damaged ({error!r}); run `regard trust` again, or delete it"
        ) from error
    return findings if weights == weights_hash(folder) else None


def _gradient_beats_random(content: dict[str, Any]) -> bool:
    scores = content.get("comprehensiveness", {}).get("delete")
    if scores is None:
        return False
    return bool(scores["gradient"]["low"] > scores["random"]["mean"])
