"""The ledger as its owner uses it: quality, publication, restoring, forgetting, and roots of ten thousand facts."""

import msgspec
import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, instant_us
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY, CalendarSpec, Level, Policy, TeamPolicy
from schemas.views import Changes, OpenRequest, Partial, partial_field, pooled_subject
from tests.effort import cpu_seconds
from tests.story import (
    DAY,
    HOUR,
    activity,
    answered,
    assigned,
    at,
    created,
    opened,
    rep,
    retracted,
    revenue,
    stage,
    won,
)

TODAY = instant_us(at(0)) // DAY_US


def ledger_of(*events: Event, retention: Retention | None = None) -> Ledger:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), retention)
    for event in events:
        ledger.apply(event)
    return ledger


def values(changes: Changes) -> dict[tuple[str, str], bytes]:
    return {(section, field): value for section, fields in changes.puts.items() for field, value in fields.items()}


def test_s29_what_is_odd_is_counted_by_day_and_published_once() -> None:
    ledger = ledger_of(opened(0), answered(5, "alice", None))
    ledger.count_flaw("malformed", TODAY)
    ledger.count_flaw("malformed", TODAY)
    changes = ledger.drain_changes()
    assert msgspec.msgpack.decode(changes.puts["quality"][str(TODAY)]) == {"malformed": 2, "unlinked": 1}
    assert "quality" not in ledger.drain_changes().puts


@pytest.mark.parametrize("order", [1, -1])
def test_s29_a_retracted_answer_to_no_request_is_not_counted_as_unlinked_whatever_came_first(order: int) -> None:
    kept, gone = answered(5, "alice", None), answered(6, "alice", None)
    story: list[Event] = [kept, gone, retracted(7, gone)]
    ledger = ledger_of(*story[::order])
    assert msgspec.msgpack.decode(ledger.everything().puts["quality"][str(TODAY)]) == {"unlinked": 1}
    ledger.apply(retracted(8, kept))
    assert ledger.drain_changes().deletes["quality"] == [str(TODAY)]


def test_s29_a_restored_ledger_counts_unlinked_answers_from_its_facts_and_the_rest_as_noted() -> None:
    ledger = ledger_of(answered(5, "alice", None))
    ledger.resume(instant_us(at(6)), {TODAY: {"malformed": 3, "unlinked": 7}, TODAY - 1: {"unlinked": 2}})
    assert ledger.quality == {TODAY: {"malformed": 3, "unlinked": 1}}


def test_s24_a_customer_who_was_forgotten_and_comes_anew_has_late_follow_ups_counted() -> None:
    """Between two settlements, as when mended events replace orphans."""
    story = (created(0), won(10), activity(5))
    ledger = ledger_of(*story)
    for event in story:
        assert ledger.forget(event.event_id)
    for event in story:
        ledger.apply(event)
    assert ledger.everything().puts == ledger_of(*story).everything().puts


def test_s27_the_very_same_event_given_twice_counts_once() -> None:
    call = activity(0)
    ledger = ledger_of(call)
    assert ledger.apply(call) == "duplicate"
    assert ledger.view().partials("alice")[TODAY].activities == {"call": 1}


def test_changes_are_absolute_and_come_once() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"))
    first = ledger.drain_changes()
    view = msgspec.msgpack.decode(first.puts["open"]["c1|r1"], type=OpenRequest)
    assert (view.rep_id, view.opened_us, view.due_us["1h"]) == ("alice", instant_us(at(0)), instant_us(at(60)))
    assert values(ledger.drain_changes()) == {}
    ledger.apply(answered(10))
    second = ledger.drain_changes()
    assert second.deletes["open"] == ["c1|r1"]
    field = partial_field("rep", "alice", TODAY)
    assert msgspec.msgpack.decode(second.puts["partials"][field], type=Partial).responses == 1


def test_a_request_that_nobody_was_told_of_is_not_told_to_be_gone() -> None:
    ledger = ledger_of(opened(0), answered(10))
    assert "open" not in ledger.drain_changes().deletes
    ledger.apply(opened(20))
    assert list(ledger.drain_changes().puts["open"]) == ["c1|r1"]
    ledger.apply(answered(30))
    assert ledger.drain_changes().deletes["open"] == ["c1|r1"]
    ledger.apply(answered(40))
    assert "open" not in ledger.drain_changes().deletes


def test_a_request_that_comes_again_after_it_never_was_leaves_nothing_open() -> None:
    first = opened(0)
    ledger = ledger_of(first)
    assert list(ledger.drain_changes().puts["open"]) == ["c1|r1"]
    ledger.apply(retracted(1, first))
    ledger.refold()
    ledger.apply(answered(2))
    assert ledger.drain_changes().deletes["open"] == ["c1|r1"]


def test_what_came_to_nothing_is_deleted() -> None:
    call = activity(0)
    ledger = ledger_of(call)
    ledger.drain_changes()
    ledger.apply(retracted(1, call, "activity"))
    changes = ledger.drain_changes()
    assert changes.deletes["partials"] == [partial_field("rep", "alice", TODAY)]
    assert values(ledger.everything()) == {}


