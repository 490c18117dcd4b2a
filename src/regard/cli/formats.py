"""Answers as lines of text or JSON."""

from __future__ import annotations

import json as json_format
from typing import Any

from regard.api.tasks.answers import (
    Answer,
    Classification,
    Continuation,
    Summary,
    TextAnswer,
    Translation,
)
from regard.text import SentencePair

__all__ = [
    "classification_columns",
    "classification_line",
    "continuation_lines",
    "summary_lines",
    "text_columns",
    "translation_lines",
]


def translation_lines(
    answer: Translation, *, n_best: int = 1, json: bool = False, alignment: bool = False
) -> str:
    """Translation and its alternatives as `n_best` lines, the best first; in JSON as one.

    Args:
        answer: with its alternatives.
        n_best: number of lines; those beyond the alternatives are empty, so that line `i` of the input
            is always answered from line `i * n_best` on.
        json: write one object instead.
        alignment: append word alignments after a tab.
    """
    if json:
        return _dumps(
            {
                "source": answer.source,
                "text": answer.text,
                "score": answer.score,
                "tokens": answer.tokens,
                "source_tokens": answer.source_tokens,
                "alignment": answer.alignment.round(4).tolist(),
                **answer.read_at.model_dump(),
                **({"links": answer.word_alignment()} if alignment else {}),
                "alternatives": _alternatives(answer),
                **_note(answer),
            }
        )
    if not alignment:
        return _n_best(answer, n_best)
    lines = []
    for each in (answer, *answer.alternatives):
        pairs = " ".join(f"{i}-{j}" for i, j in each.word_alignment())
        lines.append(f"{_line(each.text)}\t{pairs}")
    return "\n".join([*lines, *["\t"] * (n_best - len(lines))])


def classification_line(
    answer: Classification, *, json: bool = False, probability: bool = False
) -> str:
    """Classification as a line: its labels, separated by tabs."""
    if json:
        return _dumps(
            {
                **_text_or_pair(answer.text),
                "labels": answer.labels,
                "probabilities": {k: round(v, 6) for k, v in answer.probabilities.items()},
                **_note(answer),
            }
        )
    if probability and answer.labels:
        pairs = [f"{name}\t{answer.probabilities[name]:.4f}" for name in answer.labels]
        return _line("\t".join(pairs))
    return _line("\t".join(answer.labels))


def classification_columns(answer: Classification, *, several: bool) -> dict[str, Any]:
    """Classification as values of the columns `label` and `probability`.

    Args:
        answer: the classification.
        several: whether a text may have any number of labels; both values are then lists.
    """
    labels = list(answer.labels)
    probabilities = [round(answer.probabilities[name], 6) for name in labels]
    if several:
        return {"label": labels, "probability": probabilities}
    return {
        "label": labels[0] if labels else None,
        "probability": probabilities[0] if labels else None,
    }


def text_columns(name: str, answer: TextAnswer, *, n_best: int = 1) -> dict[str, Any]:
    """Texts that a model wrote as values of the columns `name` and `score`, `name_2` and `score_2`, ...

    Args:
        name: of the column.
        answer: with its alternatives.
        n_best: number of texts; columns beyond the alternatives are empty.
    """
    columns: dict[str, Any] = {name: answer.text, "score": answer.score}
    for rank in range(2, n_best + 1):
        other = answer.alternatives[rank - 2] if rank - 2 < len(answer.alternatives) else None
        columns[f"{name}_{rank}"] = other.text if other else ""
        columns[f"score_{rank}"] = other.score if other else None
    return columns


def summary_lines(answer: Summary, *, n_best: int = 1, json: bool = False) -> str:
    """Summary and its alternatives as `n_best` lines (`translation_lines`); in JSON as one."""
    if json:
        facts = {"score": answer.score, "sentences": answer.sentences}
        others = {"alternatives": _alternatives(answer)} if answer.alternatives else {}
        return _dumps(
            {"source": answer.source, "text": answer.text, **facts, **others, **_note(answer)}
        )
    return _n_best(answer, n_best)


def continuation_lines(answer: Continuation, *, json: bool = False) -> str:
    """Continuation and its alternatives as a line each, the prompt first."""
    return "\n".join(_continuation_line(each, json=json) for each in (answer, *answer.alternatives))


def _continuation_line(answer: Continuation, *, json: bool) -> str:
    if json:
        facts = {"score": answer.score, "alternatives": _alternatives(answer), **_note(answer)}
        return _dumps({"prompt": answer.prompt, "text": answer.text, **facts})
    return _line(answer.prompt + answer.text)


def _n_best(answer: TextAnswer, count: int) -> str:
    lines = [_line(answer.text), *(_line(other.text) for other in answer.alternatives)]
    return "\n".join([*lines, *[""] * (count - len(lines))])


def _alternatives(answer: TextAnswer) -> list[dict[str, Any]]:
    return [{"text": other.text, "score": other.score} for other in answer.alternatives]


def _text_or_pair(text: str) -> dict[str, str]:
    if isinstance(text, SentencePair):
        return {"text": text.first, "pair": text.second}
    return {"text": text}


def _note(answer: Answer) -> dict[str, str]:
    return {"note": answer.note} if answer.note else {}


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _dumps(content: dict[str, Any]) -> str:
    return json_format.dumps(content, ensure_ascii=False)
