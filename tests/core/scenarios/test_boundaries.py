"""Where one more or one less decides: same instants, whose day, whose credit, and what is taken back again."""

from datetime import timedelta

import msgspec
import pytest

from processors.core.ledger.ledger import MAX_CLOCK_SKEW_US, Ledger
from processors.core.ledger.retention import ORPHAN_AFTER_US, Retention
from processors.core.reports.replay import replay
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, HOUR_US, instant_us
from schemas.errors import BadRecord, Reason
from schemas.events import Event, Message, OpportunityAssigned
from schemas.policy import DEFAULT_POLICY, CalendarSpec, Policy, TeamPolicy
from schemas.views import OpenOpportunities, Partial
from tests.story import (
    DAY,
    HOUR,
    activity,
    answered,
    assigned,
    at,
    closed,
    created,
    lost,
    numbers,
    opened,
    reopened,
    rep,
    report_of,
    retracted,
    revenue,
    segment,
    stage,
    won,
)

TODAY = instant_us(at(0)) // DAY_US


def ledger_of(*events: Event, retention: Retention | None = None) -> Ledger:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), retention)
    for event in events:
        ledger.apply(event)
    ledger.refold()
    return ledger


def handed_over(minute: float, to: str) -> OpportunityAssigned:
    """An opportunity gets another owner."""
    return OpportunityAssigned(
        opportunity_id="o1", rep_id=to, event_id=f"to-{to}", occurred_at=at(minute), customer_id="c1"
    )


def day_of(ledger: Ledger, rep_id: str, day: int = TODAY) -> Partial:
    """A rep's partial of a day."""
    return ledger.view().partials(rep_id).get(day, Partial())


# -- deadlines ------------------------------------------------------------------------------------------------------


def test_s14_at_its_due_instant_a_deadline_has_not_passed_and_a_microsecond_later_it_has() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"))
    ledger.advance(instant_us(at(60)))
    assert [t.state for t in ledger.drain_transitions()] == ["at_risk"]
    assert day_of(ledger, "alice").breaches == {}
    ledger.advance(instant_us(at(60)) + 1)
    assert [t.state for t in ledger.drain_transitions()] == ["fired"]
    assert day_of(ledger, "alice").breaches == {"1h": 1}


def test_s09_at_its_due_instant_a_waiting_request_is_not_past_its_level() -> None:
    assert report_of(opened(0), until=60)["open_requests"][0]["levels"] == []
    assert report_of(opened(0), activity(60 + 1 / 60_000_000))["open_requests"][0]["levels"] == ["1h"]


def test_s08_who_takes_over_at_the_due_instant_has_the_breach() -> None:
    report = report_of(opened(0, rep_id="alice"), assigned(60, "bob"), until=61)
    assert numbers(report, "bob")["breaches"]["1h"] == 1
    assert "alice" not in report["reps"]


def test_s08_a_breach_counts_on_the_day_it_was_due_and_not_on_that_of_the_answer() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"), answered(2 * DAY, "alice"))
    assert day_of(ledger, "alice", TODAY).breaches == {"1h": 1}
    assert day_of(ledger, "alice", TODAY + 1).breaches == {"24h": 1}
    assert day_of(ledger, "alice", TODAY + 2).breaches == {}


def test_s07_a_hold_counts_on_the_day_of_the_answer() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"), assigned(HOUR, "bob"), answered(DAY, "bob"))
    assert day_of(ledger, "alice", TODAY).hold_us == 0
    assert day_of(ledger, "alice", TODAY + 1).hold_us == HOUR_US
    assert day_of(ledger, "bob", TODAY + 1).hold_us == 23 * HOUR_US


def test_s06_an_unanswered_close_belongs_to_the_owner_and_the_day_of_the_close() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"), assigned(10, "bob"), closed(DAY, "resolved"))
    assert day_of(ledger, "bob", TODAY + 1).closed_unanswered == {"resolved": 1}
    assert day_of(ledger, "bob", TODAY).closed_unanswered == {}
    assert day_of(ledger, "alice", TODAY + 1).closed_unanswered == {}


def test_s12_working_time_is_that_of_the_team_at_the_start_whoever_answers() -> None:
    office = CalendarSpec(week=(((9 * 60, 17 * 60),),) * 7)
    teams = {"north": TeamPolicy(calendar="office")}
    policy = Policy(
        levels=DEFAULT_POLICY.levels, pipelines=DEFAULT_POLICY.pipelines, calendars={"office": office}, teams=teams
    )
    story: list[Message] = [rep("alice", "north"), opened(0, rep_id="alice"), assigned(90, "bob"), answered(120, "bob")]
    assert numbers(replay(story, policy), "bob")["business_seconds_sum"] == 3600


