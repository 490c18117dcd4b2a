"""`regard.export`: a folder that needs no regard, and no folder where answers differ."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard.api import Classifier, Generator, Translator
from regard.data import dates
from regard.errors import InputError, RegardError
from regard.files import file_sha256
from regard.integrations.export.ctranslate2 import translator_spec

pytest.importorskip("ctranslate2")
exports = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch.export before torch 2.13 takes sizes for constants",
)
TEXTS = [example.text for example in dates.generate(12, seed=5)]


def program_of(folder: Path, text: str) -> str:
    """The program of a README, for one text."""
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found
    assert "regard" not in found[1]
    return found[1].replace('"..."', repr(text))


def printed(program: str, folder: Path) -> str:
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        exec(program, {})
    return output.getvalue().removesuffix("\n")


def test_a_translator_for_ctranslate2(translator: Translator, tmp_path: Path) -> None:
    found = regard.export(translator, tmp_path / "out", to="ctranslate2", texts=TEXTS[:4])
    assert found.parity.texts == 4
    assert found.parity.difference < 1e-4
    assert found.parity.equal["greedy"] == 1.0
    manifest = json.loads((found.folder / "export.json").read_text())
    files = {path.name for path in found.folder.iterdir()} - {"export.json"}
    assert set(manifest["sha256"]) == files
    assert all(file_sha256(found.folder / name) == manifest["sha256"][name] for name in files)
    assert manifest["weights_sha256"] == translator.weights


def test_its_readme_translates(translator: Translator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = regard.export(translator, out, to="ctranslate2", texts=TEXTS[:2]).folder
    assert printed(program_of(folder, TEXTS[0]), folder) == translator.write([TEXTS[0]])[0]


def test_a_generator_for_ctranslate2(generator: Generator, tmp_path: Path) -> None:
    assert generator.folder is not None
    out = tmp_path / "out"
    found = regard.export(generator.folder, out, to="ctranslate2", texts=["red is", "blue"])
    assert found.parity.equal == {"greedy": 1.0, "tokens": 1.0}
    settings = generator.decoding_settings({"method": "greedy"})
    (answer,) = generator.generate("red is", settings=settings)
    assert printed(program_of(found.folder, "red is"), found.folder) == answer.text.strip()


def test_a_model_that_differs_is_not_written(
    translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: Any, **options: Any) -> Any:
        spec = translator_spec(*arguments, **options)
        spec.encoder.layer[0].ffn.linear_0.bias[0] += 1.0
        return spec

    monkeypatch.setattr("regard.api.exporting.ctranslate2.translator_spec", wrong)
    with pytest.raises(RegardError, match="log-probabilities differ from this model's"):
        regard.export(translator, tmp_path / "out", to="ctranslate2", texts=TEXTS[:2])
    assert [*tmp_path.iterdir()] == []


@exports
@pytest.mark.dependency
@pytest.mark.slow
def test_a_program_of_torch_translates(translator: Translator, tmp_path: Path) -> None:
    found = regard.export(translator, tmp_path / "out", to="torch", texts=TEXTS[:2])
    assert found.parity.equal == {"greedy": 1.0, "tokens": 1.0}
    program = program_of(found.folder, TEXTS[0])
    settings = translator.decoding_settings({"method": "greedy", "n_best": 1})
    assert printed(program, found.folder) == translator.write([TEXTS[0]], settings=settings)[0]


@exports
@pytest.mark.dependency
@pytest.mark.slow
def test_an_onnx_model_classifies_by_ngrams_and_attention(
    classifier: Classifier, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    texts = ["red green is good", "pink", "gold grey is bad"]
    found = regard.export(classifier, tmp_path / "out", to="onnx", texts=texts, attention=True)
    assert found.parity.equal == {"label": 1.0, "tokens": 1.0}
    assert (
        printed(program_of(found.folder, texts[0]), found.folder)
        == classifier.classify(texts[0])[0].label
    )
    graph = json.loads((found.folder / "export.json").read_text())["graphs"]["model"]
    assert graph["inputs"] == {"ids": ["batch", "length"], "lengths": ["batch"]}
    assert "attention_pooling_1" in graph["outputs"]


@exports
@pytest.mark.slow
def test_a_pretrained_classifier_reads_pairs(pretrained, tmp_path):
    pytest.importorskip("onnxruntime")
    texts = ["a warm film", "part 3 , is dull and very long"]
    model = regard.load(pretrained("sentiment"))
    assert isinstance(model, Classifier)
    found = regard.export(model, tmp_path / "out", to="onnx", texts=texts)
    assert found.parity.equal == {"label": 1.0, "tokens": 1.0}
    program = program_of(found.folder, texts[1])
    assert printed(program, found.folder) == model.classify(texts[1])[0].label
    pair = program.replace(repr(texts[1]), f"{texts[1]!r}, {texts[0]!r}")
    pair = pair.replace("print(labels[logits.argmax()])", "print(logits.tolist())")
    expected = model.classify([(texts[1], texts[0])])[0]
    logits = torch.tensor(json.loads(printed(pair, found.folder)))
    assert float(logits.softmax(-1).max()) == pytest.approx(
        max(expected.probabilities.values()), abs=1e-5
    )


def test_what_cannot_be_exported(abstractive, classifier, translator, tmp_path):
    with pytest.raises(InputError, match=r"ctranslate2 cannot run this model \(pointer\).* copies"):
        regard.export(abstractive, tmp_path / "out", to="ctranslate2")
    with pytest.raises(InputError, match="it runs models that write a text"):
        regard.export(classifier, tmp_path / "out", to="ctranslate2")
    with pytest.raises(InputError, match="gives no attention maps"):
        regard.export(translator, tmp_path / "out", to="ctranslate2", attention=True)


def test_a_model_of_reduced_precision(translator, tmp_path, monkeypatch):
    monkeypatch.setattr(translator, "precision", "int8")
    with pytest.raises(InputError, match=r"answers in int8.*load it without precision"):
        regard.export(translator, tmp_path / "out", to="ctranslate2")


def test_a_folder_in_use(translator, tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        regard.export(translator, tmp_path, to="ctranslate2")


def test_texts_that_cannot_be_read(translator, tmp_path):
    with pytest.raises(InputError, match="none of 2 texts can be compared"):
        regard.export(translator, tmp_path / "out", to="ctranslate2", texts=["", "  "])
