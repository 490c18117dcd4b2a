"""The model card: kind of model, data, scores, settings and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regard.api.storage.folder import CARD_FILE, read_config
from regard.api.storage.front_matter import card_facts, with_facts
from regard.api.tasks.model import Evaluation, Model
from regard.evaluation.alignment.choice import AlignmentChoice
from regard.files import atomic_write, file_sha256
from regard.training import History
from regard.training.checkpoint import WEIGHTS_FILE
from regard.version import __version__

__all__ = ["weights_of_card", "write_card"]

_HASH = re.compile(r"the SHA-256\s+`([0-9a-f]{64})`")


def weights_of_card(text: str) -> str | None:
    """SHA-256 of the weights that a model card is about; `None` if it names none."""
    found = _HASH.search(text)
    return None if found is None else found[1]


def write_card(model: Model, history: History, scores: Evaluation, choice: str, out: Path) -> None:
    """Write `README.md` into a model's folder.

    Args:
        model: as it was trained.
        history: of the run, with the findings about it.
        scores: on the validation part.
        choice: which weights were kept, and why.
        out: the folder.
    """
    with atomic_write(out / CARD_FILE) as unfinished:
        unfinished.write_text(_card(model, history, scores, choice, out), encoding="utf-8")


def _card(model: Model, history: History, scores: Evaluation, choice: str, out: Path) -> str:
    settings, config = model.settings, read_config(out)
    data, training = config["data"], settings.training
    derived = dict.fromkeys(config.get("derived", ()), " (fitted to the data)")
    how = model.decoding_note(data["examples"][1])
    findings = [record["message"] for record in history if "finding" in record]
    values = {**settings.model, **training.model_dump(), **settings.text.model_dump()}
    where = ", ".join(Path(name).name for name in (data["valid"] or data["train"]))
    facts = card_facts(
        out.name,
        task=settings.task,
        kind=settings.kind,
        data=f"validation part of {where}" if where else "validation part",
        scores=scores.scores,
    )
    text = "\n".join(
        [
            f"# {out.name}",
            "",
            f"A {settings.kind} model for {settings.task} with {model.num_parameters:,} parameters, "
            f"trained by regard {__version__}.",
            "",
            "All that is said here is about the weights with the SHA-256",
            f"`{file_sha256(out / WEIGHTS_FILE)}` (`sha256sum {WEIGHTS_FILE}`).",
            "",
            "## Data",
            "",
            f"* Training: {data['examples'][0]:,} examples"
            + (f" of {', '.join(data['train'])}" if data["train"] else " given from Python"),
            f"* Validation: {data['examples'][1]:,} examples"
            + (f" of {', '.join(data['valid'])}" if data["valid"] else ""),
            "",
            "## Scores on the validation part",
            "",
            scores.table,
            "",
            f"{scores.examples:,} examples; 95 % intervals by the bootstrap. {scores.note}".strip(),
            "",
            *([how, ""] if how else []),
            f"{choice[0].upper()}{choice[1:]}. The part chose them, so a test part is needed for an "
            "honest figure: `regard evaluate`.",
            "",
            *_where_words_looked(config),
            *(["## Notes", "", *(f"* {finding}" for finding in findings), ""] if findings else []),
            "## Settings",
            "",
            f"    {data['command']}",
            "",
            f"Preset `{settings.preset}`, seed {training.seed}.",
            "",
            "| setting | value |",
            "|---|---|",
            *(
                f"| {name} | {value}{derived.get(name, '')} |"
                for name, value in sorted(values.items())
            ),
            "",
            "## Limits",
            "",
            _LIMITS,
            "",
        ]
    )
    return with_facts(facts, text)


def _where_words_looked(config: Mapping[str, Any]) -> list[str]:
    """Lines about the cross-attention that alignments are read from, of a model that has one."""
    if "alignment" not in config:
        return []
    return ["## Where words looked", "", str(AlignmentChoice.from_json(config["alignment"])), ""]


_LIMITS = (
    "It knows what its training part shows and no more: other kinds of text, other languages and "
    "words it never saw are answered all the same, and wrongly. Attention says where the model "
    "looked, which is not always why it answered: `regard trust` measures that."
)
