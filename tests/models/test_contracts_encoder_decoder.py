"""Every encoder-decoder keeps its contract: steps, masks, shared memory, gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.models import EncoderDecoder, build, configure

SIZE = 17
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "transformer": ("transformer", {}),
    "post-norm": ("transformer", {"norm": "post", "tied": False, "activation": "gelu"}),
    "rotary": ("transformer", {"positions": "rotary"}),
    "alibi": ("transformer", {"positions": "alibi"}),
    "relative": ("transformer", {"positions": "relative"}),
    "learned": ("transformer", {"positions": "learned", "joint": True}),
    "additive": ("rnn", {}),
    "dot": ("rnn", {"score": "dot", "cell": "lstm", "decoder_layers": 2, "tied": False}),
    "general": ("rnn", {"score": "general", "encoder_layers": 2}),
    "concat": ("rnn", {"score": "concat", "joint": True}),
    "no feeding": ("rnn", {"input_feeding": False, "decoder_layers": 2}),
    "no feeding, lstm": ("rnn", {"input_feeding": False, "cell": "lstm"}),
    "pointer": ("pointer", {}),
    "no coverage": ("pointer", {"coverage": 0.0, "cell": "gru", "tied": False}),
}
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {"width": 16, "heads": 2, "feedforward": 19, "dropout": 0.2},
    "rnn": {"embedding": 10, "width": 7, "dropout": 0.2, "word_dropout": 0.1},
    "pointer": {"embedding": 10, "width": 7},
}


def made(name: str) -> EncoderDecoder:
    torch.manual_seed(7)
    kind, values = MODELS[name]
    sizes = {"size": SIZE} if kind == "pointer" else {"source_size": SIZE, "target_size": SIZE}
    model = build(configure(kind, "tiny", **sizes, **{**SMALL[kind], **values}))
    for parameter in model.parameters():  # larger than at the start: what is wrong should show
        nn.init.normal_(parameter, std=0.5) if parameter.dim() > 1 else None
    assert isinstance(model, EncoderDecoder)
    return model.double().eval()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(8)
    source, lengths = torch.randint(4, SIZE, (3, 7)), torch.tensor([5, 7, 1])
    source[torch.arange(7) >= lengths[:, None]] = 0
    target = torch.randint(4, SIZE, (3, 6))
    target[:, 0] = 2
    return source, lengths, target


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> EncoderDecoder:
    return made(request.param)


def test_step_by_step_is_forward(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    output = model(source, lengths, target)
    # One head is an axis less; without a choice of layer and head, weights are means over both.
    maps = [weights.dense() for weights in output.maps["cross"]]
    cross = torch.stack([m if m.dim() == 3 else m.mean(1) for m in maps]).mean(0)
    memory = model.encode(source, lengths)
    state = model.start(memory)
    for t in range(target.shape[1]):
        logits, state, weights = model.step(target[:, t], state, memory)
        torch.testing.assert_close(logits, output.logits[:, t])
        torch.testing.assert_close(weights, cross[:, t])


def test_padding_changes_nothing(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    together = model(source, lengths, target).logits
    for row, length in enumerate(lengths):
        alone = model(source[row : row + 1, :length], lengths[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(alone.logits[0], together[row])


def test_logits_do_not_see_the_future(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    changed = target.clone()
    changed[:, 4:] = 5
    before, after = (model(source, lengths, t).logits for t in (target, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_rows_of_a_beam_share_a_row_of_memory(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    memory = model.encode(source, lengths)
    each = torch.arange(3).repeat_interleave(2)
    shared, copied = model.start(memory).select(each), model.start(memory.select(each))
    for t in range(3):
        token = torch.stack([target[:, t], target[:, t + 1]], 1).flatten()
        one = model.step(token, shared, memory)
        two = model.step(token, copied, memory.select(each))
        torch.testing.assert_close(one.logits, two.logits)
        torch.testing.assert_close(one.weights, two.weights)
        shared, copied = one.state, two.state


def test_states_are_reordered_and_not_changed(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    memory = model.encode(source, lengths)
    state = model.step(target[:, 0], model.start(memory), memory).state
    order = torch.tensor([2, 0])
    expected = model.step(target[:, 1], state, memory)
    found = model.step(target[order, 1], state.select(order), memory.select(order))
    torch.testing.assert_close(found.logits, expected.logits[order])
    again = model.step(target[:, 1], state, memory)
    assert torch.equal(again.logits, expected.logits)


def test_a_word_knocked_out_is_not_looked_at(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    memory = model.encode(source, lengths)
    gone = torch.zeros_like(memory.mask)
    gone[1, 3] = True
    without = memory.mask_out(gone)
    before = model.step(target[:, 0], model.start(memory), memory)
    after = model.step(target[:, 0], model.start(without), without)
    assert after.weights[1, 3] == 0 < before.weights[1, 3]
    torch.testing.assert_close(after.weights.sum(1), torch.ones(3).double())
    torch.testing.assert_close(after.logits[0], before.logits[0])
    assert not torch.allclose(after.logits[1], before.logits[1])


def test_maps_are_attention(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    real = torch.arange(7) < lengths[:, None]
    for maps in model(source, lengths, target).maps.values():
        for weights in maps:
            assert isinstance(weights, AttentionMap)
            dense = weights.dense()
            torch.testing.assert_close(dense.sum(-1), torch.ones_like(dense[..., 0]))
            if dense.shape[-1] == 7:
                hidden = ~real.view(3, *(1,) * (dense.dim() - 2), 7)
                assert not dense.masked_select(hidden).any()


def test_everything_learns(model: EncoderDecoder) -> None:
    source, lengths, target = batch()
    output = model.train()(source, lengths, target)
    loss = output.logits.log_softmax(-1)[..., 5].sum()
    loss = loss if output.penalty is None else loss + output.penalty
    loss.backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_nothing_is_left_on_the_model(model: EncoderDecoder) -> None:
    source, lengths, target = batch()

    def inside() -> dict[str, set[str]]:
        return {name: set(vars(module)) for name, module in model.named_modules()}

    before = inside()
    state, buffers = dict(model.state_dict()), [name for name, _ in model.named_buffers()]
    model(source, lengths, target)
    memory = model.encode(source, lengths)
    model.step(target[:, 0], model.start(memory), memory)
    assert inside() == before
    assert [name for name, _ in model.named_buffers()] == buffers
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("name", ["transformer", "additive", "no feeding, lstm", "pointer"])
def test_bfloat16_is_close(name: str) -> None:
    model, (source, lengths, target) = made(name).float(), batch()
    exact = model(source, lengths, target).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(source, lengths, target).logits
    rough.float().logsumexp(-1).sum().backward()
    close = (rough - exact).abs().mean() < 0.05 * exact.std()
    assert close


@pytest.mark.parametrize("name", ["transformer", "additive", "general", "no feeding", "pointer"])
def test_gradients(name: str) -> None:
    model, (source, lengths, target) = made(name), batch()
    names = [n for n, _ in model.named_parameters()]

    def run(*parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        output = torch.func.functional_call(model, values, (source, lengths, target[:, :3]))
        return output.logits

    assert torch.autograd.gradcheck(run, tuple(model.parameters()), fast_mode=True)


def test_tied_and_joint_embeddings_are_one_matrix() -> None:
    model: Any = made("learned")
    apart: Any = made("post-norm")
    assert model.output.weight is model.target.weight is model.source.weight
    assert apart.output.weight is not apart.target.weight
