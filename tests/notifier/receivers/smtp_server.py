"""A small SMTP server: it accepts mail, or answers as a test wants, with STARTTLS and AUTH if they are turned on."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default


@dataclass
class Mailbox:
    """What came, and how the server answers to a recipient."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    rcpt_answer: str = "250 ok"
    auth_answer: str = "235 welcome"


class Session:
    """One connection."""

    def __init__(self, mailbox: Mailbox, tls: ssl.SSLContext | None) -> None:
        self._mailbox = mailbox
        self._tls = tls
        self._encrypted = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk until the client leaves."""
        self._reader, self._writer = reader, writer
        try:
            await self._reply("220 test")
            while line := (await reader.readline()).decode().strip():
                if not await self._answer(line):
                    break
        finally:
            writer.close()

    async def _reply(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()

    async def _answer(self, line: str) -> bool:
        match line.split(" ", maxsplit=1)[0].upper():
            case "EHLO":
                offers = ["250-STARTTLS"] if self._tls is not None and not self._encrypted else []
                await self._reply("250-test", *offers, "250 AUTH PLAIN")
            case "STARTTLS":
                await self._reply("220 go ahead")
                await self._writer.start_tls(self._tls or ssl.create_default_context())
                self._encrypted = True
            case "AUTH":
                self._mailbox.passwords.append(line.rsplit(" ", maxsplit=1)[-1])
                await self._reply(self._mailbox.auth_answer)
            case "RCPT":
                self._mailbox.recipients.append(line.partition("<")[2].partition(">")[0])
                await self._reply(self._mailbox.rcpt_answer)
            case "DATA":
                await self._take()
            case "QUIT":
                await self._reply("221 bye")
                return False
            case _:
                await self._reply("250 ok")
        return True

    async def _take(self) -> None:
        await self._reply("354 go on")
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        message: Message = message_from_bytes(raw.removesuffix(b".\r\n"), policy=default)
        assert isinstance(message, EmailMessage)
        self._mailbox.messages.append(message)
        self._mailbox.encrypted.append(self._encrypted)
        await self._reply("250 taken")


@contextlib.asynccontextmanager
async def smtp_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[Mailbox]:
    """A server on loopback for the length of a block; with a TLS context it offers STARTTLS."""
    mailbox = Mailbox()
    server = await asyncio.start_server(lambda r, w: Session(mailbox, tls).run(r, w), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox
