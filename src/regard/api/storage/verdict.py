"""The verdict on a model's attention, saved in its folder for every view to show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regard.api.storage.folder import write_json
from regard.api.storage.lock import locked
from regard.api.storage.replacing import check_weights, finish_replacing
from regard.api.storage.seal import SEAL, check_content, seal
from regard.errors import ModelFolderError

__all__ = ["TRUST_FILE", "Findings", "read_findings", "save_verdict", "write_verdict"]

TRUST_FILE = "trust.json"
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


def save_verdict(folder: Path, verdict: Mapping[str, Any], *, weights: str) -> bytes:
    """Write a verdict beside the weights it is about, with their hash.

    Args:
        folder: of the model.
        verdict: what was found.
        weights: SHA-256 of the file of the weights that were judged.

    Returns:
        Content of the file.

    Raises:
        RegardError: the folder is being written, or holds other weights by now.
    """
    with locked(folder, "trust"):
        finish_replacing(folder)
        check_weights(folder, weights)
        return write_verdict(folder, verdict, weights=weights)


def write_verdict(folder: Path, verdict: Mapping[str, Any], *, weights: str) -> bytes:
    """Write a verdict into a folder that is locked and holds these weights; return the file's content."""
    content = {"format": _FORMAT, "weights": weights, **verdict}
    write_json(folder / TRUST_FILE, seal(content))
    return (folder / TRUST_FILE).read_bytes()


def read_findings(content: bytes | None, *, weights: str, path: Path) -> Findings | None:
    """Findings of a saved verdict; `None` if there is none, or it is about other weights.

    Args:
        content: of the file; `None` if there is none.
        weights: SHA-256 of the file of the model's weights.
        path: of the file, for errors.

    Raises:
        ModelFolderError: the file is not what `save_verdict` wrote.
    """
    if content is None:
        return None
    try:
        found = json.loads(content)
        if "format" in found or SEAL in found:
            check_content(found, path, "run `regard trust` again, or delete it")
        judged = found["weights"]
        findings = Findings(
            str(found["sentence"]), str(found.get("level", "")), _gradient_beats_random(found)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFolderError(
            f"{path}: damaged ({error!r}); run `regard trust` again, or delete it"
        ) from error
    return findings if judged == weights else None


def _gradient_beats_random(content: dict[str, Any]) -> bool:
    scores = content.get("comprehensiveness", {}).get("delete")
    if scores is None:
        return False
    return bool(scores["gradient"]["low"] > scores["random"]["mean"])
