"""Posting to receivers over HTTP, and what their answers mean."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from processors.notifier.receiver import Rejected, TryAgain

READ_BYTES = 500
LONGEST_PAUSE_SECONDS = 300.0
TRY_AGAIN_STATUSES = frozenset({408, 425, 429})


class Poster:
    """Posts to one address. Redirects are not followed: a moved receiver is a setting to mend."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises TryAgain or Rejected unless the answer is 2xx."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers={"User-Agent": "Salespulse"})
        all_headers = {"Content-Type": "application/json", **headers}
        try:
            async with self._session.post(self._url, data=body, headers=all_headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise _refusal(response.status, response.headers.get("Retry-After"), await _text(response))
        except TimeoutError as error:
            raise TryAgain(f"no answer within {self._timeout.total:g} s") from error
        except aiohttp.InvalidURL as error:
            raise Rejected(f"{error} is no address") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise TryAgain(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Give connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _text(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer, on one line."""
    raw = await response.content.read(READ_BYTES)
    return " ".join(raw.decode("utf-8", "replace").split())


def _refusal(status: int, retry_after: str | None, text: str) -> TryAgain | Rejected:
    said = f"{status} {text}".strip()
    if status >= 500 or status in TRY_AGAIN_STATUSES:
        return TryAgain(said, _seconds(retry_after))
    return Rejected(said)


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds, as a number or as a date; None: it says nothing that we understand."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)
