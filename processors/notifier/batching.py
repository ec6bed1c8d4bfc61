"""Which notifications go out together, and when: one by one, many at once, or one digest per rep and interval."""

from collections.abc import Iterable, Mapping
from itertools import islice

from processors.notifier.receivers.base import DeliveryPolicy, Notification, NotificationBatch


def next_batches(
    due: Iterable[Notification], policy: DeliveryPolicy, digests: Mapping[str, int], wall_us: int, max_batches: int
) -> list[NotificationBatch]:
    """At most `max_batches` of what is due. `digests`: when each rep's last digest went out (wall, microseconds)."""
    if policy.digest_seconds:
        return _digest_batches(due, policy, digests, wall_us, max_batches)
    chosen = list(islice(due, max_batches * policy.batch_size))
    return [chosen[first : first + policy.batch_size] for first in range(0, len(chosen), policy.batch_size)]


def _digest_batches(
    due: Iterable[Notification], policy: DeliveryPolicy, digests: Mapping[str, int], wall_us: int, max_batches: int
) -> list[NotificationBatch]:
    """One per rep, the longest waiting first, without reps whose last digest is too recent."""
    interval_us = round(policy.digest_seconds * 1_000_000)
    by_rep: dict[str, list[Notification]] = {}
    for notification in due:
        rep_id = notification.transition.rep_id
        last_us = digests.get(rep_id)
        # A wall clock that was set back must not silence a rep: a digest in the future counts as long ago.
        if last_us is None or not 0 <= wall_us - last_us < interval_us:
            by_rep.setdefault(rep_id, []).append(notification)
    return [notifications[: policy.batch_size] for notifications in islice(by_rep.values(), max_batches)]