def test_everything_is_what_all_changes_came_to() -> None:
    events: list[Event] = [
        opened(0),
        activity(1),
        created(2),
        stage(3, "demo"),
        revenue(4, 5),
        answered(70),
        won(80),
        opened(90),
    ]
    ledger = ledger_of()
    known: dict[tuple[str, str], bytes] = {}
    for event in events:
        ledger.apply(event)
        changes = ledger.drain_changes()
        known.update(values(changes))
        for section, fields in changes.deletes.items():
            for field in fields:
                known.pop((section, field), None)
    assert values(ledger.everything()) == known


@pytest.mark.parametrize("most", [1, 2, 7, 1000])
def test_portions_come_to_everything_whatever_happens_in_between(most: int) -> None:
    """Facts of all kinds arrive between two portions, also some that take others back."""
    calls = [activity(n, f"rep{n % 5}", customer=f"c{n % 3}") for n in range(30)]
    story: list[Event] = [*calls, opened(31), opened(32, "r2"), revenue(33, 5), created(34), stage(35, "demo")]
    later: list[Event] = [retracted(40, calls[0], "activity"), answered(41), won(42), opened(43, "r3"), activity(44)]
    ledger = ledger_of(*story)
    known: dict[tuple[str, str], bytes] = {}

    def take(changes: Changes) -> None:
        assert len(values(changes)) + sum(map(len, changes.deletes.values())) <= most
        known.update(values(changes))
        for section, fields in changes.deletes.items():
            for field in fields:
                known.pop((section, field), None)

    ledger.mark_everything()
    for changes in ledger.drain_portions(most):
        take(changes)
        if later:
            ledger.apply(later.pop(0))
    for event in later:
        ledger.apply(event)
    for changes in ledger.drain_portions(most):
        take(changes)
    assert list(ledger.drain_portions(most)) == []
    assert known == values(ledger.everything())


def test_a_restored_ledger_says_nothing_again_and_goes_on() -> None:
    story: list[Event] = [opened(0), opened(5, "r2"), assigned(6, "bob", "r2")]
    before = ledger_of(*story)
    before.set_clock(instant_us(at(61)))
    before.advance(instant_us(at(61)))
    assert [t.request_id for t in before.drain_transitions() if t.state == "fired"] == ["r1"]
    after = ledger_of(*story)
    after.resume(instant_us(at(61)), {TODAY: {"malformed": 3}})
    assert after.drain_transitions() == []
    assert values(after.everything()) == values(before.everything()) | {
        ("quality", str(TODAY)): msgspec.msgpack.encode({"malformed": 3})
    }
    after.set_clock(instant_us(at(66)))
    after.advance(instant_us(at(66)))
    assert [t.request_id for t in after.drain_transitions() if t.state == "fired"] == ["r2"]


def test_a_rep_in_another_team_or_zone_takes_all_numbers_along() -> None:
    directory = directory_of(DEFAULT_POLICY)
    ledger = Ledger(DEFAULT_POLICY, directory)
    for event in (activity(8 * HOUR, recontactable=True), opened(0), answered(8 * HOUR), created(1), won(8 * HOUR)):
        ledger.apply(event)
    ledger.drain_changes()
    directory.put(rep("alice", "north", "Asia/Tokyo"))
    ledger.reps_changed(["alice"])
    changes = ledger.drain_changes()
    moved = msgspec.msgpack.decode(changes.puts["partials"][partial_field("rep", "alice", TODAY + 1)], type=Partial)
    assert (moved.activities, moved.responses, moved.won) == ({"call": 1}, 1, 1)
    assert partial_field("team", pooled_subject("north", "Asia/Tokyo"), TODAY + 1) in changes.puts["partials"]
    assert partial_field("team", pooled_subject("unknown", "UTC"), TODAY) in changes.deletes["partials"]


def test_a_rep_who_moves_leaves_the_others_alone() -> None:
    directory = directory_of(DEFAULT_POLICY)
    ledger = Ledger(DEFAULT_POLICY, directory)
    for event in (activity(0), activity(1, "bob"), opened(0), answered(2), opened(3, "r2"), answered(4, "bob", "r2")):
        ledger.apply(event)
    ledger.drain_changes()
    directory.put(rep("alice", time_zone="Asia/Tokyo"))
    ledger.reps_changed(["alice"])
    touched = {field.rsplit("|", 1)[0] for field in ledger.drain_changes().puts["partials"]}
    assert touched == {"rep|alice", "rep|_unassigned"}


def test_a_rep_who_gets_another_name_stays_where_it_was() -> None:
    directory = directory_of(DEFAULT_POLICY)
    directory.put(rep("alice", "north"))
    ledger = Ledger(DEFAULT_POLICY, directory)
    ledger.apply(activity(0))
    ledger.drain_changes()
    directory.put(msgspec.structs.replace(rep("alice", "north"), name="Alice"))
    ledger.reps_changed(["alice"])
    assert ledger.drain_changes() == Changes({}, {})


