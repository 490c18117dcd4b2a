"""Heads and comparisons by workers: the figures of one process, bit for bit."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.data import dates
from regard.errors import InputError
from regard.training import Interrupted
from tests.pickled_engine import PickledEngine

PAIRS = [(each.text, each.target or "") for each in dates.generate(300, part="test")]


def test_heads(translators: tuple[Path, Path], tmp_path: Path) -> None:
    engine = PickledEngine()
    (tmp_path / "links").write_text("0-0\n" * 300)
    links = tmp_path / "links"
    found = regard.heads(translators[0], PAIRS, links=links, engine=engine)
    assert engine.shards == 3
    assert found.to_json() == regard.heads(translators[0], PAIRS, links=links).to_json()


def test_compare_tells_the_unit_by_its_first_text_alone(translators: tuple[Path, Path]) -> None:
    engine, (first, second) = PickledEngine(sees_files=False), translators
    texts = [("", ""), *PAIRS]
    found = regard.compare(first, second, texts, floor=second, engine=engine)
    assert engine.shards == 2  # the first chunk was read here
    assert found.to_json() == regard.compare(first, second, texts, floor=second).to_json()


def test_a_pass_goes_on_whoever_read_the_first_texts(
    translators: tuple[Path, Path], tmp_path: Path
) -> None:
    class Stopped(PickledEngine):
        def run(self, make_work: Any, shards: Any) -> Any:
            results = super().run(make_work, shards)
            yield next(results)
            signal.raise_signal(signal.SIGINT)
            yield from results

    whole = regard.heads(translators[0], PAIRS).to_json()
    state = tmp_path / "state"
    with pytest.raises(Interrupted):
        regard.heads(translators[0], PAIRS, state=state, engine=Stopped())
    engine = PickledEngine()
    assert regard.heads(translators[0], PAIRS, state=state, engine=engine).to_json() == whole
    assert engine.shards == 2
    assert regard.heads(translators[0], PAIRS, state=state).to_json() == whole


def test_an_error_of_a_worker_is_the_error_of_this_process(
    translators: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "links").write_text("0-0\n" * 299 + "0-99\n")
    messages = []
    for engine in (None, PickledEngine()):
        with pytest.raises(InputError, match="link 0-99 is of a word") as raised:
            regard.heads(translators[0], PAIRS, links=tmp_path / "links", engine=engine)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
