"""What the README of an export to ONNX or torch says: a program for each kind of model, and its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regard.api.exporting.joining import joins_words, replaces_unknown
from regard.api.exporting.readme import UNKNOWN_WORDS
from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.choices import ExportFormat
from regard.decoding import DecodingSettings
from regard.integrations.export.graphs import Graph
from regard.integrations.pretrained.networks import PretrainedClassifier

__all__ = ["graph_notes", "graph_program"]


def graph_program(model: Model, to: ExportFormat, graphs: Sequence[Graph]) -> str:
    """A program that answers a text by the exported graphs."""
    lines = _RUN_ONNX if to == "onnx" else _RUN_TORCH
    head = lines.format(files=", ".join(repr(graph.name) for graph in graphs))
    if isinstance(model, Generator):
        return head + _generating(model, graphs[0])
    if isinstance(model, TextToText):
        return head + _writing(model)
    if isinstance(model, ExtractiveSummarizer):
        return head + _EXTRACT.format(count=model.count)
    if isinstance(model, MaskedLanguage):
        return head + _FILL.format(longest=model.settings.text.max_tokens - 1)
    assert isinstance(model, Classifier)
    read = _READ_LABELS
    if isinstance(model.network, PretrainedClassifier):
        given = [_THEIRS[name] for name in graphs[0].inputs]
        pair = '  # of a pair: encode("...", "...")' if model.reads_pairs else ""
        read = _READ_PRETRAINED.format(given=", ".join(given), pair=pair)
    return head + _LABELS + read + (_ALL_LABELS if model.multilabel else _BEST_LABEL)


def graph_notes(model: Model, graphs: Sequence[Graph]) -> str:
    """What inputs and outputs are, and which of their sizes may vary."""
    parts = []
    for graph in graphs:
        rows = [
            f"| `{name}` | {_kind(tensor)} | {_sizes(tensor.shape, graph.axes[name])} |"
            for name, tensor in graph.inputs.items()
        ]
        limits = ", ".join(f"{name} at most {size:,}" for name, size in graph.longest.items())
        outputs = ", ".join(f"`{name}`" for name in graph.outputs)
        parts += [
            f"`{graph.name}` takes, in this order:",
            "\n".join(["| input | type | sizes |", "|---|---|---|", *rows]),
            f"and gives {outputs}." + (f" Sizes vary; {limits}." if limits else ""),
        ]
    if isinstance(model.network, PretrainedClassifier):
        pad = model.network.model.config.get_text_config().pad_token_id
        parts.append(_MEANING_PRETRAINED.format(pad=pad))
        if len(graphs[0].outputs) > 1:
            parts.append(_MEANING_LAYERS)
        return "\n\n".join(parts)
    writes = isinstance(model, TextToText | Generator)
    greedily = "--set method=greedy" if isinstance(model, Generator) else "--beam 1"
    parts.append(_MEANING_WRITE.format(greedily=greedily) if writes else _MEANING_READ)
    if isinstance(model, Classifier) and model.reads_pairs:
        parts.append(_MEANING_PAIR)
    if isinstance(model, ExtractiveSummarizer):
        parts.append(_MEANING_EXTRACT)
    if "source_ids" in graphs[-1].inputs:
        parts.append(_MEANING_COPY)
    elif isinstance(model, TextToText) and replaces_unknown(model):
        parts.append(UNKNOWN_WORDS)
    if any("attention" in name for graph in graphs for name in graph.outputs):
        parts.append(_MEANING_ATTENTION)
    return "\n\n".join(parts)


def _writing(model: TextToText[Any]) -> str:
    """Lines that write a text for a text, greedily."""
    settings, positions = model.settings.decoding, model.network.max_positions
    longest = "2 * len(ids) + 20" if settings.max_length is None else str(settings.max_length)
    if positions is not None:
        longest = f"min({longest}, {positions - 1})"
    copies = model.network.copies
    read = _READ_WORDS if copies else _READ
    lower = ".lower()" if model.source_tokenizer.normalizer.lowercase else ""
    name = "names[token]" if copies else "target.id_to_token(token)"
    joined = f"join_words([{name} for token in written if token != 3])"
    if not joins_words(model):
        joined = (
            "target.decode([token for token in written if token != 3], skip_special_tokens=False)"
        )
    return "".join(
        [
            _IMPORT_JOIN if joins_words(model) else "",
            read.format(lower=lower),
            _WRITE.format(longest=longest, forbidden=_forbidden(settings)),
            _constraints(settings, "written"),
            _CHOOSE.format(joined=joined),
        ]
    )


def _generating(model: Generator, graph: Graph) -> str:
    """Lines that continue a text, greedily."""
    settings, keys = model.settings.decoding, graph.inputs["keys"].shape
    joined = "join_words([tokenizer.id_to_token(token) for token in written if token != 3])"
    if not joins_words(model):
        joined = "tokenizer.decode([token for token in written if token != 3], skip_special_tokens=False)"
    begin = _GENERATE.format(
        layers=keys[0],
        heads=keys[2],
        width=keys[4],
        longest=settings.max_length or 20,
        forbidden=_forbidden(settings),
    )
    return "".join(
        [
            _IMPORT_JOIN if joins_words(model) else "",
            begin,
            _constraints(settings, "(prompt + written)"),
            _CONTINUE.format(joined=joined),
        ]
    )


def _forbidden(settings: DecodingSettings) -> str:
    """Ids that are never written: `<pad>`, `<s>`, and `<unk>` if the model's settings say so."""
    return "[0, 1, 2]" if settings.block_unknown else "[0, 2]"


