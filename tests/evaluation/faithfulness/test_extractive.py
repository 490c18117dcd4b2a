"""The verdict on extractive models: planted truth about words, and about positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.errors import InputError
from regard.evaluation.faithfulness.contracts import ReweightableClassifier, TrustSettings
from regard.evaluation.faithfulness.extractive import ExtractiveAdapter, trust_extraction
from regard.models import build, configure
from regard.models.extractive import SentenceExtractor

DECIDING = 5  # the sentence that holds this word is the one to choose
VOCABULARY = 24
QUICK = TrustSettings(random_rankings=3, permutations=8, resamples=200)
DOCUMENTS = [[[4, 5, 6], [7, 8]], [[9], [10, 11, 12, 4], [6, 7]], [[8], [9]]]


def model(*, seed: int = 0) -> SentenceExtractor:
    torch.manual_seed(seed)
    network = build(configure("extractive", preset="tiny", size=VOCABULARY)).eval()
    assert isinstance(network, SentenceExtractor)
    return network


def planted(count: int, *, seed: int) -> tuple[list[list[list[int]]], list[int]]:
    rng = np.random.default_rng(seed)
    documents = rng.integers(6, VOCABULARY, size=(count, 4, 6))
    chosen = rng.integers(4, size=count)
    documents[np.arange(count), chosen, rng.integers(6, size=count)] = DECIDING
    return documents.tolist(), chosen.tolist()


def trained(steps: int = 40) -> SentenceExtractor:
    network = model()
    documents, chosen = planted(64, seed=1)
    ids, lengths = torch.tensor(documents), torch.full((64, 4), 6)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(ids, lengths).logits, torch.tensor(chosen))
        loss.backward()
        optimizer.step()
    return network


def by_position() -> SentenceExtractor:
    """Chooses the third sentence, regardless of its words."""
    network = model()
    with torch.no_grad():
        network.place[2] = 20.0
    return network


def test_a_document_as_one_text_and_back():
    adapter = ExtractiveAdapter(model())
    for document in DOCUMENTS:
        assert adapter.unflatten(adapter.flatten(document)) == document
    emptied = [token for token in adapter.flatten(DOCUMENTS[0]) if token not in (7, 8)]
    assert adapter.unflatten(emptied) == [[4, 5, 6], [adapter.mask_id]]


def test_a_batch_answers_as_its_documents_do_alone():
    adapter = ExtractiveAdapter(model())
    texts = [adapter.flatten(document) for document in DOCUMENTS]
    for n, text in enumerate(texts):
        alone = adapter.predict([text])[0]
        np.testing.assert_allclose(adapter.predict(texts)[n][: len(alone)], alone, atol=1e-6)
        np.testing.assert_allclose(
            adapter.attention(texts)[n], adapter.attention([text])[0], atol=1e-6
        )
        np.testing.assert_allclose(
            adapter.gradient_x_input(texts)[n], adapter.gradient_x_input([text])[0], atol=1e-6
        )
    first = adapter.attention(texts)[0]
    np.testing.assert_allclose([first[0, :3].sum(), first[0, 3], first[0, 4:].sum()], [1, 0, 1])


def test_its_own_weights_give_its_own_answer_and_others_another():
    adapter = ExtractiveAdapter(model())
    assert isinstance(adapter, ReweightableClassifier)
    texts = [adapter.flatten(document) for document in DOCUMENTS]
    own = adapter.attention(texts)
    for factor in (1, 5):  # scaled to sum to 1
        again = adapter.predict_with_attention(texts, [factor * weights for weights in own])
        np.testing.assert_allclose(again, adapter.predict(texts), atol=1e-6)
    other = [weights * np.arange(1, weights.shape[1] + 1) ** 4 for weights in own]
    assert abs(adapter.predict_with_attention(texts, other) - adapter.predict(texts)).max() > 1e-6


def test_gradient_times_input_by_differences():
    network = model().double()
    adapter = ExtractiveAdapter(network)
    text = adapter.flatten(DOCUMENTS[1])
    chosen = adapter.predict([text])[0].argmax()
    positions = [n for n, token in enumerate(text) if token != 3]

    def answer(position: int, scale: float) -> float:
        def span(module, args, output):
            real = (args[0] != 0).nonzero()[positions.index(position)]
            output[tuple(real)] *= scale
            return output

        hook = network.embedding.register_forward_hook(span)
        value = np.log(adapter.predict([text])[0][chosen])
        hook.remove()
        return value

    numeric = [(answer(p, 1 + 1e-5) - answer(p, 1 - 1e-5)) / 2e-5 for p in positions]
    np.testing.assert_allclose(adapter.gradient_x_input([text])[0][positions], numeric, atol=1e-6)


def test_a_word_that_decides_is_found_and_content_beats_position():
    verdict = trust_extraction(trained(), planted(24, seed=2)[0], settings=QUICK)
    bias = verdict.position_bias
    assert verdict.texts == 24
    assert bias.same_sentence.low > 0.9
    assert bias.same_position.high < 0.1
    assert bias.chance == pytest.approx(1 / 4)
    assert verdict.comprehensiveness["delete"].over_random.low > 0.1
    assert verdict.sufficiency["delete"].over_random.low > 0
    assert verdict.level != "none"
    assert "position" not in verdict.sentence
    assert "same sentence" in str(verdict)


def test_a_model_that_chooses_by_position_is_recognized():
    verdict = trust_extraction(by_position(), planted(12, seed=2)[0], settings=QUICK)
    bias = verdict.position_bias
    assert bias.same_position.mean == 1
    assert bias.same_sentence.mean == 0
    assert bias.first_sentence == 0
    assert verdict.level == "none"  # its words decide nothing
    assert "goes by position more than by content" in verdict.sentence
    assert "Do not read this as an explanation" in verdict.sentence


def test_documents_of_one_sentence_leave_nothing_to_choose():
    with pytest.raises(InputError, match="2 documents and none with two sentences"):
        trust_extraction(model(), [[[4, 5]], [[6]]])
    assert trust_extraction(model(), [[[4, 5]], *DOCUMENTS], settings=QUICK).texts == 3
