"""The board's directory of reps, with what the board asks of it: teams, zones and their present days."""

import msgspec

from processors.core.state.directory import directory_of
from processors.core.state.first_names import OTHER, FirstNames
from processors.core.time.zones import zone_days
from schemas.errors import BadRecord
from schemas.events import RepUpdated
from schemas.policy import Policy
from schemas.views import UNKNOWN_TEAM

MAX_TEAMS = 200
"""Teams that metrics name, the first by the alphabet: the directory may say anything."""

ALWAYS = frozenset({OTHER, UNKNOWN_TEAM})
"""Teams that metrics name whatever others there are."""

_decode = msgspec.msgpack.Decoder(RepUpdated).decode


class Reps:
    """The published directory. An impossible entry (an unknown time zone) is passed over: workers refused it too."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._entries: dict[str, tuple[bytes, RepUpdated]] = {}
        self._directory = directory_of(policy)
        self._members: dict[str, set[str]] = {}
        """Team to the reps that the directory has in it."""
        self._shown = FirstNames(MAX_TEAMS)
        self._without: set[str] = set()
        """Teams that have no series of their own."""
        self._relabelled: set[str] = set()

    def put(self, rep_id: str, raw: bytes | None) -> bool:
        """A rep's present entry; None: it is gone. True when that is news."""
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
        """The rep's entry, if it was ever announced."""
        return self._directory.get(rep_id)

    def name(self, rep_id: str) -> str:
        """The rep's name; one that was never announced is called by its id."""
        entry = self.get(rep_id)
        return rep_id if entry is None else entry.name

    def team(self, rep_id: str) -> str:
        """The rep's team."""
        return self._directory.team(rep_id)

    def shown_team(self, rep_id: str) -> str:
        """The rep's team as metrics name it: there are MAX_TEAMS of them, and `_other`."""
        team = self.team(rep_id)
        return OTHER if team in self._without else team

    def is_named(self, team: str) -> bool:
        """Whether metrics name a team, rather than count it under `_other`."""
        return team not in self._without

    def without_team(self) -> int:
        """How many reps are in teams that metrics do not name."""
        return sum(len(self._members[team]) for team in self._without)

    def take_relabelled(self) -> set[str]:
        """The reps whose team has got a series of its own since the last call, or has it no longer."""
        relabelled, self._relabelled = self._relabelled, set()
        return relabelled

    def today(self, rep_id: str, now_us: int) -> int:
        """The rep's local day."""
        return zone_days(self._directory.zone(rep_id)).day(now_us)

    def zone(self, rep_id: str) -> str:
        """The rep's time zone."""
        return self._directory.zone(rep_id)

    def ids(self) -> list[str]:
        """All announced reps."""
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
        if len(members) > 1 or team in ALWAYS:
            return
        last = self._shown.add(team)
        if last is not None:
            self._without.add(last)
            self._relabelled |= self._members[last]

    def _leave(self, rep_id: str) -> None:
        if rep_id not in self._entries:
            return
        team = self._entries[rep_id][1].team or UNKNOWN_TEAM
        members = self._members[team]
        members.remove(rep_id)
        if members:
            return
        del self._members[team]
        self._without.discard(team)
        first = None if team in ALWAYS else self._shown.remove(team)
        if first is not None:
            self._without.remove(first)
            self._relabelled |= self._members[first]
