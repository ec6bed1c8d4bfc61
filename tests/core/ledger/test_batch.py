"""The hot loop: what counts is kept as it came, what does not is refused with its reason, and the rest goes on."""

from typing import NamedTuple

from processors.core.ledger.batch import DECODE_BATCH_SIZE, apply_messages
from processors.core.ledger.ledger import Ledger
from processors.core.state.directory import directory_of
from schemas import codec
from schemas.errors import Reason
from schemas.events import ActivityLogged, CustomerRevenue
from schemas.policy import DEFAULT_POLICY
from tests.story import activity, revenue


class Sent(NamedTuple):
    """A message of no broker."""

    number: int
    value: bytes | None
    key: bytes | None = b"c1"


def new_ledger() -> Ledger:
    return Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))


def test_every_message_counts_once_or_is_refused_with_its_reason() -> None:
    first, bad_amount = codec.encode(activity(1, event_id="a1")), codec.encode(revenue(2, "1.234"))
    other = codec.encode(activity(3, event_id="a1"))
    values = [first, None, b"{nonsense", b" " * (codec.MAX_EVENT_BYTES + 1), first, other, bad_amount]
    raw: list[bytes] = []
    ids: list[str] = []

    applied = apply_messages(new_ledger(), iter([Sent(n, value) for n, value in enumerate(values)]), raw, ids)

    assert (raw, ids, applied.kinds) == ([first], ["a1"], {ActivityLogged: 1})
    assert (applied.messages, applied.last) == (7, Sent(6, bad_amount))
    assert {refused.message.number: refused.why.reason for refused in applied.refused} == {
        1: Reason.TOMBSTONE,
        2: Reason.MALFORMED,
        3: Reason.TOO_LARGE,
        4: Reason.DUPLICATE,
        5: Reason.CONFLICT,
        6: Reason.MALFORMED,
    }


def test_a_batch_of_any_length_is_taken_whole_and_in_order() -> None:
    for length in (0, 1, DECODE_BATCH_SIZE - 1, DECODE_BATCH_SIZE, DECODE_BATCH_SIZE + 1, 3 * DECODE_BATCH_SIZE):
        values = [codec.encode(activity(n, event_id=f"a{n}")) for n in range(length)]
        raw: list[bytes] = []
        ids: list[str] = []
        applied = apply_messages(new_ledger(), iter([Sent(n, value) for n, value in enumerate(values)]), raw, ids)
        assert raw == values
        assert ids == [f"a{n}" for n in range(length)]
        assert applied.messages == length
        assert applied.last == (Sent(length - 1, values[-1]) if values else None)


def test_an_event_whose_key_is_not_its_customer_counts_and_is_named() -> None:
    messages = [
        Sent(n, codec.encode(activity(n, event_id=f"a{n}", customer="kunde-ü")), key)
        for n, key in enumerate((None, b"kunde", b"", "kunde-ü".encode(), b"kunde-\xfc", b"kunde-ue"))
    ]
    taken = apply_messages(new_ledger(), iter([*messages, Sent(9, None, None), Sent(10, b"{", None)]), [], [])
    assert [message.number for message, _ in taken.misplaced] == [0, 1, 2, 4, 5]
    assert {customer_id for _, customer_id in taken.misplaced} == {"kunde-ü"}
    assert taken.kinds == {ActivityLogged: 6}


def test_what_was_restored_is_not_counted_again() -> None:
    ledger = new_ledger()
    ledger.apply(activity(1, event_id="a1"))
    ledger.resume(0, {})
    values = [codec.encode(activity(2, event_id="a2")), codec.encode(revenue(3, "1.23"))]

    applied = apply_messages(ledger, iter([Sent(n, value) for n, value in enumerate(values)]), [], [])
    after = apply_messages(ledger, iter([Sent(9, None)]), [], [])

    assert applied.kinds == {ActivityLogged: 1, CustomerRevenue: 1}
    assert after.kinds == {}
