"""The board's directory of reps, with what the board asks of it: teams, zones and their present days."""

import msgspec

from processors.core.directory import directory_of
from processors.core.zones import zone_days
from schemas.errors import BadRecord
from schemas.events import RepUpdated
from schemas.policy import Policy

_decode = msgspec.msgpack.Decoder(RepUpdated).decode


class Reps:
    """The published directory. An impossible entry (an unknown time zone) is passed over: workers refused it too."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._entries: dict[str, tuple[bytes, RepUpdated]] = {}
        self._directory = directory_of(policy)

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
        self._entries[rep_id] = (raw, entry)
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
        if self._entries.pop(rep_id, None) is None:
            return False
        self._directory = directory_of(self._policy)
        for _, entry in self._entries.values():
            self._directory.put(entry)
        return True
