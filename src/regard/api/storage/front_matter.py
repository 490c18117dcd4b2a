"""The front matter of a model card: facts in YAML, which the Hugging Face Hub sorts and shows models by.

Users own the rest of it: `license`, `datasets`, `language` and whatever else they write there stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from regard.choices import Task
from regard.evaluation import Score

__all__ = ["card_facts", "merged", "renamed", "split", "with_facts"]

_MARK = "---"

_PIPELINES: Mapping[Task, str] = {
    "classification": "text-classification",
    "translation": "translation",
    "summarization": "summarization",
    "language": "text-generation",
}
"""Names of our tasks on the Hub."""

_METRICS = {"macro_f1": "f1", "bleu": "bleu", "chrf": "chrf", "accuracy": "accuracy"}
"""Metrics that the Hub has under another name than ours, or under the same."""


def card_facts(
    name: str, *, task: Task, kind: str, data: str, scores: Sequence[Score]
) -> dict[str, Any]:
    """What regard knows of a model, under the Hub's names.

    Args:
        name: of the model.
        task: of the model.
        kind: of its network.
        data: what the scores were measured on.
        scores: in percent, written as they are.
    """
    pipeline = _PIPELINES[task]
    metrics = [
        {"type": _metric(score), "name": score.name, "value": round(float(score.value), 4)}
        for score in scores
    ]
    result = {
        "task": {"type": pipeline},
        "dataset": {"name": data, "type": "custom"},
        "metrics": metrics,
    }
    return {
        "library_name": "regard",
        "pipeline_tag": pipeline,
        "tags": ["regard", "attention", kind],
        "model-index": [{"name": name, "results": [result] if metrics else []}],
    }


def _metric(score: Score) -> str:
    own = score.metric
    return "rouge" if own.startswith("rouge") else _METRICS.get(own, own)


def split(card: str) -> tuple[dict[str, Any], str]:
    r"""Facts and text of a card; no facts where there are none that can be read.

    >>> split("---\nlicense: mit\n---\n# Mood\n")
    ({'license': 'mit'}, '# Mood\n')
    """
    first, _, rest = card.replace("\r\n", "\n").partition("\n")
    if first.strip() != _MARK:
        return {}, card
    content, end, text = rest.partition(f"\n{_MARK}\n")
    try:
        facts = yaml.safe_load(content) if end else None
    except yaml.YAMLError:
        facts = None
    return (facts, text) if isinstance(facts, dict) else ({}, card)


def with_facts(facts: Mapping[str, Any], text: str) -> str:
    """A card of facts and text."""
    content = yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True)
    return f"{_MARK}\n{content}{_MARK}\n{text}"


def merged(card: str, other: str) -> str:
    """A card with the facts that another one has and it has not: a user's `license`, say."""
    (facts, text), (others, _) = split(card), split(other)
    return with_facts({**others, **facts}, text) if others else card


def renamed(card: str, name: str) -> str:
    """A card under another name: that of a folder, or on the Hub."""
    facts, text = split(card)
    head, _, rest = text.partition("\n")
    text = f"# {name}\n{rest}" if head.startswith("# ") else text
    if not facts:
        return text
    index = facts.get("model-index")
    if isinstance(index, list) and len(index) == 1 and isinstance(index[0], dict):
        facts["model-index"] = [{**index[0], "name": name}]
    return with_facts(facts, text)
