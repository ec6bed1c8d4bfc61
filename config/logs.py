"""A service's log: one JSON object a line for machines, plain lines on a terminal.

Libraries log from WARNING up, and repeat a message only now and then.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

LIBRARIES = ("faust", "mode", "aiokafka", "asyncio")
REPEAT_SECONDS = 15.0
MAX_KINDS = 1000


class JsonLines(logging.Formatter):
    """A log record as a JSON object: time, level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class RepeatFilter(logging.Filter):
    """Passes a library's repeated message once in a while, with the number left out; one with a traceback always.

    A client without a broker logs the same every second, and would bury what matters.
    """

    def __init__(self, seconds: float = REPEAT_SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is worth a line."""
        if record.exc_info or not record.name.startswith(LIBRARIES):
            return True
        kind = (record.name, record.levelno, str(record.msg))
        if len(self._kinds) > MAX_KINDS:
            self._kinds.clear()
        now = self._monotonic()
        logged_at, left_out = self._kinds.get(kind, (-self._seconds, 0))
        if now - logged_at < self._seconds:
            self._kinds[kind] = (logged_at, left_out + 1)
            return False
        self._kinds[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like it)", ()
        return True


def configure_logs(stream: TextIO) -> None:
    """Log to a stream; what the root logger had before is replaced."""
    handler = logging.StreamHandler(stream)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(plain if stream.isatty() else JsonLines())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
