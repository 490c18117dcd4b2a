"""The server's log: few lines of a kind, and lines that programs read."""

import json
import logging
import warnings

import pytest

from regard.serving.logs import JsonFormatter, RepeatFilter, log_to_stderr


@pytest.fixture
def written(monkeypatch):
    """A logger whose records come through the filter, and what came through."""
    lines: list[str] = []
    clock = [0.0]

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler = Handler()
    handler.addFilter(RepeatFilter(60.0, clock=lambda: clock[0]))
    logger = logging.getLogger("tests.serving.logs")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, lines, clock
    logger.removeHandler(handler)


def bad(logger, number):
    logger.warning("request %d is bad", number)


def test_one_record_of_a_kind_per_minute_and_a_count(written):
    logger, lines, clock = written
    for number in range(400):
        bad(logger, number)
    assert lines == ["request 0 is bad"]
    logger.warning("another kind")
    assert lines[1:] == ["another kind"]
    clock[0] = 61.0
    bad(logger, 400)
    bad(logger, 401)
    assert lines[2:] == ["request 400 is bad (and 399 more since the last such line)"]
    clock[0] = 122.0
    bad(logger, 402)
    assert lines[3:] == ["request 402 is bad (and 1 more since the last such line)"]


def test_faults_at_different_lines_are_different_kinds(written):
    logger, lines, _ = written
    for _ in range(3):
        for fault in (lambda: 1 // 0, lambda: [][1]):
            try:
                fault()
            except (ZeroDivisionError, IndexError) as error:
                logger.exception("fault: %s", type(error).__name__)  # one line of code for both
    assert lines == ["fault: ZeroDivisionError", "fault: IndexError"]


def test_a_record_as_json():
    record = logging.LogRecord("regard", logging.WARNING, __file__, 1, "%d files", (3,), None)
    record.fields = {"status": 503, "path": "/classify"}
    record.created = 0.5
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "1970-01-01T00:00:00.500000+00:00",
        "level": "warning",
        "logger": "regard",
        "message": "3 files",
        "status": 503,
        "path": "/classify",
    }
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: two\nlines" in json.loads(text)["exception"]


def test_warnings_are_records_too(capsys):
    show = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with log_to_stderr("json", worker=2):
            warnings.warn("odd", UserWarning, stacklevel=1)
            warnings.warn("odder", UserWarning, stacklevel=1)
    assert warnings.showwarning is show
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(each["logger"], each["level"], each["worker"]) for each in found] == [
        ("py.warnings", "warning", 2)
    ] * 2
    assert ["UserWarning: odd\n" in each["message"] for each in found] == [True, False]


def test_logging_is_as_before_afterwards(capsys):
    loggers = [logging.getLogger(name) for name in ("uvicorn", "asyncio", "regard")]
    before = [(each.level, each.propagate, list(each.handlers)) for each in loggers]
    with log_to_stderr("text"):
        logging.getLogger("uvicorn.error").warning("seen")
        logging.getLogger("uvicorn.error").info("not seen")
    assert capsys.readouterr().err == "regard: seen\n"
    assert [(each.level, each.propagate, list(each.handlers)) for each in loggers] == before