@pytest.mark.parametrize(("late_us", "told"), [(0, True), (1, False)])
def test_s18_what_is_an_hour_past_due_is_told_and_what_is_older_is_history(late_us: int, told: bool) -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), alerts_max_age_us=HOUR_US)
    ledger.set_clock(instant_us(at(2 * HOUR)) + late_us)
    ledger.apply(opened(0))
    ledger.advance(instant_us(at(2 * HOUR)) + late_us)
    assert ("fired" in [t.state for t in ledger.drain_transitions()]) is told


# -- the same instant -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_s27_of_an_answer_and_a_close_at_one_instant_the_answer_is_first(ids: str) -> None:
    report = report_of(opened(0), answered(5, event_id=ids[0]), closed(5, "resolved", event_id=ids[1]))
    assert numbers(report)["responses"] == 1
    assert report["company"]["all"]["closed_unanswered"] == {}


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_s27_an_assignment_at_the_instant_of_the_message_comes_after_it(ids: str) -> None:
    report = report_of(opened(0, rep_id="alice", event_id=ids[0]), assigned(0, "bob", event_id=ids[1]), until=10)
    assert report["open_requests"][0]["rep_id"] == "bob"


def test_s24_a_reopening_at_the_instant_of_a_win_comes_before_it() -> None:
    report = report_of(created(0), lost(5), reopened(10), won(10))
    assert (numbers(report)["won"], numbers(report)["lost"]) == (1, 0)


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_s26_of_two_segments_at_one_instant_the_greater_event_id_says(ids: str) -> None:
    first, second = segment(0, "smb", event_id=ids[0]), segment(0, "enterprise", event_id=ids[1])
    wanted = "enterprise" if ids == "ab" else "smb"
    for story in ((first, second), (second, first)):
        assert list(report_of(*story, revenue(1, 5))["segments"]) == [wanted]


def test_s26_the_segment_is_the_latest_by_instant_and_needs_money_to_count() -> None:
    report = report_of(segment(10, "enterprise"), segment(0, "smb"), revenue(1, 5), segment(0, "none", customer="c2"))
    assert list(report["segments"]) == ["enterprise"]


# -- corrections and clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_s27_a_retraction_in_another_customers_name_does_nothing_whatever_came_first(order: int) -> None:
    call = activity(0)
    story: list[Event] = [call, retracted(1, call, "activity", customer="c2")]
    assert numbers(report_of(*story[::order]))["activities"] == {"call": 1}


@pytest.mark.parametrize("order", [1, -1])
def test_s27_a_retraction_cannot_be_retracted(order: int) -> None:
    call = activity(0)
    never = retracted(1, call, "activity")
    story: list[Event] = [call, never, retracted(2, never, "activity"), activity(3)]
    assert numbers(report_of(*story[::order]))["activities"] == {"call": 1}


def test_s28_five_minutes_ahead_are_taken_and_a_microsecond_more_is_refused() -> None:
    ledger = ledger_of()
    ledger.set_clock(instant_us(at(0)))
    assert MAX_CLOCK_SKEW_US == 5 * 60 * 1_000_000
    assert ledger.apply(activity(5)) == "applied"
    ahead = activity(5)
    ahead.occurred_at += timedelta(microseconds=1)
    with pytest.raises(BadRecord) as caught:
        ledger.apply(ahead)
    assert caught.value.reason is Reason.CLOCK_SKEW


def test_s13_an_answer_waits_seven_days_for_its_request_and_no_longer() -> None:
    assert ORPHAN_AFTER_US == 7 * DAY_US
    for late_us, kept in ((0, 1), (1, 0)):
        ledger = ledger_of(answered(0), retention=Retention())
        ledger.advance(instant_us(at(7 * DAY)) + late_us)
        assert (len(ledger.facts), len(ledger.drain_rejected())) == (kept, 1 - kept)


# -- opportunities --------------------------------------------------------------------------------------------------


def test_s08_a_created_cohort_win_belongs_to_who_created_it_and_the_win_to_who_won() -> None:
    report = report_of(created(0, "alice"), won(10, "bob"))
    assert (numbers(report, "alice")["created_won"], numbers(report, "alice")["won"]) == (1, 0)
    assert (numbers(report, "bob")["created_won"], numbers(report, "bob")["won"]) == (0, 1)


def test_s24_an_opportunity_closed_at_the_instant_of_its_creation_has_a_cycle_of_0_seconds() -> None:
    report = report_of(created(0), won(0))
    assert numbers(report)["sales_cycle_won_seconds"] == 0
    assert numbers(report)["cycle_fallbacks"] == 1


