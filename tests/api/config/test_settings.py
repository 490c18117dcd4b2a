"""Settings: where they come from, and what happens to names nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.api.config.presets import PRESETS
from regard.api.config.settings import RunSettings, named_values, read_file, resolve
from regard.errors import SettingsError
from regard.models import KINDS, configure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("0.5", 0.5),
        ("true", True),
        ("word", "word"),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("everything", "everything"),
        ("a=b", "a=b"),
        ("{", "{"),
    ],
)
def test_values_are_read_as_people_mean_them(text: str, value: object) -> None:
    assert named_values([f"name={text}"]) == {"name": value}


def test_an_assignment_needs_its_sign() -> None:
    with pytest.raises(SettingsError, match="expected name=value"):
        named_values(["epochs 3"])


def test_names_find_their_group() -> None:
    found = resolve(
        "translation",
        values={
            "epochs": 3,
            "width": 64,
            "tokenizer": "word",
            "beam": 7,
            "decoding.seed": 9,
            "seed": 4,
        },
    )
    assert found.training.epochs == 3
    assert found.model["width"] == 64
    assert found.text.tokenizer == "word"
    assert found.decoding.beam == 7
    assert (found.training.seed, found.decoding.seed) == (4, 9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "no setting 'epoch'; did you mean 'epochs'"),
        ({"training.widht": 3}, "no setting 'training.widht'"),
        ({"epochs": 0}, "setting epochs=0"),
        ({"schedule": "triangle"}, "setting schedule='triangle'"),
        ({"source_size": 9}, "no setting 'source_size'"),
    ],
)
def test_what_cannot_be_set(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve("translation", values=values)


def test_unknown_tasks_and_kinds_name_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'translation'"):
        resolve("translaton")
    with pytest.raises(SettingsError, match="did you mean 'transformer'"):
        resolve("translation", kind="transfomer")


@pytest.mark.parametrize("task", list(PRESETS))
@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
def test_every_preset_makes_a_model_and_survives_json(task: str, preset: str) -> None:
    for kind in PRESETS[task].kinds:
        found = resolve(task, kind=kind, preset=preset)
        assert RunSettings(**found.model_dump(mode="json")) == found
        needed = {"size": 99, "source_size": 99, "target_size": 99, "labels": 3}
        sizes = {k: v for k, v in needed.items() if k in KINDS[kind][0].model_fields}
        assert configure(kind, preset, **{**found.model, **sizes}).kind == kind


@given(st.sampled_from(list(PRESETS)), st.integers(1, 99), st.floats(1e-6, 1))
def test_what_is_set_is_kept(task: str, epochs: int, rate: float) -> None:
    found = resolve(task, values={"epochs": epochs, "learning_rate": rate})
    assert (found.training.epochs, found.training.learning_rate) == (epochs, rate)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.toml", "epochs = 3\n[decoding]\nseed = 5\n"),
        ("s.yaml", "epochs: 3\ndecoding:\n  seed: 5\n"),
        ("s.toml", "\ufeffepochs = 3\n[decoding]\nseed = 5\n"),
    ],
)
def test_files_hold_settings(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_file(tmp_path / name) == {"epochs": 3, "decoding.seed": 5}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.toml", "epochs 3", "neither TOML nor YAML"),
        ("s.yaml", "- 3", "expected lines like"),
        ("s.yaml", "a: !!python/object/apply:os.system ['true']", "neither TOML nor YAML"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_file(tmp_path / name)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_file(tmp_path / "missing.toml")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_setting_hides_behind_the_choice_of_kind_and_size(kind: str) -> None:
    """`configure` takes both itself, so `--set preset=...` would never reach the model."""
    assert "preset" not in KINDS[kind][0].model_fields
