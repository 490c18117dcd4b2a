"""`check`: what is wrong with a layer, a model, or a part of attention of your own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, overload

from regard.attention.check_report import CheckReport
from regard.attention.masks import Mask
from regard.attention.normalizers import Normalizer
from regard.attention.positions import Bias
from regard.attention.scores import Score
from regard.attention.statistics import Statistic
from regard.errors import InputError

__all__ = ["check"]


@overload
def check(
    thing: Callable[..., Any],
    *,
    example: Sequence[Any] | Mapping[str, Any] | None = None,
    causal: bool | Literal["strict"] = False,
    padding: float | None = None,
    mask_hides: bool | None = None,
    features: int | None = None,
    seed: int = 0,
    ignore: Collection[str] = (),
) -> CheckReport: ...
@overload
def check(
    *,
    score: Score | None = None,
    normalizer: Normalizer | None = None,
    mask: Any = None,
    bias: Any = None,
    statistic: Statistic | None = None,
    batch: int = 2,
    heads: int = 4,
    queries: int | None = None,
    keys: int | None = None,
    features: int | None = None,
    libraries: Sequence[str] | None = None,
) -> CheckReport: ...
def check(
    thing: Callable[..., Any] | None = None,
    *,
    example: Sequence[Any] | Mapping[str, Any] | None = None,
    causal: bool | Literal["strict"] = False,
    padding: float | None = None,
    mask_hides: bool | None = None,
    seed: int = 0,
    ignore: Collection[str] = (),
    score: Score | None = None,
    normalizer: Normalizer | None = None,
    mask: Any = None,
    bias: Any = None,
    statistic: Statistic | None = None,
    batch: int = 2,
    heads: int = 4,
    queries: int | None = None,
    keys: int | None = None,
    features: int | None = None,
    libraries: Sequence[str] | None = None,
) -> CheckReport:
    """Find what is wrong with a layer or model, or with a part of attention or a statistic of your own.

    **A layer, model or function** is called with small random inputs, and again with some of them changed:
    another query must change the weights, another value in a hidden place must change nothing, a later
    word must not change an earlier answer, and so on. In torch every softmax is looked at as well. Names
    of the arguments tell what they are (`query`, `key`, `value`, `encoder_outputs`, `hidden`, `x`,
    `input_ids`, `mask`, `lengths` ...); where they do not, pass a function of `query`, `key`, `value` and
    `mask`, or of `sequence` and `mask`, that calls yours.

    **A part** is run against what its methods define: tiles are parts of one matrix, ranges agree with
    tiles, masked keys get no weight, gradients are finite. Then `attend` is compared with
    `normalizer(score + bias, where mask) @ value`, at sizes below and above those of the fused kernels, in
    NumPy, torch and JAX as far as they are installed. Of a statistic the answer must not depend on how the
    matrix is cut, on the order of merging, or on what is masked. A part that holds arrays fits some sizes and
    one library only: name its sizes; the library is that of its arrays.

    Args:
        thing: a torch module, a layer of Keras, a model, or a function of arrays. It runs in evaluation mode
            and is left as it was.
        example: arrays that it runs with, in order or by name; found by trial unless given.
        causal: the thing claims that a position sees nothing after it. `"strict"`: nor itself, as where the
            output at a position predicts that very word of the target.
        padding: id or number that fills short sentences, for a thing without a mask.
        mask_hides: whether True of its mask hides a position; by default so for `key_padding_mask` and the
            masks of torch's layers, and True keeps elsewhere.
        seed: of the random inputs.
        ignore: names of findings that are meant so, such as `"key-ignored"`.
        score: a subclass of `regard.scores.Score`.
        normalizer: a subclass of `regard.normalizers.Normalizer`.
        mask: a subclass of `regard.masks.Mask`, or a Boolean array.
        bias: a subclass of `regard.positions.Bias`, or a float array.
        statistic: a subclass of `regard.statistics.Statistic`.
        batch: examples, for a part.
        heads: query heads, for a part.
        queries: length of the queries, for a part; several lengths unless given.
        keys: length of the keys, for a part; several lengths unless given.
        features: width of the vectors; found by trial for a thing and 8 for a part unless given.
        libraries: of `"numpy"`, `"torch"` and `"jax"`, for a part; those that are installed and fit unless
            given.

    Returns:
        A report: `report.ok`, `report.findings`, `report.names`, and as text what is wrong, where, and what
        to try. Nothing is raised for a fault.

    Raises:
        InputError: nothing to check, a thing and parts at once, a part of another class, or a thing that
            runs with nothing that was tried.

    >>> import regard, torch
    >>> def pooled(query, key, value):
    ...     return torch.softmax(key.sum(-1), -1)[:, None] @ value + 0 * query.sum()
    >>> regard.check(pooled).names
    ('query-ignored',)
    >>> regard.check(torch.nn.functional.scaled_dot_product_attention).ok
    True
    >>> regard.check(score=regard.scores.ScaledDot(0.3), libraries=["numpy"]).ok
    True
    """
    parts = (score, normalizer, mask, bias, statistic)
    if thing is None:
        from regard.attention.check import check_contracts

        return check_contracts(
            score=score, normalizer=normalizer, mask=mask, bias=bias, statistic=statistic,
            batch=batch, heads=heads, queries=queries, keys=keys, features=features or 8, libraries=libraries,
        )  # fmt: skip
    if any(part is not None for part in parts):
        raise InputError(
            "check got a thing and parts; check the parts by themselves, without the thing"
        )
    _refuse(thing)
    from regard.integrations.checking.thing import check_thing

    return check_thing(
        thing, example=example, causal=causal, padding=padding, mask_hides=mask_hides, features=features,
        seed=seed, ignore=ignore,
    )  # fmt: skip


def _refuse(thing: object) -> None:
    """Refuse what is checked in another way, and say how."""
    kinds = (
        *(("score", Score), ("normalizer", Normalizer), ("mask", Mask), ("bias", Bias)),
        ("statistic", Statistic),
    )
    for name, kind in kinds:
        if isinstance(thing, kind):
            raise InputError(f"check got a {name}; pass it by name: regard.check({name}=...)")
    if isinstance(thing, str | PathLike):
        raise InputError(
            f"check got {str(thing)!r}; a model's folder is checked by `regard check FOLDER` on the "
            "command line, "
            "and its network by regard.check(module)"
        )
    if isinstance(thing, type):
        raise InputError(
            f"check got the class {thing.__name__}; expected an object: {thing.__name__}(...)"
        )
    if not callable(thing):
        raise InputError(
            f"check got {type(thing).__name__}; expected a torch module, a layer of Keras or a function, or "
            "score=, normalizer=, mask=, bias= or statistic="
        )
