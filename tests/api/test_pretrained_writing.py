"""Folders of transformers that write: the texts, drafts and attention of transformers' own generation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import regard
from regard.api import AbstractiveSummarizer, Generator, Translator
from regard.data import Example
from regard.errors import SettingsError

TEXTS = ["The bank raised its rates.", "Ein Mann fährt Rad.", "It was a dark and stormy night."]
WRITERS = ["t5", "marian", "bart", "bert2bert"]


def reference(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager")
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def written(model: Any, inputs: Any) -> Any:
    """Greedy ids of transformers, of nine tokens between the start token and a forced end.

    Padding is no word: ours never writes it, which Marian forbids as well and T5 learns.
    """
    longest = 10 + (model.generation_config.forced_eos_token_id is not None)
    return model.generate(
        **inputs,
        max_length=longest,
        min_new_tokens=9,
        num_beams=1,
        bad_words_ids=[[model.config.pad_token_id]],
    )


def translator(folder: Path) -> Translator:
    model = regard.load(folder)
    assert isinstance(model, Translator)
    return model


@pytest.mark.parametrize("kind", WRITERS)
def test_greedy_texts_are_those_of_transformers(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    ours = translator(folder)
    settings = ours.decoding_settings({"min_length": 9, "max_length": 9})
    assert settings.method == "greedy"
    answers = ours.translate(TEXTS, settings=settings)
    for text, answer in zip(TEXTS, answers, strict=True):
        ids = written(model, tokenizer(text, return_tensors="pt"))
        whole = tokenizer.decode(
            ids[0], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert answer.text == whole
        assert len(answer.tokens) == 9


@pytest.mark.parametrize("kind", WRITERS)
def test_look_shows_the_attention_of_transformers(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    ours = translator(folder)
    inputs = tokenizer(TEXTS[0], return_tensors="pt")
    ids = written(model, inputs)
    read = ids[:, :-1] if ids[0, -1] == model.generation_config.eos_token_id else ids
    with torch.no_grad():
        found = model(**inputs, decoder_input_ids=read, output_attentions=True)
    settings = ours.decoding_settings({"min_length": 9, "max_length": 9})
    (answer,) = ours.translate(TEXTS[0], settings=settings)
    record = answer.look()
    sites = {
        "encoder": found.encoder_attentions,
        "decoder": found.decoder_attentions,
        "cross": found.cross_attentions,
    }
    for track in record.tracks:
        expected = sites[track.name][track.layer or 0][0].numpy()
        np.testing.assert_allclose(np.asarray(track.weights), expected, atol=1e-5)
    assert len(record.tracks) == sum(map(len, sites.values()))
    # The map that was kept while decoding: mean of layers and heads, of the step that wrote a token.
    mean = torch.stack(found.cross_attentions).mean((0, 2))[0].numpy()
    np.testing.assert_allclose(answer.alignment, mean[: len(answer.alignment)], atol=1e-5)
    assert len(record.tokens["source"]) == inputs["input_ids"].shape[1]


def test_what_bart_begins_with_is_forced_and_belongs_to_no_text(
    pretrained: Callable[[str], Path],
) -> None:
    ours = translator(pretrained("bart"))
    (answer,) = ours.translate(TEXTS[0], settings=ours.decoding_settings({"max_length": 6}))
    assert answer.tokens[0] == "<s>"
    assert "<s>" not in answer.text
    (begun,) = ours.translate(TEXTS[0], prefix=["A man"])
    assert begun.text.startswith("A man")
    assert begun.tokens[0] == "<s>"
    given = ours.look(TEXTS[0], "A man rides")
    assert given.tokens["target"].pieces[0] == "<s>"
    assert given.tokens["target"].special[0]


@pytest.mark.parametrize("kind", WRITERS)
def test_steering(pretrained: Callable[[str], Path], kind: str) -> None:
    """Knocked-out source tokens have no weight; next words are probabilities of transformers."""
    folder = pretrained(kind)
    model, tokenizer = reference(folder)
    ours = translator(folder)
    settings = ours.decoding_settings({"min_length": 5, "max_length": 5})
    (answer,) = ours.translate(TEXTS[0], settings=settings, masked_out=[[1, 2]])
    assert answer.alignment[:, [1, 2]].max() == 0
    np.testing.assert_allclose(answer.alignment.sum(1), 1, atol=1e-5)
    inputs = tokenizer(TEXTS[0], return_tensors="pt")
    start = [model.generation_config.decoder_start_token_id]
    start += [model.generation_config.forced_bos_token_id] if kind == "bart" else []
    with torch.no_grad():
        logits = model(**inputs, decoder_input_ids=torch.tensor([start])).logits[0, -1]
    best = ours.next_words(TEXTS[0], count=3)
    expected = logits.softmax(-1).sort(descending=True).values.tolist()
    assert all(any(abs(p - q) < 1e-5 for q in expected[:8]) for _, p in best)


def test_drafts_and_beams(pretrained: Callable[[str], Path]) -> None:
    ours = translator(pretrained("marian"))
    drafts: list[tuple[int, str]] = []
    settings = ours.decoding_settings(
        {"method": "beam", "beam": 3, "n_best": 3, "max_length": 6, "length_penalty": 0.0}
    )
    answers = ours.translate(
        TEXTS, settings=settings, on_draft=lambda index, text: drafts.append((index, text))
    )
    assert {index for index, _ in drafts} == {0, 1, 2}
    for answer in answers:
        scores = [answer.score, *(other.score for other in answer.alternatives)]
        assert scores == sorted(scores, reverse=True)
    greedy = ours.decoding_settings({"max_length": 6, "length_penalty": 0.0})
    for answer, single in zip(answers, ours.translate(TEXTS, settings=greedy), strict=True):
        assert answer.score >= single.score - 1e-5


def test_the_verb_chooses_the_task(pretrained: Callable[[str], Path]) -> None:
    folder = pretrained("bart")
    model = regard.load(folder, task="summarization")
    assert isinstance(model, AbstractiveSummarizer)
    settings = model.decoding_settings({"max_length": 6})
    (summary,) = model.summarize(TEXTS[0], settings=settings)
    (answer,) = translator(folder).translate(TEXTS[0], settings=settings)
    assert summary.text == answer.text


def generator(folder: Path) -> Generator:
    model = regard.load(folder)
    assert isinstance(model, Generator)
    return model


def test_greedy_continuations_are_those_of_transformers(
    pretrained: Callable[[str], Path],
) -> None:
    folder = pretrained("gpt2")
    model, tokenizer = reference(folder)
    ours = generator(folder)
    settings = ours.decoding_settings({"method": "greedy", "max_length": 7, "top_p": 1.0})
    prompts = [*TEXTS, "I", ""]
    for prompt, answer in zip(prompts, ours.generate(prompts, settings=settings), strict=True):
        ids = tokenizer(prompt or "<|endoftext|>", return_tensors="pt").input_ids
        found = model.generate(ids, max_new_tokens=7, do_sample=False, pad_token_id=0)
        assert answer.text == tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_language_model_samples_and_is_looked_at(pretrained: Callable[[str], Path]) -> None:
    folder = pretrained("gpt2")
    model, tokenizer = reference(folder)
    ours = generator(folder)
    assert ours.settings.decoding.method == "sample"
    settings = ours.decoding_settings({"n_best": 3, "max_length": 5, "seed": 4})
    first, again = (ours.generate("It was", settings=settings)[0] for _ in range(2))
    assert first.text == again.text
    assert len({first.text, *(other.text for other in first.alternatives)}) > 1
    record = ours.look(TEXTS[2])
    inputs = tokenizer(TEXTS[2], return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
    for track, weights in zip(record.tracks, expected, strict=True):
        np.testing.assert_allclose(np.asarray(track.weights), weights[0].numpy(), atol=1e-5)
    assert not any(record.tokens["text"].special)
    with pytest.raises(SettingsError, match="64 positions"):
        ours.generate("It", settings=ours.decoding_settings({"max_length": 63}))
    (long,) = ours.generate("It was " * 60, settings=ours.decoding_settings({"max_length": 5}))
    assert "only the last" in long.note


def test_what_a_continuation_attended_to(pretrained: Callable[[str], Path]) -> None:
    """Rows are the steps that wrote a token, columns the beginning; hidden words change both."""
    folder = pretrained("gpt2")
    model, tokenizer = reference(folder)
    ours = generator(folder)
    values = {"method": "greedy", "min_length": 4, "max_length": 4, "top_p": 1.0}
    settings = ours.decoding_settings(values)
    drafts: list[str] = []
    (answer,) = ours.generate(
        TEXTS[2], settings=settings, on_draft=lambda index, text: drafts.append(text)
    )
    prompt = tokenizer(TEXTS[2], return_tensors="pt").input_ids
    ids = model.generate(
        prompt, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0
    )
    with torch.no_grad():
        layers = model(ids, output_attentions=True).attentions
    count = prompt.shape[1]
    expected = torch.stack(layers).mean((0, 2))[0, count - 1 : ids.shape[1] - 1, :count]
    found = answer.aligned().tracks[0].dense()
    np.testing.assert_allclose(found, expected[: len(found)].numpy(), atol=1e-5)
    assert drafts[-1] in (answer.text, answer.text[: len(drafts[-1])])
    (hidden,) = ours.generate(TEXTS[2], settings=settings, masked_out=[[1, 3]])
    assert hidden.aligned().tracks[0].dense()[:, [1, 3]].max() == 0
    with torch.no_grad():
        after = model(prompt).logits[0, -1].softmax(-1)
    for _, probability in ours.next_words(TEXTS[2], count=3):
        assert min(abs(after - probability)) < 1e-6


def test_perplexity_is_that_of_transformers(pretrained: Callable[[str], Path]) -> None:
    """Of all tokens but the first, and of the end: the model reads no mark in front."""
    folder = pretrained("gpt2")
    model, tokenizer = reference(folder)
    found = generator(folder).evaluate([Example(text) for text in TEXTS]).scores[0]
    nats, count = 0.0, 0
    for text in TEXTS:
        ids = tokenizer(text + "<|endoftext|>", return_tensors="pt").input_ids
        with torch.no_grad():
            nats += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert found.value == pytest.approx(np.exp(nats / count), rel=1e-4)
