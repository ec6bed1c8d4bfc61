"""Open requests, indexed by owner and ordered by age."""

from collections.abc import Iterator, Mapping

import msgspec

from schemas.views import OpenRequest

_decode = msgspec.msgpack.Decoder(OpenRequest).decode
_NONE: Mapping["FieldKey", OpenRequest] = {}

FieldKey = tuple[int, str]
"""NumbersSource partition and field of the read model."""


class OpenRequests:
    """Every open request."""

    def __init__(self) -> None:
        self._by_key: dict[FieldKey, OpenRequest] = {}
        self._by_owner: dict[str, dict[FieldKey, OpenRequest]] = {}
        self._ordered: list[OpenRequest] | None = None

    def put(self, partition: int, field: str, raw: bytes | None) -> set[str]:
        """Set a request, or remove it with None. Returns the owners whose numbers change."""
        key = (partition, field)
        old, new = self._by_key.get(key), None if raw is None else _decode(raw)
        if old == new:
            return set()
        self._ordered = None
        return self._remove(key, old) | self._add(key, new)

    def owned_by(self, rep_id: str) -> Mapping[FieldKey, OpenRequest]:
        """A rep's open requests."""
        return self._by_owner.get(rep_id, _NONE)

    def owners(self) -> Mapping[str, Mapping[FieldKey, OpenRequest]]:
        """Every rep who owns an open request, with those requests."""
        return self._by_owner

    def fields(self, partition: int) -> Iterator[str]:
        """The fields held of a partition. The caller may remove fields while it iterates."""
        for owner, field in list(self._by_key):
            if owner == partition:
                yield field

    def with_id(self, request_id: str) -> list[OpenRequest]:
        """The open requests with an id: ids are unique for one customer only."""
        return [request for request in self._by_key.values() if request.request_id == request_id]

    def longest_first(self) -> list[OpenRequest]:
        """Every open request, the longest wait first."""
        if self._ordered is None:
            self._ordered = sorted(
                self._by_key.values(), key=lambda request: (request.opened_us, request.customer_id, request.request_id)
            )
        return self._ordered

    def __len__(self) -> int:
        return len(self._by_key)

    def _remove(self, key: FieldKey, old: OpenRequest | None) -> set[str]:
        if old is None:
            return set()
        del self._by_key[key]
        mine = self._by_owner[old.rep_id]
        del mine[key]
        if not mine:
            del self._by_owner[old.rep_id]
        return {old.rep_id}

    def _add(self, key: FieldKey, new: OpenRequest | None) -> set[str]:
        if new is None:
            return set()
        self._by_key[key] = new
        self._by_owner.setdefault(new.rep_id, {})[key] = new
        return {new.rep_id}
