"""Answers as lines of text or JSON."""

from __future__ import annotations

import json as json_format
from typing import Any

from regard.api.tasks.answers import Classification, Continuation, Summary, Translation

__all__ = [
    "classification_line",
    "continuation_line",
    "summary_line",
    "translation_line",
]


def translation_line(answer: Translation, *, json: bool = False, alignment: bool = False) -> str:
    """Translation as a line."""
    if json:
        return _dumps(
            {
                "source": answer.source,
                "text": answer.text,
                "score": answer.score,
                "tokens": answer.tokens,
                "source_tokens": answer.source_tokens,
                "alignment": answer.alignment.round(4).tolist(),
                "alternatives": [{"text": a.text, "score": a.score} for a in answer.alternatives],
            }
        )
    if alignment:
        pairs = " ".join(f"{i}-{j}" for i, j in answer.word_alignment())
        return f"{_line(answer.text)}\t{pairs}"
    return _line(answer.text)


def classification_line(
    answer: Classification, *, json: bool = False, probability: bool = False
) -> str:
    """Classification as a line: its labels, separated by tabs."""
    if json:
        return _dumps(
            {
                "text": answer.text,
                "labels": answer.labels,
                "probabilities": {k: round(v, 6) for k, v in answer.probabilities.items()},
            }
        )
    if probability and answer.labels:
        pairs = [f"{name}\t{answer.probabilities[name]:.4f}" for name in answer.labels]
        return _line("\t".join(pairs))
    return _line("\t".join(answer.labels))


def summary_line(answer: Summary, *, json: bool = False) -> str:
    """Summary as a line."""
    if json:
        facts = {"score": answer.score, "sentences": answer.sentences}
        return _dumps({"source": answer.source, "text": answer.text, **facts})
    return _line(answer.text)


def continuation_line(answer: Continuation, *, json: bool = False) -> str:
    """Continuation as a line, its prompt first."""
    if json:
        others = [{"text": a.text, "score": a.score} for a in answer.alternatives]
        facts = {"score": answer.score, "alternatives": others}
        return _dumps({"prompt": answer.prompt, "text": answer.text, **facts})
    return _line(answer.prompt + answer.text)


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _dumps(content: dict[str, Any]) -> str:
    return json_format.dumps(content, ensure_ascii=False)
