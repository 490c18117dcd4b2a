"""A callback for `transformers.Trainer`: entropy and attention sinks of every head, while a model trains."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.errors import InputError, MissingExtraError
from regard.integrations.captured import Keep
from regard.integrations.layer_attention import LayerAttention
from regard.integrations.watching import watch
from regard.layers.eval_mode import eval_mode

try:
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback
except ImportError as _error:
    raise MissingExtraError("a callback for transformers.Trainer", "transformers") from _error

__all__ = ["AttentionCallback", "HeadFigures"]

Floats: TypeAlias = NDArray[np.float64]

_KEEP = Keep(pool=0, topk=0, received=False, dense_limit=0, maps=True)


@dataclass(frozen=True, eq=False)
class HeadFigures:
    """Entropy and sink share of the heads of one layer, means over the queries of the probe.

    Attributes:
        site: `"encoder"`, `"decoder"`, `"cross"`, or the name of a tower.
        layer: index of the layer at its site, from 0.
        entropy: `(heads,)`, in nats.
        sink: `(heads,)`, share of a query's weight on the first token and on special tokens, 0 to 1.
    """

    site: str
    layer: int
    entropy: Floats
    sink: Floats


class AttentionCallback(TrainerCallback):
    r"""Callback that records the entropy and the sink share of every attention head during training.

    Entropy that falls towards 0 in some head is attention entropy collapse, which goes with training
    that becomes unstable (Zhai et al. 2023, "Stabilizing Transformer Training by Preventing Attention
    Entropy Collapse"); a sink share near 1 is a head that looks at nothing (Xiao et al. 2024)::

        trainer = transformers.Trainer(model, args, train_dataset=train, eval_dataset=test)
        trainer.add_callback(regard.integrations.AttentionCallback(trainer))
        trainer.train()

    Before the first update, and whenever the trainer logs its loss (`logging_steps`), the model reads one
    fixed probe batch, in evaluation mode and without gradients. For head `h` with weights `w`:

    .. math:: H_h = -\frac{1}{|Q|} \sum_{i \in Q} \sum_j w_{hij} \log w_{hij},
        \qquad S_h = \frac{1}{|Q'|} \sum_{i \in Q'} \sum_{j \in T} w_{hij}

    `Q` are the queries of the batch that are no padding and see more than one key; `T` the first token and
    the special tokens of the text; `Q'` leaves the first two queries of each text out, for which a key is
    always near. They are the `entropy` and `sink` of `regard heads`.

    Every head goes to what `report_to` names (TensorBoard, W&B, ...) and to other callbacks, as
    `attention/SITE/layer_L/head_H/entropy` and `.../sink`. Three figures go to `trainer.log`, and so to the
    console and to `trainer_state.json`: `attention_entropy` (mean over heads), `attention_entropy_lowest`
    (of the head that is nearest to collapse) and `attention_sink` (mean over heads).

    Training is not touched: losses, gradients and random numbers are, bit for bit, those of a run without
    the callback. The cost is one forward pass over the probe for each record, and a little more.

    Args:
        trainer: the trainer that the callback is added to.
        probe: a batch as the model takes it; `None` takes the first `per_device_eval_batch_size` examples
            of the evaluation data, or where there is none, of the training data.

    Attributes:
        history: the records made so far: step, and the figures of each layer.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: when training begins: no batch can be made, or the parameters are spread over processes
            (FSDP, DeepSpeed), so that no process alone can run the model.
    """

    def __init__(self, trainer: Any, probe: Mapping[str, Any] | None = None) -> None:
        self.history: list[tuple[int, tuple[HeadFigures, ...]]] = []
        self._trainer: Any = trainer
        self._given = probe
        self._probe: Mapping[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the probe, and record the model before its first update."""
        if self._trainer.is_fsdp_enabled or self._trainer.is_deepspeed_enabled:
            raise InputError(
                "FSDP and DeepSpeed may spread the parameters over processes, and this callback runs the "
                "model in one; train with DistributedDataParallel, or without the callback"
            )
        with _untouched_randomness():
            self._probe = self._given if self._given is not None else _first_batch(self._trainer)
        if state.global_step == 0:  # else a run that goes on, which has recorded this
            self._record(state, **kwargs)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the model beside the training loss that was logged."""
        if logs is not None and "loss" in logs:
            self._record(state, **kwargs)

    def _record(self, state: Any, **kwargs: Any) -> None:
        """Measure, and pass the figures on."""
        if not state.is_world_process_zero:
            return
        figures = measure_heads(self._trainer.model, self._probe, self._special_ids())
        self.history.append((state.global_step, figures))
        entropy = np.concatenate([layer.entropy for layer in figures])
        self._trainer.log(
            {
                "attention_entropy": float(entropy.mean()),
                "attention_entropy_lowest": float(entropy.min()),
                "attention_sink": float(np.concatenate([f.sink for f in figures]).mean()),
            }
        )
        # Hundreds of figures: not for the console, nor for the history in every checkpoint.
        for callback in self._trainer.callback_handler.callbacks:
            if callback is not self and not isinstance(
                callback, (PrinterCallback, ProgressCallback)
            ):
                callback.on_log(
                    self._trainer.args, state, self._trainer.control, logs=_named(figures), **kwargs
                )

    def _special_ids(self) -> list[int]:
        """Ids of special tokens, where the trainer has a tokenizer."""
        return list(getattr(self._trainer.processing_class, "all_special_ids", ()))


def _named(figures: tuple[HeadFigures, ...]) -> dict[str, float]:
    return {
        f"attention/{layer.site}/layer_{layer.layer}/head_{head}/{name}": float(value)
        for layer in figures
        for name in ("entropy", "sink")
        for head, value in enumerate(getattr(layer, name))
    }


def measure_heads(
    model: nn.Module, batch: Mapping[str, Any], special_ids: Sequence[int] = ()
) -> tuple[HeadFigures, ...]:
    """Entropy and sink share of every head over one batch, without any trace in the model.

    Args:
        model: a model of transformers, or any other that `watch` takes.
        batch: its arguments by name; `attention_mask`, `decoder_attention_mask` and labels of -100 say
            what is padding.
        special_ids: ids of tokens that count as sinks beside the first of a text.
    """
    device = next(model.parameters()).device
    inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
    with _untouched_randomness(), eval_mode(model), torch.no_grad():
        with watch(model, keep=_KEEP) as seen:
            model(**inputs)
        sides = _sides(batch, special_ids, seen.is_encoder_decoder)
        return tuple(
            _figures(layer, *(sides[side] for side in _axes(site, seen.is_encoder_decoder)))
            for site in seen.sites
            for layer in seen[site]
        )


@dataclass(frozen=True, eq=False)
class _Side:
    """Tokens along an axis of the maps, `(examples, length)`; `None` where the batch does not say.

    Args:
        real: marks tokens that are no padding.
        special: marks special tokens.
    """

    real: NDArray[np.bool_] | None = None
    special: NDArray[np.bool_] | None = None

    def of_length(self, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Both marks; of a map that is of another size (of an image beside a text), all are real."""
        real, special = self.real, self.special
        return (
            real if real is not None and real.shape == shape else np.ones(shape, bool),
            special if special is not None and special.shape == shape else np.zeros(shape, bool),
        )


def _sides(
    batch: Mapping[str, Any], special_ids: Sequence[int], is_encoder_decoder: bool
) -> dict[str, _Side]:
    """The tokens that a model reads, and those that an encoder-decoder is made to write."""

    def side(mask: Any, ids: Any) -> _Side:
        return _Side(
            None if mask is None or mask.ndim != 2 else _array(mask) > 0,
            None if ids is None else np.isin(_array(ids), np.asarray(special_ids, dtype=int)),
        )

    found = {"source": side(batch.get("attention_mask"), batch.get("input_ids"))}
    if is_encoder_decoder:
        mask, labels = batch.get("decoder_attention_mask"), batch.get("labels")
        if mask is None and labels is not None:
            mask = labels != -100
        found["target"] = side(mask, batch.get("decoder_input_ids"))
    return found


def _axes(site: str, is_encoder_decoder: bool) -> tuple[str, str]:
    """Sides of the queries and of the keys."""
    if not is_encoder_decoder or site == "encoder":
        return "source", "source"
    return "target", "source" if site.startswith("cross") else "target"


def _figures(layer: LayerAttention, queries: _Side, keys: _Side) -> HeadFigures:
    weights, shape = layer.map, layer.shape
    rows, _ = queries.of_length((shape[0], shape[2]))
    columns, special = keys.of_length((shape[0], shape[3]))
    position = rows.cumsum(axis=1) - 1
    visible = position + 1 if layer.causal else columns.sum(axis=1, keepdims=True)
    free = rows & (visible > 1)
    later = rows if layer.site.startswith("cross") else rows & (position > 1)
    sinks = columns & (special | (columns.cumsum(axis=1) == 1))
    # The map times the marks of the sinks: their share of each query, without the matrix.
    marks = torch.from_numpy(sinks.astype(np.float32))[:, None, :, None]
    share = weights @ marks.to(weights[:1, :1, :1, :1].device)
    return HeadFigures(
        layer.site,
        layer.index,
        _mean(layer.entropy.astype(np.float64), free),
        _mean(share[..., 0].double().numpy(force=True), later),
    )


def _mean(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Mean of `(examples, heads, queries)` over the queries that count; NaN where none does."""
    chosen = values.transpose(1, 0, 2)[:, counted]
    return chosen.mean(axis=1) if chosen.shape[1] else np.full(len(chosen), np.nan)


def _array(tensor: Any) -> NDArray[Any]:
    return tensor.numpy(force=True) if isinstance(tensor, Tensor) else np.asarray(tensor)


def _first_batch(trainer: Any) -> Mapping[str, Any]:
    """The first examples of the evaluation data, or of the training data, as the trainer's batches are made.

    Not by the trainer's own loaders: accelerate counts batches of gradient accumulation by them.
    """
    data = trainer.eval_dataset if trainer.eval_dataset is not None else trainer.train_dataset
    if isinstance(data, dict):  # several sets by name
        data = next(iter(data.values()), None)
    examples = list(islice(iter(data), trainer.args.per_device_eval_batch_size)) if data else []
    if not examples:
        raise InputError(
            "the trainer has no example to look at; give a batch as the model takes it: probe="
        )
    if trainer.args.remove_unused_columns:
        model = getattr(trainer.model, "get_base_model", lambda: trainer.model)()  # inside peft's
        names = {*inspect.signature(model.forward).parameters, "label", "label_ids"}
        examples = [{k: v for k, v in example.items() if k in names} for example in examples]
    batch: Mapping[str, Any] = trainer.data_collator(examples)
    return batch


@contextmanager
def _untouched_randomness() -> Iterator[None]:
    """Context after which random numbers go on as if nothing had been drawn in it."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
