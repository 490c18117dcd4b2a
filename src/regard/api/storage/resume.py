"""Going on with a run: its data and settings must be those it was started with."""

from __future__ import annotations

import shlex
import sys
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from regard.api.config.derived import DERIVED
from regard.api.config.settings import RunSettings
from regard.api.storage.folder import read_config
from regard.data import Example
from regard.errors import InputError, SettingsError

__all__ = ["as_begun", "check_same_data", "check_same_settings", "command_line", "fingerprint"]

_MAY_DIFFER = ("minutes", "save_seconds", "tensorboard", "base")
"""Settings that change no loss; of a pretrained model the weights count, not where they lie."""


def as_begun(folder: Path, settings: RunSettings, given: Collection[str]) -> RunSettings:
    """Settings of a resumed run, with those that followed from the data as they were at its beginning.

    Args:
        folder: of the run.
        settings: as the user's command makes them.
        given: names of the training settings that the user gave.
    """
    before = read_config(folder)["settings"]["training"]
    names = [name for name in DERIVED if name not in given and name in before]
    training = settings.training.replace(**{name: before[name] for name in names})
    return settings.replace(training=training)


def check_same_settings(folder: Path, settings: RunSettings) -> None:
    """Compare the settings of a resumed run with those in its folder.

    Raises:
        SettingsError: one differs that changes the losses.
    """
    before, now = read_config(folder)["settings"], settings.model_dump(mode="json")
    for group, values in now.items():
        new = values if isinstance(values, dict) else {group: values}
        old = before[group] if isinstance(values, dict) else {group: before[group]}
        for name in new.keys() | old.keys():
            if old.get(name) != new.get(name) and name not in _MAY_DIFFER:
                raise SettingsError(
                    f"{folder} was begun with {name}={old.get(name)}, this is {name}={new.get(name)}; "
                    f"go on with the same settings, or train anew with --overwrite"
                )


def check_same_data(folder: Path, data: dict[str, Any]) -> None:
    """Compare the data of a resumed run with the facts about it in its folder.

    Args:
        folder: of the run.
        data: with `"fingerprint"` and `"examples"`, the sizes of both parts.

    Raises:
        InputError: they are not the same examples.
    """
    before = read_config(folder)["data"]
    if (before["fingerprint"], before["examples"]) != (data["fingerprint"], data["examples"]):
        raise InputError(
            "{} was begun with {:,} training and {:,} validation examples, these are {:,} and {:,}, not all "
            "the same; give the same data, or train anew with --overwrite".format(
                folder, *before["examples"], *data["examples"]
            )
        )


def fingerprint(*parts: Iterable[Example]) -> int:
    """CRC-32 of all texts, targets and labels, in order; files may have moved."""
    found = 0
    for examples in parts:
        for example in examples:
            targets = example.references or (example.target,)
            content = example.source, targets, example.labels
            found = zlib.crc32(repr(content).encode(), found)
    return found


def command_line() -> str:
    """Command that started this process, so that a shell can run it again."""
    program = Path(sys.argv[0])
    if program.stem == "regard" or program.parts[-2:] == ("regard", "__main__.py"):
        return shlex.join(["regard", *sys.argv[1:]])
    return shlex.join(["python", *sys.orig_argv[1:]])
