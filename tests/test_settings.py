"""The base of all settings: one wording of errors, and only one kind of error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from regard.api.config.settings import TextSettings, named_values, resolve
from regard.data import ReadOptions
from regard.decoding import DecodingSettings
from regard.errors import SettingsError
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.integrations import Keep
from regard.serving import Limits
from regard.settings import Settings
from regard.training import TrainingSettings


class Inner(Settings):
    title: ClassVar[str] = "inner"

    size: Annotated[int, Field(ge=1)] = 1


class Outer(Settings):
    title: ClassVar[str] = "outer"

    name: str
    kind: Literal["a", "b"] = "a"
    low: Annotated[float, Field(gt=0, lt=1)] = 0.5
    high: Annotated[int, Field(le=9)] = 9
    sizes: tuple[int, ...] = ()
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _ordered(self) -> Outer:
        if self.low > self.high:
            raise ValueError(f"low={self.low} exceeds high={self.high}")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nam": "x"}, "outer needs the setting 'name'"),
        ({"name": "x", "knid": "a"}, "outer has no setting 'knid'; did you mean 'kind'?"),
        ({"name": 3}, "outer setting name=3: expected a valid string"),
        ({"name": "x", "kind": "c"}, "outer setting kind='c': expected 'a' or 'b'"),
        ({"name": "x", "low": 0}, "outer setting low=0: expected more than 0.0"),
        ({"name": "x", "low": 1}, "outer setting low=1: expected less than 1.0"),
        ({"name": "x", "high": 10}, "outer setting high=10: expected at most 9"),
        ({"name": "x", "sizes": [1, "y"]}, "outer setting sizes.1='y': expected a valid integer"),
        ({"name": "x", "high": 0}, "outer: low=0.5 exceeds high=0"),
        ({"name": "x", "inner": {"size": 0}}, "inner setting size=0: expected at least 1"),
        ({"name": "x", "inner": {"siez": 0}}, "inner has no setting 'siez'; did you mean 'size'?"),
    ],
)
def test_errors_say_what_came_and_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Outer(**values)
    assert str(raised.value).startswith(message)
    assert str(raised.value).count("setting") <= 1  # no message inside another
    assert raised.value.__suppress_context__


def test_settings_are_frozen_and_replaced() -> None:
    settings = Outer(name="x")
    with pytest.raises(SettingsError, match=r"outer settings are frozen; .*replace\(high=3\)"):
        settings.high = 3
    assert settings.replace(high=3) == Outer(name="x", high=3)
    assert settings.high == 9
    with pytest.raises(SettingsError, match="at most 9"):
        settings.replace(high=10)
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    "make",
    [DecodingSettings, TrainingSettings, TextSettings, TrustSettings, ReadOptions, Limits, Keep],
)
def test_all_settings_are_of_one_kind(make: Callable[..., Settings]) -> None:
    made = make()
    assert make(**made.model_dump()) == made
    with pytest.raises(SettingsError, match=f"^{made.title} has no setting 'nobody'; "):
        make(nobody=1)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("beam=0", "decoding setting beam=0: expected at least 1"),
        ("epochs=0", "training setting epochs=0: expected at least 1"),
        ("vocabulary=3", "text setting vocabulary=3: expected at least 5"),
        ("width=0", "transformer setting width=0: expected at least 1"),
        ("heads=3", "transformer: width=256 does not divide by heads=3; try width=258"),
    ],
)
def test_a_run_is_refused_before_any_data_is_read(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve("translation", values=named_values([assignment]))
    assert str(raised.value).startswith(message)
