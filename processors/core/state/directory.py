"""The reps: who they are, in which team and time zone. The latest entry of a rep counts."""

from collections.abc import Iterator, Mapping

from processors.core.time.zones import UnknownZone, zone_days
from schemas.errors import BadRecord, Reason
from schemas.events import RepUpdated
from schemas.policy import Policy
from schemas.views import UNKNOWN_TEAM


class Directory:
    """Reps by id. A rep never announced still counts: under its id, in team `unknown`, in the default zone."""

    def __init__(self, default_zone: str = "UTC", team_zones: Mapping[str, str] | None = None) -> None:
        self._default_zone = default_zone
        self._team_zones = team_zones or {}
        self._reps: dict[str, RepUpdated] = {}

    def put(self, rep: RepUpdated) -> bool:
        """Set a rep's newest entry; true if it differs from the last one. Raises BadRecord for an unknown time zone."""
        if rep.time_zone is not None:
            _check_zone(rep.time_zone)
        known = self._reps.get(rep.rep_id)
        self._reps[rep.rep_id] = rep
        return known != rep

    def remove(self, rep_id: str) -> bool:
        """Forget a rep, who still counts under its id; true when it was announced."""
        return self._reps.pop(rep_id, None) is not None

    def get(self, rep_id: str) -> RepUpdated | None:
        """The rep's entry, if it was ever announced."""
        return self._reps.get(rep_id)

    def team(self, rep_id: str) -> str:
        """The rep's present team."""
        rep = self._reps.get(rep_id)
        return UNKNOWN_TEAM if rep is None or rep.team is None else rep.team

    def zone(self, rep_id: str) -> str:
        """The rep's IANA time zone: its own, else its team's, else the default."""
        rep = self._reps.get(rep_id)
        if rep is not None and rep.time_zone is not None:
            return rep.time_zone
        return self._team_zones.get(self.team(rep_id), self._default_zone)

    def __iter__(self) -> Iterator[RepUpdated]:
        return iter(self._reps.values())

    def __len__(self) -> int:
        return len(self._reps)


def directory_of(policy: Policy) -> Directory:
    """An empty directory with the zones of a policy."""
    zones = {team: spec.time_zone for team, spec in policy.teams.items() if spec.time_zone is not None}
    return Directory(policy.time_zone, zones)


def _check_zone(name: str) -> None:
    try:
        zone_days(name)
    except UnknownZone as error:
        raise BadRecord(Reason.MALFORMED, f"{error} - at `$.time_zone`") from error
