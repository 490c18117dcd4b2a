"""Export to CTranslate2, and the comparison of its translations and continuations with ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regard.api.exporting.parity import Parity
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model, device_of, pad_batch
from regard.api.tasks.text_to_text import TextToText
from regard.decoding import DecodingSettings, decode, generate, length_penalty
from regard.integrations.export.ctranslate2 import (
    NEVER_WRITTEN,
    generator_spec,
    obstacle,
    translator_spec,
)
from regard.integrations.pretrained.networks import PretrainedBase
from regard.layers.eval_mode import eval_mode
from regard.models.language_model import TransformerLanguageModel
from regard.models.transformer import Transformer
from regard.text import BOS, EOS

__all__ = ["compare", "obstacle_of", "write"]

_BATCH = 32
_NEW_TOKENS = 20
"""Tokens that a language model continues a prompt with in the comparison."""

_RAW = 1e-6
"""A length penalty of 0 makes CTranslate2 stop early; one as small as this leaves sums of log-probabilities."""


def obstacle_of(model: Model) -> str:
    """Why a model cannot be written for CTranslate2, as the end of a sentence; empty if it can."""
    writes = isinstance(model, TextToText | Generator)
    if writes and isinstance(model.network, PretrainedBase):
        return "its own ct2-transformers-converter reads folders of transformers, so that this one need not"
    if not writes:
        return "it runs models that write a text, Transformers of its own layers"
    return obstacle(model.network)


def write(model: Model, place: Path) -> None:
    """Write weights and vocabularies as CTranslate2 reads them.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
    """
    if isinstance(model, Generator):
        assert isinstance(model.network, TransformerLanguageModel)
        spec = generator_spec(model.network, model.tokenizer.vocabulary)
    else:
        assert isinstance(model, TextToText)
        assert isinstance(model.network, Transformer)
        spec = translator_spec(
            model.network,
            model.source_tokenizer.vocabulary,
            model.target_tokenizer.vocabulary,
            positions=2 * model.settings.text.max_tokens
            + 21,  # of the longest answer, BOS included
        )
    spec.validate()
    spec.optimize()
    spec.save(str(place))


def compare(model: Model, place: Path, texts: Sequence[str]) -> Parity:
    """Compare CTranslate2's log-probabilities and answers with ours, in float32 on the processor."""
    if isinstance(model, Generator):
        return _compare_generator(model, place, texts)
    assert isinstance(model, TextToText)
    return _compare_translator(model, place, texts)


def _options() -> dict[str, Any]:
    """Options of a runtime that computes as we do."""
    return {"device": "cpu", "compute_type": "float32", "intra_threads": torch.get_num_threads()}


class _Answer(NamedTuple):
    """Ids that were written, and their summed log-probability."""

    ids: list[int]
    total: float


def _compare_translator(model: TextToText[Any], place: Path, texts: Sequence[str]) -> Parity:
    import ctranslate2

    translator = ctranslate2.Translator(str(place), **_options())
    settings = DecodingSettings(method="greedy", length_penalty=0.0)
    beam = DecodingSettings(
        method="beam",
        beam=max(2, model.settings.decoding.beam),
        length_penalty=model.settings.decoding.length_penalty,
    )
    sources = [source.ids for source in model.encode_sources(texts)]
    difference = 0.0
    equal: dict[str, list[bool]] = {"greedy": [], f"beam {beam.beam}": []}
    for batch in _of_one_length(sources):
        ids, lengths = pad_batch(batch, device_of(model.network))
        most = 2 * len(batch[0]) + 20
        if model.network.max_positions is not None:
            most = min(most, model.network.max_positions - 1)
        for name, how in zip(equal, (settings, beam), strict=True):
            ours = [found[0].ids for found in decode(model.network, ids, lengths, how)]
            theirs = _translate(translator, model, batch, how, most)
            # At the limit we add an end mark to the score of an answer, and they do not.
            pairs = zip(ours, theirs, strict=True)
            equal[name] += [a == b for a, b in pairs if how is settings or len(a) < most]
            if how is settings:
                difference = max(difference, _score(translator, model, batch, ours))
    shares = {name: sum(each) / len(each) for name, each in equal.items() if each}
    return Parity(
        len(sources), "log-probabilities", difference, shares, searched=(f"beam {beam.beam}",)
    )


