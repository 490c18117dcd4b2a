"""Both ways of `regard.watch` on every architecture of `transformers`, against a truth taken without them.

Each architecture is built tiny with random weights (`benchmarks/tiny_models.py`) and runs on a padded batch.
The truth is eager mode's `output_attentions` in float64, and the results of every call of `softmax` beside it.
A watched layer must equal one of them within 1e-5, and every reported attention must have been watched.

    python -m benchmarks.coverage                      # all, continued where an earlier run ended
    python -m benchmarks.coverage --families bert t5   # these architectures alone
    python -m benchmarks.coverage --sample 40          # evenly over all
    python -m benchmarks.coverage --page               # write docs/coverage.md from what has been measured
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import regard
from benchmarks.results import RESULTS, ROOT
from benchmarks.tiny_models import build, inputs_of, model_types
from regard.errors import RegardError
from regard.integrations import Keep
from regard.integrations.watching import Way

MEASURED = RESULTS / "coverage.jsonl"
PAGE = ROOT / "docs" / "coverage.md"
TOLERANCE = 1e-5
WAYS: tuple[Way | None, ...] = (None, "interface", "dispatcher")
TIME_LIMIT = 120
"""Seconds for one architecture."""


@dataclass(frozen=True)
class Verdict:
    """What one way of watching showed of one architecture.

    Attributes:
        outcome: `"exact"`, `"refused"`, `"silent fault"`, `"no attention"` or `"error"`.
        layers: number of layers that were shown.
        difference: largest difference to the truth.
        reason: message of a refusal, or what is wrong.
    """

    outcome: str
    layers: int = 0
    difference: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Truth:
    """Attention of a model, taken without `regard`.

    Attributes:
        reported: matrices that the model returns itself.
        softmaxes: results of all calls of `softmax`, with three axes or more.
    """

    reported: list[NDArray[Any]]
    softmaxes: list[NDArray[Any]]


@contextlib.contextmanager
def recorded_softmaxes() -> Iterator[list[Tensor]]:
    """Collect the results of every call of `softmax` in Python, and the weights of fused attention."""
    found: list[Tensor] = []
    homes = [(torch.nn.functional, "softmax"), (torch, "softmax"), (torch.Tensor, "softmax")]
    before = [getattr(home, name) for home, name in homes]

    inside = [False]  # one kind of softmax calls another

    def recording(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Tensor:
            outermost, inside[0] = not inside[0], True
            try:
                result: Tensor = function(*args, **kwargs)
            finally:
                inside[0] = not outermost
            if outermost and result.dim() >= 2:
                found.append(result.detach())
            return result

        return call

    fused = torch.nn.functional.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        found.append(weights_of(query, key, *args[1:], **kwargs).detach())
        result: Tensor = fused(query, key, *args, **kwargs)
        return result

    for (home, name), function in zip(homes, before, strict=True):
        setattr(home, name, recording(function))
    torch.nn.functional.scaled_dot_product_attention = attention
    try:
        yield found
    finally:
        torch.nn.functional.scaled_dot_product_attention = fused
        for (home, name), function in zip(homes, before, strict=True):
            setattr(home, name, function)


def weights_of(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    value: Tensor | None = None,
) -> Tensor:
    """Weights of `scaled_dot_product_attention` by its formula, in float64."""
    query, key = query.double(), key.double()
    if key.shape[-3] != query.shape[-3]:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.transpose(-1, -2) * factor
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    exponents = (scores - scores.amax(-1, keepdim=True).clamp(min=-1e300)).exp()
    return exponents / exponents.sum(-1, keepdim=True).clamp(min=1e-300)


def truths_of(model: nn.Module, inputs: dict[str, Tensor]) -> Iterator[Truth]:
    """What eager mode reports in float64, and what the model computes as it is.

    The second counts where the first computes something else: NaN for texts without a visible key, say.
    """
    for number, eager in (
        (torch.float64, True),
        (torch.float32, True),
        (torch.float64, False),
        (torch.float32, False),
    ):
        other: Any = copy.deepcopy(model).to(number)
        if eager:
            _make_eager(other)
        given = {k: v.to(number) if v.is_floating_point() else v for k, v in inputs.items()}
        for more in ({"output_attentions": True}, {}) if eager else ({},):
            torch.manual_seed(0)
            with contextlib.suppress(Exception), torch.no_grad(), recorded_softmaxes() as found:
                output = other(**given, **more)
                truth = Truth(_reported(output) if more else [], [_numpy(x) for x in found])
                break
        else:
            continue
        yield truth


class Truths:
    """Truths, each taken when it is asked for."""

    def __init__(self, taken: Iterator[Truth]) -> None:
        self._taken, self._found = taken, list[Truth]()

    def has(self, n: int) -> bool:
        """Return whether there is a truth of this number."""
        while len(self._found) <= n:
            truth = next(self._taken, None)
            if truth is None:
                return False
            self._found.append(truth)
        return True

    def at(self, n: int) -> Truth:
        """The truth of this number."""
        if not self.has(n):
            raise RuntimeError("the model runs in none of the ways that a truth is taken")
        return self._found[n]


def _make_eager(model: Any) -> None:
    with contextlib.suppress(Exception):
        model.set_attn_implementation("eager")
    for part in model.modules():  # some refuse to switch, and mix eager attention with other masks
        config: Any = getattr(part, "config", None)
        if hasattr(config, "_attn_implementation_internal"):
            config._attn_implementation_internal = "eager"


def _reported(output: Any) -> list[NDArray[Any]]:
    """Matrices in the fields of an output whose names speak of attention."""
    matrices: list[NDArray[Any]] = []

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            if value.dim() >= 3 and value.is_floating_point():
                matrices.append(_numpy(value))
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)

    def search(output: Any) -> None:
        for name, value in output.items() if hasattr(output, "items") else ():
            if "attentions" in name:
                add(value)
            elif hasattr(value, "items"):
                search(value)

    search(output)
    return matrices


def _numpy(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().double().cpu().numpy()
    return array


def difference(shown: NDArray[Any], true: NDArray[Any]) -> float:
    """Largest difference of two maps; rows that attend to nothing are zeros or even, so they are left out."""
    if shown.size != true.size:
        return np.inf
    if shown.shape == true.shape:
        real = shown.sum(-1, keepdims=True) > 0
        return float(np.abs(np.where(real, shown - true, 0)).max(initial=0))
    # The model's own axes: heads and queries may be in another order, the numbers are the same.
    rows = [np.sort(x.reshape(-1)) for x in (shown, true)]
    return float(np.abs(rows[0] - rows[1]).max(initial=0))


def judge(truth: Truth, shown: list[NDArray[Any]]) -> Verdict:
    """Compare what was shown with the truth.

    Some models report something else than the weights of their softmaxes: scores, parts of a joint matrix,
    groups. Then all their softmaxes must have been shown.
    """
    shown = [part for matrix in shown for part in _images(matrix, truth.softmaxes)]
    reported = _judge_by(truth.reported, truth, shown) if truth.reported else None
    if reported is not None and reported.outcome == "exact":
        return reported
    matrices = [x for x in truth.softmaxes if x.ndim == 4] or truth.softmaxes
    by_softmaxes = _judge_by(matrices, truth, shown) if matrices else None
    if by_softmaxes is not None and by_softmaxes.outcome == "exact":
        return by_softmaxes
    return reported or by_softmaxes or _judge_by([], truth, shown)


def _judge_by(matrices: list[NDArray[Any]], truth: Truth, shown: list[NDArray[Any]]) -> Verdict:
    """Compare what was shown with matrices that must be there, and the rest with all softmaxes."""
    rest = list(range(len(shown)))
    worst = 0.0
    required = _distinct(matrices)
    for n, matrix in enumerate(required):
        distances = [(difference(_cropped(shown[i], matrix), matrix), i) for i in rest]
        best = min(distances, default=(np.inf, -1))
        if best[0] > TOLERANCE:
            return Verdict(
                "silent fault",
                len(shown),
                best[0],
                f"reported map {n} of {len(required)}, {matrix.shape}, is not among those shown, "
                f"{Counter(x.shape for x in shown)}",
            )
        worst = max(worst, best[0])
        rest.remove(best[1])
    others = truth.softmaxes + truth.reported
    for i in rest:
        distances = [(difference(shown[i], matrix), n) for n, matrix in enumerate(others)]
        best = min(distances, default=(np.inf, -1))
        if best[0] > TOLERANCE:
            return Verdict(
                "silent fault",
                len(shown),
                best[0],
                f"map {i} of those shown, {shown[i].shape}, is no softmax of the model",
            )
        worst = max(worst, best[0])
        others.pop(best[1])  # a map that is shown twice needs two that are true
    return Verdict("exact", len(shown), worst)


def _images(shown: NDArray[Any], true: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The parts of a map of several images that do not see each other, where the model has one for each."""
    length = shown.shape[-1]
    squares = {x.shape[-1] for x in true if x.ndim == 4 and x.shape[-1] == x.shape[-2]}
    if length in squares or shown.ndim != 4 or shown.shape[-2] != length:
        return [shown]
    for size in squares:
        places = [slice(start, start + size) for start in range(0, length, size)]
        parts = [shown[:, :, place, place] for place in places]
        if length % size == 0 and np.isclose(sum(part.sum() for part in parts), shown.sum()):
            return parts
    return [shown]


