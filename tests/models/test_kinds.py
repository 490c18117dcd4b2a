"""What is peculiar to one kind of model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.errors import InputError
from regard.models import build, configure
from regard.models.extractive import SentenceExtractor
from regard.models.pointer_generator import PointerGenerator, assign_copy_ids
from regard.models.recurrent_layers import BidirectionalRnn, DecoderRnn

SOURCE = torch.tensor([[5, 11, 7, 11], [12, 6, 0, 0]])  # 11 and 12 are words of the source's own
LENGTHS = torch.tensor([4, 2])
TARGET = torch.tensor([[2, 5, 11, 7], [2, 12, 0, 0]])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def pointer(**values: float) -> PointerGenerator:
    model = build(configure("pointer", size=11, embedding=6, width=5, **values))
    assert isinstance(model, PointerGenerator)
    return model.eval()


def test_a_pointer_reaches_the_sources_own_words_and_no_others() -> None:
    probability = pointer()(SOURCE, LENGTHS, TARGET).logits.exp()
    assert probability.shape == (2, 4, 13)
    torch.testing.assert_close(probability.sum(-1), torch.ones(2, 4))
    assert (probability[0, :, 11] > 0.01).all()
    assert (probability[1, :2, 12] > 0.01).all()
    assert (probability[0, :, 12] < 1e-30).all()
    assert (probability[1, :, 11] < 1e-30).all()


def test_a_pointer_that_only_copies_is_its_attention() -> None:
    model = pointer()
    with torch.no_grad():
        model.writes.bias.fill_(-50.0)
    output = model(SOURCE, LENGTHS, TARGET)
    weights = output.maps["cross"][0].dense()
    copied = torch.stack([weights[0, :, 0], weights[0, :, 1] + weights[0, :, 3]])
    torch.testing.assert_close(output.logits[0].exp()[:, [5, 11]].T, copied)


def test_words_past_the_vocabulary_are_read_as_unknown() -> None:
    model = pointer()
    known = TARGET.where(TARGET < 11, 1)
    torch.testing.assert_close(
        model(SOURCE, LENGTHS, known).logits, model(SOURCE, LENGTHS, TARGET).logits
    )


def test_coverage_penalty_is_attention_spent_twice_per_real_token() -> None:
    model = pointer(coverage=0.5)
    output = model(SOURCE, LENGTHS, TARGET)
    weights = output.maps["cross"][0].dense()
    covered = weights.cumsum(1) - weights
    twice = torch.minimum(weights, covered).sum(-1)
    real = TARGET != 0
    torch.testing.assert_close(output.penalty, 0.5 * twice[real].mean())
    assert pointer(coverage=0.0)(SOURCE, LENGTHS, TARGET).penalty is None


def test_source_words_numbers_each_unknown_word_once() -> None:
    ids, own = assign_copy_ids(["a", "Xy", "b", "Zz", "Xy"], [4, 1, 5, 1, 1], 20)
    assert (ids, own) == ([4, 20, 5, 21, 20], {"Xy": 20, "Zz": 21})


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_is_torchs_recurrence(cell: str, layers: int) -> None:
    made = DecoderRnn(cell, 3, 4, layers=layers)  # type: ignore[arg-type]
    x, hidden = torch.randn(2, 5, 3), made.initial_state(torch.randn(2, 4))
    whole = made.run_all(x, hidden)
    for t, projected in enumerate(made.project_inputs(x).unbind(1)):
        output, hidden = made.step(projected, None, hidden)
        torch.testing.assert_close(output, whole[:, t])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_is_fed_counts_like_any_input(cell: str) -> None:
    made = DecoderRnn(cell, 3, 4, feed=2)  # type: ignore[arg-type]
    x, fed, hidden = torch.randn(2, 1, 3), torch.randn(2, 2), made.initial_state(torch.randn(2, 4))
    output, _ = made.step(made.project_inputs(x)[:, 0], fed, hidden)
    assert made.feed is not None
    gates = made.project_inputs(x)[:, 0] + fed @ made.feed.T
    made.feed = None
    whole, _ = made.step(gates, fed, hidden)
    torch.testing.assert_close(output, whole)
    assert not torch.allclose(output, made.step(made.project_inputs(x)[:, 0], fed, hidden)[0])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_encoder_reads_both_ways_and_no_padding(cell: str) -> None:
    encoder = BidirectionalRnn(cell, 3, 4, layers=2)  # type: ignore[arg-type]
    x, lengths = torch.randn(3, 6, 3), torch.tensor([2, 6, 1])
    spoiled = x.clone()
    spoiled[torch.arange(6) >= lengths[:, None]] = torch.nan
    states, last = encoder(spoiled, lengths)
    theirs = (nn.GRU if cell == "gru" else nn.LSTM)(3, 4, 2, bidirectional=True, batch_first=True)
    for side, suffix in ((encoder.onward, ""), (encoder.reverse, "_reverse")):
        for layer, module in enumerate(side):
            for name, value in module.state_dict().items():
                getattr(theirs, name.replace("l0", f"l{layer}{suffix}")).data.copy_(value)
    assert not states[torch.arange(6) >= lengths[:, None]].any()
    for row, n in enumerate(lengths):
        alone, _ = theirs(x[row : row + 1, :n])
        torch.testing.assert_close(states[row, :n], alone[0])
        ends = torch.cat([alone[0, -1, :4], alone[0, 0, 4:]])
        torch.testing.assert_close(last[row], ends)


@pytest.mark.parametrize("key_heads", [None, 1])
def test_a_language_model_steps_and_reads_as_it_runs(key_heads: int | None) -> None:
    settings = configure("lm", "tiny", size=13, width=16, heads=4, key_heads=key_heads)
    model = build(settings).double().eval()
    ids = torch.randint(4, 13, (3, 7))
    logits = model(ids, torch.tensor([7, 7, 7])).logits
    state = model.start(3)
    for t in range(3):
        found, state, weights = model.step(ids[:, t], state)
        torch.testing.assert_close(found, logits[:, t])
        assert weights.shape == (3, t + 1)
    torch.testing.assert_close(model.prefill(ids[:, 3:6], state).logits, logits[:, 5])


def test_a_language_model_does_not_see_padding_or_the_future() -> None:
    model = build(configure("lm", "tiny", size=13)).eval()
    ids = torch.randint(4, 13, (2, 6))
    changed = ids.clone()
    changed[1, 4:] = 0
    lengths = torch.tensor([6, 4])
    before, after = model(ids, lengths).logits, model(changed, lengths).logits
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1, :4], after[1, :4])


def test_learned_positions_end_with_an_error() -> None:
    sizes = {"source_size": 13, "target_size": 13, "max_length": 4}
    model = build(configure("transformer", "tiny", positions="learned", **sizes))
    with pytest.raises(InputError, match="a sequence of 5 tokens"):
        model.encode(torch.randint(4, 13, (1, 5)), torch.tensor([5]))


WORDS = torch.randint(4, 13, (3, 4, 5), generator=torch.Generator().manual_seed(0))
WORD_LENGTHS = torch.tensor([[5, 3, 1, 2], [2, 4, 0, 0], [1, 0, 0, 0]])


def extractive() -> SentenceExtractor:
    model = build(configure("extractive", size=13, embedding=6, width=5, max_positions=3))
    nn.init.normal_(model.place)
    assert isinstance(model, SentenceExtractor)
    return model.double().eval()


def test_extractive_scores_sentences_that_are_there() -> None:
    model = extractive()
    output = model(WORDS, WORD_LENGTHS)
    logits, maps = output.logits, output.maps
    assert torch.equal(logits.isfinite(), WORD_LENGTHS > 0)
    torch.testing.assert_close(maps["sentences"][0].dense()[:, 0], logits.softmax(-1))
    for row in range(3):
        count = int((WORD_LENGTHS[row] > 0).sum())
        alone = model(WORDS[row : row + 1, :count], WORD_LENGTHS[row : row + 1, :count]).logits
        torch.testing.assert_close(alone[0], logits[row, :count])


def test_extractive_picks_in_the_order_of_the_document() -> None:
    model = extractive()
    output = model(WORDS, WORD_LENGTHS)
    assert model.best_sentences(output, 1) == [[int(row.argmax())] for row in output.logits]
    picked = model.best_sentences(output, 3)
    assert [len(p) for p in picked] == [3, 2, 1]
    assert all(p == sorted(p) for p in picked)


def test_extractive_learns_with_finite_gradients() -> None:
    model = extractive().train()
    output = model(WORDS, WORD_LENGTHS)
    nn.functional.cross_entropy(output.logits, torch.tensor([2, 1, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
