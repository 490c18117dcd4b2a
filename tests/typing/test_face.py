"""The public face as type checkers see it: this file is checked by mypy and pyright, and run.

`assert_type` states what an editor shows for each name. An `Any`, or a name that is not there,
fails the check: the last test plants one, and an ignore that is not needed is an error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
import pytest

import regard
from regard.attention.map import AttentionMap
from regard.attention.masks import Mask
from regard.errors import RegardError
from regard.evaluation.faithfulness.verdict import Verdict
from regard.evaluation.metrics.scores import Score
from regard.integrations.captured import Keep
from regard.integrations.layer_attention import LayerAttention
from regard.integrations.watched import Watched
from regard.shapes import Array

if TYPE_CHECKING:
    import torch

    from regard.api.tasks.model import Model
    from regard.data.corpus import Corpus, Example
    from regard.models.summary import ModelSummary
    from regard.training import History


def test_attend() -> None:
    query, key, value = np.random.default_rng(0).standard_normal((3, 4, 8))
    output, weights = regard.attend(query, key, value, mask=regard.causal())
    assert_type(output, Array)
    assert_type(weights, AttentionMap)
    assert_type(weights.shape, tuple[int, ...])
    assert_type(weights.entropy(), Array)
    assert_type(regard.rollout([weights]), Array)
    assert weights.shape == (4, 4)


def test_masks() -> None:
    assert_type(regard.causal(), Mask)
    assert_type(regard.causal() & regard.window(3), Mask)


def test_modules_of_ones_own() -> None:
    if TYPE_CHECKING:  # a call would need data
        layer, x = torch.nn.Linear(1, 1), torch.ones(4, 1)
        assert_type(regard.fit(layer, (x, x), loss=torch.nn.MSELoss()), History)
        assert_type(regard.fit(layer, [x], step=lambda module, batch: module(batch).sum()), History)
        regard.fit(layer, [x])  # type: ignore[call-overload]
        assert_type(regard.load("runs/mood").summary(), ModelSummary)


def test_evaluation_and_integrations_are_typed() -> None:
    assert_type(regard.evaluation.exact_match(["a"], ["a"]), Score)
    assert_type(regard.evaluation.Verdict, type[Verdict])
    assert_type(regard.integrations.Keep(topk=4), Keep)
    if TYPE_CHECKING:  # a call would need a model
        with regard.watch(torch.nn.Linear(1, 1)) as seen:
            assert_type(seen, Watched)
            assert_type(seen["encoder"], list[LayerAttention])


@pytest.mark.parametrize("module", [regard.evaluation, regard.integrations])
def test_every_lazy_name_of_a_module_is_there(module: ModuleType) -> None:
    names = [getattr(module, name).__name__ for name in module.__all__]
    assert names == module.__all__
    assert dir(module) == sorted(module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trusst'"):
        module.trusst  # noqa: B018


def test_models_are_typed() -> None:
    """Declared only: what a call would give."""
    if TYPE_CHECKING:
        model = regard.load("runs/de-en")
        assert_type(model, Model)
        assert_type(regard.data.read_text(["a.txt"]), Corpus)
        assert_type(regard.data.Example("a"), Example)
        assert_type(regard.__version__, str)


@pytest.mark.parametrize("name", sorted(set(regard.__all__) - {"serving"}))
def test_every_name_is_there(name: str) -> None:
    found: Any = getattr(regard, name)
    assert isinstance(found, ModuleType | str) or callable(found)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'attendd'"):
        regard.attendd  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def test_errors_are_one_family() -> None:
    assert issubclass(regard.errors.ShapeError, RegardError)


@pytest.mark.parametrize(
    "module", ["api", "data", "evaluation", "integrations", "layers", "viewing"]
)
def test_modules_are_there_after_import_regard_alone(module: str) -> None:
    code = f"import regard; print(regard.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"regard.{module}"


HEAVY = ("numpy", "torch", "pydantic", "matplotlib", "numba", "transformers", "sklearn", "typer")


def test_import_regard_is_light() -> None:
    code = f"import regard, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(regard.__file__).parent / "py.typed").is_file()