def test_s24_a_lost_opportunity_without_follow_up_is_a_fallback_too() -> None:
    report = report_of(created(0), lost(10))
    assert (numbers(report)["sales_cycle_lost_seconds"], numbers(report)["cycle_fallbacks"]) == (600, 1)


@pytest.mark.parametrize("link", ["o1", None])
@pytest.mark.parametrize(
    ("minute", "cycle_minutes", "fallbacks"), [(-1, 20, 1), (0, 20, 0), (5, 15, 0), (20, 0, 0), (21, 20, 1)]
)
@pytest.mark.parametrize("late", [False, True])
def test_s24_a_follow_up_lies_between_creation_and_close_both_included(
    minute: float, cycle_minutes: int, fallbacks: int, late: bool, link: str | None
) -> None:
    ledger = ledger_of(created(0), won(20), *(() if late else (activity(minute, opportunity_id=link),)))
    if late:
        ledger.apply(activity(minute, opportunity_id=link))
        ledger.refold()
    partial = day_of(ledger, "alice")
    assert (partial.cycle_won_us, partial.cycle_fallbacks) == (cycle_minutes * 60_000_000, fallbacks)


@pytest.mark.parametrize("link", ["o1", None])
def test_s24_a_follow_up_that_arrives_after_the_close_and_behind_earlier_activities_still_counts(
    link: str | None,
) -> None:
    ledger = ledger_of(activity(-5, opportunity_id=link), created(0), won(20))
    ledger.apply(activity(15, opportunity_id=link))
    ledger.refold()
    partial = day_of(ledger, "alice")
    assert (partial.cycle_won_us, partial.cycle_fallbacks) == (5 * 60_000_000, 0)


def test_s20_a_stage_belongs_to_who_brought_it_there_whoever_owns_the_opportunity() -> None:
    report = report_of(
        created(0, "alice"), handed_over(1, "bob"), stage(2, "qualified", "carol"), stage(3, "demo", "dan")
    )
    counts = {
        who: {name: numbers(report, who)["stages"]["default"][name][count] for name, count in wanted}
        for who, wanted in {
            "carol": (("prospecting", "entered"), ("qualified", "visited")),
            "dan": (("prospecting", "entered"), ("demo", "entered")),
        }.items()
    }
    assert counts == {"carol": {"prospecting": 1, "qualified": 1}, "dan": {"prospecting": 0, "demo": 1}}
    assert numbers(report, "carol")["stages"]["default"]["qualified"]["advanced"] == 1


def test_s08_an_opportunity_stands_open_at_its_owner_and_stage_until_it_is_closed() -> None:
    ledger = ledger_of(created(0, "alice"))
    assert standing(ledger) == {"alice": {"default": {"_none": 1}}}
    for event, wanted in (
        (stage(1, "demo", "bob"), {"alice": {"default": {"demo": 1}}}),
        (handed_over(2, "bob"), {"bob": {"default": {"demo": 1}}}),
        (lost(3, "bob"), {}),
        (reopened(4, "carol"), {"carol": {"default": {"demo": 1}}}),
        (won(5, "carol"), {}),
    ):
        ledger.apply(event)
        assert standing(ledger) == wanted


def standing(ledger: Ledger) -> dict[str, dict[str, dict[str, int]]]:
    """What stands open, by rep, as it is published."""
    puts = ledger.everything().puts.get("standing", {})
    return {who: msgspec.msgpack.decode(raw, type=OpenOpportunities).opportunities for who, raw in puts.items()}


# -- distinct customers ---------------------------------------------------------------------------------------------


def met(*messages: Message, until: float = 3 * DAY) -> dict[str, dict[str, tuple[int, int]]]:
    """Recontactable customers of each subject, today and in 7 days."""
    report = report_of(*messages, until=until)
    subjects = {**report["reps"], **{f"team {name}": team for name, team in report["teams"].items()}}
    subjects["company"] = report["company"]
    return {
        name: {"today, 7d": tuple(windows[window]["recontactable_customers"] for window in ("today", "7d"))}
        for name, windows in subjects.items()
    }


NORTH: list[Message] = [rep("alice", "north"), rep("bob", "north"), rep("carol", "south")]


def call(minute: float, who: str, customer: str = "c1") -> Event:
    """A call after which the customer may be called again."""
    return activity(minute, who, customer=customer, recontactable=True)


def seen(**subjects: tuple[int, int]) -> dict[str, dict[str, tuple[int, int]]]:
    """What `met` should say."""
    return {name.replace("_", " "): {"today, 7d": counts} for name, counts in subjects.items()}


