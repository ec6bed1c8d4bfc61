"""What came from outside neither styles nor steers a terminal."""

import io
from collections import Counter

from rich.console import Console

from processors.commands.dead_letters import print_dead_letters
from processors.commands.printable import printable
from processors.kafka.topic_reader import TopicRecord


def test_control_characters_are_shown_as_such_and_letters_of_any_script_as_they_are() -> None:
    assert printable("Zoë 東京") == "Zoë 東京"
    assert printable("a\x1b[2J\x00\nb\u202e") == "a\\x1b[2J\\x00\\nb\\u202e"


def test_a_dead_letter_is_printed_without_its_markup_and_escapes() -> None:
    stream = io.StringIO()
    headers = {"topic": "crm.events", "partition": "0", "offset": "7", "reason": "malformed", "detail": "[red]no"}
    record = TopicRecord("crm.dead-letters", 0, 0, b"k", b"\x1b[31m[bold]\xff", headers, 0)

    print_dead_letters([record], Counter(malformed=1), Console(file=stream, width=140))

    assert "[red]no" in stream.getvalue()
    assert "\\x1b[31m[bold]\ufffd" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
