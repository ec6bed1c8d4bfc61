"""The section `[notifier]`: who gets alerts, and how. `default.toml` explains each key."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from config.values import Count, FilePath, Host, Port, Seconds, SecretText, Text, TopicName, key_of_secret
from schemas.alerts import State

Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s@/?#]+([/?#]\S*)?$",
        description="an http:// or https:// address without a user name and password",
    ),
]
Urls = Annotated[
    tuple[Url, ...],
    Meta(description="http:// or https:// addresses, also none; in the environment with commas between them"),
]
States = Annotated[
    tuple[State, ...],
    Meta(min_length=1, description="one or more of at_risk, fired, resolved, retracted"),
]
Minutes = Annotated[int, Meta(ge=0, le=1440, description="a whole number of minutes from 0 (at once) to 1440")]
Address = Annotated[str, Meta(pattern=r"^[^\s@]+@[^\s@]+$", description="an e-mail address")]
AddressPattern = Annotated[
    str,
    Meta(pattern=r"^[^\s@]+@[^\s@]+$", description="an e-mail address, in which {rep} and {team} are filled in"),
]


class NotifierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The notifier: a receiver is on when its address is set."""

    metrics_host: Host = "127.0.0.1"
    metrics_port: Port = 9102
    board_url: Url = "http://127.0.0.1:8080"
    log_topic: TopicName = "crm.notifications"
    dead_letters_topic: TopicName = "crm.notifications.dead-letters"
    acks_topic: TopicName = "crm.sla.acks"
    tell: States = ("at_risk", "fired", "resolved", "retracted")
    digest_minutes: Minutes = 0
    queue_limit: Count = 10_000
    timeout_seconds: Seconds = 10.0
    longest_pause_seconds: Seconds = 30.0
    cafile: FilePath | None = None
    alertmanager_urls: Urls = ()
    alertmanager_username: Text | None = None
    alertmanager_password: SecretText | None = None
    """What `alertmanager_password_file` holds, once loaded."""
    alertmanager_password_file: FilePath | None = None
    alertmanager_token: SecretText | None = None
    """What `alertmanager_token_file` holds, once loaded."""
    alertmanager_token_file: FilePath | None = None
    webhook_url: Url | None = None
    webhook_secret: SecretText | None = None
    """What `webhook_secret_file` holds, once loaded."""
    webhook_secret_file: FilePath | None = None
    slack_url: SecretText | None = None
    """What `slack_url_file` holds, once loaded: whoever knows the address can post, so it is a secret."""
    slack_url_file: FilePath | None = None
    email_host: Host | None = None
    email_port: Port = 587
    email_security: Literal["starttls", "tls", "none"] = "starttls"
    email_cafile: FilePath | None = None
    email_username: Text | None = None
    email_password: SecretText | None = None
    """What `email_password_file` holds, once loaded."""
    email_password_file: FilePath | None = None
    email_from: Address | None = None
    email_to: AddressPattern | None = None
    email_unassigned_to: Address | None = None


def notifier_problems(notifier: NotifierSettings) -> Iterator[tuple[str, object, str]]:
    """Settings that do not go together: the dotted key, its value, and what is allowed."""
    if (notifier.webhook_secret or notifier.webhook_secret_file) and notifier.webhook_url is None:
        yield (
            "notifier.webhook_url",
            "unset",
            f"an address when notifier.{key_of_secret(notifier, 'webhook_secret')} is set",
        )
    for key in ("email_from", "email_to"):
        if notifier.email_host is not None and getattr(notifier, key) is None:
            yield f"notifier.{key}", "unset", "an e-mail address when notifier.email_host is set"
    yield from _address_problems(notifier)
    yield from _credential_problems(notifier)
    yield from _alertmanager_problems(notifier)


def is_address(url: str) -> bool:
    """Whether a URL names a host and a port that can exist: mistakes should show at the start."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("ascii" if ":" in host else "idna")
    except ValueError:  # of the port, of brackets, and of labels that are empty or too long
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0


def _address_problems(notifier: NotifierSettings) -> Iterator[tuple[str, object, str]]:
    urls = [("board_url", notifier.board_url), ("webhook_url", notifier.webhook_url)]
    urls += [("alertmanager_urls", url) for url in notifier.alertmanager_urls]
    for key, url in urls:
        if url is not None and not is_address(url):
            yield f"notifier.{key}", url, "an http:// or https:// address with a host and a port that there can be"


def _alertmanager_problems(notifier: NotifierSettings) -> Iterator[tuple[str, object, str]]:
    password = notifier.alertmanager_password or notifier.alertmanager_password_file
    token = notifier.alertmanager_token or notifier.alertmanager_token_file
    name = notifier.alertmanager_username
    if (name is None) != (password is None):
        key = key_of_secret(notifier, "alertmanager_password")
        yield "notifier.alertmanager_username", name or "unset", f"a name together with notifier.{key}"
    if token is not None and password is not None:
        key = key_of_secret(notifier, "alertmanager_token")
        yield f"notifier.{key}", "***", "a token or a user name with a password, not both"


def _credential_problems(notifier: NotifierSettings) -> Iterator[tuple[str, object, str]]:
    password = notifier.email_password or notifier.email_password_file
    if (notifier.email_username is None) != (password is None):
        yield (
            "notifier.email_username",
            notifier.email_username or "unset",
            f"a name together with notifier.{key_of_secret(notifier, 'email_password')}",
        )
    if password is not None and notifier.email_security == "none":
        yield "notifier.email_security", "none", "starttls or tls when a password is sent"
