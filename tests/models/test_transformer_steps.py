"""Compiled decoding steps against those of the modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from regard.choices import Precision
from regard.layers.reduced import reduce_precision
from regard.models import Memory, State, Step
from regard.models.reading import AlignmentSettings
from regard.models.settings import TransformerSettings
from regard.models.transformer import Transformer
from regard.models.transformer_steps import CompiledDecoder, CompiledState

LENGTHS = torch.tensor([5, 3, 6, 4])


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def transformer(**changed: object) -> Transformer:
    torch.manual_seed(3)
    settings = {
        "width": 36,
        "heads": 3,
        "feedforward": 40,
        "encoder_layers": 1,
        "decoder_layers": 2,
    }
    sizes = {"source_size": 50, "target_size": 60}
    with torch.inference_mode(False):
        return Transformer(TransformerSettings.model_validate(sizes | settings | changed)).eval()


def started(model: Transformer) -> tuple[Memory, State, State]:
    """Four encoded sources, and the states of both ways."""
    memory = model.encode(torch.randint(4, 50, (4, 6)), LENGTHS)
    compiled = model.start(memory)
    assert isinstance(compiled, CompiledState)
    return memory, compiled, model._empty_state()


def assert_equal(found: Step, expected: Step, tolerance: float = 1e-5) -> None:
    for name in ("logits", "weights"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=tolerance, atol=tolerance
        )


def search_steps(model: Transformer, steps: int, tolerance: float = 1e-5) -> None:
    """Rows multiply, change places and leave, as in a beam search."""
    memory, compiled, plain = started(model)
    rows = torch.arange(4)
    for number in range(steps):
        token = torch.randint(4, 60, (len(rows),))
        found, expected = (model.step(token, state, memory) for state in (compiled, plain))
        assert_equal(found, expected, tolerance)
        of_one = 3
        if number == 2:  # the second source is done
            left = torch.tensor([0, 2, 3])
            memory = memory.select(left)
            rows = (left[:, None] * of_one + torch.arange(of_one)).view(-1)
        else:
            first = torch.arange(memory.batch) * (len(token) // memory.batch)
            chosen = torch.randint(len(token) // memory.batch, (memory.batch, of_one))
            rows = (first[:, None] + chosen).view(-1)
        compiled, plain = found.state.select(rows), expected.state.select(rows)


@pytest.mark.parametrize(
    "changed",
    [{}, {"activation": "gelu"}, {"positions": "learned", "max_length": 64}, {"positions": "none"}],
    ids=["relu", "gelu", "learned", "none"],
)
def test_steps_against_modules(changed: dict[str, object]) -> None:
    if changed.get("positions") == "none":
        model = transformer()
        model.places = None
    else:
        model = transformer(**changed)
    search_steps(model, 20)


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.1), ("bfloat16", 0.05)])
def test_steps_against_modules_in_reduced_precision(precision: Precision, tolerance: float) -> None:
    model = transformer()
    assert reduce_precision(model, precision)
    search_steps(model, 4, tolerance)


@pytest.mark.parametrize(("layer", "head"), [(None, 2), (1, None), (2, 3)])
def test_weights_are_those_of_the_chosen_heads(layer: int | None, head: int | None) -> None:
    search_steps(transformer().with_alignment(AlignmentSettings(layer=layer, head=head)), 3)


def test_a_state_may_be_stepped_from_twice() -> None:
    model = transformer()
    memory, state, plain = started(model)
    for token in (7, 8):
        given = torch.full((4,), token)
        state, plain = (model.step(given, each, memory).state for each in (state, plain))
    first, second = torch.full((4,), 9), torch.full((4,), 10)
    after = model.step(first, state, memory).state
    model.step(second, state, memory)
    expected = model.step(second, model.step(first, plain, memory).state, memory)
    assert_equal(model.step(second, after, memory), expected)


def test_hidden_source_words_get_nothing() -> None:
    model = transformer()
    memory = model.encode(torch.randint(4, 50, (4, 6)), LENGTHS)
    hidden = torch.zeros(4, 6, dtype=torch.bool)
    hidden[:, 1] = True
    memory = memory.mask_out(hidden)
    token = torch.full((4,), 5)
    found = model.step(token, model.start(memory), memory)
    assert not found.weights[:, 1].any()
    assert_equal(found, model.step(token, model._empty_state(), memory))


def test_logits_are_written_where_asked() -> None:
    model = transformer()
    memory, state, _ = started(model)
    out = torch.empty(4, 60)
    found = model.step(torch.full((4,), 5), state, memory, out=out)
    assert found.logits.data_ptr() == out.data_ptr()


def test_few_examples_are_left_to_the_modules() -> None:
    model = transformer()
    memory = model.encode(torch.randint(4, 50, (3, 6)), LENGTHS[:3])
    assert not isinstance(model.start(memory), CompiledState)


class _Watching(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


def test_what_is_observed_or_changed_is_left_to_the_modules() -> None:
    model = transformer()
    assert CompiledDecoder.of(model) is not None
    for part in (model.decoder[1], model.decoder_norm, model.output, model.target):
        hook = part.register_forward_hook(lambda *_: None)
        assert CompiledDecoder.of(model) is None
        hook.remove()
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert CompiledDecoder.of(model) is None
    hook.remove()
    with _Watching():
        assert CompiledDecoder.of(model) is None
    with torch.autocast("cpu"):
        assert CompiledDecoder.of(model) is None
    assert CompiledDecoder.of(model.train()) is None
    assert CompiledDecoder.of(model.eval()) is not None
    with torch.inference_mode(False), torch.no_grad():
        assert CompiledDecoder.of(model) is None


class _Doubled(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_part_of_another_class_is_left_to_the_modules() -> None:
    model = transformer()
    layer = model.decoder[0]
    setattr(layer.around_cross, "norm", _Doubled(36))  # noqa: B010
    assert CompiledDecoder.of(model) is None
    model = transformer()
    model.decoder_norm = nn.LayerNorm(36, bias=False)
    assert CompiledDecoder.of(model) is None
    assert CompiledDecoder.of(transformer().double()) is None
    for changed in ({"norm": "post"}, {"positions": "rotary"}, {"positions": "alibi"}):
        assert CompiledDecoder.of(transformer(**changed)) is None
