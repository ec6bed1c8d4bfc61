"""SIGHUP: the policy file is read again. The program restarts with it if it is valid and open turns are unaffected.

State is rebuilt as after any restart, so that nothing of the old policy can linger. Whatever the file says, SIGHUP
never ends a program for good.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from config.load_policy import load_policy
from schemas.errors import ConfigError
from schemas.policy import ALWAYS_US, CalendarSpec, Level, Policy, PolicyVersion

logger = logging.getLogger(__name__)

_Terms = tuple[int, tuple[Level, ...], CalendarSpec | None, dict[str, CalendarSpec]]
"""Effective from, levels, the calendar of everybody, and calendars by team."""


class PolicyReload:
    """What SIGHUP does while a program runs."""

    def __init__(self, path: Path, present: Policy, now_us: Callable[[], int], restart: Callable[[], None]) -> None:
        """`present`: the policy in force; `restart`: runs the program again from its beginning."""
        self._path = path
        self._present = present
        self._now_us = now_us
        self._restart = restart

    def __call__(self) -> None:
        """Read the file, and log in one line what follows from it."""
        try:
            policy = load_policy(self._path)
        except ConfigError as error:
            logger.error("SIGHUP: the policy stays as it was: %s", error)  # noqa: TRY400 -- the message has everything
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
            self._restart()


def _past(policy: Policy, now_us: int) -> list[_Terms]:
    """The terms of turns that have begun by now."""
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
    """Calendars that nobody uses are left out, because they may come and go."""
    everybody = None if version.calendar is None else version.calendars[version.calendar]
    teams = {
        name: version.calendars[team.calendar] for name, team in version.teams.items() if team.calendar is not None
    }
    return version.effective_from_us, version.levels, everybody, teams
