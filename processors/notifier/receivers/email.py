"""E-mail by SMTP. The library blocks while it waits for its server, so each message goes out in a thread."""

import asyncio
import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from hashlib import sha256

from config.clock import Clock
from config.notifier_settings import NotifierSettings
from processors.notifier.receivers.base import DeliveryPolicy, NotificationBatch, Rejected, TryAgain
from processors.notifier.receivers.people_policy import policy_for_people
from processors.notifier.receivers.wording import details, digest_headline, headline, link, rep_link
from processors.notifier.redacted_errors import type_and_line
from schemas.alerts import Transition
from schemas.errors import ConfigError
from schemas.views import UNASSIGNED

MAX_ALERTS_IN_DIGEST = 100
"""A digest names no more alerts than this; its link leads to all of them."""


def email_receivers(settings: NotifierSettings, _clock: Clock) -> Iterator["Email"]:
    """E-mail, if `notifier.email_host` is set; raises ConfigError for an authority file that cannot be used."""
    if settings.email_host is not None:
        yield Email(settings, policy_for_people(settings))


class Email:
    """Sends messages through one SMTP server, each over a connection of its own."""

    def __init__(self, settings: NotifierSettings, policy: DeliveryPolicy) -> None:
        """Raises ConfigError for an authority file that cannot be used."""
        self.name = "email"
        self.policy = policy
        self._settings = settings
        self._tls = _tls(settings)

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Send one message; raises TryAgain or Rejected."""
        message = compose(batch, self._settings)
        await asyncio.to_thread(self._deliver, message)
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """A mailbox keeps what it got."""

    async def close(self) -> None:
        """Nothing stays open."""

    def _deliver(self, message: EmailMessage) -> None:
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(*next(iter(error.recipients.values()))) from error
        except (smtplib.SMTPHeloError, smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError) as error:
            # We are refused, not this message: once that is put right, the message still goes out.
            raise TryAgain(_line(error.smtp_code, error.smtp_error)) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPNotSupportedError, UnicodeError) as error:
            raise Rejected(f"the server cannot take this message: {_one_line(str(error))}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise TryAgain(_one_line(str(error)) or type(error).__name__) from error
        except Exception as error:
            raise TryAgain(type_and_line(error)) from error

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        host, timeout = settings.email_host or "", settings.timeout_seconds
        if settings.email_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, settings.email_port, timeout=timeout, context=self._tls)
        else:
            server = smtplib.SMTP(host, settings.email_port, timeout=timeout)
        try:
            if settings.email_security == "starttls":
                server.starttls(context=self._tls)
            if settings.email_username is not None and settings.email_password is not None:
                server.login(settings.email_username, settings.email_password.reveal())
        except BaseException:
            server.close()
            raise
        return server


def compose(batch: NotificationBatch, settings: NotifierSettings) -> EmailMessage:
    """The message; raises Rejected when the rep's id makes no address."""
    first, board_url = batch[0].transition, settings.board_url
    message = EmailMessage()
    message["From"] = settings.email_from
    message["To"] = recipient(first, settings)
    if len(batch) == 1:
        still = "Still: " if batch[0].reminder_us is not None else ""
        message["Subject"] = _one_line(f"{still}{headline(first)}")
        message.set_content(f"{still}{headline(first)}\n\n{details(first)}\n\n{link(board_url, first)}\n")
    else:
        transitions = [notification.transition for notification in batch]
        message["Subject"] = _one_line(digest_headline(transitions))
        message.set_content(_digest(transitions, board_url))
    # The same message sent again has the same id, so that many mail servers deliver it only once.
    digest = sha256("\n".join(notification.key for notification in batch).encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{digest}@salespulse.{(settings.email_from or '').rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def recipient(transition: Transition, settings: NotifierSettings) -> Address:
    """The address of the owner, or the one for unassigned requests; raises Rejected when there is none."""
    pattern = settings.email_to or ""
    if transition.rep_id == UNASSIGNED and settings.email_unassigned_to is not None:
        pattern = settings.email_unassigned_to
    elif transition.rep_id == UNASSIGNED and "{rep}" in pattern:
        raise Rejected("nobody owns the request, and notifier.email_unassigned_to is not set")
    text = pattern.replace("{rep}", transition.rep_id).replace("{team}", transition.team)
    try:
        address = Address(addr_spec=text)
    except Exception as error:
        # The library's parser may raise anything: AttributeError, IndexError, HeaderDefect, ...
        raise Rejected(f"{text!r} is no e-mail address: see notifier.email_to") from error
    return address


def _digest(transitions: Sequence[Transition], board_url: str) -> str:
    lines = [digest_headline(transitions), ""]
    for transition in transitions[:MAX_ALERTS_IN_DIGEST]:
        lines += [f"- {headline(transition)}", f"  {details(transition)}", f"  {link(board_url, transition)}", ""]
    if len(transitions) > MAX_ALERTS_IN_DIGEST:
        lines.append(f"and {len(transitions) - MAX_ALERTS_IN_DIGEST} more")
    return "\n".join([*lines, rep_link(board_url, transitions[0].rep_id), ""])


def _one_line(text: str) -> str:
    """Text without line ends, which ids may hold and a subject may not."""
    return " ".join(text.split())


def _tls(settings: NotifierSettings) -> ssl.SSLContext | None:
    if settings.email_security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=settings.email_cafile)
    except OSError as error:
        raise ConfigError(f"notifier.email_cafile = {settings.email_cafile}: {error}; allowed is a PEM file") from error


def _refusal(code: int, text: bytes | str) -> TryAgain | Rejected:
    """5xx is final, 4xx is temporary (RFC 5321)."""
    return Rejected(_line(code, text)) if code >= 500 else TryAgain(_line(code, text))


def _line(code: int, text: bytes | str) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return _one_line(f"{code} {decoded}")
