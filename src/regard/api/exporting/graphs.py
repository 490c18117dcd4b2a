"""Export to ONNX and to programs of torch, and the comparison of their answers with ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.api.exporting.parity import Parity
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model, pad_batch
from regard.api.tasks.text_to_text import TextToText
from regard.choices import ExportFormat
from regard.data.batches import pad_documents
from regard.decoding import DecodingSettings, decode, generate
from regard.integrations.export.graphs import Graph, graphs_of, obstacle
from regard.integrations.export.pretrained import classifier_graph, pretrained_obstacle
from regard.integrations.export.programs import (
    Run,
    load_onnx,
    load_program,
    save_onnx,
    save_program,
)
from regard.integrations.pretrained.networks import PretrainedBase, PretrainedClassifier
from regard.text import BOS, EOS, PAD
from regard.text.sentences import split_sentences

__all__ = ["compare", "obstacle_of", "write"]

Arrays = dict[str, NDArray[Any]]

_BATCH = 16
_NEW_TOKENS = 20
"""Tokens that a language model continues a prompt with in the comparison."""

_ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}


def obstacle_of(model: Model) -> str:
    """Why a model cannot become a graph, as the end of a sentence; empty if it can."""
    if isinstance(model.network, PretrainedBase):
        return pretrained_obstacle(model.network)
    return obstacle(model.network)


def write(model: Model, place: Path, to: ExportFormat, *, attention: bool) -> list[Graph]:
    """Write the graphs of a model, a file each.

    Raises:
        MissingExtraError: what writes ONNX is not installed.
    """
    longest = model.settings.text.max_tokens
    if isinstance(model, TextToText):
        longest = 2 * longest + 21  # the longest answer, BOS included
    if isinstance(model.network, PretrainedClassifier):
        graphs = [classifier_graph(model.network, longest=longest, attention=attention)]
    else:
        graphs = graphs_of(model.network, longest=longest, attention=attention)
    for graph in graphs:
        (save_onnx if to == "onnx" else save_program)(graph, _path(place, graph, to))
    return graphs


def compare(
    model: Model, place: Path, to: ExportFormat, graphs: Sequence[Graph], texts: Sequence[str]
) -> Parity:
    """Compare logits and answers of the graphs, as they were written, with ours."""
    load = load_onnx if to == "onnx" else load_program
    run = {graph.name: load(_path(place, graph, to), graph) for graph in graphs}
    with torch.inference_mode():
        if isinstance(model, TextToText):
            return _compare_writer(model, run["encoder"], run["decoder"], texts)
        if isinstance(model, Generator):
            return _compare_generator(model, run["decoder"], texts)
        return _compare_reader(model, run["model"], texts)


def _path(place: Path, graph: Graph, to: ExportFormat) -> Path:
    return place / f"{graph.name}{_ENDINGS[to]}"


# Models that read


def _compare_reader(model: Model, run: Run, texts: Sequence[str]) -> Parity:
    answer = _answer_of(model)
    difference, equal, count = 0.0, 0, 0
    for ids, lengths in _inputs(model, texts):
        ours = model.network(ids, lengths).logits.float()
        found = run(_arrays(model, ids, lengths))["logits"]
        theirs = torch.from_numpy(found)
        difference = max(difference, _difference(ours, theirs))
        for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            real = lengths[row]
            equal += answer(one, real) == answer(other, real)
        count += len(ids)
    name = {"classification": "label", "summarization": "sentences"}.get(model.task, "words")
    return Parity(count, "logits", difference, {name: equal / count})


def _arrays(model: Model, ids: Tensor, lengths: Tensor) -> Arrays:
    """A batch as the graph takes it."""
    if not isinstance(model.network, PretrainedClassifier):
        return {"ids": ids.numpy(), "lengths": lengths.numpy()}
    inputs = model.network.inputs(ids, lengths)
    if model.network.takes_types:
        inputs.setdefault("token_type_ids", torch.zeros_like(ids))
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def _inputs(model: Model, texts: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of texts of mixed lengths, as the network reads them."""
    for first in range(0, len(texts), _BATCH):
        batch = list(texts[first : first + _BATCH])
        if isinstance(model, ExtractiveSummarizer):
            documents = [model.sentence_ids(split_sentences(text)) for text in batch]
            ids, lengths = pad_documents(documents)
            yield torch.from_numpy(ids), torch.from_numpy(lengths)
        else:
            assert isinstance(model, Classifier | MaskedLanguage)
            limit = model.settings.text.max_tokens
            found = model.tokenizer.encode_batch(batch)
            yield pad_batch([encoding.first(limit).ids or [PAD] for encoding in found], _CPU)


_CPU = torch.device("cpu")


