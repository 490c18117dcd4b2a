"""Export of a model to another runtime: ONNX, CTranslate2 or a program of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from regard.api.corpus.texts import CorpusTexts
from regard.api.exporting import ctranslate2, graphs
from regard.api.exporting.folder import README, write_manifest
from regard.api.exporting.graph_readme import graph_notes, graph_program
from regard.api.exporting.joining import joins_words, save_join_words
from regard.api.exporting.parity import Parity
from regard.api.exporting.readme import ctranslate2_notes, ctranslate2_program, readme
from regard.api.exporting.texts import check_texts
from regard.api.exporting.tokenizers import save_tokenizers, tokens_equal
from regard.api.load import load
from regard.api.storage.saving import new_folder
from regard.api.tasks.model import Model
from regard.choices import ExportFormat
from regard.errors import InputError

__all__ = ["Exported", "export", "export_obstacles"]


@dataclass(frozen=True)
class Exported:
    """A model that was exported.

    Attributes:
        folder: that holds it.
        to: the format.
        parity: how its answers compare with those of the model it was made from.
    """

    folder: Path
    to: ExportFormat
    parity: Parity

    def __str__(self) -> str:
        return f"{self.folder}: {self.to}, {self.parity}"


def export(
    model: Model | str | PathLike[str],
    out: str | PathLike[str],
    *,
    to: ExportFormat,
    texts: CorpusTexts | None = None,
    attention: bool = False,
) -> Exported:
    """Write a model for another runtime, after comparing its answers there with the model's own.

    Example::

        regard.export("runs/de-en", "exports/de-en", to="ctranslate2", texts="valid.de")

    The folder holds the files of the runtime, tokenizers as the `tokenizers` library reads them, a README
    with a program of ten lines, and `export.json` with the hash of every file. Nothing in it needs regard.

    Args:
        model: a model or its folder.
        out: folder for the export, new or empty.
        to: `"onnx"` or `"torch"` (a program of `torch.export`), for every batch and length; `"ctranslate2"`,
            for Transformers that translate or continue a text.
        texts: to compare answers on, best those of the validation part: a file with a text per line (or a
            table), or texts, the first thousand of them; `None` takes random words of the vocabulary.

        attention: whether the graphs give attention maps, too; of `"onnx"` and `"torch"`.

    Raises:
        InputError: a model that the runtime cannot run, and why, or that answers in another precision; a
            folder that is in use; texts that cannot be read.
        MissingExtraError: the runtime is not installed.
        RegardError: the exported model's answers differ; nothing is written.
    """
    model = model if isinstance(model, Model) else load(model)
    if model.precision != "float32":
        raise InputError(
            f"this model answers in {model.precision}, and an export holds its float32 weights; load it "
            "without precision (CTranslate2 quantises by itself: compute_type)"
        )
    obstacles = export_obstacles(model)
    if obstacles[to]:
        others = [name for name, reason in obstacles.items() if not reason]
        raise InputError(
            f"{to} cannot run this model ({model.settings.kind}): {obstacles[to]}"
            + (f"; try {' or '.join(others)}" if others else "")
        )
    if attention and to == "ctranslate2":
        raise InputError(
            "ctranslate2 gives no attention maps; leave attention out, or try onnx or torch"
        )
    out = Path(out)
    with new_folder(out, "a new folder (--out) for the export") as place:
        reading = save_tokenizers(model, place)
        chosen = check_texts(texts, reading.tokenizer, reading.longest)
        if joins_words(model):
            save_join_words(place)
        write = _for_ctranslate2 if to == "ctranslate2" else _as_graphs
        written = write(model, place, to, chosen, attention)
        tokens = {"tokens": tokens_equal(reading, place, chosen)}
        written = written._replace(parity=written.parity.with_equal(tokens))
        written.parity.check(to)
        text = readme(model, to, written.parity, out.name, written.program, written.notes)
        (place / README).write_text(text, encoding="utf-8")
        write_manifest(place, model, to, written.parity, written.facts)
    return Exported(out, to, written.parity)


def export_obstacles(model: Model) -> Mapping[ExportFormat, str]:
    """For each format why a model cannot be exported to it, as the end of a sentence; empty if it can."""
    as_graph = graphs.obstacle_of(model)
    return {"onnx": as_graph, "ctranslate2": ctranslate2.obstacle_of(model), "torch": as_graph}


class _Written(NamedTuple):
    """What was written for a runtime, and what to say about it."""

    parity: Parity
    program: str
    notes: str
    facts: Mapping[str, Any]


def _for_ctranslate2(
    model: Model, place: Path, to: ExportFormat, texts: Sequence[str], attention: bool
) -> _Written:
    ctranslate2.write(model, place)
    parity = ctranslate2.compare(model, place, texts)
    return _Written(parity, ctranslate2_program(model), ctranslate2_notes(model), {})


def _as_graphs(
    model: Model, place: Path, to: ExportFormat, texts: Sequence[str], attention: bool
) -> _Written:
    written = graphs.write(model, place, to, attention=attention)
    parity = graphs.compare(model, place, to, written, texts)
    facts = {
        graph.name: {
            "inputs": {name: list(axes) for name, axes in graph.axes.items()},
            "outputs": list(graph.outputs),
            "longest": dict(graph.longest),
        }
        for graph in written
    }
    program, notes = graph_program(model, to, written), graph_notes(model, written)
    return _Written(parity, program, notes, {"graphs": facts})
