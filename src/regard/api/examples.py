"""Examples of a task, from the files a user names; and a validation part held out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from regard.choices import Task
from regard.data import (
    Corpus,
    Example,
    Labelled,
    Pairs,
    ReadOptions,
    Rows,
    Texts,
    check_labels,
    holds_rows,
    labels_of,
    read_parallel,
    read_rows,
    read_table,
    read_text,
)
from regard.data.columns import Columns
from regard.data.labels import usual_spellings
from regard.data.sniff import has_table_ending, holds_table, labels_begin_lines
from regard.errors import InputError

__all__ = [
    "TOO_FEW_TO_HOLD_OUT",
    "Data",
    "ExampleReader",
    "Tables",
    "default_columns",
    "hold_out",
    "names_of",
    "text_options",
    "texts_of",
]

TOO_FEW_TO_HOLD_OUT = 10
"""Examples below which a tenth is none: nothing is held out, and the training part validates itself."""

Files: TypeAlias = str | PathLike[str] | Sequence[str | PathLike[str]]
Data: TypeAlias = Files | Sequence[Example] | Rows

Tables: TypeAlias = Labelled | Pairs | Texts
"""Columns of tables of any task."""


@dataclass(frozen=True)
class ExampleReader:
    """Reader of the files of a task.

    Args:
        task: the task, which decides what files are expected.
        columns: of tables; `None` goes by usual names.
        options: encoding, separator, longest line.
    """

    task: Task
    columns: Tables | None = None
    options: ReadOptions | None = None

    def read(self, data: Data) -> Sequence[Example]:
        """Read some files, or rows in memory (`data/rows.py`); examples are returned as they are.

        Raises:
            DataError: a line that cannot be used, with its file and number.
            InputError: a wrong number of files.
        """
        if holds_rows(data):
            columns = self.columns or default_columns(self.task)
            if self.task == "language":
                columns = _as_texts(columns)
            return read_rows(cast("Rows", data), columns, options=self.options)
        if _are_examples(data):
            return cast("Sequence[Example]", data)
        names = names_of(data)
        if self.task == "classification":
            return read_table(names, self.columns or Labelled(), options=self.options)
        if self.task == "language":
            if self._are_tables(names):
                return read_table(names, _as_texts(self.columns), options=self.options)
            return read_text(names, options=self.options)
        if self.task == "summarization" or self._are_tables(names):
            return read_table(names, self.columns or Pairs(), options=self.options)
        if len(names) % 2:
            raise InputError(
                f"{len(names)} files ({', '.join(names)}), expected pairs: source and target by turns; "
                "if it is a table, name its columns: source=1, target=2 (--source 1 --target 2)"
            )
        return read_parallel(names[::2], names[1::2], options=self.options)

    def read_texts(
        self, data: Data, *, text: Columns | None = None, labels: Sequence[str] = ()
    ) -> Sequence[Example]:
        """Read texts alone: labels and targets need not be there.

        Args:
            data: files or examples; the source files of parallel text, or tables.
            text: column of the texts; `None` as in training.
            labels: those of the model: a column of them is not the texts.
        """
        columns = texts_of(self.columns, text=text, labels=labels)
        if holds_rows(data):
            return read_rows(cast("Rows", data), columns, options=self.options)
        if _are_examples(data):
            return cast("Sequence[Example]", data)
        names = names_of(data)
        options = text_options(self.options or ReadOptions(), names, labels)
        return read_table(names, columns, options=options)

    def _are_tables(self, names: Sequence[str]) -> bool:
        """True if files are tables: by name, by a told format, or because columns are named."""
        if self.options is not None and self.options.format is not None:
            return True
        if self.columns is not None and any(c is not None for c in self.columns.roles.values()):
            return True
        if self.task == "language" and any(Path(name).is_dir() for name in names):
            return True
        if self.task == "translation" and len(names) == 1:  # never parallel text
            return holds_table(names[0], self.options)
        return all(name.startswith("hub:") or has_table_ending(name) for name in names)

    def read_training(self, data: Data) -> Sequence[Example]:
        """Read a training part, and check that its labels can be learned.

        Raises:
            DataError: a line that cannot be used, or labels that cannot be learned (`check_labels`).
            InputError: as `read`.
        """
        examples = self.read(data)
        if self.task != "classification":
            return examples
        columns = self.columns if isinstance(self.columns, Labelled) else Labelled()
        return check_labels(examples, rare=columns.rare)

    def to_json(self) -> dict[str, Any]:
        """Columns and options as `config.json` holds them."""
        columns = None
        if self.columns is not None:
            columns = {"kind": type(self.columns).__name__, **asdict(self.columns)}
        options = None if self.options is None else self.options.model_dump()
        return {"columns": columns, "read_options": options}

    @classmethod
    def from_json(cls, task: Task, values: Mapping[str, Any]) -> ExampleReader:
        """Inverse of `to_json`."""
        columns = values.get("columns")
        if columns is not None:
            columns = dict(columns)
            kinds: dict[str, type[Tables]] = {"Labelled": Labelled, "Pairs": Pairs, "Texts": Texts}
            columns = kinds[columns.pop("kind")](**columns)
        options = values.get("read_options")
        options = None if options is None else ReadOptions(**options)
        return cls(task, columns, options)


def default_columns(task: Task) -> Tables:
    """Columns with usual names."""
    if task == "classification":
        return Labelled()
    return Texts() if task == "language" else Pairs()


def texts_of(
    columns: Tables | None, *, text: Columns | None = None, labels: Sequence[str] = ()
) -> Texts:
    """The columns of a table from which only texts are read.

    Args:
        columns: those of training, whose text is taken where a table has it.
        text: the column that the user names now.
        labels: those of the model.
    """
    trained = next(iter(columns.roles.values())) if columns is not None else None
    pairs = columns is not None and not isinstance(columns, Pairs) and columns.pairs
    return Texts(text=text, trained=trained, labels=usual_spellings(labels), pairs=pairs)


def text_options(options: ReadOptions, names: Sequence[str], labels: Sequence[str]) -> ReadOptions:
    """Options for texts alone: where training read `label the text`, lines without a label are whole texts."""
    if options.separator != " " or all(labels_begin_lines(n, labels, options) for n in names):
        return options
    return options.replace(separator=None)


def _as_texts(columns: Tables | None) -> Texts:
    """Columns of which only the texts are wanted."""
    if columns is None or isinstance(columns, Texts):
        return columns or Texts()
    return Texts(text=next(iter(columns.roles.values())))


def _are_examples(data: Data) -> bool:
    if isinstance(data, Corpus):
        return True
    if isinstance(data, str | PathLike) or not isinstance(data, Sequence):
        return False
    return len(data) > 0 and isinstance(data[0], Example)


def names_of(data: Data) -> list[str]:
    """Names of the files; empty for examples and rows in memory."""
    if isinstance(data, str | PathLike):
        return [str(data)]
    if holds_rows(data) or isinstance(data, Corpus):
        return []
    return [str(d) for d in cast("Iterable[object]", data) if not isinstance(d, Example)]


def hold_out(
    examples: Sequence[Example], *, seed: int, labelled: bool
) -> tuple[Sequence[Example], Sequence[Example]]:
    """Hold a tenth of the examples out for validation (a thousand at most), stratified by label.

    Labels (or sets of labels) with fewer than five examples, whose tenth rounds to none, are drawn from
    together, and none gives its last example: what training never saw cannot be validated.

    Args:
        examples: the training part.
        seed: of the draw.
        labelled: whether to stratify.

    Returns:
        Training and validation part, each in the order of the examples; of fewer than
        `TOO_FEW_TO_HOLD_OUT` examples, all of them twice.

    Raises:
        InputError: a single example.
    """
    if len(examples) < 2:
        raise InputError(
            "one example cannot be split into training and validation; give more, or a validation part: "
            "valid= (--valid)"
        )
    if len(examples) < TOO_FEW_TO_HOLD_OUT:
        return examples, examples
    share = min(0.1, 1000 / len(examples))
    rng = np.random.default_rng(seed)
    labels = labels_of(examples) if labelled else [()] * len(examples)
    groups: dict[str, list[int]] = {}
    for index, some in enumerate(labels):
        groups.setdefault("|".join(some), []).append(index)
    taken: list[int] = []
    small: list[int] = []  # examples of groups whose share rounds to none
    for name in sorted(groups):
        members = rng.permutation(groups[name]).tolist()
        count = round(share * len(members))
        taken += members[:count]
        small += [] if count else members
    wanted = len(taken) + max(round(share * len(small)), not taken)
    # Draw from the small groups together, as long as training keeps an example of every label.
    counts = Counter(label for some in labels for label in some)
    counts.subtract(label for index in taken for label in labels[index])
    for index in rng.permutation(small).tolist():
        if len(taken) < wanted and all(counts[label] > 1 for label in labels[index]):
            taken.append(index)
            counts.subtract(labels[index])
    taken = taken or [int(rng.integers(len(examples)))]
    held = set(taken)
    rest = [index for index in range(len(examples)) if index not in held]
    return _select(examples, rest), _select(examples, sorted(held))


def _select(examples: Sequence[Example], indices: list[int]) -> Sequence[Example]:
    if isinstance(examples, Corpus):
        return examples.select(indices)
    return [examples[index] for index in indices]
