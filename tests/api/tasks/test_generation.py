"""Generation: continuations, perplexity and its baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from regard.api import (
    Generator,
    Model,
)
from regard.data import Example

Reload = Callable[[Model], Any]


def test_continuations_are_the_same_from_the_folder(generator: Generator, reloaded: Reload) -> None:
    again = reloaded(generator)
    settings = generator.decoding_settings({"n_best": 2, "seed": 5})
    one, other = (m.generate(["red green", ""], settings=settings) for m in (generator, again))
    assert [c.text for c in one] == [c.text for c in other]
    assert one[0].prompt == "red green"
    assert len(one[0].alternatives) == 1
    assert generator.look("red green is").tracks[0].direction == "causal"


def test_perplexity_of_word_frequencies_by_hand(generator: Generator) -> None:
    train = [Example("red")]
    found = generator.evaluate([Example("red"), Example("red red")], train=train)
    size, ids = len(generator.tokenizer), generator.tokenizer.encode("red").ids
    more = generator.tokenizer.encode("red red").ids
    assert len(more) > len(ids)  # one row is padded
    total = size + len(ids) + 1
    nats = [-np.log((1 + [*ids, 3].count(index)) / total) for index in (*ids, 3, *more, 3)]
    assert found.baselines["word frequencies"][0].value == pytest.approx(np.exp(np.mean(nats)))


def test_perplexity_and_loss_from_probabilities(generator: Generator) -> None:
    texts, nats = ["red gold", "blue and grey is good"], []
    generator.network.eval()
    for text in texts:
        ids = torch.tensor([[2, *generator.tokenizer.encode(text).ids, 3]])
        with torch.no_grad():
            logits = generator.network(ids[:, :-1], torch.tensor([ids.shape[1] - 1])).logits
        nats += (-logits[0].log_softmax(-1))[range(ids.shape[1] - 1), ids[0, 1:]].tolist()
    examples = [Example(text) for text in texts]
    (score,) = generator.evaluate(examples).scores
    assert score.value == pytest.approx(np.exp(np.mean(nats)), rel=1e-5)
    encoded = generator.encode_examples(examples, training=False)
    found = generator.validator(examples, encoded)(generator.network)
    assert found == pytest.approx({"loss": np.mean(nats), "perplexity": score.value}, rel=1e-5)


def test_the_end_of_a_very_long_prompt_is_continued_with_a_note(generator: Generator) -> None:
    limit = generator.settings.text.max_tokens
    settings = generator.decoding_settings({"method": "greedy"})
    long = "red green blue " * 20_000
    cut, short = generator.generate([long, "red green"], settings=settings)
    assert cut.note.startswith(f"only the last {limit:,} of its ")
    assert cut.prompt == long
    assert short.note == ""
    assert short.text == generator.generate("red green", settings=settings)[0].text


def test_nothing_is_continued_by_nothing(generator: Generator) -> None:
    assert generator.generate([]) == []
    for method in ("greedy", "beam", "sample"):
        settings = generator.decoding_settings({"method": method, "min_length": 2})
        (empty,) = generator.generate("", settings=settings)
        assert len(empty.tokens) >= 2
