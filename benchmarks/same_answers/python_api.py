"""Asks the trained models from Python: led answers, what-if questions, maps; and watches other models."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import regard
from benchmarks.same_answers.arrays import described
from benchmarks.same_answers.names import STEPS, called, first_that_works, method

__all__ = ["answers"]

PHRASES = ["the red river sings", "the gold lamp falls"]


def answers(folders: list[str]) -> dict[str, str]:
    """Of each trained model, by its task; of two models of `transformers`, where that is installed."""
    found: dict[str, str] = {}
    for folder in folders:
        if not Path(folder).is_dir():
            continue
        model: Any = regard.load(folder)
        for name, call in _QUESTIONS[model.task].items():
            try:
                found[f"{folder}: {name}"] = _printed(call(model))
            except Exception as error:
                found[f"{folder}: {name}"] = f"raises {type(error).__name__}"
    if importlib.util.find_spec("transformers"):
        found |= _watched()
    return found


def _printed(found: Any) -> str:
    """Texts and numbers as they are, arrays as hashes."""
    if isinstance(found, list | tuple | dict):
        parts = found.items() if isinstance(found, dict) else found
        return "; ".join(_printed(part) for part in parts)
    if isinstance(found, str | int | float):
        return repr(found)
    return described(found)


def _led(model: Any) -> list[Any]:
    """Answers that must begin as told, and answers with a word of the source knocked out."""
    begun = [answer.text[:3] for answer in model.translate(PHRASES)]
    found = model.translate(PHRASES, prefix=begun)
    found += called(model.translate, PHRASES, masked_out=[[1], [0, 2]])
    return [(one.text, one.score, one.tokens, one.alignment) for one in found]


def _next_words(model: Any) -> list[Any]:
    next_words = method(model, "next_words")
    return [
        next_words(PHRASES[0]),
        next_words(PHRASES[0], "r", count=3),
        called(next_words, PHRASES[1], masked_out=[1]),
    ]


def _aligned(model: Any) -> list[Any]:
    """The map that decoding made: the model's own, and that at either step of a word."""
    answer = model.translate(PHRASES[0])[0]

    aligned = method(answer, "aligned")

    def steps(*names: str) -> list[Any]:
        first, second = (aligned(name).tracks[0].dense() for name in names)
        if np.array_equal(first, second):
            raise ValueError(f"{names} are names of one step, or of none")
        return [first, second]

    found: list[Any] = first_that_works(*(partial(steps, *names) for names in STEPS))
    return [aligned().tracks[0].dense(), *found]


def _maps(answer: Any) -> list[Any]:
    return [
        (name, [(one.dense(), one.entropy()) for one in layers])
        for name, layers in answer.maps.items()
    ]


def _reweighed(model: Any) -> list[Any]:
    text = "A warm film about a blue river."
    length = len(method(model, "input_tokens")(text))
    answer = method(model, "reweigh")(text, [0.5] + [2.0] * (length - 2) + [0.0])
    return [answer.label, list(answer.probabilities.items())]


_DOCUMENT = "Nobody sings here. The blue river of Zyx3 falls. It is pink outside."
_MOOD = "A dull film about a grey bird. It waits."
_QUESTIONS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "translation": {
        "led": _led,
        "next words": _next_words,
        "aligned": _aligned,
        "maps": lambda model: _maps(model.translate(PHRASES[0])[0]),
    },
    "classification": {
        "reweighed": _reweighed,
        "maps": lambda model: _maps(model.classify(_MOOD)[0]),
        "tokens": lambda model: model.classify(_MOOD)[0].tokens,
    },
    "summarization": {"maps": lambda model: _maps(model.summarize(_DOCUMENT)[0])},
    "language": {"maps": lambda model: _maps(model.generate("The red")[0])},
}


def _watched() -> dict[str, str]:
    """A BERT and a GPT-2 of random weights, one text of two padded."""
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

    sizes: dict[str, Any] = {"vocab_size": 50, "attn_implementation": "eager"}
    bert = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, **sizes
    )
    gpt = GPT2Config(n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1, **sizes)
    ids = torch.arange(60).view(2, 30) * 7 % 50
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    found = {}
    for name, kind, config in (("bert", BertModel, bert), ("gpt-2", GPT2Model, gpt)):
        torch.manual_seed(0)
        make: Any = kind
        model = make(config).eval()
        with torch.no_grad(), regard.watch(model) as seen:
            output = model(ids, attention_mask=mask).last_hidden_state
        found[f"watched {name}: output"] = described(output)
        for layer in seen["decoder" if name == "gpt-2" else "encoder"]:
            kept = (layer.entropy, tuple(layer.topk), tuple(layer.pool), layer.received)
            found[f"watched {name}: layer {layer.index}"] = described(kept)
    return found
