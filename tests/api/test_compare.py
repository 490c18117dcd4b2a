"""Two models side by side: distances against SciPy, words across tokenizers, news and noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

import regard
from regard.api import Classifier, Generator, Model, ModelComparison, Translator
from regard.errors import InputError

TEXTS = ["The bank raised its rates.", "I did not like it", "A man rides a bicycle at night."]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, planted_heads: ModuleType) -> Path:
    folder: Path = planted_heads.save_planted(tmp_path_factory.mktemp("models") / "planted")
    return folder


def changed(folder: Path, seed: int, size: float) -> Model:
    """The model with noise on its weights: another seed."""
    model = regard.load(folder)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=size)
    return model


def test_a_model_and_itself(planted: Path, planted_heads: ModuleType) -> None:
    found = regard.compare(planted, planted, planted_heads.repeated_texts(12))
    assert (found.unit, found.texts, found.notes) == ("tokens", 12, ())
    for head in found.heads:
        assert head.distance is not None
        assert head.agreement is not None
        assert head.distance.mean == pytest.approx(0, abs=1e-6)
        assert head.agreement.mean == 1
        assert head.nearest is not None
        assert head.nearest[1] == pytest.approx(0, abs=1e-6)
        assert (head.floor, head.news) == (None, None)
    assert found.answers is None  # an encoder without a head gives none


def test_against_scipy(classifier: Classifier) -> None:
    other = changed(classifier.folder or Path(), 1, 0.3)
    assert isinstance(other, Classifier)
    texts = ["red green blue gold is good", "blue is bad and gold"]
    found = regard.compare(classifier, other, texts)
    total = 0
    for site, layer, head in {(h.site, h.layer, h.head) for h in found.heads}:
        number = head or 0
        rows = []
        for text in texts:
            p, q = (
                next(
                    t for t in m.look(text).tracks if (t.name, (t.layer or 0) + 1) == (site, layer)
                )
                for m in (classifier, other)
            )
            rows += jensenshannon(p.dense(number - 1), q.dense(number - 1), 2, axis=1).tolist()
        result = next(h for h in found.heads if (h.site, h.layer, h.head) == (site, layer, head))
        assert result.distance is not None
        assert result.distance.mean == pytest.approx(np.mean(rows), abs=1e-5)
        total += 1
    assert total == len(found.heads) > 0
    labels = [[m.classify(text)[0].label for text in texts] for m in (classifier, other)]
    assert found.answers is not None
    assert found.answers.mean == np.mean([a == b for a, b in zip(*labels, strict=True)])


def test_a_permuted_head_is_found_elsewhere(planted: Path, planted_heads: ModuleType) -> None:
    """The first two heads of layer 1 change places: their nearest heads say so."""
    other = regard.load(planted)
    width, size = planted_heads.HEAD_WIDTH, planted_heads.WIDTH
    network: Any = other.network
    attention = network.model.h[0].attn
    order = torch.arange(size)
    order[: 2 * width] = torch.cat([torch.arange(width, 2 * width), torch.arange(width)])
    with torch.no_grad():
        columns = torch.cat([order, size + order, 2 * size + order])
        attention.c_attn.weight.copy_(attention.c_attn.weight[:, columns])
        attention.c_attn.bias.copy_(attention.c_attn.bias[columns])
        attention.c_proj.weight.copy_(attention.c_proj.weight[order])
    found = regard.compare(planted, other, planted_heads.repeated_texts(8))
    assert [head.nearest[0] for head in found.heads[:3] if head.nearest is not None] == [2, 1, 3]
    assert found.heads[0].distance is not None
    assert found.heads[0].distance.mean > 0.5
    assert found.heads[2].distance is not None
    assert found.heads[2].distance.mean == pytest.approx(0, abs=1e-6)


def test_news_and_noise(planted: Path, planted_heads: ModuleType) -> None:
    """Beside seeds that differ little, a random model is news; beside random ones, a seed is closer."""
    texts = planted_heads.repeated_texts(30)
    seed, other_seed, random = (
        changed(planted, n, size) for n, size in ((1, 0.01), (2, 0.01), (3, 1.0))
    )
    found = regard.compare(planted, random, texts, floor=seed)
    assert set(found.news()) == {"news"}
    assert found.news_by_chance() == pytest.approx(2 * 4 / 5)
    assert found.floor is not None
    found = regard.compare(planted, seed, texts, floor=random)
    assert set(found.news()) == {"closer"}
    found = regard.compare(planted, seed, texts, floor=other_seed)
    assert found.news().get("noise", 0) >= len(found.heads) / 2
    layer = found.layers[0]
    assert layer.difference is not None
    assert layer.distance is not None
    assert layer.floor is not None
    assert layer.difference.mean == pytest.approx(layer.distance.mean - layer.floor.mean)


def test_different_tokens_are_compared_by_words(
    planted: Path, planted_heads: ModuleType, generator: Generator
) -> None:
    texts = planted_heads.repeated_texts(3)
    pieces = [generator.tokenizer.encode(text) for text in texts]
    assert any(len(each) > len(text.split()) for each, text in zip(pieces, texts, strict=True))
    found = regard.compare(planted, generator, texts)
    assert (found.unit, found.texts, found.answers) == ("words", 3, None)
    assert all(0 < each.distance.mean < 1 for each in found.heads if each.distance is not None)


def test_a_reader_and_a_decoder_have_nothing_in_common(
    pretrained: Callable[[str], Path], generator: Generator
) -> None:
    with pytest.raises(InputError, match="there is none that both have"):
        regard.compare(pretrained("sentiment"), generator, TEXTS)


def test_a_reader_and_a_writer_cannot_be_compared(
    translator: Translator, generator: Generator
) -> None:
    with pytest.raises(InputError, match="writes a text for a text"):
        regard.compare(translator, generator, TEXTS)


def test_language_models_agree_on_next_tokens(generator: Generator) -> None:
    found = regard.compare(generator, generator, ["red green blue", "gold is good"])
    assert found.answers is not None
    assert found.answers.mean == 1


def test_translators_read_one_target(translator: Translator) -> None:
    sources = ["21 may 2003", "4 june 1999"]
    found = regard.compare(translator, translator, sources)
    assert {head.site for head in found.heads} == {"encoder", "decoder", "cross"}
    assert found.answers is not None
    assert found.answers.mean == 1
    assert [len(records) for records in found.examples] == [2]


def test_a_state_goes_on_exactly(
    planted: Path, planted_heads: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regard.api.corpus.streaming.TEXTS_PER_CHUNK", 5)
    texts, other = planted_heads.repeated_texts(15), changed(planted, 1, 0.1)
    whole = regard.compare(planted, other, texts)
    regard.compare(planted, other, texts[:10], state=tmp_path / "s")
    seen: list[int] = []
    found = regard.compare(planted, other, texts, state=tmp_path / "s", on_progress=seen.append)
    assert seen == [10, 15]
    assert found.to_json() == whole.to_json()
    with pytest.raises(InputError, match="another second model"):
        regard.compare(planted, planted, texts, state=tmp_path / "s")


@pytest.fixture(scope="module")
def comparison(planted: Path, planted_heads: ModuleType) -> ModelComparison:
    other = changed(planted, 1, 0.1)
    return regard.compare(planted, other, planted_heads.repeated_texts(9), floor=planted)


def test_tables_json_page_and_terminal(
    comparison: ModelComparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = comparison.save(tmp_path / "c.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + 2 + 8
    content = json.loads(comparison.save(tmp_path / "c.json").read_text("utf-8"))
    assert content["distance"] == "mean Jensen-Shannon distance, base 2"
    assert len(content["heads"]) == 8
    page = comparison.save(tmp_path / "c.html").read_text("utf-8")
    assert 'id="chunk-0-1-' in page
    comparison.show()
    shown = capsys.readouterr().out
    assert "compared by tokens" in shown
    assert "floor: planted and planted" in shown
    assert "of 8 heads are news, where about 1.6 would be" in shown.replace("\n", " ")
    assert sum(line.startswith("decoder ") for line in shown.splitlines()) == 9


def test_models_of_other_depth(planted: Path, planted_heads: ModuleType) -> None:
    short = regard.load(planted)
    network: Any = short.network
    network.model.h = network.model.h[:1]
    found = regard.compare(planted, short, planted_heads.repeated_texts(3))
    assert found.heads[-1].distance is None
    assert any("only the first 1 are compared" in note for note in found.notes)
    assert found.rows()[-1]["distance"] is None


def test_targets_are_for_models_that_write(planted: Path) -> None:
    with pytest.raises(InputError, match="takes no targets"):
        regard.compare(planted, planted, [("w1 w2", "w3 w4")])
