"""The log: JSON for machines, plain on a terminal, quiet libraries."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from config.logs import LIBRARIES, REPEAT_SECONDS, RepeatFilter, configure_logs


class Terminal(io.StringIO):
    """Says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    configure_logs(stream)

    logging.getLogger("processors.x").warning("Müller\nwaits %d s", 3)

    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "processors.x", "Müller\nwaits 3 s")
    assert entry["time"].endswith("+00:00")


def test_a_traceback_is_a_field() -> None:
    stream = io.StringIO()
    configure_logs(stream)

    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed")

    assert "ZeroDivisionError" in json.loads(stream.getvalue())["traceback"]


def test_a_terminal_gets_plain_lines() -> None:
    stream = Terminal()
    configure_logs(stream)

    logging.getLogger("x").info("hello")

    assert stream.getvalue().endswith("INFO    hello\n")


def test_libraries_speak_from_warnings_up() -> None:
    stream = io.StringIO()
    configure_logs(stream)

    logging.getLogger("faust.transport").info("chatter")
    logging.getLogger("aiokafka.conn").debug("chatter")

    assert stream.getvalue() == ""


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, values, None)


def test_a_library_repeats_itself_only_now_and_then_and_says_how_often_it_would_have() -> None:
    now = 100.0
    repeats = RepeatFilter(monotonic=lambda: now)

    assert repeats.filter(record("aiokafka.conn", "no %s", "broker"))
    assert not repeats.filter(record("aiokafka.conn", "no %s", "broker"))
    assert not repeats.filter(record("aiokafka.conn", "no %s", "leader"))
    assert repeats.filter(record("aiokafka.conn", "something else"))
    now += REPEAT_SECONDS
    last = record("aiokafka.conn", "no %s", "broker")
    assert repeats.filter(last)
    assert last.getMessage() == "no broker (2 more like it)"


def test_what_we_say_ourselves_is_never_left_out() -> None:
    stream = io.StringIO()
    configure_logs(stream)

    for _ in range(2):
        logging.getLogger("processors.agents").error("two")
        logging.getLogger("aiokafka").error("one")

    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == ["two", "one", "two"]
