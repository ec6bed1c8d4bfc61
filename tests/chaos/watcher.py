"""Somebody who looks at the board all the time: nothing may vanish there, and no total may fall."""

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any

from processors.dev.process import LOOPBACK

ANSWER_SECONDS = 30.0
"""A loaded machine is slow at times; what takes longer is an outage."""
POLL_SECONDS = 0.5
METRICS_EVERY = 4
"""A scrape after so many looks at the API."""
PAGE_LIMIT = 500


class BoardError(Exception):
    """The board did not answer, or not with 200."""


def fetch(port: int, path: str) -> str:
    """A page of the board; raises BoardError."""
    connection = HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException) as error:
        raise BoardError(f"{path}: {type(error).__name__} {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise BoardError(f"{path}: {response.status} {text[:200]}")
    return text


def api(port: int, path: str) -> dict[str, Any]:
    """An answer of the API; raises BoardError."""
    answer: dict[str, Any] = json.loads(fetch(port, f"/api/v1/{path}"))
    return answer


def items(port: int, path: str) -> Iterator[dict[str, Any]]:
    """All items of a list of the API; raises BoardError."""
    following: str | None = f"/api/v1/{path}{'&' if '?' in path else '?'}limit={PAGE_LIMIT}"
    while following is not None:
        page = json.loads(fetch(port, following))
        yield from page["items"]
        following = page["next"]


class Watcher:
    """Looks in a thread, from `start` to `stop`; what must not be is given to `on_blink`, each kind once in a row."""

    def __init__(self, port: int, on_blink: Callable[[str], None]) -> None:
        self.looks = 0
        self.highest: dict[str, float] = {}
        """What may not fall, by name."""
        self._port = port
        self._on_blink = on_blink
        self._fallen: dict[str, float] = {}
        self._silent = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self._look()
                self._silent = False
            except (BoardError, ValueError, KeyError) as error:
                if not self._silent:
                    self._on_blink(f"the board does not answer: {error}")
                self._silent = True
            self.looks += 1

    def _look(self) -> None:
        seen = self._totals()
        if self.looks % METRICS_EVERY == 0:
            seen |= scraped(fetch(self._port, "/metrics"))
        for name, value in seen.items():
            self._compare(name, value)

    def _totals(self) -> dict[str, float]:
        company = api(self._port, "teams?window=all")["company"]["windows"]["all"]
        quality = api(self._port, "quality")
        return {
            "activities in the API": sum(company["activities"].values()),
            "opportunities in the API": company["opportunities_created"],
            "partitions in the API": len(quality["partitions"]),
            "reps in the API": sum(1 for _ in items(self._port, "reps?window=all")),
            **{f"offset of {each['partition']}": each["offset"] for each in quality["partitions"]},
        }

    def _compare(self, name: str, value: float) -> None:
        highest = self.highest.get(name, value)
        if value < highest and name not in self._fallen:
            self._on_blink(f"{name} fell from {highest:g} to {value:g}")
            self._fallen[name] = value
        if value >= highest:
            if name in self._fallen:
                del self._fallen[name]
            self.highest[name] = value


def scraped(text: str) -> dict[str, float]:
    """Of a page of metrics: the number of activities and of reps that have any."""
    lines = [line for line in text.splitlines() if line.startswith("crm_activities{") and 'window="all"' in line]
    reps = {line.partition('rep="')[2].partition('"')[0] for line in lines}
    return {
        "activities in /metrics": sum(float(line.rpartition(" ")[2]) for line in lines),
        "reps in /metrics": len(reps),
    }
