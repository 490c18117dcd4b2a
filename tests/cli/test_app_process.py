"""What only a process of its own can show: what is loaded, how it ends, who reads its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regard.data import dates

Run = Callable[..., subprocess.CompletedProcess[str]]

_HELP = """
import sys
sys.argv = ["regard", *{arguments}]
from regard.cli import main
try:
    main()
except SystemExit as end:
    heavy = {{"torch", "numpy", "matplotlib", "pyarrow", "tokenizers", "sklearn"}}
    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
    sys.exit(end.code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = _HELP.format(arguments=arguments)
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert found.stderr.strip().splitlines()[-1] == "[]"
    assert "regard" in found.stdout


def test_colour_only_where_it_is_wanted(run: Run) -> None:
    assert "\x1b[" not in run("--help").stdout
    assert "\x1b[" in run("--help", FORCE_COLOR="1", TERM="xterm-256color").stdout
    plain = run("--help", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[3" not in plain  # bold may stay, colours may not


def test_shell_completion_knows_the_verbs(run: Run) -> None:
    found = run(
        _REGARD_COMPLETE="complete_bash", COMP_WORDS="regard tra", COMP_CWORD="1"
    ).stdout.split()
    assert {"train", "translate"} <= set(found)


def shell(command: str, model: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    program = f"{sys.executable} -m regard"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    command = command.replace("regard", program).replace("MODEL", str(model))
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env=environment, timeout=120
    )


def test_what_is_written_is_utf8_and_nobody_need_have_opened_the_input(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("3. März 2018\n", encoding="utf-8")
    command = f"regard translate MODEL {tmp_path}/in.txt --json <&-"
    found = shell(command, model, PYTHONIOENCODING="ascii")
    assert (found.stderr, found.returncode) == (b"", 0)
    assert "März" in found.stdout.decode("utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.parametrize(("to", "status"), [("/dev/full", 1), ("&-", 0)])
def test_an_output_that_takes_nothing_ends_in_a_message(model: Path, to: str, status: int) -> None:
    found = shell(f"echo 2018 | regard translate MODEL >{to}", model)
    assert found.returncode == status
    assert (b"regard: [Errno 28]" in found.stderr) == bool(status)
    assert b"Traceback" not in found.stderr
    assert b"Exception ignored" not in found.stderr


@pytest.mark.slow
def test_a_closed_pipe_is_quiet(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("3 May 2018\n" * 600)
    program = f"{sys.executable} -m regard"
    found = subprocess.run(
        ["bash", "-c", f"{program} translate {model} {tmp_path}/in.txt | head -1"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert len(found.stdout.splitlines()) == 1
    assert found.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_run_says_how_to_go_on_and_does(
    tmp_path: Path, run: Run, number: int, status: int
) -> None:
    examples = dates.generate(400)
    files = [tmp_path / "a.src", tmp_path / "a.tgt"]
    files[0].write_text("".join(e.text + "\n" for e in examples))
    files[1].write_text("".join(f"{e.target}\n" for e in examples))
    out = tmp_path / "run"
    small = "tokenizer=char joint=false width=16 heads=2 feedforward=16 batch_tokens=512 epochs=2"
    arguments = ["train", "translation", "--train", *files, "--out", out, "--preset", "tiny"]
    arguments += [
        word for s in f"{small} save_seconds=0 log_every=1".split() for word in ("--set", s)
    ]
    # Whatever ran the tests may ignore SIGHUP, as `nohup` does.
    heeds = "import runpy, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    program = [sys.executable, "-c", heeds + "runpy.run_module('regard', run_name='__main__')"]
    process = subprocess.Popen(
        [*program, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not (out / "last" / "run.safetensors").exists():
        pass
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "--resume" in errors
    assert "Traceback" not in errors
    went_on = run(*arguments, "--resume")
    assert went_on.returncode == 0, went_on.stderr
    assert (out / "README.md").is_file()
