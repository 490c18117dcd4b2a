"""Records of a run."""

from __future__ import annotations

from pathlib import Path

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
