"""Settings of a run: from presets, a file and single assignments, checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import yaml
from pydantic import Field, model_validator

from regard.api.config.presets import PRESETS, PRETRAINED, TUNING
from regard.api.config.tuning import TuningSettings
from regard.choices import Task, Tune
from regard.decoding import DecodingSettings
from regard.errors import SettingsError, nearest
from regard.models import FROM_DATA, KINDS, configure
from regard.settings import Settings
from regard.text.tokenizer import Kind as TokenizerKind
from regard.training import TrainingSettings

__all__ = [
    "RunSettings",
    "TextSettings",
    "by_group",
    "named_values",
    "read_file",
    "resolve",
    "resolve_tuning",
]

Values = Mapping[str, Any]


class TextSettings(Settings):
    """Settings of the step from text to ids."""

    title: ClassVar[str] = "text"

    tokenizer: TokenizerKind = "bpe"
    vocabulary: Annotated[int, Field(ge=5)] = 8000
    """Largest number of entries of each tokenizer."""
    lowercase: bool = False
    min_count: Annotated[int, Field(ge=1)] = 1
    """Occurrences of a word in the training part from which on it is known."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest sequence. In training, longer pairs are left out and counted; other texts are cut."""


class RunSettings(Settings):
    """Settings of one training run.

    Args:
        task: what the model is for.
        kind: kind of model.
        preset: size of the model.
        model: settings of the model that differ from the preset's, by name.
        text: how text becomes ids.
        training: how to train.
        decoding: how to decode, for a model that writes text.

    Raises:
        SettingsError: a value that is not allowed, the model's included.
    """

    title: ClassVar[str] = "run"

    task: Task
    kind: str
    preset: str = "small"
    model: dict[str, Any] = Field(default_factory=dict)
    text: TextSettings = TextSettings()
    training: TrainingSettings = TrainingSettings()
    decoding: DecodingSettings = DecodingSettings()

    @model_validator(mode="after")
    def _model_can_be_made(self) -> RunSettings:
        if self.kind == PRETRAINED:
            TuningSettings(**self.model)
            return self
        # Sizes of vocabularies and labels come from data that is read later; any will do here.
        sizes = dict.fromkeys(FROM_DATA & _fields_of(self.kind), 2)
        configure(self.kind, self.preset, **{**self.model, **sizes})
        return self


def resolve(
    task: str, *, kind: str | None = None, preset: str = "small", values: Values | None = None
) -> RunSettings:
    """Settings of a task: those of its preset, then `values` over them.

    Args:
        task: `"translation"`, `"classification"`, `"summarization"` or `"language"`.
        kind: of model; `None` takes the task's own.
        preset: `"tiny"`, `"small"` or `"base"`.
        values: settings by name. A name that occurs in several groups means the first of
            training, text, model, decoding; `"decoding.seed"` says which.

    Raises:
        SettingsError: an unknown name (with the nearest one) or a value that is not allowed.
    """
    if task not in PRESETS:
        raise SettingsError(f"no task {task!r}; {nearest(task, PRESETS)}")
    defaults = PRESETS[task]
    kind = kind or defaults.kind
    if kind not in defaults.kinds:
        raise SettingsError(f"no model {kind!r} for {task}; {nearest(kind, defaults.kinds)}")
    groups = {name: dict(group) for name, group in defaults.groups(kind, preset).items()}
    for name, group in by_group(kind, values or {}).items():
        groups[name] |= group
    settings: dict[str, Any] = {"task": task, "kind": kind, "preset": preset, **groups}
    return RunSettings(**settings)


def resolve_tuning(
    task: str, *, tune: Tune | None, base: str, base_weights: str, values: Values | None = None
) -> RunSettings:
    """Settings of fine-tuning: those of the task and the way to tune, then `values` over them.

    Args:
        task: as of `resolve`.
        tune: `"frozen"`, `"full"` or `"lora"`; `None` for frozen in classification, else full.
        base: the pretrained model, as the user named it.
        base_weights: SHA-256 of its weights.
        values: settings by name, as of `resolve`.

    Raises:
        SettingsError: an unknown name (with the nearest one) or a value that is not allowed.
    """
    if task not in TUNING:
        raise SettingsError(f"no task {task!r}; {nearest(task, TUNING)}")
    tune = tune or ("frozen" if task == "classification" else "full")
    if tune not in get_args(Tune):
        raise SettingsError(f"tune is {tune!r}; {nearest(tune, get_args(Tune))}")
    if tune == "frozen" and task != "classification":
        raise SettingsError(
            f"tune is 'frozen', which solves the head of a classifier, and {task} has none; tune it "
            "'full', or 'lora' with less memory"
        )
    groups = {name: dict(group) for name, group in TUNING[task].groups(PRETRAINED, tune).items()}
    for name, group in by_group(PRETRAINED, values or {}).items():
        groups[name] |= group
    own: dict[str, Any] = {"tune": tune, "base": base, "base_weights": base_weights}
    groups["model"] = TuningSettings(**groups["model"], **own).model_dump()
    settings: dict[str, Any] = {"task": task, "kind": PRETRAINED, **groups}
    return RunSettings(**settings)


def by_group(kind: str, values: Values) -> dict[str, dict[str, Any]]:
    """Values of a user by group and plain name: `{"training": {"epochs": 3}, ...}`.

    Raises:
        SettingsError: an unknown name, with the nearest one.
    """
    fields = {
        "training": set(TrainingSettings.model_fields),
        "text": set(TextSettings.model_fields),
        "model": _fields_of(kind) - FROM_DATA - {"kind"},
        "decoding": set(DecodingSettings.model_fields),
    }
    groups: dict[str, dict[str, Any]] = {name: {} for name in fields}
    for name, value in values.items():
        group, plain = _find(name, fields)
        groups[group][plain] = value
    return groups


def _fields_of(kind: str) -> set[str]:
    """Names of the settings of a kind of model."""
    if kind == PRETRAINED:
        return set(TuningSettings.model_fields) - {"tune", "base", "base_weights"}
    return set(KINDS[kind][0].model_fields) if kind in KINDS else set()


def _find(name: str, fields: Mapping[str, set[str]]) -> tuple[str, str]:
    """Group and plain name of a setting."""
    group, dot, plain = name.partition(".")
    if dot and group in fields and plain in fields[group]:
        return group, plain
    for group, names in fields.items():
        if not dot and name in names:
            return group, name
    known = set().union(*fields.values()) | {f"{g}.{n}" for g in fields for n in fields[g] if dot}
    raise SettingsError(f"no setting {name!r}; {nearest(name, known)}")


def read_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Settings of a TOML or YAML file by name; those of a section `[training]` as `training.NAME`.

    Raises:
        SettingsError: no such file, or not TOML or YAML.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".toml":
            loaded: Any = tomllib.loads(text)
        else:
            loaded = yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: neither TOML nor YAML ({error})") from None
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path}: expected lines like `learning_rate: 0.001`")
    flat: dict[str, Any] = {}
    for name, value in loaded.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        else:
            flat[str(name)] = value
    return flat


def named_values(assignments: Iterable[str]) -> dict[str, Any]:
    """Settings of assignments such as `"epochs=3"`, whose values are read as YAML.

    Raises:
        SettingsError: no `=` in an assignment.
    """
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"{assignment!r} is no setting; expected name=value")
        values[name.strip()] = _scalar(value.strip())
    return values


def _scalar(text: str) -> Any:
    try:  # YAML 1.1 reads 1e-3 as a text
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
