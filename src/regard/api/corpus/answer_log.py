"""Log of the answers to a corpus, from which an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from regard.errors import InputError

__all__ = ["AnswerLog"]

_VERSION = 1


class AnswerLog:
    """A file of JSON lines: what the answers depend on, then a line for each batch of texts.

    Batches are added in order, each with a hash of its texts. A line that a killed run left unfinished is
    dropped. Lines are read as they are needed, so a log may be as long as the corpus.

    Args:
        path: of the file; made if there is none.
        settings: what the answers depend on, by name (`log_settings`).

    Raises:
        InputError: the file is no such log, or one of answers that depend on something else.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        self._path = path
        self._batches = 0
        self._added = 0
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}")
        if not path.exists() or path.stat().st_size == 0:
            path.write_text(_line({"version": _VERSION, "settings": dict(settings)}), "utf-8")
        self._kept = self._open(settings)
        self._file: IO[str] = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._kept.close()
        self._file.close()

    def next_kept(self, texts: Sequence[str]) -> list[list[Any]] | None:
        """Answers to the next batch, if the log holds them.

        Raises:
            InputError: the log holds the answers to other texts.
        """
        entry = next(self._kept, None)
        if entry is None:
            return None
        if entry["texts"] != _hash(texts):
            raise InputError(
                f"{self._path}: batch {self._batches + 1} of the log is of other texts; give the texts that it "
                "was made from, name another file, or delete it to begin anew"
            )
        self._batches += 1
        answers: list[list[Any]] = entry["answers"]
        return answers

    def add(self, texts: Sequence[str], answers: Sequence[Sequence[Any]]) -> None:
        """Add the next batch; those that the log held before are passed over."""
        self._added += 1
        if self._added > self._batches:
            self._file.write(_line({"texts": _hash(texts), "answers": answers}))
            self._file.flush()

    def _open(self, settings: Mapping[str, str]) -> Any:
        """Batches of the file one by one, after a look at its first line, and cut to whole lines."""
        whole = _end_of_whole_lines(self._path)
        file = open(self._path, encoding="utf-8")  # noqa: SIM115 - closed by the generator
        try:
            header = json.loads(file.readline())
            version, before = header["version"], header["settings"]
        except (ValueError, KeyError, TypeError) as error:
            file.close()
            raise InputError(
                f"{self._path}: no log of answers, or a damaged one ({error}); name another file, or delete it "
                "to begin anew"
            ) from error
        differing = sorted(
            name for name in {*before, *settings} if before.get(name) != settings.get(name)
        )
        if version != _VERSION or differing:
            file.close()
            what = " and ".join(differing) or "version"
            raise InputError(
                f"{self._path}: log of a run that differs by its {what}; name another file, or delete it "
                "to begin anew"
            )
        if whole < self._path.stat().st_size:
            with open(self._path, "r+b") as cut:
                cut.truncate(whole)
        return self._read(file, whole)

    def _read(self, file: IO[str], end: int) -> Iterator[dict[str, Any]]:
        """Entries up to a place: those that this run adds come after it."""
        with file:
            while file.tell() < end:
                number, line = self._batches + 2, file.readline()
                try:
                    entry: dict[str, Any] = json.loads(line)
                    _ = entry["texts"], entry["answers"]
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(
                        f"{self._path}:{number}: damaged ({error}); delete it to begin anew"
                    ) from error
                yield entry


def _end_of_whole_lines(path: Path) -> int:
    """Offset behind the last line feed of a file."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        while end > 0:
            start = max(0, end - 2**16)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content) + "\n"


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
