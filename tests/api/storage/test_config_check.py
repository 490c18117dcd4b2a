"""Everything that is wrong with a `config.json` is told in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.api.storage.config_check import check_config
from regard.errors import ModelFolderError

RIGHT: dict[str, Any] = {
    "regard": "0.1.0",
    "format": 3,
    "settings": {"task": "classification", "kind": "bigru"},
    "data": {},
    "model": {"kind": "bigru", "labels": 2},
    "labels": ["no", "yes"],
    "multilabel": False,
}


def fault(**changes: Any) -> str:
    config = {**RIGHT, **changes}
    with pytest.raises(ModelFolderError) as caught:
        check_config({k: v for k, v in config.items() if v is not ...}, Path("config.json"))
    return str(caught.value)


def test_what_is_right_passes() -> None:
    check_config(RIGHT, Path("config.json"))


def test_all_faults_in_one_message() -> None:
    message = fault(data=..., multilabel=..., label=["no"], model=[], derived={})
    assert "lacks data, multilabel" in message
    assert "'label', which nothing reads" in message
    assert "model=[]: expected an object" in message
    assert "derived={}: expected a list" in message


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["no", "no"], "the label 'no' stands there 2 times"),
        (["no", "yes", "maybe"], "3 labels, the model has 2"),
        (["no", 1], "the label 1 is not a string"),
        ("no", "labels='no': expected a list"),
    ],
)
def test_labels(labels: Any, expected: str) -> None:
    assert expected in fault(labels=labels)


def test_keys_follow_from_the_kind() -> None:
    assert "lacks sentences" in fault(
        settings={"task": "summarization", "kind": "extractive"}, labels=..., multilabel=...
    )
    assert "'labels'" in fault(settings={"task": "language", "kind": "lm"})
