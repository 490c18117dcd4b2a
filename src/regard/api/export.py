"""Export of a model to another runtime: ONNX, CTranslate2 or a program of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from regard.api.corpus.texts import CorpusTexts
from regard.api.exporting import ctranslate2
from regard.api.exporting.folder import README, new_folder, write_manifest
from regard.api.exporting.parity import Parity
from regard.api.exporting.readme import ctranslate2_notes, ctranslate2_program, readme
from regard.api.exporting.texts import check_texts
from regard.api.exporting.tokenizers import save_tokenizers
from regard.api.load import load
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
) -> Exported:
    """Write a model for another runtime, after comparing its answers there with the model's own.

    Example::

        regard.export("runs/de-en", "exports/de-en", to="ctranslate2", texts="valid.de")

    The folder holds the files of the runtime, tokenizers as the `tokenizers` library reads them, a README
    with a program of ten lines, and `export.json` with the hash of every file. Nothing in it needs regard.

    Args:
        model: a model or its folder.
        out: folder for the export, new or empty.
        to: `"ctranslate2"`, for Transformers that translate, summarise or continue a text.
        texts: to compare answers on, best those of the validation part: a file with a text per line (or a
            table), or texts, the first thousand of them; `None` takes random words of the vocabulary.

    Raises:
        InputError: a model that the runtime cannot run, and why; a folder that is in use; texts that cannot
            be read.
        MissingExtraError: the runtime is not installed.
        RegardError: the exported model's answers differ; nothing is written.
    """
    model = model if isinstance(model, Model) else load(model)
    obstacle = export_obstacles(model)[to]
    if obstacle:
        others = [name for name, reason in export_obstacles(model).items() if not reason]
        raise InputError(
            f"{to} cannot run this model ({model.settings.kind}): {obstacle}"
            + (f"; try {' or '.join(others)}" if others else "")
        )
    out = Path(out)
    with new_folder(out) as place:
        ctranslate2.write(model, place)
        tokenizer = save_tokenizers(model, place)
        chosen = check_texts(texts, tokenizer, model.settings.text.max_tokens - 1)
        parity = ctranslate2.compare(model, place, chosen)
        parity.check(to)
        program, notes = ctranslate2_program(model), ctranslate2_notes(model)
        (place / README).write_text(
            readme(model, to, parity, out.name, program, notes), encoding="utf-8"
        )
        write_manifest(place, model, to, parity, {})
    return Exported(out, to, parity)


def export_obstacles(model: Model) -> Mapping[ExportFormat, str]:
    """For each format why a model cannot be exported to it, as the end of a sentence; empty if it can."""
    return {"ctranslate2": ctranslate2.obstacle_of(model)}
