"""`watch`: attention of other people's models, by one of two ways."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

from torch import nn

from regard.errors import InputError, SettingsError, nearest
from regard.integrations.captured import Keep
from regard.integrations.dispatcher import watch_dispatcher
from regard.integrations.keras_models import is_keras_model, watch_keras
from regard.integrations.registry import module_of
from regard.integrations.watched import Watched

__all__ = ["Way", "watch"]

Way: TypeAlias = Literal["interface", "dispatcher", "layers"]
"""Where attention is captured: at `AttentionInterface` of transformers, torch's dispatcher, Keras's layers."""


@contextlib.contextmanager
def watch(model: Any, *, keep: Keep | None = None, way: Way | None = None) -> Iterator[Watched]:
    """Capture the attention of every layer while the model runs inside the block.

    >>> import regard, torch, transformers
    >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    >>> config = transformers.BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    >>> model = transformers.BertModel(config)
    >>> with regard.watch(model) as seen:
    ...     output = model(torch.tensor([[1, 2, 3]]))
    >>> seen["encoder"][0].entropy.shape  # (batch, heads, queries)
    (1, 2, 3)

    There are two ways for modules of PyTorch, and one for models of Keras:

    * `"interface"`, for models of `transformers` that route their attention through `AttentionInterface`:
      inside the block they run on `scaled_dot_product_attention`, whichever implementation they had
      before, and their output is equal up to rounding. No matrix of `queries x keys` is made.
    * `"dispatcher"`, for any PyTorch module: every operation is looked at, and the model computes what it
      always computes, bit for bit. Fused attention is asked without a matrix; attention that the model
      writes out is shown from the matrix that the model makes.
    * `"layers"`, for models of Keras on any backend: each layer that can return its attention scores returns
      them, and is a site of its own by the name that Keras gives it, `seen["multi_head_attention"][0]`. The
      model must be called itself, `model(x)`: inside a compiled function weights hold no numbers.

    Afterwards the model is as before, also after an error. Several models may be watched at once, also
    from several threads, but each model only once at a time.

    Args:
        model: a module: a model of `transformers`, one around it, or any other; a model or layer of Keras; or
            a pipeline.
        keep: statistics to keep; `Keep()` by default.
        way: where attention is captured; by default `"layers"` for a model of Keras, `"interface"` where
            the model fits it, else `"dispatcher"`.

    Yields:
        The attention captured so far; complete when the block ends.

    Raises:
        InputError: the model does not fit the way that was named, attends in a way that cannot be
            followed, is being watched already, or ran without an attention call.
        RegardError: some query has NaN weights.
        SettingsError: a way that does not exist.
    """
    if way is not None and way not in get_args(Way):
        raise SettingsError(f"way is {way!r}; {nearest(way, get_args(Way))}")
    if is_keras_model(model) and way in (None, "layers"):
        with watch_keras(model, keep=keep) as seen:
            yield seen
        return
    if way == "layers":
        raise InputError(f"way='layers' is for models of Keras; got a {type(model).__name__}")
    module = module_of(model)
    chosen = _at_interface if _takes_interface(module, way) else watch_dispatcher
    with chosen(module, keep=keep) as seen:
        yield seen


def _takes_interface(model: nn.Module, way: Way | None) -> bool:
    if way is not None:
        return way == "interface"
    if "transformers" not in sys.modules:  # then no model is one of its
        return False
    from regard.integrations.transformers import fits_interface

    return fits_interface(model)


def _at_interface(
    model: nn.Module, *, keep: Keep | None
) -> contextlib.AbstractContextManager[Watched]:
    from regard.integrations.transformers import watch_interface

    return watch_interface(model, keep=keep)
