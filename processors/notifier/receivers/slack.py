"""Slack, and whatever accepts the messages of its incoming webhooks (Mattermost, Rocket.Chat, ...)."""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from config.clock import Clock
from config.notifier_settings import NotifierSettings, is_address
from config.values import Secret
from processors.core.reports.foreign_text import visible
from processors.notifier.receivers.base import DeliveryPolicy, Notification, NotificationBatch
from processors.notifier.receivers.http import HttpPoster, http_poster
from processors.notifier.receivers.people_policy import policy_for_people
from processors.notifier.receivers.wording import details, digest_headline, headline, link, rep_link
from schemas.alerts import Transition
from schemas.errors import ConfigError

MAX_ALERTS_IN_DIGEST = 20
"""A digest names no more alerts than this; its link leads to all of them."""
EMOJI = {"at_risk": ":hourglass_flowing_sand:", "fired": ":rotating_light:", "resolved": ":white_check_mark:"}
WORD_JOINER = "\N{WORD JOINER}"
_BEGINS_MARKUP = re.compile(r"[@`\[\]]|://|\bwww(?=\.)")
RETRACTED_EMOJI = ":leftwards_arrow_with_hook:"


def slack_receivers(settings: NotifierSettings, _clock: Clock) -> Iterator["Slack"]:
    """Slack, if `notifier.slack_url_file` is set; raises ConfigError when the file holds no address."""
    if settings.slack_url is not None:
        poster = http_poster(settings, _address(settings.slack_url))
        yield Slack(poster, policy_for_people(settings), settings.board_url)


def _address(secret: Secret) -> str:
    if not is_address(secret.reveal()):
        raise ConfigError(
            "notifier.slack_url_file: the file holds no address; allowed is one like https://hooks.example.com/..."
        )
    return secret.reveal()


class Slack:
    """Posts messages to one channel."""

    def __init__(self, poster: HttpPoster, policy: DeliveryPolicy, board_url: str) -> None:
        self.name = "slack"
        self.policy = policy
        self._poster = poster
        self._board_url = board_url

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Post one message; raises TryAgain or Rejected."""
        text = message_of(batch[0], self._board_url) if len(batch) == 1 else digest_of(batch, self._board_url)
        await self._poster.post(msgspec.json.encode({"text": text}), {})
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """A channel keeps what it got."""

    async def close(self) -> None:
        """Release connections."""
        await self._poster.close()


def message_of(notification: Notification, board_url: str) -> str:
    """One alert in Slack's markup."""
    transition = notification.transition
    still = "Still: " if notification.reminder_us is not None else ""
    target = f"<{entities(link(board_url, transition))}|Open>"
    return f"{_emoji(transition)} *{still}{escape(headline(transition))}*\n{escape(details(transition))}\n{target}"


def digest_of(batch: NotificationBatch, board_url: str) -> str:
    """Several alerts of one rep in Slack's markup."""
    transitions = [notification.transition for notification in batch]
    lines = [f"*{escape(digest_headline(transitions))}*"]
    for transition in transitions[:MAX_ALERTS_IN_DIGEST]:
        target = f"<{entities(link(board_url, transition))}|{escape(visible(transition.request_id).replace('|', ' '))}>"
        lines.append(f"{_emoji(transition)} {escape(headline(transition))}: {target}")
    if len(transitions) > MAX_ALERTS_IN_DIGEST:
        lines.append(f"and {len(transitions) - MAX_ALERTS_IN_DIGEST} more")
    lines.append(f"<{entities(rep_link(board_url, transitions[0].rep_id))}|Open all>")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text in which neither Slack nor Mattermost finds a mention, a link, an image or code.

    For Slack, entities are enough. Mattermost and its kin still read Markdown and a bare `@channel`: there an invisible
    character behind whatever would begin a piece of markup disarms it.
    """
    return _BEGINS_MARKUP.sub(rf"\g<0>{WORD_JOINER}", entities(text))


def entities(text: str) -> str:
    """Text with Slack's three control characters escaped; enough for our own addresses."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _emoji(transition: Transition) -> str:
    return EMOJI.get(transition.state, RETRACTED_EMOJI)
