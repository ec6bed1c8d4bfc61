"""Ids of any kind leave messages in their lines, in the order of their letters, and lead where they should."""

import msgspec
import pytest

from processors.notifier.receivers.base import Notification
from processors.notifier.receivers.slack import WORD_JOINER, message_of
from processors.notifier.receivers.wording import details, headline, link
from schemas.alerts import Transition
from tests.notifier.world import transition

BOARD = "http://127.0.0.1:8080"
HOSTILE = ("two\nlines", "nul\x00", "exe.\u202egpj", "\x1b[31mred")


def hostile(text: str) -> Transition:
    """A transition with this text everywhere."""
    return msgspec.structs.replace(
        transition("r1"), customer_id=text, request_id=text, rep_id=text, team=text, channel=text, topic=text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_read_stays_in_its_line(text: str) -> None:
    about = hostile(text)
    for line in (headline(about), details(about), link(BOARD, about)):
        assert line.isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_for_slack_has_its_lines_and_no_more(text: str) -> None:
    lines = message_of(Notification(transition=hostile(text)), BOARD).split("\n")
    assert len(lines) == 3
    # The one invisible character is ours: it keeps text from being markup.
    assert all(line.replace(WORD_JOINER, "").isprintable() for line in lines)