def _translate(
    translator: Any,
    model: TextToText[Any],
    sources: Sequence[Sequence[int]],
    settings: DecodingSettings,
    most: int,
) -> list[list[int]]:
    """Best answers of CTranslate2 by our rank: its sums of log-probabilities by our length penalty."""
    width = settings.beam if settings.method == "beam" else 1
    found = translator.translate_batch(
        [_names(model.source_tokenizer.vocabulary, ids[:-1]) for ids in sources],
        beam_size=width,
        num_hypotheses=width,
        length_penalty=_RAW,
        return_scores=True,
        min_decoding_length=0,
        max_decoding_length=most,
        max_input_length=0,
    )
    index = {token: i for i, token in enumerate(model.target_tokenizer.vocabulary)}
    best = []
    for each in found:
        answers = [
            _Answer([index[token] for token in tokens], score)
            for tokens, score in zip(each.hypotheses, each.scores, strict=True)
        ]
        best.append(
            max(
                answers,
                key=lambda a: a.total / length_penalty(len(a.ids) + 1, settings.length_penalty),
            ).ids
        )
    return best


def _score(
    translator: Any,
    model: TextToText[Any],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
) -> float:
    """Largest difference of the log-probabilities of given targets, token by token."""
    found = translator.score_batch(
        [_names(model.source_tokenizer.vocabulary, ids[:-1]) for ids in sources],
        [_names(model.target_tokenizer.vocabulary, ids) for ids in targets],
        max_input_length=0,
    )
    ids, lengths = pad_batch(sources, device_of(model.network))
    inputs, _ = pad_batch([[BOS, *target] for target in targets], ids.device)
    with torch.inference_mode(), eval_mode(model.network):
        logits = model.network(ids, lengths, inputs).logits
    return _largest_difference(logits, targets, [each.log_probs for each in found])


def _compare_generator(model: Generator, place: Path, texts: Sequence[str]) -> Parity:
    import ctranslate2

    generator = ctranslate2.Generator(str(place), **_options())
    names = model.tokenizer.vocabulary
    index = {token: i for i, token in enumerate(names)}
    prompts = [encoding.ids for encoding in model.tokenizer.encode_batch(texts)]
    settings = DecodingSettings(method="greedy", max_length=_NEW_TOKENS)
    equal, difference = 0, 0.0
    for batch in _of_one_length(prompts):
        found = generate(model.network, batch, settings)
        ours = [hypotheses[0].ids for hypotheses in found]
        theirs = generator.generate_batch(
            [_names(names, [BOS, *prompt]) for prompt in batch],
            max_length=_NEW_TOKENS,
            include_prompt_in_result=False,
        )
        for one, other in zip(ours, theirs, strict=True):
            equal += one == [index[token] for token in other.sequences[0]]
        whole = [[*prompt, *answer] for prompt, answer in zip(batch, ours, strict=True)]
        scored = generator.score_batch(
            [_names(names, [BOS, *ids, EOS]) for ids in whole], max_input_length=0
        )
        inputs, lengths = pad_batch([[BOS, *ids] for ids in whole], device_of(model.network))
        with torch.inference_mode(), eval_mode(model.network):
            logits = model.network(inputs, lengths).logits
        difference = max(
            difference, _largest_difference(logits, whole, [each.log_probs for each in scored])
        )
    return Parity(len(prompts), "log-probabilities", difference, {"greedy": equal / len(prompts)})


def _largest_difference(
    logits: Tensor, targets: Sequence[Sequence[int]], theirs: Iterable[Sequence[float]]
) -> float:
    """Largest difference from our log-probabilities of targets and their EOS, among what is ever written."""
    logits = logits.float().clone()
    logits[..., list(NEVER_WRITTEN)] = -torch.inf
    ours, largest = logits.log_softmax(-1), 0.0
    for row, target, scores in zip(ours, targets, theirs, strict=True):
        wanted = torch.tensor([*target, EOS], device=row.device)
        own = row[: len(wanted)].gather(1, wanted[:, None])[:, 0].cpu()
        largest = max(largest, float((own - torch.tensor(scores)).abs().max()))
    return largest


def _of_one_length(sequences: Iterable[Sequence[int]]) -> Iterable[list[list[int]]]:
    """Batches of sequences of one length: the longest answer allowed follows from it."""
    groups: dict[int, list[list[int]]] = defaultdict(list)
    for sequence in sequences:
        groups[len(sequence)].append(list(sequence))
    for group in groups.values():
        yield from (group[start : start + _BATCH] for start in range(0, len(group), _BATCH))


def _names(vocabulary: Sequence[str], ids: Sequence[int]) -> list[str]:
    return [vocabulary[index] for index in ids]
