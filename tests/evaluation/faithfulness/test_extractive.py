"""The verdict on models that pick sentences: planted truth about words, and about places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.errors import InputError
from regard.evaluation.faithfulness.extractive import PickedWords, trust_extraction
from regard.evaluation.faithfulness.verdict import Steerable, TrustSettings
from regard.models import build, configure

TELLING = 5  # the sentence that holds it is the one to pick
VOCABULARY = 24
QUICK = TrustSettings(draws=3, permutations=8, resamples=200)
DOCUMENTS = [[[4, 5, 6], [7, 8]], [[9], [10, 11, 12, 4], [6, 7]], [[8], [9]]]


def model(*, seed: int = 0):
    torch.manual_seed(seed)
    return build(configure("extractive", preset="tiny", size=VOCABULARY)).eval()


def planted(count: int, *, seed: int) -> tuple[list[list[list[int]]], list[int]]:
    rng = np.random.default_rng(seed)
    documents = rng.integers(6, VOCABULARY, size=(count, 4, 6))
    picked = rng.integers(4, size=count)
    documents[np.arange(count), picked, rng.integers(6, size=count)] = TELLING
    return documents.tolist(), picked.tolist()


def trained(steps: int = 40):
    network = model()
    documents, picked = planted(64, seed=1)
    ids, lengths = torch.tensor(documents), torch.full((64, 4), 6)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(ids, lengths).logits, torch.tensor(picked))
        loss.backward()
        optimizer.step()
    return network


def by_place():
    """Picks the third sentence, whatever it says."""
    network = model()
    with torch.no_grad():
        network.place[2] = 20.0
    return network


def test_a_document_as_one_text_and_back():
    asked = PickedWords(model())
    for document in DOCUMENTS:
        assert asked.document(asked.flat(document)) == document
    emptied = [token for token in asked.flat(DOCUMENTS[0]) if token not in (7, 8)]
    assert asked.document(emptied) == [[4, 5, 6], [asked.mask_id]]


def test_a_batch_answers_as_its_documents_do_alone():
    asked = PickedWords(model())
    texts = [asked.flat(document) for document in DOCUMENTS]
    for n, text in enumerate(texts):
        alone = asked.predict([text])[0]
        np.testing.assert_allclose(asked.predict(texts)[n][: len(alone)], alone, atol=1e-6)
        np.testing.assert_allclose(asked.attention(texts)[n], asked.attention([text])[0], atol=1e-6)
        np.testing.assert_allclose(asked.gradient(texts)[n], asked.gradient([text])[0], atol=1e-6)
    first = asked.attention(texts)[0]
    np.testing.assert_allclose([first[0, :3].sum(), first[0, 3], first[0, 4:].sum()], [1, 0, 1])


def test_its_own_weights_give_its_own_answer_and_others_another():
    asked = PickedWords(model())
    assert isinstance(asked, Steerable)
    texts = [asked.flat(document) for document in DOCUMENTS]
    own = asked.attention(texts)
    for factor in (1, 5):  # scaled to sum to 1
        again = asked.predict_with(texts, [factor * weights for weights in own])
        np.testing.assert_allclose(again, asked.predict(texts), atol=1e-6)
    other = [weights * np.arange(1, weights.shape[1] + 1) ** 4 for weights in own]
    assert abs(asked.predict_with(texts, other) - asked.predict(texts)).max() > 1e-6


def test_gradient_times_input_by_differences():
    network = model().double()
    asked = PickedWords(network)
    text = asked.flat(DOCUMENTS[1])
    picked = asked.predict([text])[0].argmax()
    places = [n for n, token in enumerate(text) if token != 3]

    def answer(place: int, scale: float) -> float:
        def stretch(module, args, output):
            real = (args[0] != 0).nonzero()[places.index(place)]
            output[tuple(real)] *= scale
            return output

        hook = network.embedding.register_forward_hook(stretch)
        value = np.log(asked.predict([text])[0][picked])
        hook.remove()
        return value

    numeric = [(answer(p, 1 + 1e-5) - answer(p, 1 - 1e-5)) / 2e-5 for p in places]
    np.testing.assert_allclose(asked.gradient([text])[0][places], numeric, atol=1e-6)


def test_a_word_that_decides_is_found_and_content_beats_place():
    verdict = trust_extraction(trained(), planted(24, seed=2)[0], settings=QUICK)
    assert verdict.texts == 24
    assert verdict.places.sentence.low > 0.9
    assert verdict.places.place.high < 0.1
    assert verdict.places.chance == pytest.approx(1 / 4)
    assert verdict.comprehensiveness["delete"].over_random.low > 0.1
    assert verdict.sufficiency["delete"].over_random.low > 0
    assert verdict.level != "none"
    assert "place" not in verdict.sentence
    assert "same sentence" in str(verdict)


def test_a_model_that_goes_by_place_is_found_out():
    verdict = trust_extraction(by_place(), planted(12, seed=2)[0], settings=QUICK)
    assert verdict.places.place.mean == 1
    assert verdict.places.sentence.mean == 0
    assert verdict.places.first == 0
    assert verdict.level == "none"  # its words decide nothing
    assert "goes by place more than by content" in verdict.sentence
    assert "Do not read this as an explanation" in verdict.sentence


def test_documents_of_one_sentence_leave_nothing_to_choose():
    with pytest.raises(InputError, match="2 documents and none with two sentences"):
        trust_extraction(model(), [[[4, 5]], [[6]]])
    assert trust_extraction(model(), [[[4, 5]], *DOCUMENTS], settings=QUICK).texts == 3