def _answer_of(model: Model) -> Callable[[Tensor, Tensor], object]:
    """From the logits of a text, and its lengths, to its answer."""
    if isinstance(model, Classifier) and model.multilabel:
        return lambda logits, _: (logits >= 0).tolist()
    if isinstance(model, MaskedLanguage):
        return lambda logits, length: logits[: int(length)].argmax(-1).tolist()
    if isinstance(model, ExtractiveSummarizer):
        count = model.count
        return lambda logits, lengths: sorted(
            logits[lengths > 0].topk(min(count, int((lengths > 0).sum()))).indices.tolist()
        )
    return lambda logits, _: int(logits.argmax())


# Models that write


def _compare_writer(
    model: TextToText[Any], encoder: Run, decoder: Run, texts: Sequence[str]
) -> Parity:
    """Greedy answers, and the logits of every step on the way of ours."""
    network, settings = model.network, DecodingSettings(method="greedy")
    difference, equal = 0.0, 0
    sources = [source.ids for source in model.encode_sources(texts)]
    for first in range(0, len(sources), _BATCH):
        source, lengths = pad_batch(sources[first : first + _BATCH], _CPU)
        answers = [found[0].ids for found in decode(network, source, lengths, settings)]
        targets, _ = pad_batch([[*ids, EOS] for ids in answers], _CPU)
        arrays = encoder({"source": source.numpy(), "source_lengths": lengths.numpy()})
        memory = network.encode(source, lengths)
        state, token = network.start(memory), torch.full((len(source),), BOS)
        same, going = torch.ones(len(source), dtype=torch.bool), token > 0
        for step in range(targets.shape[1]):
            ours = network.step(token, state, memory)
            found, arrays = _step(decoder, {**arrays, "token": token.numpy()})
            theirs = found[:, : ours.logits.shape[1]]
            difference = max(difference, _difference(_log(ours.logits[going]), _log(theirs[going])))
            wanted, state = targets[:, step], ours.state
            limits = torch.tensor(
                [step < len(ids) for ids in answers]
            )  # where an end may be forced
            same &= ~(going & limits) | (_allowed(found).argmax(-1) == wanted)
            going = going & (wanted != EOS)
            token = wanted
        equal += int(same.sum())
    return Parity(len(sources), "log-probabilities", difference, {"greedy": equal / len(sources)})


def _compare_generator(model: Generator, decoder: Run, texts: Sequence[str]) -> Parity:
    network, settings = model.network, DecodingSettings(method="greedy", max_length=_NEW_TOKENS)
    (shape,) = {tuple(graph.shape) for graph in _empty_cache(model)}
    difference, equal = 0.0, 0
    prompts = [encoding.ids for encoding in model.tokenizer.encode_batch(texts)]
    for prompt, hypotheses in zip(prompts, generate(network, prompts, settings), strict=True):
        answer = hypotheses[0].ids
        ids = torch.tensor([[BOS, *prompt, *answer]])
        ours = network(ids, torch.tensor([ids.shape[1]])).logits[0, len(prompt) :]
        empty = np.zeros(shape, np.float32)
        arrays: Arrays = {"ids": ids[:, : len(prompt) + 1].numpy(), "keys": empty, "values": empty}
        same = True
        for step in range(len(answer) + 1):
            found, state = _step(decoder, arrays)
            difference = max(difference, _difference(_log(ours[step]), _log(found[0])))
            if step < len(answer):
                same &= int(_allowed(found)[0].argmax()) == answer[step]
                arrays = {**state, "ids": np.array([[answer[step]]])}
        equal += same
    return Parity(len(prompts), "log-probabilities", difference, {"greedy": equal / len(prompts)})


def _empty_cache(model: Generator) -> list[Tensor]:
    """Keys and values before the first token, of one text."""
    settings: Any = model.network.settings
    heads = settings.key_heads or settings.heads
    width = settings.width // settings.heads
    return [torch.zeros(settings.layers, 1, heads, 0, width)] * 2


def _step(decoder: Run, arrays: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Arrays]:
    """Logits of a step, and the arrays of the next one, its token excepted."""
    found = decoder(arrays)
    state = {name.removeprefix("next_"): x for name, x in found.items() if name.startswith("next_")}
    return torch.from_numpy(found["logits"]), {**arrays, **state}


def _allowed(logits: Tensor) -> Tensor:
    """Logits without tokens that our decoding never writes."""
    logits = logits.clone()
    logits[:, [PAD, BOS]] = -torch.inf
    return logits


def _log(logits: Tensor) -> Tensor:
    """Log-probabilities; those below -50, where a processor may round a probability to 0, are equal."""
    return logits.float().log_softmax(-1).clamp_min(-50.0)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference of finite numbers; infinite where one is and the other is not."""
    if not ours.numel():
        return 0.0
    same = ours == theirs  # infinity less itself is NaN
    return float(torch.where(same, 0.0, (ours - theirs).abs()).max())
