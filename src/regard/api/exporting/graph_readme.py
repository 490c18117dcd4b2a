"""What the README of an export to ONNX or torch says: a program for each kind of model, and its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regard.api.tasks.classification import Classifier
from regard.api.tasks.extractive import ExtractiveSummarizer
from regard.api.tasks.generation import Generator
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import Model
from regard.choices import ExportFormat
from regard.integrations.export.graphs import Graph

__all__ = ["graph_notes", "graph_program"]


def graph_program(model: Model, to: ExportFormat, graphs: Sequence[Graph]) -> str:
    """A program that answers a text by the exported graphs."""
    lines = _RUN_ONNX if to == "onnx" else _RUN_TORCH
    head = lines.format(files=", ".join(repr(graph.name) for graph in graphs))
    if isinstance(model, Generator):
        keys = graphs[0].inputs["keys"].shape
        return head + _GENERATE.format(layers=keys[0], heads=keys[2], width=keys[4])
    if len(graphs) > 1:
        return head + _WRITE
    if isinstance(model, ExtractiveSummarizer):
        return head + _EXTRACT.format(count=model.count)
    if isinstance(model, MaskedLanguage):
        return head + _FILL
    assert isinstance(model, Classifier)
    return head + (_LABELS if model.multilabel else _LABEL)


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
    parts.append(
        _MEANING_WRITE if len(graphs) > 1 or isinstance(model, Generator) else _MEANING_READ
    )
    if "source_ids" in graphs[-1].inputs:
        parts.append(_MEANING_COPY)
    if any("attention" in name for graph in graphs for name in graph.outputs):
        parts.append(_MEANING_ATTENTION)
    return "\n\n".join(parts)


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

_LABEL = """import json
from pathlib import Path

labels = json.loads(Path("export.json").read_text(encoding="utf-8"))["labels"]
ids = Tokenizer.from_file("tokenizer.json").encode("...").ids
logits = run("model", ids=np.array([ids]), lengths=np.array([len(ids)]))["logits"][0]
print(labels[logits.argmax()])
"""

_LABELS = """import json
from pathlib import Path

labels = json.loads(Path("export.json").read_text(encoding="utf-8"))["labels"]
ids = Tokenizer.from_file("tokenizer.json").encode("...").ids
logits = run("model", ids=np.array([ids]), lengths=np.array([len(ids)]))["logits"][0]
print([label for label, logit in zip(labels, logits) if logit >= 0])
"""

_FILL = """tokenizer = Tokenizer.from_file("tokenizer.json")
parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in "... [MASK] ...".split("[MASK]")]
ids = [2, *parts[0], tokenizer.get_vocab_size(), *parts[1], 3]  # [CLS], [SEP]; [MASK] is behind all words
logits = run("model", ids=np.array([ids]), lengths=np.array([len(ids)]))["logits"][0]
print(tokenizer.id_to_token(logits[len(parts[0]) + 1, 4:-1].argmax() + 4))
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

_WRITE = """source, target = (Tokenizer.from_file(f"{side}_tokenizer.json") for side in ("source", "target"))
ids = [*source.encode("...").ids, 3]  # </s>
state = run("encoder", source=np.array([ids]), source_lengths=np.array([len(ids)]))
token, written = 2, []  # <s>
while token != 3 and len(written) < 2 * len(ids) + 20:
    found = run("decoder", token=np.array([token]), **state)
    state |= {name[5:]: array for name, array in found.items() if name.startswith("next_")}
    found["logits"][:, [0, 2]] = -np.inf  # <pad> and <s> are never written
    token = int(found["logits"][0].argmax())
    written.append(token)
print(target.decode([token for token in written if token != 3], skip_special_tokens=False))
"""

_GENERATE = """tokenizer = Tokenizer.from_file("tokenizer.json")
empty = np.zeros(({layers}, 1, {heads}, 0, {width}), np.float32)
state, ids, written = {{"keys": empty, "values": empty}}, [2, *tokenizer.encode("...").ids], []  # <s>
while len(written) < 20 and ids[-1] != 3:  # </s>
    found = run("decoder", ids=np.array([ids]), **state)
    state = {{"keys": found["next_keys"], "values": found["next_values"]}}
    found["logits"][:, [0, 2]] = -np.inf  # <pad> and <s> are never written
    ids = [int(found["logits"][0].argmax())]
    written += ids
print(tokenizer.decode([token for token in written if token != 3], skip_special_tokens=False))
"""

_MEANING_READ = """\
Ids are padded on the right with 0, and lengths count those that are real. `logits` are before the softmax, or
before the sigmoid where a text may have several labels."""

_MEANING_WRITE = """\
Ids are padded on the right with 0. The lines above decode greedily, as regard does with `--beam 1`: what a step
gives as `next_...` is what the next one takes. Keys and values of the past grow by a position at a step."""

_MEANING_COPY = """\
This model copies words: an unknown word of the source has an id of its own, the size of the vocabulary plus 0
for the first such word, 1 for the second, and so on, and `logits` (log-probabilities here) have a column for
each. The lines above read it as `<unk>`."""

_MEANING_ATTENTION = """\
`attention` is the weight of each position of the source at a step (of a language model: of each token so far,
the mean of the heads of its last layer); `attention_SITE_LAYER` is a map, `(batch, heads, queries, keys)`."""
