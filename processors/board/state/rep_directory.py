"""The board's directory of reps: names, teams, zones, and which teams metrics name."""

import msgspec

from processors.core.state.directory import directory_of
from processors.core.state.first_names import OTHER, FirstNames
from processors.core.time.zones import zone_days
from schemas.errors import BadRecord
from schemas.events import RepUpdated
from schemas.policy import Policy
from schemas.views import UNKNOWN_TEAM

MAX_TEAMS = 200
"""Metrics name the first teams in alphabetical order: a directory may hold any number."""

UNCAPPED_TEAMS = frozenset({OTHER, UNKNOWN_TEAM})
"""Teams that metrics always name."""

_decode = msgspec.msgpack.Decoder(RepUpdated).decode


class RepDirectory:
    """The published directory. Entries with an unknown time zone are ignored: workers reject them too."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._entries: dict[str, tuple[bytes, RepUpdated]] = {}
        self._directory = directory_of(policy)
        self._members: dict[str, set[str]] = {}
        """Team to its reps, of those with an entry."""
        self._named_teams = FirstNames(MAX_TEAMS)
        self._folded_teams: set[str] = set()
        """Teams that metrics count under `_other`."""
        self._relabelled: set[str] = set()

    def put(self, rep_id: str, raw: bytes | None) -> bool:
        """Set a rep's entry; None removes it. Returns whether anything changed."""
        known = self._entries.get(rep_id)
        if raw is None:
            return self._remove(rep_id)
        if known is not None and known[0] == raw:
            return False
        entry = _decode(raw)
        try:
            self._directory.put(entry)
        except BadRecord:
            return False
        self._leave(rep_id)
        self._entries[rep_id] = (raw, entry)
        self._join(rep_id)
        return True

    def get(self, rep_id: str) -> RepUpdated | None:
        """The rep's entry, if the directory has one."""
        return self._directory.get(rep_id)

    def name(self, rep_id: str) -> str:
        """The rep's name, or its id if the directory does not know it."""
        entry = self.get(rep_id)
        return rep_id if entry is None else entry.name

    def team(self, rep_id: str) -> str:
        """The rep's team."""
        return self._directory.team(rep_id)

    def metric_team(self, rep_id: str) -> str:
        """The rep's team as a metric label: one of MAX_TEAMS teams, or `_other`."""
        team = self.team(rep_id)
        return OTHER if team in self._folded_teams else team

    def has_team_series(self, team: str) -> bool:
        """Whether a team has series of its own rather than a share of `_other`."""
        return team not in self._folded_teams

    def reps_without_team_series(self) -> int:
        """How many reps metrics count under the team `_other`."""
        return sum(len(self._members[team]) for team in self._folded_teams)

    def drain_relabelled(self) -> set[str]:
        """The reps whose team label changed since the last call."""
        relabelled, self._relabelled = self._relabelled, set()
        return relabelled

    def today(self, rep_id: str, now_us: int) -> int:
        """Today in the rep's zone."""
        return zone_days(self._directory.zone(rep_id)).day(now_us)

    def zone(self, rep_id: str) -> str:
        """The rep's time zone."""
        return self._directory.zone(rep_id)

    def ids(self) -> list[str]:
        """Every rep with an entry."""
        return list(self._entries)

    def _remove(self, rep_id: str) -> bool:
        if rep_id not in self._entries:
            return False
        self._leave(rep_id)
        del self._entries[rep_id]
        self._directory = directory_of(self._policy)
        for _, entry in self._entries.values():
            self._directory.put(entry)
        return True

    def _join(self, rep_id: str) -> None:
        team = self.team(rep_id)
        members = self._members.setdefault(team, set())
        members.add(rep_id)
        if len(members) > 1 or team in UNCAPPED_TEAMS:
            return
        folded = self._named_teams.add(team)
        if folded is not None:
            self._folded_teams.add(folded)
            self._relabelled |= self._members[folded]

    def _leave(self, rep_id: str) -> None:
        if rep_id not in self._entries:
            return
        team = self._entries[rep_id][1].team or UNKNOWN_TEAM
        members = self._members[team]
        members.remove(rep_id)
        if members:
            return
        del self._members[team]
        self._folded_teams.discard(team)
        named = None if team in UNCAPPED_TEAMS else self._named_teams.remove(team)
        if named is not None:
            self._folded_teams.remove(named)
            self._relabelled |= self._members[named]
