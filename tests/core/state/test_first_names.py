"""What a producer makes up costs no more than what has room."""

from datetime import timedelta

import msgspec

from processors.core.ledger.ledger import Ledger
from processors.core.state.directory import directory_of
from processors.core.state.first_names import MAX_FREE_KINDS, OTHER
from schemas import events as ev
from schemas.policy import DEFAULT_POLICY, KINDS
from schemas.views import Partial
from tests.strategies import ANCHORS

MADE_UP = 20_000
LARGEST_PARTIAL_BYTES = 1024


def activity(number: int, kind: str) -> ev.ActivityLogged:
    at = ANCHORS[0] + timedelta(seconds=number)
    return ev.ActivityLogged(event_id=f"a{number}", occurred_at=at, customer_id="c", rep_id="ann", kind=kind)


def published(ledger: Ledger) -> bytes:
    ledger.refold()
    (field,) = (raw for name, raw in ledger.drain_changes().puts["partials"].items() if name.startswith("rep|ann"))
    return field


def test_20000_kinds_on_one_day_of_a_rep_leave_a_small_field_of_the_read_model() -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    for number in range(MADE_UP):
        ledger.apply(activity(number, f"subject of e-mail {number:05}"))
    ledger.apply(activity(MADE_UP, "call"))

    field = published(ledger)

    kinds = msgspec.msgpack.decode(field, type=Partial).activities
    assert len(field) < LARGEST_PARTIAL_BYTES
    assert len(kinds) == MAX_FREE_KINDS + 2
    assert kinds[OTHER] == MADE_UP - MAX_FREE_KINDS
    assert kinds["call"] == 1


def test_a_kind_that_the_policy_lists_always_has_a_count_of_its_own() -> None:
    policy = msgspec.structs.replace(DEFAULT_POLICY, kinds=(*KINDS, "zz site visit"))
    ledger = Ledger(policy, directory_of(policy))
    for number in range(100):
        ledger.apply(activity(number, f"kind {number}"))
    ledger.apply(activity(100, "zz site visit"))

    assert msgspec.msgpack.decode(published(ledger), type=Partial).activities["zz site visit"] == 1
