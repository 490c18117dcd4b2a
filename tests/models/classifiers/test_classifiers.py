"""Classifiers: shapes, padding, maps, votes, sentences, several labels, and a task each must learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from regard.errors import SettingsError
from regard.models import Classifier, build, configure, from_config
from regard.models.classifiers.cnn import Cnn
from regard.models.classifiers.hierarchical import split_sentences

SURFACES = [
    "",
    "\ufffd",
    "",
    "",
    *(f" {word}" for word in "abcdefghijklmnopqrs"),
    ".",
    " !?",
    ' ."',
]
SIZE = len(SURFACES)
STOP = SURFACES.index(".")
PLACES = {
    "feedforward": {"pooling"},
    "bigru": {"pooling"},
    "cnn": {"encoder", "pooling"},
    "transformer-classifier": {"encoder", "pooling"},
    "hierarchical": {"words", "sentences"},
    "wide": {"pooling"},
}
KINDS = list(PLACES)


def model(kind: str, labels: int = 3, **values: Any) -> Classifier:
    torch.manual_seed(0)
    network = build(configure(kind, "tiny", size=SIZE, labels=labels, **values))
    assert isinstance(network, Classifier)
    texts = [[5, 6, STOP], [7, 8], [9, 5], [6, 7]]
    network.fit_features(SURFACES, texts, torch.tensor([0, 1, 0, 1]))
    return network


def batch(lengths: tuple[int, ...] = (13, 7, 1)) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(4, SIZE - 3, (len(lengths), max(lengths)))
    ids[:, 3::5] = STOP
    ids[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0
    return ids, torch.tensor(lengths)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_maps(kind: str) -> None:
    ids, lengths = batch()
    output = model(kind).eval()(ids, lengths)
    assert output.logits.shape == (3, 3)
    assert set(output.maps) == PLACES[kind]
    for place, maps in output.maps.items():
        rows = maps[0].dense().sum(-1)
        if place in ("pooling", "sentences"):
            assert maps[0].shape[2] == 1
            torch.testing.assert_close(rows, torch.ones_like(rows))
        if place in ("pooling", "encoder", "words"):
            assert maps[0].shape[-1] == 13
            assert not maps[0].dense()[1, ..., 7:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_company_change_nothing(kind: str) -> None:
    network = model(kind).double().eval()
    ids, lengths = batch()
    alone = [network(ids[i : i + 1, :n], lengths[i : i + 1]).logits for i, n in enumerate(lengths)]
    torch.testing.assert_close(network(ids, lengths).logits, torch.cat(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_has_finite_logits(kind: str) -> None:
    """The first token of an empty text is padding: the reading of a text of no words."""
    network = model(kind)
    logits = network(torch.zeros(2, 1, dtype=torch.int64), torch.tensor([1, 1])).logits
    logits.sum().backward()
    assert logits.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_settings_come_back(kind: str) -> None:
    network = model(kind)
    again = build(from_config(network.settings.model_dump()))
    again.load_state_dict(network.state_dict())
    ids, lengths = batch()
    expected = network.eval()(ids, lengths).logits
    assert torch.equal(again.eval()(ids, lengths).logits, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_votes(kind: str) -> None:
    output = model(kind, members=2)(*batch())
    assert output.ensemble_logits is not None
    assert output.ensemble_logits.shape == (2, 3, 3)
    assert not torch.equal(*output.ensemble_logits)
    torch.testing.assert_close(output.ensemble_logits.mean(0), output.logits)
    assert {len(maps) for maps in output.maps.values()} == {2}


def test_peaks_are_those_of_the_words_that_are_there() -> None:
    """The last features are each filter's highest answer, of a short text in long company too."""
    network = model("cnn", max_pooling=True).double().eval()
    assert isinstance(network, Cnn)
    (reader,) = network.readers
    ids, lengths = batch()
    pooled, _ = reader(ids, lengths)
    (filters,) = reader.filters
    short = reader.embedding(ids[1:2, :7]).mT
    expected = filters(torch.nn.functional.pad(short, (1, 1))).relu().amax(-1)
    torch.testing.assert_close(pooled[1:2, -expected.shape[1] :], expected)
    assert pooled.shape == (3, reader.width)


