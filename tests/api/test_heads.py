"""Heads over a corpus: planted heads are found, and nothing else; runs can be interrupted."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

import regard
from regard.api import Classifier, Generator, HeadReport, Model, Translator
from regard.api.corpus.attention import TextPair
from regard.api.corpus.readers import reader_of_model
from regard.errors import DataError, InputError
from regard.training.interrupt import Interrupted


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, planted_heads: ModuleType) -> Model:
    return regard.load(planted_heads.save_planted(tmp_path_factory.mktemp("models") / "planted"))


@pytest.fixture(scope="module")
def report(planted_heads: ModuleType, planted: Model) -> HeadReport:
    return regard.heads(planted, planted_heads.repeated_texts(150))


def kinds_of(report: HeadReport) -> dict[tuple[int, int], str]:
    return {(each.layer, each.head): each.kind for each in report.heads}


def test_every_planted_head_is_found(planted_heads: ModuleType, report: HeadReport) -> None:
    assert kinds_of(report) == planted_heads.KINDS
    assert all(each.judgement.sure for each in report.heads)
    assert (report.texts, report.notes) == (150, ())
    for each in report.heads:
        if each.kind not in ("broad", "punctuation"):
            assert each.values[each.judgement.statistic].mean == pytest.approx(1, abs=1e-3), each


def test_no_induction_head_where_nothing_repeats(planted_heads: ModuleType, planted: Model) -> None:
    found = regard.heads(planted, planted_heads.plain_texts(60))
    assert {"induction", "duplicate"}.isdisjoint(found.kinds())
    expected = {
        at: kind
        for at, kind in planted_heads.KINDS.items()
        if kind not in ("induction", "duplicate")
    }
    assert {at: kind for at, kind in kinds_of(found).items() if at in expected} == expected
    assert "induction" not in found.heads[0].values


def test_an_untrained_model_has_none(planted_heads: ModuleType, planted: Model) -> None:
    """Random weights of the same shape do nothing on repeated sequences that has a name but broad."""
    torch.manual_seed(0)
    other = regard.load(planted.folder or "")
    for parameter in other.network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    found = regard.heads(other, planted_heads.repeated_texts(40))
    assert set(found.kinds()) <= {"broad", "mixed"}


def test_batches_change_nothing(planted_heads: ModuleType, planted: Model) -> None:
    """Each text alone gives the same sums."""
    texts = planted_heads.repeated_texts(12, seed=3)
    together = regard.heads(planted, texts)
    alone = [regard.heads(planted, [text]) for text in texts]
    for number, head in enumerate(together.heads):
        counts = [np.prod([len(text.split())]) for text in texts]
        means = [each.heads[number].values["distance"].mean for each in alone]
        expected = np.average(means, weights=counts)
        assert head.values["distance"].mean == pytest.approx(expected, rel=1e-5)


def test_against_whole_maps(classifier: Classifier) -> None:
    """Of a classifier of ours: statistics of the record that `look` shows."""
    texts = ["red green is good", "blue blue gold is bad", "grey is good"]
    found = regard.heads(classifier, texts)
    sites = {each.site for each in found.heads}
    record = classifier.look(texts[0])
    assert sites == {track.name for track in record.tracks}
    assert len(found.heads) == sum(track.heads for track in record.tracks)
    single = regard.heads(classifier, texts[:1])
    for track in record.tracks:
        for head in range(track.heads):
            each = next(
                h
                for h in single.heads
                if (h.site, h.layer, h.head) == (track.name, (track.layer or 0) + 1, head + 1)
            )
            expected = track.entropy()[head].mean()
            assert each.values["entropy"].mean == pytest.approx(expected, rel=1e-5)


def test_a_language_model_reads_its_mark_first(generator: Generator) -> None:
    found = regard.heads(generator, ["red green blue", "gold is good"])
    assert {each.site for each in found.heads} == {"decoder"}
    assert found.tokens == sum(
        1 + len(generator.tokenizer.encode(text)) for text in ("red green blue", "gold is good")
    )
    assert all("next" not in each.values for each in found.heads)


def test_a_translator_writes_or_is_given_targets(translator: Translator) -> None:
    sources = ["21 may 2003", "4 june 1999"]
    own = regard.heads(translator, sources)
    given = regard.heads(translator, list(zip(sources, ["2003-05-21", "1999-06-04"], strict=True)))
    for found in (own, given):
        assert {each.site for each in found.heads} == {"encoder", "decoder", "cross"}
    assert own.heads[0].row() == given.heads[0].row()  # the encoder does not see the target


# Files, states and links


def test_a_file_is_read_as_lines(planted_heads: ModuleType, planted: Model, tmp_path: Path) -> None:
    texts = planted_heads.repeated_texts(5)
    (tmp_path / "t.txt").write_text("\n".join([*texts, "", ""]), encoding="utf-8")
    found = regard.heads(planted, tmp_path / "t.txt")
    assert found.texts == 5
    assert found.notes == ("1 text without any token was left out.",)
    assert found.rows() == regard.heads(planted, texts).rows()


def test_an_interrupted_run_goes_on_exactly(
    planted_heads: ModuleType, planted: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, state = planted_heads.repeated_texts(90), tmp_path / "state.npz"
    monkeypatch.setattr("regard.api.corpus.streaming.TEXTS_PER_CHUNK", 20)
    whole = regard.heads(planted, texts)

    def stop(done: int) -> None:
        if done == 40:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        regard.heads(planted, texts, state=state, on_progress=stop)
    seen: list[int] = []
    resumed = regard.heads(planted, texts, state=state, on_progress=seen.append)
    assert seen == [40, 60, 80, 90]
    assert resumed.to_json() == whole.to_json()
    again: list[int] = []
    regard.heads(planted, texts, state=state, on_progress=again.append)
    assert again == [90]
    longer = regard.heads(planted, [*texts, *planted_heads.repeated_texts(10, seed=9)], state=state)
    assert longer.texts == 100


def test_a_state_of_something_else_is_refused(
    planted_heads: ModuleType, planted: Model, generator: Generator, tmp_path: Path
) -> None:
    state = tmp_path / "state.npz"
    regard.heads(planted, planted_heads.repeated_texts(4), state=state)
    with pytest.raises(InputError, match="another model"):
        regard.heads(generator, planted_heads.repeated_texts(4), state=state)
    with pytest.raises(InputError, match="do not begin with them"):
        regard.heads(planted, planted_heads.repeated_texts(4, seed=1), state=state)
    with pytest.raises(InputError, match="do not begin with them"):
        regard.heads(planted, planted_heads.repeated_texts(3), state=state)
    state.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"state\.npz: no state"):
        regard.heads(planted, planted_heads.repeated_texts(4), state=state)


def test_links_find_the_head_that_follows_them(
    planted_heads: ModuleType, planted: Model, tmp_path: Path
) -> None:
    """Each word of the second half is linked to the word that followed its first occurrence."""
    texts = planted_heads.repeated_texts(60)
    lines = []
    for text in texts:
        half = len(text.split()) // 2
        lines.append(" ".join(f"{half + i}-{i + 1}" for i in range(half - 1)))
    (tmp_path / "links").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = regard.heads(planted, texts, links=tmp_path / "links")
    agreement = {(h.layer, h.head): h.values["links"] for h in found.heads}
    assert agreement[2, 1].mean == 1
    assert agreement[2, 1].chance < 0.5
    assert agreement[1, 1].mean == 0
    assert "links" in next(h for h in found.heads if (h.layer, h.head) == (2, 1)).judgement.others


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0-1\n", "1 lines of links"),
        ("0-1\n0-1\n0-1\n", "more lines of links than texts"),
        ("0-1\n0-99\n", "link 0-99"),
        ("0-1\n0~1\n", r"links:2: '0~1' is not a link"),
    ],
)
def test_links_that_do_not_fit(
    planted_heads: ModuleType, planted: Model, tmp_path: Path, lines: str, message: str
) -> None:
    (tmp_path / "links").write_text(lines, encoding="utf-8")
    with pytest.raises((DataError, InputError), match=message):
        regard.heads(planted, planted_heads.repeated_texts(2), links=tmp_path / "links")


def test_texts_without_any_token(planted: Model) -> None:
    with pytest.raises(InputError, match="2 texts and none that can be read"):
        regard.heads(planted, ["", "  "])
    with pytest.raises(InputError, match="text 2 is 3"):
        regard.heads(planted, ["w1 w2", 3])  # type: ignore[list-item]


def test_a_long_text_is_cut_and_said_so(planted: Model) -> None:
    found = regard.heads(planted, [" ".join(["w1", "w2", "w3"] * 40), "w4 w5 w6"])
    assert found.notes == ("1 text was cut to what the model reads.",)


# Files written


def test_tables_json_and_page(
    planted_heads: ModuleType, report: HeadReport, tmp_path: Path
) -> None:
    rows = parquet.read_table(report.save(tmp_path / "h.parquet")).to_pylist()
    assert [row["kind"] for row in rows] == list(planted_heads.KINDS.values())
    assert rows[0]["previous_low"] <= rows[0]["previous"] <= rows[0]["previous_high"]
    assert 0 < rows[0]["previous_chance"] < 0.2
    content = json.loads(report.save(tmp_path / "h.json").read_text("utf-8"))
    assert content["kinds"] == dict(Counter(planted_heads.KINDS.values()).most_common())
    assert content["heads"][4]["values"]["induction"]["mean"] == pytest.approx(1, abs=1e-3)
    lines = report.save(tmp_path / "h.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(planted_heads.KINDS)
    page = report.save(tmp_path / "h.html").read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    with pytest.raises(InputError, match=r"unknown ending '\.xlsx'"):
        report.save(tmp_path / "h.xlsx")


def test_the_example_of_an_induction_head_shows_it(report: HeadReport) -> None:
    head = next(each for each in report.heads if each.kind == "induction")
    assert head.example is not None
    record = report.examples[head.example]
    words = record.title.split()
    weights = record.tracks[head.layer - 1].dense(head.head - 1)
    half = len(words) // 2
    assert weights[half + 1].argmax() == 2


def test_the_terminal_shows_each_head(
    planted_heads: ModuleType, report: HeadReport, capsys: pytest.CaptureFixture[str]
) -> None:
    report.show()
    shown = capsys.readouterr().out
    assert "decoder 2.1" in shown
    assert "induction 1.00 [1.00, 1.00]" in shown
    assert sum(line.startswith("decoder ") for line in shown.splitlines()) == 1 + len(
        planted_heads.KINDS
    )


@pytest.mark.parametrize("kind", ["sentiment", "gpt2", "t5", "marian"])
def test_maps_without_a_head_are_the_same(pretrained: Callable[[str], Path], kind: str) -> None:
    """A pretrained model makes its maps in one pass, below its head, and beside its answers in another."""
    reader = reader_of_model(pretrained(kind))
    texts = reader.encode(
        [TextPair("The bank raised its rates."), TextPair("I did not like it", "no")]
    )
    alone, beside = reader.read(texts), reader.read(texts, answers=True)
    assert alone.maps.keys() == beside.maps.keys()
    for site, layers in alone.maps.items():
        for one, other in zip(layers, beside.maps[site], strict=True):
            torch.testing.assert_close(one.dense(), other.dense())
    assert all(beside.answers)


def test_a_long_text_is_read_a_few_rows_at_a_time(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(f"{word} is good" for word in ("red", "blue", "green", "gold") * 3)
    whole = regard.heads(generator, [text])
    monkeypatch.setattr("regard.api.corpus.attention.CELLS_PER_TILE", 7)
    monkeypatch.setattr("regard.api.corpus.attention.CELLS_TOGETHER", 1)
    tiled = regard.heads(generator, [text])
    for one, other in zip(tiled.heads, whole.heads, strict=True):
        for name, value in other.values.items():
            assert one.values[name].mean == pytest.approx(value.mean, rel=1e-5), name


def test_alignments_are_of_cross_attention(translator: Translator, tmp_path: Path) -> None:
    """Word 0 of the source is linked to the only word of the target, against sums by hand."""
    pairs = [("21 may 2003", "2003-05-21"), ("4 june 1999", "1999-06-04")]
    (tmp_path / "links").write_text("0-0\n0-0\n", encoding="utf-8")
    found = regard.heads(translator, pairs, links=tmp_path / "links")
    expected: dict[tuple[int, int], list[bool]] = {}
    for source, target in pairs:
        record = translator.look(source, target)
        for track in record.tracks:
            if track.name != "cross":
                continue
            rows = [not mark for mark in record.queries(track).special]
            for head in range(track.heads):
                weights = track.dense(head)[rows].mean(axis=0)
                words = [0.0, 0.0, 0.0]
                for weight, (start, end) in zip(weights, record.keys(track).offsets, strict=True):
                    if end > start:
                        seen = source[: start + 1].rstrip()  # a space belongs to the word after it
                        words[seen.count(" ") + (source[start] == " ")] += float(weight)
                hits = expected.setdefault(((track.layer or 0) + 1, head + 1), [])
                hits.append(int(np.argmax(words)) == 0)
    shown = {(h.layer, h.head): h.values for h in found.heads if h.site == "cross"}
    assert expected.keys() == shown.keys()
    for at, hits in expected.items():
        assert shown[at]["links"].mean == np.mean(hits)
        assert "links_reversed" not in shown[at]
    assert all("links" not in h.values for h in found.heads if h.site != "cross")


def test_a_model_that_writes_nothing_takes_no_targets(planted: Model) -> None:
    with pytest.raises(InputError, match="takes no targets"):
        regard.heads(planted, [("w1 w2", "w3 w4")])


def test_statistics_of_ones_own(planted_heads: ModuleType, planted: Model, tmp_path: Path) -> None:
    """Means over queries beside those of the library; a pass that goes on ends with the same."""
    own = {
        "order two": regard.statistics.RenyiEntropy(2),
        "shannon": regard.statistics.RenyiEntropy(1),
        "near": regard.statistics.MassWithinWindow(1, 0),
    }
    texts = planted_heads.repeated_texts(12)
    found = regard.heads(planted, texts, statistics=own)
    plain = regard.heads(planted, texts)
    for each, other in zip(found.heads, plain.heads, strict=True):
        kept = {name: value for name, value in each.values.items() if name not in own}
        assert repr(kept) == repr(dict(other.values))  # NaN is not equal to itself
        assert each.kind == other.kind
        assert 0 <= each.values["order two"].mean <= each.values["shannon"].mean + 1e-6
        assert each.values["near"].low <= each.values["near"].mean <= 1 + 1e-6
        assert each.row()["near"] == each.values["near"].mean
    by_kind = {each.kind: each.values["near"].mean for each in found.heads}
    assert by_kind["previous"] > 0.99
    state = tmp_path / "state"
    regard.heads(planted, texts, statistics=own, state=state)
    with pytest.raises(InputError, match="statistics"):
        regard.heads(planted, texts, statistics={"near": own["near"]}, state=state)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"entropy": own["near"]}, "choose another name"),
        ({"bins": regard.statistics.WeightHistogram()}, "one number for each query"),
        ({"near": 3}, "expected an object"),
    )
    for wrong, message in refused:
        with pytest.raises(InputError, match=message):
            regard.heads(planted, texts, statistics=wrong)
