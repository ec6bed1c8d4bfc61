"""SIGHUP: the policy is read anew, and the process goes on with it, if it is good and open turns keep what they have.

A program that holds a policy begins anew with the new one (the same process, by `exec`): state is rebuilt as after any
restart, so that nothing of the old policy can linger. Whatever the file says, SIGHUP never ends a process for good.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from config.load_policy import load_policy
from schemas.errors import ConfigError
from schemas.policy import ALWAYS_US, CalendarSpec, Level, Policy, PolicyVersion

logger = logging.getLogger(__name__)

_Terms = tuple[int, tuple[Level, ...], CalendarSpec | None, dict[str, CalendarSpec]]
"""Since when, levels, the calendar of all, and calendars by team."""


class PolicyReload:
    """What SIGHUP does while a program runs."""

    def __init__(self, path: Path, present: Policy, now_us: Callable[[], int], stop: asyncio.Event) -> None:
        """`present`: the policy in force; `stop`: set when the program has to end, and to begin `anew`."""
        self.anew = False
        self._path = path
        self._present = present
        self._now_us = now_us
        self._stop = stop

    def __call__(self) -> None:
        """Read the file, and say in one line what follows from it."""
        try:
            policy = load_policy(self._path)
        except ConfigError as error:
            logger.error("SIGHUP: the policy stays as it was: %s", error)  # noqa: TRY400 -- it says it all
            return
        if policy == self._present:
            logger.info("SIGHUP: %s says what it said before", self._path)
        elif _past(policy, self._now_us()) != _past(self._present, self._now_us()):
            logger.error(
                "SIGHUP: the policy stays as it was: %s changes levels or calendars of open turns; put it into "
                "[[versions]] with an effective_from that is still to come, or restart to count all of history anew",
                self._path,
            )
        else:
            logger.info("SIGHUP: %s has changed: beginning anew with it", self._path)
            self.restart()

    def restart(self) -> None:
        """End the program in good order, and begin anew."""
        self.anew = True
        self._stop.set()


def ignore_hangup() -> None:
    """Until a program is ready for SIGHUP, the signal does nothing: by default it would end the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def begin_anew() -> NoReturn:
    """Run this program from its beginning, in this very process."""
    ignore_hangup()
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- it is our own command line


def _past(policy: Policy, now_us: int) -> list[_Terms]:
    """What holds for turns that have begun by now."""
    return [_terms(version) for version in _versions(policy) if version.effective_from_us <= now_us]


def _versions(policy: Policy) -> Iterator[PolicyVersion]:
    yield PolicyVersion(
        effective_from_us=ALWAYS_US,
        levels=policy.levels,
        calendars=policy.calendars,
        teams=policy.teams,
        calendar=policy.calendar,
    )
    yield from policy.versions


def _terms(version: PolicyVersion) -> _Terms:
    """The calendars that are used: others may come and go."""
    everybody = None if version.calendar is None else version.calendars[version.calendar]
    teams = {
        name: version.calendars[team.calendar] for name, team in version.teams.items() if team.calendar is not None
    }
    return version.effective_from_us, version.levels, everybody, teams
