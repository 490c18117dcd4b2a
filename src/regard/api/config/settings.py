"""All settings of a run: from presets, a file and single names, checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from regard.api.config.presets import PRESETS, Task
from regard.decoding import DecodingSettings
from regard.errors import SettingsError, nearest
from regard.models import KINDS
from regard.text.tokenizer import Kind as TokenizerKind
from regard.training import TrainingSettings

__all__ = ["Settings", "TextSettings", "named_values", "read_file", "resolve"]

Values = Mapping[str, Any]
S = TypeVar("S", bound=BaseModel)


class TextSettings(BaseModel):
    """How text becomes ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: TokenizerKind = "bpe"
    vocabulary: Annotated[int, Field(ge=5)] = 8000
    """Entries at most, of each tokenizer."""
    lowercase: bool = False
    min_count: Annotated[int, Field(ge=1)] = 1
    """How often a word must occur in the training part to be known."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest sequence; in training longer pairs are left out and counted, other texts are cut."""
    replace_unknown: bool | None = None
    """Write the source word looked at for a word that is not known; `None`: if tokens are words."""

    @property
    def replaces(self) -> bool:
        """Whether unknown words are replaced."""
        chosen = self.replace_unknown
        return self.tokenizer == "word" if chosen is None else chosen


@dataclass(frozen=True)
class Settings:
    """How to train one model.

    Args:
        task: what it is for.
        kind: of model.
        preset: its size.
        model: single settings of the model that differ from the preset.
        text: how text becomes ids.
        training: how to train.
        decoding: how to decode, when it writes text.
    """

    task: Task
    kind: str
    preset: str = "small"
    model: Values = field(default_factory=dict)
    text: TextSettings = field(default_factory=TextSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    decoding: DecodingSettings = field(default_factory=DecodingSettings)

    def to_json(self) -> dict[str, Any]:
        """As `config.json` keeps it."""
        return {
            "task": self.task,
            "kind": self.kind,
            "preset": self.preset,
            "model": dict(self.model),
            "text": self.text.model_dump(),
            "training": self.training.model_dump(),
            "decoding": self.decoding.model_dump(),
        }

    @classmethod
    def from_json(cls, values: Values) -> Settings:
        """Back from `to_json`."""
        return cls(
            task=values["task"],
            kind=values["kind"],
            preset=values["preset"],
            model=values["model"],
            text=_make(TextSettings, values["text"]),
            training=_make(TrainingSettings, values["training"]),
            decoding=_make(DecodingSettings, values["decoding"]),
        )


def resolve(
    task: str, *, kind: str | None = None, preset: str = "small", values: Values | None = None
) -> Settings:
    """Settings of a task: those of its preset, then `values` over them.

    Args:
        task: `"translation"`, `"classification"`, `"summarization"` or `"language"`.
        kind: of model; `None` takes the task's own.
        preset: `"tiny"`, `"small"` or `"base"`.
        values: settings by name. A name that means something in several groups means the first of
            training, text, model, decoding; `"decoding.seed"` says which.

    Raises:
        SettingsError: an unknown name (with the nearest one) or a value that cannot be.
    """
    if task not in PRESETS:
        raise SettingsError(f"no task {task!r}; {nearest(task, PRESETS)}")
    defaults = PRESETS[task]
    kind = kind or defaults.kind
    if kind not in defaults.kinds:
        raise SettingsError(f"no model {kind!r} for {task}; {nearest(kind, defaults.kinds)}")
    groups = {name: dict(group) for name, group in defaults.groups(kind, preset).items()}
    fields = {
        "training": set(TrainingSettings.model_fields),
        "text": set(TextSettings.model_fields),
        "model": set(KINDS[kind][0].model_fields) - _DECIDED,
        "decoding": set(DecodingSettings.model_fields),
    }
    for name, value in (values or {}).items():
        group, plain = _place(name, fields)
        groups[group][plain] = value
    return Settings(
        task=task,  # type: ignore[arg-type]  # checked above
        kind=kind,
        preset=preset,
        model=groups["model"],
        text=_make(TextSettings, groups["text"]),
        training=_make(TrainingSettings, groups["training"]),
        decoding=_make(DecodingSettings, groups["decoding"]),
    )


_DECIDED = {"kind", "size", "source_size", "target_size", "labels"}
"""Settings of a model that follow from its task and data."""


def _place(name: str, fields: Mapping[str, set[str]]) -> tuple[str, str]:
    group, dot, plain = name.partition(".")
    if dot and group in fields and plain in fields[group]:
        return group, plain
    for group, names in fields.items():
        if not dot and name in names:
            return group, name
    known = set().union(*fields.values()) | {f"{g}.{n}" for g in fields for n in fields[g] if dot}
    raise SettingsError(f"no setting {name!r}; {nearest(name, known)}")


def _make(kind: type[S], values: Values) -> S:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {name}={first['input']!r}: {first['msg']}") from None


def read_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Settings from a TOML or YAML file, by name; a section `[training]` is a prefix.

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
    """Settings from texts like `"epochs=3"`; the value is read as YAML reads it."""
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