def _distinct(matrices: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Leave out the copies of maps that a model returns several times."""
    found: list[NDArray[Any]] = []
    for matrix in matrices:
        if not any(x.shape == matrix.shape and np.array_equal(x, matrix) for x in found):
            found.append(matrix)
    return found


def _cropped(shown: NDArray[Any], true: NDArray[Any]) -> NDArray[Any]:
    """The last rows and columns, where a model returns only those (without its prompt)."""
    if shown.ndim == true.ndim == 4 and shown.shape[:2] == true.shape[:2]:
        return shown[:, :, -true.shape[2] :, -true.shape[3] :]
    return shown


def watch_once(
    model: nn.Module, inputs: dict[str, Tensor], truths: Truths, way: Way | None
) -> Verdict:
    """Watch a model one way and judge it."""
    with torch.no_grad():
        torch.manual_seed(0)
        bare = model(**inputs)
        torch.manual_seed(0)
        try:
            with regard.watch(model, way=way, keep=Keep(dense_limit=2048)) as seen:
                output = model(**inputs)
            shown = [
                _numpy(torch.from_numpy(call.dense))
                for site in seen.sites
                for layer in seen[site]
                for call in layer.calls
                if call.dense is not None
            ]
        except RegardError as error:
            first = truths.at(0)
            has_attention = first.reported or any(x.ndim == 4 for x in first.softmaxes)
            outcome = "refused" if has_attention else "no attention"
            return Verdict(outcome, reason=str(error))
    changed = _changed(bare, output, exact=way == "dispatcher")
    if changed:
        return Verdict("silent fault", len(shown), reason=changed)
    verdict = judge(truths.at(0), shown)
    for n in range(1, 4):
        if verdict.outcome == "exact" or not truths.has(n):
            break
        other = judge(truths.at(n), shown)
        verdict = other if other.outcome == "exact" else verdict
    return verdict


def _changed(bare: Any, output: Any, *, exact: bool) -> str:
    """Tell whether watching changed the output."""
    for name, value in bare.items() if hasattr(bare, "items") else ():
        other = output[name]
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        same = torch.equal(value, other) if exact else torch.allclose(value, other, atol=1e-3)
        if not same and not bool(value.isnan().any()):
            return f"output {name} changed by {float((value - other).abs().max()):.1e}"
    return ""


def measure(name: str) -> dict[str, Any]:
    """Build one architecture and judge both ways, and the one that is chosen by itself."""
    try:
        model = build(name)
        inputs = inputs_of(model)
        truths = Truths(truths_of(copy.deepcopy(model), inputs))
        truths.at(0)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip()[:200]}"
        return {"name": name, "unbuilt": reason}
    verdicts: dict[str, Any] = {}
    for way in WAYS:
        try:
            verdict = watch_once(model, inputs, truths, way)
        except Exception as error:
            verdict = Verdict("error", reason=f"{type(error).__name__}: {str(error)[:300]}")
        verdicts[way or "chosen"] = asdict(verdict)
    return {"name": name, "class": type(model).__name__, **verdicts}


def import_once() -> None:
    """Import here what the processes would each import."""
    import regard.integrations.dispatcher
    import regard.integrations.transformers
    import regard.integrations.watching  # noqa: F401

    for name in ("bert", "t5", "llama", "clip"):
        build(name)


def in_own_process(name: str) -> dict[str, Any]:
    """Measure in a process of its own that inherits the imported libraries, for at most `TIME_LIMIT`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(TIME_LIMIT)
        try:
            answer = json.dumps(measure(name))
        except BaseException as error:
            answer = json.dumps({"name": name, "unbuilt": f"{type(error).__name__}: {error}"})
        with os.fdopen(writing, "w") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = (
        json.loads(answer) if answer else {"name": name, "unbuilt": f"took over {TIME_LIMIT} s"}
    )
    return found


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--families", nargs="+", metavar="NAME")
    parser.add_argument("--sample", type=int, metavar="COUNT")
    parser.add_argument("--again", action="store_true", help="measure also what has been measured")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", default=str(MEASURED))
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not args.page:
        _measure_all(args)
    if args.page:
        from benchmarks.coverage_page import write_page

        write_page(MEASURED, PAGE)


def _measure_all(args: argparse.Namespace) -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    names = args.families or model_types()
    if args.sample:
        names = names[:: max(1, len(names) // args.sample)][: args.sample]
    done: set[str] = set()
    if os.path.exists(args.out) and not args.again and not args.families:
        with open(args.out) as file:
            done = {json.loads(line)["name"] for line in file}
    import_once()
    with open(args.out, "a") as file:
        for name in names:
            if name in done:
                continue
            found = in_own_process(name)
            file.write(json.dumps(found) + "\n")
            file.flush()
            short = found.get("unbuilt") or " ".join(
                f"{way or 'chosen'}={found[way or 'chosen']['outcome']}" for way in WAYS
            )
            print(f"{name}: {short}", flush=True)


if __name__ == "__main__":
    main()
