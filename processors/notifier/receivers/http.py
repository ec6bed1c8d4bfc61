"""Posts messages to receivers over HTTP, and sorts their answers into accepted, try again and rejected."""

import math
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from config.notifier_settings import NotifierSettings
from processors.notifier.receivers.base import Rejected, TryAgain
from processors.notifier.redacted_errors import type_and_line
from schemas.errors import ConfigError

MAX_ANSWER_BYTES = 500
MAX_RETRY_AFTER_SECONDS = 300.0
RETRYABLE_STATUSES = frozenset({408, 425, 429})


class HttpPoster:
    """Posts to one address. Redirects are not followed: after a move, the setting must be changed."""

    def __init__(
        self,
        url: str,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers` go with every message; `tls` holds the trusted authorities (None: those of the system)."""
        self._url = url
        self._headers = {"User-Agent": "Salespulse", **(headers or {})}
        self._tls = tls
        self._secret_part = URL(url).raw_path_qs
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises TryAgain or Rejected unless the answer is 2xx."""
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=True if self._tls is None else self._tls)
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers, connector=connector)
        all_headers = {"Content-Type": "application/json", **headers}
        try:
            async with self._session.post(self._url, data=body, headers=all_headers, allow_redirects=False) as response:
                refusal = None if 200 <= response.status < 300 else await self._refusal(response)
        except TimeoutError as error:
            raise TryAgain(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, OSError) as error:
            raise TryAgain(self._without_address(str(error)) or type(error).__name__) from error
        except Exception as error:
            # The way to the receiver fails, not the message: it waits, and the alert NotifierFailing fires.
            raise TryAgain(type_and_line(error)) from error
        if refusal is not None:
            raise refusal

    async def _refusal(self, response: aiohttp.ClientResponse) -> TryAgain | Rejected:
        text = self._without_address(await _text(response))
        return _refusal(response.status, response.headers.get("Retry-After"), text)

    def _without_address(self, text: str) -> str:
        """A text without the path and the query of our address: whoever knows those can post."""
        for secret in (self._url, self._secret_part):
            text = text.replace(secret, "***") if len(secret) > 1 else text
        return text

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def http_poster(settings: NotifierSettings, url: str, headers: Mapping[str, str] | None = None) -> HttpPoster:
    """A poster with the timeout and the authorities of the settings; raises ConfigError for an unusable `cafile`."""
    return HttpPoster(url, settings.timeout_seconds, headers, _tls(settings))


def _tls(settings: NotifierSettings) -> ssl.SSLContext | None:
    """The authorities of the system and those of `cafile`; None: the system's alone."""
    if settings.cafile is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(settings.cafile)
    except OSError as error:
        raise ConfigError(f"notifier.cafile = {settings.cafile}: {error}; allowed is a PEM file") from error
    return context


async def _text(response: aiohttp.ClientResponse) -> str:
    """The beginning of a response, on one line."""
    raw = await response.content.read(MAX_ANSWER_BYTES)
    return " ".join(raw.decode("utf-8", "replace").split())


def _refusal(status: int, retry_after: str | None, text: str) -> TryAgain | Rejected:
    detail = f"{status} {text}".strip()
    if status >= 500 or status in RETRYABLE_STATUSES:
        return TryAgain(detail, _seconds(retry_after))
    return Rejected(detail)


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds, as a number or as a date; None if it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
