"""`regard serve`: its options, and an address that nobody reads."""

import json

import pytest
import typer

from regard.cli import serve as module
from regard.cli.app import app
from regard.serving import Limits
from regard.serving.logs import log_to_stderr


def test_options_and_limits_have_the_same_defaults(monkeypatch):
    typer_testing = pytest.importorskip("typer.testing")
    called = {}
    monkeypatch.setattr("regard.serving.serve", lambda models, **options: called.update(options))
    result = typer_testing.CliRunner().invoke(app, ["serve", "somewhere"])
    assert result.exit_code == 0, result.output
    assert called["limits"] == Limits()
    assert called["proxies"] == ()
    options = [
        "--grace",
        "5",
        "--read-timeout",
        "2",
        "--max-connections",
        "7",
        "--log-format",
        "json",
    ]
    proxies = ["--proxy", "10.0.0.1", "--proxy", "::1"]
    result = typer_testing.CliRunner().invoke(app, ["serve", "somewhere", *options, *proxies])
    assert result.exit_code == 0, result.output
    assert called["limits"] == Limits(grace=5, read_timeout=2, max_connections=7)
    assert (called["proxies"], called["log_format"]) == (["10.0.0.1", "::1"], "json")


def test_an_address_that_nobody_reads_stops_nothing(monkeypatch):
    def broken(*args, **options):
        raise BrokenPipeError

    monkeypatch.setattr(typer, "echo", broken)
    module._print_address("http://127.0.0.1:8000/")


def test_the_address_among_json_lines_is_one_of_them(capsys):
    with log_to_stderr("json"):
        module._log_address("http://127.0.0.1:8000/")
    line = json.loads(capsys.readouterr().err)
    assert line["address"] == "http://127.0.0.1:8000/"
    assert line["message"] == "serving at http://127.0.0.1:8000/"
