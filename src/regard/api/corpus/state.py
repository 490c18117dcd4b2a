"""State of a pass over a corpus in one file, from which an interrupted pass goes on."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.api.corpus.attention import TextPair
from regard.errors import InputError
from regard.files import atomic_write

__all__ = ["PassState", "TextHash", "load_state", "save_state"]

_VERSION = 1


class TextHash:
    """Hash of the texts seen so far, one after another.

    Args:
        value: after the texts before.
    """

    def __init__(self, value: str = "") -> None:
        self.value: str = value

    def add(self, text: TextPair) -> None:
        """Add the next text."""
        content = json.dumps([self.value, *text], ensure_ascii=True)
        self.value = hashlib.sha256(content.encode()).hexdigest()


@dataclass
class PassState:
    """State of a pass.

    Attributes:
        settings: what the pass is of, by name: hashes of models, files of links. Another pass has others.
        done: texts that were read.
        texts: hash of these texts.
        facts: counts and other small values, as JSON.
        arrays: sums.
    """

    settings: Mapping[str, str]
    done: int = 0
    texts: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def save_state(path: Path, state: PassState) -> None:
    """Write a state, whole or not at all."""
    header = {
        "version": _VERSION,
        "settings": dict(state.settings),
        "done": state.done,
        "texts": state.texts,
        "facts": state.facts,
    }
    with atomic_write(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **state.arrays)  # type: ignore[arg-type]


def load_state(path: Path, settings: Mapping[str, str]) -> PassState:
    """Read a state; a new one if there is no file.

    Args:
        path: of the file.
        settings: of the pass that is to go on.

    Raises:
        InputError: the file is no state, or one of another pass: says of which models or files.
    """
    if not path.exists():
        return PassState(settings)
    try:
        with np.load(path, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            arrays = {name: content[name] for name in content.files if name != "header"}
        version, before = header["version"], header["settings"]
        state = PassState(before, header["done"], header["texts"], header["facts"], arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: no state of a pass over texts, or a damaged one ({error}); name another file, or delete "
            "it to begin anew"
        ) from error
    if version != _VERSION:
        raise InputError(
            f"{path}: state of version {version}, expected {_VERSION}; delete it to begin anew"
        )
    differing = sorted(
        name for name in {*before, *settings} if before.get(name) != settings.get(name)
    )
    if differing:
        raise InputError(
            f"{path}: state of a pass with another {' and '.join(differing)}; name another file, or delete it "
            "to begin anew"
        )
    return state
