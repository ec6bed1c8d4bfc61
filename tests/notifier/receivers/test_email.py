"""E-mail through a server on loopback: what is written, to whom, and what the server's answers mean."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest

from config.notifier_settings import NotifierSettings
from config.values import Secret
from processors.notifier.receivers.base import DeliveryPolicy, Notification, Rejected, TryAgain
from processors.notifier.receivers.email import Email, compose
from schemas.errors import ConfigError
from tests.notifier.receivers.smtp_server import Mailbox, smtp_server
from tests.notifier.world import self_signed, transition


def mail_settings(port: int = 25, **keys: Any) -> NotifierSettings:
    """Settings for a server on loopback without TLS."""
    values: dict[str, Any] = {
        "email_host": "127.0.0.1",
        "email_port": port,
        "email_security": "none",
        "email_from": "salespulse@example.com",
        "email_to": "{rep}@example.com",
        "timeout_seconds": 5.0,
    }
    return NotifierSettings(**(values | keys))


def send(mailbox: Mailbox, *requests: str, **keys: Any) -> Any:
    """Send the notifications about some requests."""
    mail = Email(mail_settings(mailbox.port, **keys), DeliveryPolicy())
    return mail.send([Notification(transition=transition(request)) for request in requests])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    return self_signed(tmp_path)


def test_a_rep_gets_a_message_with_what_is_needed_to_act() -> None:
    async def scenario() -> Mailbox:
        async with smtp_server() as mailbox:
            assert await send(mailbox, "r/1") == {}
            return mailbox

    mailbox = asyncio.run(scenario())
    (message,) = mailbox.messages
    assert mailbox.recipients == ["alice@example.com"]
    assert message["Subject"] == "c1 has waited 1h for an answer"
    text = message.get_content()
    assert "request r/1 by email, priority normal; owner alice, team east" in text
    assert "http://127.0.0.1:8080/?request=r%2F1" in text


def test_starttls_encrypts_before_the_password_is_sent(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    keys = {"email_security": "starttls", "email_username": "me", "email_password": Secret("word")}

    async def scenario() -> Mailbox:
        async with smtp_server(context) as mailbox:
            with pytest.raises(TryAgain, match="certificate verify failed"):
                await send(mailbox, "r1", **keys)
            await send(mailbox, "r1", email_cafile=certificate, **keys)
            return mailbox

    mailbox = asyncio.run(scenario())
    assert mailbox.encrypted == [True]
    assert [base64.b64decode(word) for word in mailbox.passwords] == [b"\0me\0word"]


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({"rcpt_answer": "550 no such user"}, Rejected),
        ({"rcpt_answer": "452 mailbox full"}, TryAgain),
    ],
)
def test_a_refused_recipient_is_final_or_not_as_the_server_answers(
    answers: dict[str, str], wanted: type[Exception]
) -> None:
    async def scenario() -> None:
        async with smtp_server() as mailbox:
            vars(mailbox).update(answers)
            with pytest.raises(wanted, match=answers["rcpt_answer"]):
                await send(mailbox, "r1")

    asyncio.run(scenario())


def test_a_wrong_password_loses_no_message(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    keys = {"email_security": "starttls", "email_username": "me", "email_password": Secret("word")}

    async def scenario() -> None:
        async with smtp_server(context) as mailbox:
            mailbox.auth_answer = "535 who are you"
            with pytest.raises(TryAgain, match="535 who are you"):
                await send(mailbox, "r1", email_cafile=certificate, **keys)

    asyncio.run(scenario())


def test_a_server_that_is_away_is_tried_again() -> None:
    async def scenario() -> None:
        async with smtp_server() as mailbox:
            pass
        with pytest.raises(TryAgain):
            await send(mailbox, "r1")

    asyncio.run(scenario())


@pytest.mark.parametrize("rep", ["a b", "x@y", "a\r\nBcc: all@example.com", "a,b", ""])
def test_an_id_that_makes_no_address_is_refused_and_not_sent_elsewhere(rep: str) -> None:
    with pytest.raises(Rejected, match="no e-mail address"):
        compose([Notification(transition=transition(rep_id=rep))], mail_settings())


def test_ids_with_line_ends_make_no_headers() -> None:
    message = compose([Notification(transition=transition(customer="c\r\nBcc: all@example.com"))], mail_settings())
    assert message["Bcc"] is None
    assert message["Subject"].startswith("c\\r\\nBcc: all@example.com has waited")


def test_requests_of_nobody_go_to_an_address_of_their_own_or_are_refused() -> None:
    unassigned = [Notification(transition=transition(rep_id="_unassigned"))]
    assert compose(unassigned, mail_settings(email_unassigned_to="leads@example.com"))["To"] == "leads@example.com"
    assert compose(unassigned, mail_settings(email_to="all@example.com"))["To"] == "all@example.com"
    with pytest.raises(Rejected, match="email_unassigned_to"):
        compose(unassigned, mail_settings())


def test_the_same_message_has_the_same_id_and_a_reminder_another() -> None:
    once = Notification(transition=transition())
    reminder = Notification(transition=once.transition, reminder_us=5)
    first, second, third = (compose([one], mail_settings()) for one in (once, once, reminder))
    assert first["Message-ID"] == second["Message-ID"] != third["Message-ID"]
    assert third["Subject"].startswith("Still: ")


def test_a_digest_names_a_hundred_alerts_and_counts_the_rest() -> None:
    batch = [Notification(transition=transition(f"r{number}")) for number in range(130)]
    message = compose(batch, mail_settings())
    assert message["Subject"] == "requests of alice: 130 waiting"
    text = message.get_content()
    assert text.count("- c1 has waited") == 100
    assert "and 30 more" in text
    assert "/?rep=alice" in text


def test_an_authority_file_that_is_none_is_an_error_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"notifier.email_cafile = .*ca.pem"):
        Email(mail_settings(email_security="tls", email_cafile=path), DeliveryPolicy())
