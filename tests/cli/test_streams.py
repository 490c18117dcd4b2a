"""Commands at odd terminals: closed, full or unread streams, ASCII, no home, odd widths; never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")


def shell(
    command: str, model: Path | str = "", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `regard` is the command; fails if any of it shows a traceback."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    line = command.replace("MODEL", str(model))
    line = f'set -o pipefail; regard() {{ "{sys.executable}" -m regard "$@"; }}; {line}'
    found = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, timeout=120)
    for sign in (b"Traceback", b"Exception ignored", b"lost sys.stderr"):
        assert sign not in found.stdout + found.stderr, found.stderr.decode(errors="replace")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "regard --help",
        "regard look MODEL 'May 3, 2018'",
        "regard check MODEL",
        "regard translate MODEL /dev/stdin <<< 'May 3'",
    ],
)
def test_a_reader_that_has_seen_enough_is_no_fault(model: Path, command: str) -> None:
    found = shell(f"{command} | true", model)
    assert (found.returncode, found.stderr) == (0, b"")


@pytest.mark.slow
@FULL
@pytest.mark.parametrize(
    "command",
    ["regard --help", "regard --version", "regard look MODEL 'May 3'", "regard check MODEL"],
)
def test_a_full_disk_is_one_message(model: Path, command: str) -> None:
    found = shell(f"{command} > /dev/full", model)
    assert found.returncode == 1
    assert found.stderr.count(b"\n") == 1
    assert found.stderr.startswith(b"regard: [Errno 28]")


@pytest.mark.slow
@FULL
def test_a_message_that_cannot_be_written_leaves_the_exit_status() -> None:
    assert shell("regard look /nowhere x 2> /dev/full").returncode == 2
    assert shell("regard check /nowhere 2>&-").returncode == 2


def test_closed_streams(model: Path) -> None:
    assert shell("regard look MODEL 'May 3' <&- >&- 2>&-", model).returncode == 0
    assert shell("regard --help >&-").returncode == 0


def test_help_in_ascii() -> None:
    found = shell("regard look --help", **ASCII)  # with an umlaut in its examples
    assert found.returncode == 0
    assert b"Usage" in found.stdout


@pytest.mark.slow
def test_a_text_is_utf8_in_every_locale(model: Path) -> None:
    wide = shell("regard look MODEL '3. März' | cat", model, PYTHONIOENCODING="utf-8")
    plain = shell(
        "regard look MODEL '3. März' | cat", model, **(ASCII | {"PYTHONIOENCODING": "utf-8"})
    )
    assert plain.stdout == wide.stdout
    assert "3. März" in plain.stdout.decode()
    assert shell("regard look MODEL '3. März'", model, **ASCII).returncode == 0
    found = shell(r"regard look MODEL $'M\xe4rz'", model)
    assert found.returncode == 2
    assert b"byte 0xe4 at offset 1 is not" in found.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "0"},
        {"COLUMNS": "-5", "TERM": "dumb"},
        {"COLUMNS": "abc", "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"},
    ],
)
def test_odd_surroundings(model: Path, variables: dict[str, str]) -> None:
    found = shell("regard look MODEL 'May 3'", model, **variables)
    assert found.returncode == 0
    assert found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "regard check LOOP",
        "regard data LOOP",
        "echo a | regard train language --train - --out LOOP/out",
        "regard look MODEL 'May 3' --out LOOP.png",
    ],
)
def test_links_in_a_circle(model: Path, tmp_path: Path, command: str) -> None:
    for suffix in ("", ".png"):
        (tmp_path / f"a{suffix}").symlink_to(tmp_path / f"b{suffix}")
        (tmp_path / f"b{suffix}").symlink_to(tmp_path / f"a{suffix}")
    found = shell(command.replace("LOOP", str(tmp_path / "a")), model)
    assert found.returncode == (0 if "png" in command else 2)  # a file takes the place of the link
