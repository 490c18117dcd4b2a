"""The verbs, called as from a shell: what comes out, what goes to standard error, and the status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from regard.cli.app import app
from regard.data import dates
from regard.viewing import AttentionRecord

VERBS = (
    "demo",
    "data",
    "train",
    "evaluate",
    "translate",
    "classify",
    "summarize",
    "generate",
    "look",
    "heads",
    "compare",
    "learn",
)


def call(*arguments: object, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_examples(verb: str) -> None:
    shown = call(verb, "--help")
    assert shown.exit_code == 0
    assert "Examples" in shown.output
    assert f"regard {verb}" in shown.output


def test_a_second_demo_needs_leave_to_replace_the_first(model: Path) -> None:
    found = call("demo", "--out", model)
    assert found.exit_code == 2
    assert "already holds a model; --overwrite replaces it, or choose another --out" in found.stderr
    assert call("translate", model, text="3. Mai 2018\n").exit_code == 0


def test_as_many_lines_out_as_in(model: Path) -> None:
    lines = "3. Mai 2018\n\n4 June 2020\u2028x\n\u0085\n5/3/18"  # no line end after the last
    found = call("translate", model, "--set", "min_length=3", text=lines)
    assert found.exit_code == 0
    answers = found.stdout.removesuffix("\n").split("\n")
    assert len(answers) == 5
    assert answers[1] == ""
    assert answers[3] == ""
    assert answers[0]
    assert found.stderr == ""


def test_files_and_standard_input_are_the_same(model: Path, tmp_path: Path) -> None:
    lines = "3. Mai 2018\n4 juin 2020\n"
    (tmp_path / "in.txt").write_text(lines)
    piped = call("translate", model, text=lines).stdout
    assert call("translate", model, tmp_path / "in.txt").stdout == piped
    assert call("translate", model, "-", text=lines).stdout == piped
    assert call("translate", model, text="").stdout == ""


def test_json_is_one_object_per_line(model: Path) -> None:
    found = call("translate", model, "--n-best", 2, "--json", text="3. Mai 2018\n\n")
    first, second = map(json.loads, found.stdout.splitlines())
    assert first["source"] == "3. Mai 2018"
    assert len(first["alternatives"]) == 1
    assert len(first["alignment"]) == len(first["tokens"])
    assert (first["reading"], first["layer"], first["head"]) == ("output", None, None)
    assert "links" not in first
    assert second["text"] == ""


def test_the_n_best_are_lines_of_their_own(model: Path) -> None:
    options = ("--beam", 4, "--n-best", 3, "--set", "min_length=2")
    found = call("translate", model, *options, text="3. Mai 2018\n\n4 June\n").stdout
    lines = found.removesuffix("\n").split("\n")
    assert len(lines) == 9
    assert lines[3:6] == ["", "", ""]
    as_json = call("translate", model, *options, "--json", text="3. Mai 2018\n\n4 June\n").stdout
    for first, answer in zip((0, 3, 6), map(json.loads, as_json.splitlines()), strict=True):
        texts = [answer["text"], *(other["text"] for other in answer["alternatives"])]
        assert lines[first : first + 3] == [*texts, *[""] * (3 - len(texts))]
    assert len(set(lines[:3])) == 3
    aligned = call("translate", model, *options, "--alignment", text="3. Mai 2018\n").stdout
    assert [line.split("\t")[0] for line in aligned.splitlines()] == lines[:3]


def test_the_n_best_are_columns_of_a_table(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"id,source\n7,3. Mai 2018\n8,{'3. Mai ' * 60}\n")
    out = tmp_path / "out.jsonl"
    options = ("--beam", 4, "--n-best", 2, "--set", "min_length=2", "--out", out)
    found = call("translate", model, tmp_path / "in.csv", *options)
    assert found.exit_code == 0, found.stderr
    first, second = map(json.loads, out.read_text().splitlines())
    assert list(first)[2:] == ["translation", "score", "translation_2", "score_2"]
    assert first["score"] >= first["score_2"]
    assert first["translation"] != first["translation_2"]
    assert second["id"] == "8"
    assert "regard: row 2: only the first 255 of its" in found.stderr


def test_a_prefix_begins_every_answer(model: Path) -> None:
    options = ("--prefix", "20", "--n-best", 2, "--beam", 2)
    found = call("translate", model, *options, text="3. Mai 2018\n\n4 June\n")
    lines = found.stdout.removesuffix("\n").split("\n")
    assert [line[:2] for line in lines] == ["20", "20", "", "", "20", "20"]
    long = call("translate", model, "--prefix", "20" * 500, text="3. Mai 2018\n")
    assert long.exit_code == 2
    assert "a prefix of 1,000 tokens" in long.stderr


def test_a_very_long_line_is_cut_with_a_note_and_the_next_is_answered(model: Path) -> None:
    lines = f"3. Mai 2018\n{'3. Mai ' * 30_000}\n4 June 2020\n"
    found = call("translate", model, "--beam", 2, text=lines)
    assert found.exit_code == 0
    first, _, third = found.stdout.removesuffix("\n").split("\n")
    assert [first, third] == call(
        "translate", model, "--beam", 2, text="3. Mai 2018\n4 June 2020\n"
    ).stdout.splitlines()
    assert found.stderr == (
        "regard: line 2: only the first 255 of its 209,999 tokens were read, as many as the model was "
        "made for (max_tokens)\n"
    )
    note = json.loads(call("translate", model, "--json", text=lines).stdout.splitlines()[1])["note"]
    assert note.startswith("only the first 255 of its")


def test_the_step_layer_and_head_of_links_can_be_chosen(model: Path) -> None:
    def answer(*options: object) -> dict[str, Any]:
        written = ("--json", "--set", "min_length=4")
        found = call("translate", model, *written, *options, text="3. Mai 2018\n")
        assert found.exit_code == 0, found.output
        content: dict[str, Any] = json.loads(found.stdout)
        return content

    plain = answer("--alignment")
    assert "links" in plain
    as_read = answer("--reading", "input")
    assert as_read["reading"] == "input"
    assert as_read["alignment"][:-1] == plain["alignment"][1:]
    one = answer("--layer", 1, "--head", 2)
    assert (one["reading"], one["layer"], one["head"]) == ("output", 1, 2)
    assert one["alignment"] != plain["alignment"]
    assert answer("--layer", 0)["alignment"] == plain["alignment"]
    refused = call("translate", model, "--layer", 9, text="3. Mai 2018\n")
    assert refused.exit_code == 2
    assert "no layer 9 of cross-attention; this model has 2" in refused.stderr


def test_alignments_are_pairs_of_words(model: Path) -> None:
    found = call("translate", model, "--alignment", "--beam", 1, text="3 May 2018\n\n").stdout
    first, second, _ = found.split("\n")
    assert re.fullmatch(r"[^\t]*\t(\d+-\d+( \d+-\d+)*)?", first)
    assert second == "\t"


def test_look_draws_in_the_terminal_and_to_files(model: Path, tmp_path: Path) -> None:
    shown = call("look", model, "3. Mai 2018", "--target", "2018-05-03")
    assert shown.exit_code == 0
    assert "cross" in shown.stdout
    assert "decoder's output" in shown.stdout
    as_input = call("look", model, "3. Mai 2018", "--target", "2018-05-03", "--reading", "input")
    assert "decoder's input" in as_input.stdout
    refused = call("look", model, "3. Mai 2018", "--reading", "sideways")
    assert refused.exit_code == 2
    for name in ("map.png", "map.svg", "x.npz", "x.html"):
        assert call("look", model, "3. Mai 2018", "--out", tmp_path / name).exit_code == 0
        assert (tmp_path / name).stat().st_size > 1000
    whole = AttentionRecord.load(tmp_path / "x.npz")
    assert {track.name for track in whole.tracks} >= {"encoder", "decoder", "cross"}
    assert len(whole.select("cross").tracks) == 2  # layers
    assert {track.heads for track in whole.tracks} == {2}
    one = tmp_path / "one.npz"
    call("look", model, "3. Mai 2018", "--map", "cross", "--layer", 1, "--out", one)
    assert [track.label for track in AttentionRecord.load(one).tracks] == ["cross 1"]
    other = call("look", model, "3. Mai", "--map", "encoder", "--layer", 1, "--head", 2)
    assert other.exit_code == 0
    assert "encoder 1 · head 2" in other.stdout
    pictures = []
    for head in ([], ["--head", 1], ["--head", 2]):
        path = tmp_path / "head.png"
        assert call("look", model, "3. Mai 2018", *head, "--out", path).exit_code == 0
        pictures.append(path.read_bytes())
    for view, scale in (("alignment", "linear"), ("heads", "log"), ("layers", "row")):
        path = tmp_path / f"{view}.png"
        found = call("look", model, "3. Mai 2018", "--view", view, "--scale", scale, "--out", path)
        assert found.exit_code == 0
        pictures.append(path.read_bytes())
    assert len(set(pictures)) == 6
    linear = ["look", model, "3. Mai 2018", "--target", "2018-05-03"]
    assert call(*linear, "--scale", "row").stdout != call(*linear).stdout


@pytest.mark.parametrize("out", [[], ["--out", "x.html"]])
def test_views_are_of_pictures(model: Path, out: list[str]) -> None:
    refused = call("look", model, "3. Mai 2018", "--view", "heads", *out)
    assert refused.exit_code == 2
    assert "--out x.png" in refused.stderr


def test_evaluate_prints_figures_beside_the_baseline(model: Path, tmp_path: Path) -> None:
    examples = dates.generate(5, part="test")
    files = [tmp_path / "t.src", tmp_path / "t.tgt"]
    files[0].write_text("".join(e.text + "\n" for e in examples))
    files[1].write_text("".join(f"{e.target}\n" for e in examples))
    found = call("evaluate", model, "--test", *files)
    assert "copy of the source" in found.stdout
    assert "tok:13a" in found.stdout  # sacreBLEU's signature
    content = json.loads(call("evaluate", model, "--test", *files, "--json").stdout)
    assert content["examples"] == 5
    assert content["scores"]["model"]["BLEU"]["interval"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "nowhere"], "nowhere: no such folder"),
        (["translate", "one.txt"], "one.txt is a file; give the folder"),
        (["train", "language", "--train", "a.tsv", "--out", "new"], "a.tsv: no such file"),
        (
            ["train", "classification", "--train", "https://a.org/b.csv", "--out", "new"],
            "https://a.org/b.csv: an address, and regard reads files; fetch it first: curl -LO https://a.org/b.csv",
        ),
        (["classify", "MODEL"], "for translation, not for classification; try: regard translate"),
        (["translate", "MODEL", "missing.txt"], "missing.txt"),
        (["translate", "MODEL", "--set", "bean=3"], "did you mean 'beam'"),
        (["translate", "MODEL", "--set", "beam"], "expected name=value"),
        (["translate", "MODEL", "--n-best", "9", "--beam", "2"], "n_best=9 of beam=2"),
        (["look", "MODEL", "x", "--map", "crass"], "no map 'crass'; did you mean 'cross'?"),
        (["look", "MODEL", "x", "--layer", "9"], "no layer 9 of map 'cross'; expected 1 to 2"),
        (["look", "MODEL", "x", "--layer", "0"], "no layer 0 of map 'cross'; expected 1 to 2"),
        (["look", "MODEL", "x", "--head", "3"], "no head 3; expected 1 to 2"),
        (["look", "MODEL", "x", "--head", "2", "--out", "map.html"], "save a picture"),
        (["look", "MODEL", "x", "--out", "map.gif"], "map.gif"),
        (["evaluate", "MODEL", "--test", "one.txt"], "expected pairs"),
        (["train", "translation", "--train", "a", "b", "--out", "MODEL"], "--resume goes on"),
        (["train", "translation", "--train", "a", "b", "--out", "new"], "a: "),
        (["train", "translation", "--train", "a", "--out", "new", "--set", "epoch=1"], "'epochs'"),
    ],
)
def test_errors_are_one_message_and_a_status(
    model: Path,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("x\n")
    found = call(*[model if a == "MODEL" else a for a in arguments], text="x\n")
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.startswith("regard: ")
    assert "Traceback" not in found.output


@pytest.mark.parametrize(("no_color", "escapes"), [("1", False), ("", True)])
def test_errors_at_a_terminal_are_red_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, no_color: str, escapes: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    found = CliRunner().invoke(app, ["translate", "nowhere"], color=True)  # as at a terminal
    assert "regard: nowhere: no such folder" in found.stderr
    assert ("\x1b[" in found.stderr) is escapes


def test_text_in_another_encoding_is_read_where_it_is_named(model: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_bytes("3. März 2018\n".encode("latin-1"))
    new.write_text("3. März 2018\n", encoding="utf-8")
    expected = call("translate", model, new)
    assert expected.exit_code == 0
    assert call("translate", model, old, "--encoding", "latin-1").stdout == expected.stdout
    piped = call("translate", model, "--encoding", "latin-1", text=old.read_bytes())
    assert piped.stdout == expected.stdout
    assert "try encoding='latin-1' (--encoding latin-1)" in call("translate", model, old).stderr


def test_bytes_that_are_not_text_name_their_line(model: Path) -> None:
    found = call("translate", model, text=b"fine\n\xff\xfe\n")
    assert found.exit_code == 2
    assert "standard input:2" in found.stderr


@pytest.mark.slow
def test_train_from_a_shell(tmp_path: Path) -> None:
    table = tmp_path / "t.dat"
    rows = [f"{'good' if i % 2 else 'bad'} {i}\t{i % 2}\n" for i in range(40)]
    table.write_text("".join([*rows[:-1], f"good {'x' * 60}\t1\n"]))
    (tmp_path / "s.toml").write_text("steps = 9\n")
    out = tmp_path / "run"
    found = call(
        *("train", "classification", "--train", table, "--out", out, "--preset", "tiny"),
        *("--config", tmp_path / "s.toml", "--set", "steps=2", "--model", "bigru"),
        *("--format", "tsv", "--max-characters", 20, "--over-long", "cut"),
    )
    assert found.exit_code == 0
    assert found.stdout == ""
    assert "held out 4 of 40" in found.stderr
    assert "accuracy" in found.stderr
    assert json.loads((out / "config.json").read_text())["settings"]["training"]["steps"] == 2
    assert "cut 1 to the longest allowed" in found.stderr
    answers = call("classify", out, "--probability", text="good 3\n\n").stdout.split("\n")
    assert re.fullmatch(r"[01]\t0\.\d{4}", answers[0])
    assert answers[1] == ""
    assert json.loads(call("classify", out, "--json", text="bad\n").stdout)["labels"]


@pytest.mark.slow
def test_the_demo_leaves_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    found = call("demo", "--out", out, "--examples", 60, "--epochs", 1)
    assert found.exit_code == 0
    for expected in (
        "a format it never saw",
        "5/3/18 [en-US]",
        "regard translate",
        "Where it looked",
    ):
        assert expected in found.stdout
    for name in ("model.safetensors", "history.png", "attention.png"):
        assert (out / name).is_file()


def test_heads_are_a_table_a_page_or_json(model: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("3. Mai 2018\n\n4 June 2020\n", encoding="utf-8")
    shown = call("heads", model, "--texts", tmp_path / "texts")
    assert shown.exit_code == 0, shown.output
    assert "2 texts" in shown.stdout
    assert "1 text without any token was left out." in shown.stdout
    assert "cross 1.1" in shown.stdout
    out = tmp_path / "heads.parquet"
    written = call(
        "heads",
        model,
        "--texts",
        tmp_path / "texts",
        "--json",
        "--out",
        out,
        "--state",
        tmp_path / "s",
    )
    content = json.loads(written.stdout)
    assert content["texts"] == 2
    assert {head["site"] for head in content["heads"]} == {"encoder", "decoder", "cross"}
    assert out.is_file()
    assert (tmp_path / "s").is_file()
    refused = call("heads", model, "--texts", tmp_path / "texts", "--out", tmp_path / "h.png")
    assert refused.exit_code == 2
    assert "unknown ending '.png'" in refused.stderr


def test_heads_take_sources_and_targets(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("3. Mai 2018\n4 June 2020\n", encoding="utf-8")
    (tmp_path / "b").write_text("2018-05-03\n", encoding="utf-8")
    found = call("heads", "--texts", tmp_path / "a", tmp_path / "b", "--json", model)
    assert found.exit_code == 2
    assert "b: ends before line 2" in found.stderr


def test_two_models_are_compared(model: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("3. Mai 2018\n4 June 2020\n", encoding="utf-8")
    found = call("compare", model, model, "--floor", model, "--texts", tmp_path / "texts", "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    assert content["answers"]["mean"] == 1
    assert content["news"] == {"noise": len(content["heads"])}
    page = tmp_path / "c.html"
    assert (
        call("compare", model, model, "--texts", tmp_path / "texts", "--out", page).exit_code == 0
    )
    assert page.is_file()