def test_what_was_restored_before_the_directory_came_is_where_the_reps_are() -> None:
    directory = directory_of(DEFAULT_POLICY)
    early, late = Ledger(DEFAULT_POLICY, directory), Ledger(DEFAULT_POLICY, directory)
    story = (activity(8 * HOUR, recontactable=True), opened(0), answered(8 * HOUR))
    for event in story:
        early.apply(event)
    directory.put(rep("alice", "north", "Asia/Tokyo"))
    for event in story:
        late.apply(event)
    for ledger in (early, late):
        ledger.resume(instant_us(at(9 * HOUR)), {})
    assert values(early.everything()) == values(late.everything())


def test_what_is_past_retention_is_forgotten_with_its_numbers() -> None:
    story: list[Event] = [opened(0), answered(5), activity(7), created(8), won(9), revenue(10, 5), opened(20, "still")]
    ledger = ledger_of(*story, retention=Retention())
    later = instant_us(at(450 * DAY))
    ledger.set_clock(later)
    ledger.advance(later)
    ledger.advance(later + DAY_US)
    assert ledger.sizes() == {"facts": 1, "customers": 1, "requests": 1, "open_requests": 1, "opportunities": 0}
    sections = ledger.everything().puts
    assert set(sections) == {"partials", "open"}
    partials = [msgspec.msgpack.decode(raw, type=Partial) for raw in sections["partials"].values()]
    assert sorted(list(partial.breaches) for partial in partials) == [["1h"], ["24h"]]


@pytest.mark.parametrize("order", [1, -1])
def test_a_root_of_ten_thousand_facts_takes_no_quadratic_time(order: int) -> None:
    def seconds(count: int) -> float:
        story: list[Event] = [opened(0)]
        story += [assigned(n / 100, f"rep{n % 7}") for n in range(1, count)]
        return cpu_seconds(lambda: ledger_of(*story[::order]).drain_changes())

    seconds(500)
    small, large = min(seconds(1_000) for _ in range(3)), min(seconds(10_000) for _ in range(3))
    assert large < 40 * small


def test_thousands_of_events_at_one_instant_are_right_in_any_order() -> None:
    story: list[Event] = [event for n in range(1_000) for event in (opened(0, f"r{n}"), answered(0, "alice", f"r{n}"))]
    forward, backward = ledger_of(*story), ledger_of(*reversed(story))
    assert values(forward.everything()) == values(backward.everything())
    assert forward.view().partials("alice")[TODAY].responses == 1_000


def test_outcomes_count_each_deadline_once_and_no_history() -> None:
    ledger = ledger_of()
    ledger.set_clock(instant_us(at(65)))
    for event in (
        opened(0),
        opened(3, "r2"),
        answered(4, "alice", "r2"),
        opened(-9000, "old"),
        answered(10, "bob", "old"),
    ):
        ledger.apply(event)
    ledger.advance(instant_us(at(65)))
    assert ledger.drain_outcomes() == {
        ("unknown", "1h", "missed"): 1,
        ("unknown", "1h", "met"): 1,
        ("unknown", "24h", "met"): 1,
    }
    ledger.apply(answered(66))
    assert ledger.drain_outcomes() == {("unknown", "24h", "met"): 1}


def test_folding_again_for_a_reps_new_team_counts_no_outcome_twice() -> None:
    directory = directory_of(DEFAULT_POLICY)
    ledger = Ledger(DEFAULT_POLICY, directory)
    ledger.set_clock(instant_us(at(70)))
    for event in (opened(0, rep_id="alice"), opened(5, "r2"), answered(10, "alice", "r2")):
        ledger.apply(event)
    ledger.advance(instant_us(at(70)))
    directory.put(rep("alice", "north"))
    ledger.reps_changed(["alice"])
    assert sum(ledger.drain_outcomes().values()) == 3
    directory.put(rep("alice", "south"))
    ledger.reps_changed(["alice"])
    assert ledger.drain_outcomes() == {}


def test_a_rep_who_only_owns_what_waits_has_its_deadlines_moved_by_a_new_team() -> None:
    policy = Policy(
        levels=(Level(name="1h", seconds=3600, clock="business"),),
        pipelines=DEFAULT_POLICY.pipelines,
        calendars={"late": CalendarSpec(week=(((12 * 60, 17 * 60),),) * 7)},
        teams={"north": TeamPolicy(calendar="late")},
    )
    directory = directory_of(policy)
    ledger = Ledger(policy, directory)
    ledger.apply(opened(0, rep_id="alice"))
    ledger.drain_changes()
    directory.put(rep("alice", "north"))
    ledger.reps_changed(["alice"])
    (raw,) = ledger.drain_changes().puts["open"].values()
    assert msgspec.msgpack.decode(raw, type=OpenRequest).due_us == {"1h": instant_us(at(5 * HOUR))}
    ledger.advance(instant_us(at(5 * HOUR - 1)))
    assert "fired" not in [transition.state for transition in ledger.drain_transitions()]
