"""The receivers that the settings turn on. A new kind of receiver adds its maker to `MAKERS`."""

from collections.abc import Callable, Iterable

from config.clock import Clock
from config.notifier_settings import NotifierSettings
from processors.notifier.receivers.alertmanager import alertmanagers
from processors.notifier.receivers.base import Receiver
from processors.notifier.receivers.email import email_receivers
from processors.notifier.receivers.slack import slack_receivers
from processors.notifier.receivers.webhook import webhooks
from schemas.errors import ConfigError

MAKERS: tuple[Callable[[NotifierSettings, Clock], Iterable[Receiver]], ...] = (
    alertmanagers,
    webhooks,
    slack_receivers,
    email_receivers,
)
"""Each gives the receivers of its kind that are configured, none if its address is not set; raises ConfigError."""


def configured_receivers(settings: NotifierSettings, clock: Clock) -> list[Receiver]:
    """Every receiver that is configured; raises ConfigError if there is none."""
    receivers = [receiver for make in MAKERS for receiver in make(settings, clock)]
    if not receivers:
        keys = "alertmanager_urls, webhook_url, slack_url_file, email_host"
        raise ConfigError(f"notifier: no receiver is configured; allowed is at least one of notifier.{{{keys}}}")
    return receivers
