"""Who waits: every open request, by owner and by how long."""

from collections.abc import Iterator, Mapping

import msgspec

from schemas.views import OpenRequest

_decode = msgspec.msgpack.Decoder(OpenRequest).decode
_NONE: Mapping["Place", OpenRequest] = {}

Place = tuple[int, str]
"""Source partition and field."""


class Waiting:
    """All open requests."""

    def __init__(self) -> None:
        self._by_place: dict[Place, OpenRequest] = {}
        self._by_owner: dict[str, dict[Place, OpenRequest]] = {}
        self._ordered: list[OpenRequest] | None = None

    def put(self, partition: int, field: str, raw: bytes | None) -> set[str]:
        """A request's present value, None when nobody waits any more; the owners whose numbers change."""
        place = (partition, field)
        old, new = self._by_place.get(place), None if raw is None else _decode(raw)
        if old == new:
            return set()
        self._ordered = None
        return self._remove(place, old) | self._add(place, new)

    def of(self, rep_id: str) -> Mapping[Place, OpenRequest]:
        """The open requests that a rep owns."""
        return self._by_owner.get(rep_id, _NONE)

    def owners(self) -> Mapping[str, Mapping[Place, OpenRequest]]:
        """Everyone who owns an open request."""
        return self._by_owner

    def fields(self, partition: int) -> Iterator[str]:
        """The fields that a partition holds."""
        for place, field in list(self._by_place):
            if place == partition:
                yield field

    def called(self, request_id: str) -> list[OpenRequest]:
        """The open requests with an id; more than one when several customers have it."""
        return [one for one in self._by_place.values() if one.request_id == request_id]

    def ordered(self) -> list[OpenRequest]:
        """All open requests, the longest wait first."""
        if self._ordered is None:
            self._ordered = sorted(
                self._by_place.values(), key=lambda one: (one.opened_us, one.customer_id, one.request_id)
            )
        return self._ordered

    def __len__(self) -> int:
        return len(self._by_place)

    def _remove(self, place: Place, old: OpenRequest | None) -> set[str]:
        if old is None:
            return set()
        del self._by_place[place]
        mine = self._by_owner[old.rep_id]
        del mine[place]
        if not mine:
            del self._by_owner[old.rep_id]
        return {old.rep_id}

    def _add(self, place: Place, new: OpenRequest | None) -> set[str]:
        if new is None:
            return set()
        self._by_place[place] = new
        self._by_owner.setdefault(new.rep_id, {})[place] = new
        return {new.rep_id}
