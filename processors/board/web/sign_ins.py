"""Limits attempts to guess tokens: failures are counted by address, and logged without the token."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

logger = logging.getLogger(__name__)

MAX_FAILURES = 10
WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 10_000
"""Those that have been quiet for longest are forgotten first."""


class _Failures(msgspec.Struct):
    count: int = 0
    since: float = 0.0
    """Time of the first failure (monotonic, s)."""


class SignIns:
    """Successful and failed sign-ins by address.

    After MAX_FAILURES within WINDOW_SECONDS an address has to wait for the rest of that time. Tokens that it used
    successfully before still work: one guesser behind a proxy does not lock out the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait_seconds(self, address: str, digest: bytes) -> float:
        """How long an address has to wait before it may use a token; 0 if it may now."""
        failures = self._failures.get(address)
        if failures is None or failures.count < MAX_FAILURES or (address, digest) in self._known:
            return 0.0
        return max(failures.since + WINDOW_SECONDS - self._clock(), 0.0)

    def failed(self, address: str) -> None:
        """Count an unknown token. Logs the first failure of a minute, and the one from which on the address waits."""
        now, failures = self._clock(), self._failures.pop(address, None)
        if failures is None or now - failures.since >= WINDOW_SECONDS:
            failures = _Failures(since=now)
        failures.count += 1
        self._failures[address] = failures
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        if failures.count == 1:
            logger.warning("sign-in from %s refused: its token is not known", address)
        elif failures.count == MAX_FAILURES:
            logger.warning("%d sign-ins from %s refused within a minute: it has to wait", failures.count, address)

    def succeeded(self, address: str, digest: bytes, name: str, role: str) -> None:
        """Note a valid token. Logs its first use from this address."""
        if (address, digest) in self._known:
            self._known.move_to_end((address, digest))
            return
        self._known[address, digest] = None
        if len(self._known) > MAX_ADDRESSES:
            self._known.popitem(last=False)
        logger.info("%s signed in from %s and may %s", name, address, role)