def test_s19_a_customer_of_several_days_and_reps_counts_once_for_each_subject_on_the_last_day() -> None:
    story = [call(0, "alice"), call(1, "alice"), call(DAY, "bob"), call(3 * DAY, "carol"), call(DAY, "carol", "c2")]
    wanted = seen(alice=(0, 1), bob=(0, 1), carol=(1, 2), team_north=(0, 1), team_south=(1, 2), company=(1, 2))
    assert met(*NORTH, *story) == wanted
    assert met(*NORTH, *story[::-1]) == wanted


@pytest.mark.parametrize("order", [1, -1])
def test_s19_a_retracted_last_day_falls_back_to_the_one_before(order: int) -> None:
    last, first = call(3 * DAY, "alice"), call(0, "alice")
    again = call(3 * DAY, "alice")
    story = [first, last, again, retracted(3 * DAY, last, "activity")]
    assert met(*NORTH, *story[::order])["alice"] == {"today, 7d": (1, 1)}
    gone: list[Event] = [*story, retracted(3 * DAY, again, "activity")]
    assert met(*NORTH, *gone[::order])["alice"] == {"today, 7d": (0, 1)}
    nothing: list[Event] = [*gone, retracted(3 * DAY, first, "activity")]
    assert met(*NORTH, *nothing[::order])["alice"] == {"today, 7d": (0, 0)}


def test_s19_a_day_in_the_middle_that_is_retracted_changes_nothing_and_one_of_three_days_falls_back_by_one() -> None:
    days = [call(n * DAY, "alice") for n in range(3)]
    middle = retracted(DAY, days[1], "activity")
    end = retracted(DAY, days[2], "activity")
    ledger = ledger_of(*days)
    assert [day_of(ledger, "alice", TODAY + n).recontactable_customers for n in range(3)] == [0, 0, 1]
    ledger.apply(end)
    assert [day_of(ledger, "alice", TODAY + n).recontactable_customers for n in range(3)] == [0, 1, 0]
    ledger.apply(middle)
    assert [day_of(ledger, "alice", TODAY + n).recontactable_customers for n in range(3)] == [1, 0, 0]


def test_s19_only_recontactable_activities_count_and_the_rest_do_not() -> None:
    assert met(*NORTH, activity(0, "alice"))["alice"] == {"today, 7d": (0, 0)}


def test_s11_customers_answered_are_distinct_over_requests_days_and_reps() -> None:
    story: list[Message] = [*NORTH]
    for number, (minute, who) in enumerate(((0, "alice"), (10, "alice"), (DAY, "bob"), (2 * DAY, "carol"))):
        story += [opened(minute, f"r{number}"), answered(minute + 5, who, f"r{number}")]
    report = report_of(*story, until=3 * DAY)
    counts = [report["reps"][who]["7d"]["customers_answered"] for who in ("alice", "bob", "carol")]
    assert counts == [1, 1, 1]
    assert report["teams"]["north"]["7d"]["customers_answered"] == 1
    assert report["company"]["7d"]["customers_answered"] == 1
    assert report["company"]["7d"]["response_seconds_per_customer"] == 4 * 300


# -- histograms -----------------------------------------------------------------------------------------------------


def test_s11_a_wait_of_exactly_a_bound_is_within_it() -> None:
    ledger = ledger_of(opened(0), answered(5))
    assert day_of(ledger, "alice").response_buckets == [1, *[0] * 8]
    longer = answered(5, request="r2")
    longer.occurred_at += timedelta(microseconds=1)
    ledger = ledger_of(opened(0, "r2"), longer)
    assert day_of(ledger, "alice").response_buckets == [0, 1, *[0] * 7]


def test_s19_today_is_that_of_the_rep_for_quantiles_as_for_counts() -> None:
    story: list[Message] = [rep("alice", time_zone="Pacific/Kiritimati"), opened(0), answered(5, "alice")]
    for until, responses, median in ((2 * HOUR - 1, 1, 300.0), (2 * HOUR, 0, None)):
        today = numbers(report_of(*story, until=until), window="today")
        assert (today["responses"], today["response_seconds_p50"], today["response_seconds_p90"]) == (
            responses,
            median,
            median,
        )


def test_a_partial_that_came_to_nothing_is_equal_to_an_empty_one() -> None:
    never = answered(5)
    ledger = ledger_of(opened(0), never, retracted(6, never), closed(7, "spam"))
    everything = ledger.everything().puts["partials"]
    values = [msgspec.msgpack.decode(raw, type=Partial) for raw in everything.values()]
    assert values == [Partial(closed_unanswered={"spam": 1})]
