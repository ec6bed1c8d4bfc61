"""The data quality of a ledger: bounded whatever timestamps senders set, and forgotten with the windows."""

from random import Random

import pytest

from processors.core.ledger.data_quality import (
    MAX_DAYS,
    MAX_EXAMPLE_CHARACTERS,
    DataQuality,
    by_window,
    day_of,
    day_range,
)
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, FOREVER_US
from schemas.errors import Reason
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from tests.story import DAY, activity, answered, created, opened, stage, won

TODAY = 20_520
WINDOWS_DAYS = 370


def new_ledger(today: int = TODAY) -> Ledger:
    """A ledger whose clock shows a minute of a day."""
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    ledger.set_clock(today * DAY_US + 60_000_000)
    return ledger


@pytest.mark.parametrize(
    ("day", "counted_on"),
    [
        (TODAY, TODAY),
        (TODAY - 1, TODAY - 1),
        (TODAY + 1, TODAY),
        (10**9, TODAY),
        (day_of(None), TODAY),
        (day_of(-1), TODAY),
        (TODAY - WINDOWS_DAYS, TODAY - WINDOWS_DAYS),
        (TODAY - WINDOWS_DAYS - 1, TODAY - WINDOWS_DAYS),
        (0, TODAY - WINDOWS_DAYS),
    ],
)
def test_s29_a_record_counts_on_its_day_or_on_the_nearest_that_windows_see(day: int, counted_on: int) -> None:
    ledger = new_ledger()
    ledger.count_flaw(Reason.MALFORMED, day)
    assert ledger.quality == {counted_on: {"malformed": 1}}


def test_s29_any_timestamps_leave_a_bounded_number_of_days_that_count_every_record() -> None:
    ledger, random = new_ledger(), Random(7)
    for _ in range(50_000):
        ledger.count_flaw(random.choice(list(Reason)[:8]), day_of(random.randrange(-(10**15), 10**15)))
    assert len(ledger.quality) <= WINDOWS_DAYS + 1
    assert sum(count for counts in ledger.quality.values() for count in counts.values()) == 50_000


@pytest.mark.parametrize("days", [1, 370, 500, 36_500])
def test_s29_days_are_capped_however_long_windows_are(days: int) -> None:
    oldest, today = day_range(TODAY * DAY_US, days * DAY_US)
    assert today == TODAY
    assert today - oldest + 1 <= MAX_DAYS


def test_s29_days_are_dropped_when_windows_no_longer_see_them() -> None:
    ledger = new_ledger()
    for day in (TODAY - WINDOWS_DAYS, TODAY - WINDOWS_DAYS + 1, TODAY):
        ledger.count_flaw(Reason.DUPLICATE, day)
    ledger.drain_changes()

    ledger.set_clock((TODAY + 1) * DAY_US)

    assert sorted(ledger.quality) == [TODAY - WINDOWS_DAYS + 1, TODAY]
    assert ledger.drain_changes().deletes["quality"] == [str(TODAY - WINDOWS_DAYS)]


def test_s29_what_was_noted_by_an_earlier_version_on_many_days_is_read_and_pruned() -> None:
    """Old records, and one of a future that would count in `today` for ever."""
    noted = {day: {"malformed": 1, "unlinked": 3} for day in range(0, TODAY, 7)} | {TODAY + 900: {"malformed": 2}}
    ledger = new_ledger()
    ledger.resume(0, noted)
    assert len(ledger.quality) <= WINDOWS_DAYS // 7 + 2
    assert min(ledger.quality) >= TODAY - WINDOWS_DAYS
    assert ledger.quality[TODAY] == {"malformed": 2}
    assert ledger.quality == ledger.data_quality.noted()


def test_s29_what_facts_say_stays_on_their_day_and_can_be_taken_back() -> None:
    """It is no matter of the journal's mark: at a restart it follows from the facts."""
    ledger = new_ledger()
    answer = answered(0, request=None, event_id="late")
    ledger.apply(answer)
    ledger.refold()
    assert list(ledger.quality.values()) == [{"unlinked": 1}]
    assert ledger.data_quality.noted() == {}
    ledger.set_clock((TODAY + 5_000) * DAY_US)
    assert list(ledger.quality.values()) == [{"unlinked": 1}]
    ledger.forget("late")
    ledger.refold()
    assert ledger.quality == {}


def test_s29_without_a_clock_every_day_counts_as_it_is() -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    ledger.count_flaw(Reason.MALFORMED, 3)
    ledger.count_flaw(Reason.MALFORMED, FOREVER_US // DAY_US)
    assert len(ledger.quality) == 2


def test_s29_an_example_is_cut_published_once_and_goes_with_its_last_day() -> None:
    ledger = new_ledger()
    ledger.count_flaw(Reason.KEY_MISMATCH, TODAY)
    ledger.data_quality.show(Reason.KEY_MISMATCH, "x" * 10_000)
    (example,) = ledger.drain_changes().puts["examples"].items()
    assert example[0] == "key_mismatch"
    assert len(example[1]) <= MAX_EXAMPLE_CHARACTERS + 3
    assert "examples" not in ledger.drain_changes().puts

    ledger.set_clock((TODAY + WINDOWS_DAYS + 1) * DAY_US)

    assert ledger.drain_changes().deletes == {"quality": [str(TODAY)], "examples": ["key_mismatch"]}


def test_s29_windows_reach_to_the_present() -> None:
    quality = DataQuality()
    for day, count in ((TODAY, 1), (TODAY - 6, 10), (TODAY - 7, 100), (TODAY - 1000, 1000)):
        quality.note(Reason.ORPHAN, day, count)
    windows = {window: counts.get("orphan") for window, counts in by_window(quality.days.items(), TODAY).items()}
    assert windows == {"today": 1, "7d": 11, "30d": 111, "90d": 111, "365d": 111, "all": 1111}


def test_s29_facts_of_any_kind_leave_no_day_behind_when_they_are_gone() -> None:
    ledger = new_ledger()
    events: list[Event] = [won(0), created(DAY), opened(0), stage(5, "demo"), activity(3)]
    for event in events:
        ledger.apply(event)
    ledger.refold()
    assert list(ledger.quality.values()) == [{"cycle_negative": 1}]
    for event in events:
        ledger.forget(event.event_id)
    ledger.refold()
    assert ledger.quality == {}
