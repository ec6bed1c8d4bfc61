"""Slack, and whatever takes the messages of its incoming webhooks (Mattermost, Rocket.Chat, ...)."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from processors.core.reports.foreign_text import visible
from processors.notifier.http import Poster
from processors.notifier.notices import Habits, Notice, Parcel
from processors.notifier.wording import details, digest_headline, headline, link, rep_link
from schemas.alerts import Transition

SHOWN = 20
"""So many alerts are named in a digest: the link leads to all of them."""
MARKS = {"at_risk": ":hourglass_flowing_sand:", "fired": ":rotating_light:", "resolved": ":white_check_mark:"}
WORD_JOINER = "\N{WORD JOINER}"
_BEGINS_MARKUP = re.compile(r"[@`\[\]]|://|\bwww(?=\.)")
TAKEN_BACK = ":leftwards_arrow_with_hook:"


class Slack:
    """Posts messages to one channel."""

    def __init__(self, poster: Poster, habits: Habits, board_url: str) -> None:
        self.name = "slack"
        self.habits = habits
        self._poster = poster
        self._board_url = board_url

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """Post one message; raises TryAgain or Rejected."""
        text = message_of(parcel[0], self._board_url) if len(parcel) == 1 else digest_of(parcel, self._board_url)
        await self._poster.post(msgspec.json.encode({"text": text}), {})
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """People need no reminders."""

    async def close(self) -> None:
        """Give connections back."""
        await self._poster.close()


def message_of(notice: Notice, board_url: str) -> str:
    """One alert in Slack's markup."""
    transition = notice.transition
    still = "Still: " if notice.again_us is not None else ""
    target = f"<{entities(link(board_url, transition))}|Open>"
    return f"{_mark(transition)} *{still}{escape(headline(transition))}*\n{escape(details(transition))}\n{target}"


def digest_of(parcel: Parcel, board_url: str) -> str:
    """Several alerts of one rep in Slack's markup."""
    transitions = [notice.transition for notice in parcel]
    lines = [f"*{escape(digest_headline(transitions))}*"]
    for transition in transitions[:SHOWN]:
        target = f"<{entities(link(board_url, transition))}|{escape(visible(transition.request_id).replace('|', ' '))}>"
        lines.append(f"{_mark(transition)} {escape(headline(transition))}: {target}")
    if len(transitions) > SHOWN:
        lines.append(f"and {len(transitions) - SHOWN} more")
    lines.append(f"<{entities(rep_link(board_url, transitions[0].rep_id))}|Open all>")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text in which neither Slack nor Mattermost finds a mention, a link, an image or code.

    Slack is asked for that by entities. Mattermost and its kin read Markdown and bare `@channel` all the same: there an
    invisible character after what begins a piece of markup keeps it from being one.
    """
    return _BEGINS_MARKUP.sub(rf"\g<0>{WORD_JOINER}", entities(text))


def entities(text: str) -> str:
    """Text in which Slack's own three characters stand for themselves; all that an address of ours needs."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mark(transition: Transition) -> str:
    return MARKS.get(transition.state, TAKEN_BACK)