def _constraints(settings: DecodingSettings, ids: str) -> str:
    """Lines for what else the model's settings forbid."""
    lines = ""
    if settings.block_ngrams:
        lines += _BLOCK.format(n=settings.block_ngrams, before=settings.block_ngrams - 1, ids=ids)
    if settings.min_length:
        lines += _LEAST.format(least=settings.min_length)
    return lines


def _kind(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _sizes(shape: Sequence[int], axes: Sequence[str | None]) -> str:
    return ", ".join(name or str(size) for size, name in zip(shape, axes, strict=True))


_RUN_ONNX = """
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

sessions = {{name: onnxruntime.InferenceSession(f"{{name}}.onnx") for name in [{files}]}}

def run(name, **arrays):
    taken = {{value.name: arrays[value.name] for value in sessions[name].get_inputs()}}
    names = [value.name for value in sessions[name].get_outputs()]
    return dict(zip(names, sessions[name].run(names, taken)))

"""

_RUN_TORCH = """
import numpy as np
import torch
from tokenizers import Tokenizer

programs = {{name: torch.export.load(f"{{name}}.pt2").module() for name in [{files}]}}

def run(name, **arrays):
    found = programs[name](*(torch.from_numpy(array) for array in arrays.values()))
    return {{name: tensor.detach().numpy() for name, tensor in found.items()}}

"""

_LABELS = """import json
from pathlib import Path

labels = json.loads(Path("export.json").read_text(encoding="utf-8"))["labels"]
"""

_READ_LABELS = """ids = Tokenizer.from_file("tokenizer.json").encode("...").ids or [0]
logits = run("model", ids=np.array([ids]), lengths=np.array([len(ids)]))["logits"][0]
"""

_READ_PRETRAINED = """read = Tokenizer.from_file("tokenizer.json").encode("..."){pair}
logits = run("model", {given})["logits"][0]
"""

_THEIRS = {
    "input_ids": "input_ids=np.array([read.ids])",
    "attention_mask": "attention_mask=np.array([read.attention_mask])",
    "token_type_ids": "token_type_ids=np.array([read.type_ids])",
}

_BEST_LABEL = """print(labels[logits.argmax()])
"""

_ALL_LABELS = """print([label for label, logit in zip(labels, logits) if logit >= 0])
"""

_FILL = """tokenizer = Tokenizer.from_file("tokenizer.json")
parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in "... [MASK] ...".split("[MASK]")]
ids = [2, *parts[0], tokenizer.get_vocab_size(), *parts[1]]  # [CLS]; [MASK] is behind all words
ids = [*ids[:{longest}], 3]  # [SEP]
logits = run("model", ids=np.array([ids]), lengths=np.array([len(ids)]))["logits"][0]
print(tokenizer.decode([logits[len(parts[0]) + 1, 4:-1].argmax() + 4], skip_special_tokens=False).strip())
"""

_EXTRACT = """tokenizer = Tokenizer.from_file("tokenizer.json")
sentences = ["...", "..."]
read = [tokenizer.encode(sentence).ids or [1] for sentence in sentences]
ids = np.zeros((1, len(read), max(map(len, read))), np.int64)
for number, words in enumerate(read):
    ids[0, number, : len(words)] = words
logits = run("model", ids=ids, lengths=np.array([[len(words) for words in read]]))["logits"][0]
print(" ".join(sentences[number] for number in sorted(np.argsort(-logits)[:{count}])))
"""

_IMPORT_JOIN = """from join_words import join_words

"""

_READ = """source, target = (Tokenizer.from_file(f"{{side}}_tokenizer.json") for side in ("source", "target"))
ids = [*source.encode("...").ids, 3]  # </s>
"""

_READ_WORDS = """source = target = Tokenizer.from_file("source_tokenizer.json")
text, names = "...", [target.id_to_token(i) for i in range(target.get_vocab_size())]
ids, size = [], len(names)
for i, (start, end) in zip(*(lambda e: (e.ids, e.offsets))(source.encode(text))):
    word = text[start:end]{lower}
    if i == 1 and word not in names[size:]:  # an unknown word, which can be copied, has an id of its own
        names.append(word)
    ids.append(names.index(word, size) if i == 1 else i)
ids.append(3)  # </s>
"""

_WRITE = """state = run("encoder", source=np.array([ids]), source_lengths=np.array([len(ids)]))
token, written = 2, []  # <s>
while token != 3 and len(written) < {longest}:
    found = run("decoder", token=np.array([token]), **state)
    state |= {{name[5:]: array for name, array in found.items() if name.startswith("next_")}}
    found["logits"][:, {forbidden}] = -np.inf  # special tokens that are never written
"""

_BLOCK = """    for first in range(len({ids}) - {before}):  # no {n} tokens twice
        if {ids}[first : first + {before}] == {ids}[len({ids}) - {before} :]:
            found["logits"][:, {ids}[first + {before}]] = -np.inf
"""

_LEAST = """    if len(written) < {least}:
        found["logits"][:, 3] = -np.inf
"""

_CHOOSE = """    token = int(found["logits"][0].argmax())
    written.append(token)
print({joined})
"""

_GENERATE = """tokenizer = Tokenizer.from_file("tokenizer.json")
empty = np.zeros(({layers}, 1, {heads}, 0, {width}), np.float32)
prompt, written = tokenizer.encode("...").ids, []
state, ids = {{"keys": empty, "values": empty}}, [2, *prompt]  # <s>
while len(written) < {longest} and ids[-1] != 3:  # </s>
    found = run("decoder", ids=np.array([ids]), **state)
    state = {{"keys": found["next_keys"], "values": found["next_values"]}}
    found["logits"][:, {forbidden}] = -np.inf  # special tokens that are never written
"""

_CONTINUE = """    ids = [int(found["logits"][0].argmax())]
    written += ids
print({joined})
"""

_MEANING_READ = """\
Ids are padded on the right with 0, and lengths count those that are real, at least 1. `logits` are before the
softmax, or before the sigmoid where a text may have several labels. The tokenizer cuts a longer text to the
`max_tokens` of `export.json`, as regard does. A blank text has no answer in regard; leave it out."""

_MEANING_WRITE = """\
Ids are padded on the right with 0. The lines above decode greedily, as regard does with `{greedily}`: what a
step gives as `next_...` is what the next one takes. Keys and values of the past grow by a position at a step.
The tokenizer cuts a longer text as regard does, to the `max_tokens` of `export.json`, end mark included (of a
text that is continued, it keeps the end). For a blank text to be translated or summarised regard writes
nothing; leave it out."""

_MEANING_PRETRAINED = """\
`input_ids` are padded on the right with {pad}; `attention_mask` is 1 for those that are real. `logits` are
before the softmax, or the sigmoid where a text may have several labels. The tokenizer cuts a longer text to the
`max_tokens` of `export.json`, as regard does. A blank text has no answer in regard; leave it out."""

_MEANING_LAYERS = """\
`attention_LAYER` is a map, `(batch, heads, queries, keys)`; rows of padding mean nothing."""

_MEANING_PAIR = """\
This model was trained on pairs of texts: give both as one, `"FIRST | SECOND"`."""

_MEANING_EXTRACT = """\
Give a text as its sentences, in order; the tokenizer cuts each to the `max_tokens` of `export.json`. regard
splits a text by itself, at full stops and the like."""

_MEANING_COPY = """\
This model copies words: an unknown word of the source has an id of its own, the size of the vocabulary plus 0
for the first such word, 1 for the second, and so on, and `logits` (log-probabilities here) have a column for
each."""

_MEANING_ATTENTION = """\
`attention` is the weight of each position of the source at a step (of a language model: of each token so far,
the mean of the heads of its last layer); `attention_SITE_LAYER` is a map, `(batch, heads, queries, keys)`."""
