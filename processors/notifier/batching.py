"""Which notices go out together, and when: one by one, many at once, or one digest per rep and interval."""

from collections.abc import Iterable, Mapping
from itertools import islice

from processors.notifier.notifications import Habits, Notice, Parcel


def parcels(
    due: Iterable[Notice], habits: Habits, paces: Mapping[str, int], wall_us: int, at_once: int
) -> list[Parcel]:
    """At most `at_once` parcels of what is due; `paces`: when each rep was sent a digest last (wall, microseconds)."""
    if habits.digest_seconds:
        return _digests(due, habits, paces, wall_us, at_once)
    chosen = list(islice(due, at_once * habits.together))
    return [chosen[first : first + habits.together] for first in range(0, len(chosen), habits.together)]


def _digests(
    due: Iterable[Notice], habits: Habits, paces: Mapping[str, int], wall_us: int, at_once: int
) -> list[Parcel]:
    """By rep, in the order of the longest waiting; a rep whose last digest is too young waits."""
    interval_us = round(habits.digest_seconds * 1_000_000)
    by_rep: dict[str, list[Notice]] = {}
    for notice in due:
        rep_id = notice.transition.rep_id
        last_us = paces.get(rep_id)
        # A wall clock that was set back must not silence a rep: what lies ahead counts as long ago.
        if last_us is None or not 0 <= wall_us - last_us < interval_us:
            by_rep.setdefault(rep_id, []).append(notice)
    return [notices[: habits.together] for notices in islice(by_rep.values(), at_once)]
