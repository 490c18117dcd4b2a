"""Records of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.errors import DataError
from regard.training import History, Ranking


def test_best_of_a_history() -> None:
    records = [
        {"step": s, "valid_loss": v, "valid_bleu": b}
        for s, v, b in ((1, 3.0, 10.0), (2, 2.0, 9.0), (3, 2.0, 10.0))
    ]
    history = History(records)
    assert history.best("loss") == records[1]
    assert history.best("bleu") == records[0]
    assert history.best("rouge") is None
    assert history.best(Ranking("bleu", ties=("loss",))) == records[2]
    assert history.validations == records


def test_saved_as_one_json_object_per_line(tmp_path: Path) -> None:
    history = History([{"step": 1, "train_loss": 0.1 + 0.2}, {"step": 1, "valid_loss": 2.0}])
    history.save(tmp_path / "history.jsonl")
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    again = History.load(tmp_path / "history.jsonl")
    assert again.records == history.records
    assert again.losses == [0.1 + 0.2]


def test_a_line_that_was_cut_off_is_no_record(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    records = [{"step": 1, "train_loss": 0.5}, {"step": 2, "valid_loss": 2.0}]
    History(records).save(file)
    whole = file.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole) - 1):
        file.write_bytes(whole[:end])
        assert History.load(file).records == records[:1], whole[:end]
    for content in (whole, whole[:-1], whole + b"\n\n", whole.replace(b"\n", b"\r\n")):
        assert History.parse(content, file).records == records
    assert History.parse(whole + "\u00e4".encode()[:1], file).records == records


@pytest.mark.parametrize("line", ["{", "[1]", "3", "\ufffd"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"history\.jsonl:2: not a record .*--resume"):
        History.load(file)


def test_a_row_for_each_validation_with_the_loss_since_the_one_before() -> None:
    history = History(
        [
            {"step": 2, "epoch": 1, "train_loss": 4.0},
            {"step": 3, "epoch": 1, "train_loss": 1.0},
            {"step": 3, "epoch": 1, "valid_loss": 2.0, "best": True},
            {"finding": "something"},
            {"step": 5, "epoch": 2, "train_loss": 0.5},
            {"step": 5, "epoch": 2, "valid_loss": 3.0, "best": False},
            {"step": 6, "epoch": 2, "valid_loss": 2.5, "best": False},
        ]
    )
    assert history.table == [
        {"step": 3, "epoch": 1, "train_loss": 3.0, "valid_loss": 2.0, "best": True},
        {"step": 5, "epoch": 2, "train_loss": 0.5, "valid_loss": 3.0, "best": False},
        {"step": 6, "epoch": 2, "valid_loss": 2.5, "best": False},
    ]
    assert repr(history) == "History(7 records, 3 validations)"