def planted(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Texts of 11 words, one of which (4 or 5) is the label."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, SIZE - 3, (count, 11), generator=generator)
    place = torch.randint(11, (count,), generator=generator)
    label = torch.randint(2, (count,), generator=generator)
    ids[torch.arange(count), place] = 4 + label
    return ids, torch.full((count,), 11), place, label


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["feedforward", "bigru", "cnn", "transformer-classifier", "hierarchical"]
)
def test_it_learns_the_planted_word_and_looks_at_it(kind: str) -> None:
    network = model(kind, 2, dropout=0.1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for step in range(100):
        ids, lengths, _, label = planted(64, step)
        loss = torch.nn.functional.cross_entropy(network(ids, lengths).logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids, lengths, place, label = planted(300, 1000)
    output = network.eval()(ids, lengths)
    assert (output.logits.argmax(1) == label).double().mean() > 0.97
    if (
        kind == "transformer-classifier"
    ):  # its self-attention has spread the word before it is pooled
        looked = output.maps["encoder"][0].received().sum(1).argmax(-1)
    else:
        place_of = "words" if kind == "hierarchical" else "pooling"
        looked = output.maps[place_of][0].dense()[:, 0, 0].argmax(-1)
    at_or_beside = ((looked - place).abs() <= 1).double().mean()  # by chance 0.26
    assert at_or_beside > (0.4 if kind == "transformer-classifier" else 0.7)


def test_hidden_words_are_read_as_unknown() -> None:
    network = model("bigru", word_dropout=0.9999, dropout=0.0)
    ids, lengths = batch((7,))
    unknown = torch.where(ids != 0, 1, 0)
    torch.testing.assert_close(
        network(ids, lengths).logits, network.eval()(unknown, lengths).logits
    )


def test_sentences_by_hand() -> None:
    """`a b . c ? ! d` | `a . b` | padding, at most three tokens a sentence."""
    stops = torch.tensor([[0, 0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0] * 7]).bool()
    mask = torch.arange(7) < torch.tensor([[7], [3], [0]])
    found = split_sentences(stops, mask, 3)
    assert found.sentence.tolist() == [
        [0, 0, 0, 1, 1, 1, 2],
        [0, 0, 1, -1, -1, -1, -1],
        [-1] * 7,
    ]
    assert found.position[0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert found.position[1, :3].tolist() == [0, 1, 0]
    assert found.total.tolist() == [3, 2, 0]
    assert found.lengths.tolist() == [[3, 3, 1], [2, 1, 0], [0, 0, 0]]
    long = split_sentences(
        torch.zeros(1, 7, dtype=torch.bool), torch.ones(1, 7, dtype=torch.bool), 3
    )
    assert long.sentence.tolist() == [[0, 0, 0, 1, 1, 1, 2]]


def test_hierarchical_looks_inside_each_sentence() -> None:
    network = model("hierarchical").eval()
    ids, lengths = batch()
    maps = network(ids, lengths).maps
    words, over = maps["words"][0].dense(), maps["sentences"][0].dense()
    assert words.shape == (3, 1, 3, 13)  # stops at 3 and 8
    sums = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 0, 0]])
    torch.testing.assert_close(words.sum(-1)[:, 0], sums)
    assert not words[0, 0, 1, :4].any()
    assert not words[0, 0, 1, 9:].any()
    assert not over[1, 0, 0, 2:].any()


def test_stops_are_found_by_what_they_spell() -> None:
    network = model("hierarchical")
    stops = network.state_dict()["readers.0.stops"]
    assert [SURFACES[i] for i in stops.nonzero()[:, 0]] == [".", " !?", ' ."']


def test_settings_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match="self_attention_heads=3"):
        configure("transformer-classifier", size=9, labels=2, self_attention_heads=3)
    with pytest.raises(SettingsError, match="does not divide by self_attention_heads=4"):
        configure("cnn", size=9, labels=2, width=33, windows=(1,), self_attention_heads=4)
    with pytest.raises(SettingsError, match="labels"):
        configure("bigru", size=9, labels=1)
