"""Guesses of tokens: counted by address, slowed down, and logged without the token."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

logger = logging.getLogger(__name__)

MOST_FAILURES = 10
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000
"""Those that were not heard of for longest are forgotten first."""


class _Failures(msgspec.Struct):
    count: int = 0
    since: float = 0.0
    """When the first of them happened (monotonic s)."""


class SignIns:
    """Who signed in from where, and who failed to.

    An address with MOST_FAILURES within WINDOW_SECONDS waits for the rest of that time. Tokens that were good there
    before stay good meanwhile: one guesser behind a proxy does not lock out the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait_seconds(self, address: str, digest: bytes) -> float:
        """For how long an address may not try a token, by its digest; 0: it may."""
        failures = self._failures.get(address)
        if failures is None or failures.count < MOST_FAILURES or (address, digest) in self._known:
            return 0.0
        return max(failures.since + WINDOW_SECONDS - self._clock(), 0.0)

    def failed(self, address: str) -> None:
        """A token was not known: log the first one of a minute, and that more are not looked at."""
        now, failures = self._clock(), self._failures.pop(address, None)
        if failures is None or now - failures.since >= WINDOW_SECONDS:
            failures = _Failures(since=now)
        failures.count += 1
        self._failures[address] = failures
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        if failures.count == 1:
            logger.warning("sign-in from %s refused: its token is not known", address)
        elif failures.count == MOST_FAILURES:
            logger.warning("%d sign-ins from %s refused within a minute: it has to wait", failures.count, address)

    def succeeded(self, address: str, digest: bytes, name: str, role: str) -> None:
        """A token was good: log the first time from this address."""
        if (address, digest) in self._known:
            self._known.move_to_end((address, digest))
            return
        self._known[address, digest] = None
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)
        logger.info("%s signed in from %s and may %s", name, address, role)
