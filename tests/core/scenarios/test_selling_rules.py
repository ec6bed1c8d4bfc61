"""Activities, opportunities, lifetime value, any order: the rules S19 to S27 and the cases that real products fail."""

from decimal import Decimal

import msgspec
import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.reports.replay import Replay
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, instant_us
from schemas.errors import BadRecord, Reason
from schemas.events import Event, Message
from schemas.policy import DEFAULT_POLICY, Policy
from tests.story import (
    DAY,
    HOUR,
    activity,
    answered,
    at,
    cost,
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

TWO_PIPELINES = Policy(levels=DEFAULT_POLICY.levels, pipelines={"default": ("first", "second"), "renewal": ("offer",)})


def stages(*messages: Message, rep_id: str = "alice") -> dict[str, tuple[int, int, int]]:
    found = numbers(report_of(*messages), rep_id)["stages"]["default"]
    counts = {name: (c["entered"], c["visited"], c["advanced"]) for name, c in found.items()}
    return {name: count for name, count in counts.items() if any(count)}


def test_s19_activities_count_on_the_reps_local_day() -> None:
    story = (rep("alice", time_zone="Asia/Tokyo"), rep("bob"), activity(8 * HOUR), activity(8 * HOUR, "bob"))
    report = report_of(*story, until=8 * HOUR)
    assert numbers(report, "alice", "today")["activities"] == {"call": 1}
    late = report_of(*story, until=15 * HOUR + 59)
    assert numbers(late, "alice", "today")["activities"] == {"call": 1}
    assert numbers(late, "bob", "today")["activities"] == {"call": 1}
    next_day_in_tokyo = report_of(*story, until=31 * HOUR)
    assert numbers(next_day_in_tokyo, "alice", "today")["activities"] == {}


def test_s19_recontactable_customers_are_distinct_in_the_window() -> None:
    story = [activity(day * DAY, recontactable=True) for day in range(10)]
    report = report_of(*story, activity(0, customer="c2", recontactable=True), activity(5, customer="c3"))
    windows = {name: numbers(report, "alice", name)["recontactable_customers"] for name in ("today", "7d", "30d")}
    assert windows == {"today": 1, "7d": 1, "30d": 2}


def test_s19_a_team_counts_a_customer_of_two_reps_once() -> None:
    story = (rep("alice", "north"), rep("bob", "north"), rep("carol", "south"))
    contacts = [activity(1, name, recontactable=True) for name in ("alice", "bob", "carol")]
    report = report_of(*story, *contacts)
    assert report["teams"]["north"]["all"]["recontactable_customers"] == 1
    assert report["teams"]["south"]["all"]["recontactable_customers"] == 1
    assert report["company"]["all"]["recontactable_customers"] == 1


def test_s20_entering_a_stage_implies_the_earlier_ones() -> None:
    assert stages(created(0), stage(5, "demo")) == {
        "prospecting": (1, 0, 1),
        "qualified": (1, 0, 1),
        "demo": (1, 1, 0),
    }


def test_s20_winning_implies_all_stages() -> None:
    counts = stages(created(0), stage(5, "prospecting"), won(9))
    assert counts["prospecting"] == (1, 1, 1)
    assert counts["negotiation"] == (1, 0, 1)


def test_s20_a_conversion_belongs_to_the_day_and_rep_that_reached_the_earlier_stage() -> None:
    report = report_of(created(0), stage(5, "prospecting"), stage(20 * DAY, "qualified", "bob"))
    month = numbers(report, "alice", "30d")["stages"]["default"]["prospecting"]
    week = numbers(report, "alice", "7d")["stages"]["default"]["prospecting"]
    assert (month["entered"], month["advanced"], month["conversion"]) == (1, 1, 1.0)
    assert (week["entered"], week["advanced"], week["conversion"]) == (0, 0, None)
    assert numbers(report, "bob", "7d")["stages"]["default"]["qualified"]["entered"] == 1


def test_s21_re_entry_counts_once_and_going_back_does_not_un_reach() -> None:
    story = (created(0), stage(1, "prospecting"), stage(2, "demo"), stage(3, "prospecting"), stage(4, "demo"), lost(5))
    assert stages(*story)["demo"] == (1, 1, 0)
    assert stages(*story)["prospecting"] == (1, 1, 1)


def test_s21_retracting_the_stage_event_does_un_reach() -> None:
    wrong = stage(2, "demo")
    assert stages(created(0), stage(1, "prospecting"), wrong, retracted(3, wrong, "opportunity")) == {
        "prospecting": (1, 1, 0)
    }


def test_s22_an_unknown_stage_is_refused_with_the_known_ones() -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    with pytest.raises(BadRecord, match="prospecting") as caught:
        ledger.apply(stage(0, "dreaming"))
    assert caught.value.reason is Reason.UNKNOWN_STAGE


@pytest.mark.parametrize("order", [1, -1])
def test_s22_a_stage_of_another_pipeline_counts_for_nothing_and_is_rejected(order: int) -> None:
    ledger = Ledger(TWO_PIPELINES, directory_of(TWO_PIPELINES))
    events: list[Event] = [created(0, pipeline="renewal"), stage(1, "second")]
    story = events[::order]
    for event in story:
        ledger.apply(event)
    ledger.refold()
    ((event, bad),) = ledger.drain_rejected()
    assert (event.occurred_at, bad.reason) == (at(1), Reason.FOREIGN_STAGE)
    assert ledger.quality == {instant_us(at(1)) // DAY_US: {"foreign_stage": 1}}
    view = ledger.view()
    assert not any(partial.stages for rep_id in view.active_reps() for partial in view.partials(rep_id).values())


def test_s22_a_stage_of_another_pipeline_is_said_once_and_counted_while_it_is_so() -> None:
    directory = directory_of(TWO_PIPELINES)
    ledger = Ledger(TWO_PIPELINES, directory)
    wrong = created(0, pipeline="renewal")
    for event in (wrong, stage(1, "second"), activity(2), won(3)):
        ledger.apply(event)
        ledger.refold()
    assert len(ledger.drain_rejected()) == 1
    directory.put(rep("alice", "north"))
    ledger.reps_changed(["alice"])
    ledger.apply(retracted(4, wrong, "opportunity"))
    ledger.apply(created(0))
    ledger.refold()
    assert (ledger.drain_rejected(), ledger.quality) == ([], {})


def test_s22_a_stage_that_is_right_meanwhile_is_not_said_again() -> None:
    ledger = Ledger(TWO_PIPELINES, directory_of(TWO_PIPELINES))
    earlier = created(0)
    rejected = []
    for event in (created(1, pipeline="renewal"), stage(2, "second"), earlier, retracted(3, earlier, "opportunity")):
        ledger.apply(event)
        ledger.refold()
        rejected += ledger.drain_rejected()
    assert len(rejected) == 1
    assert list(ledger.quality.values()) == [{"foreign_stage": 1}]


def test_s22_a_stage_of_an_opportunity_that_nobody_created_is_counted_as_foreign_and_not_said() -> None:
    ledger = Ledger(TWO_PIPELINES, directory_of(TWO_PIPELINES))
    ledger.apply(stage(1, "offer"))
    ledger.refold()
    assert list(ledger.quality.values()) == [{"foreign_stage": 1}]
    assert ledger.drain_rejected() == []


def test_s23_both_win_rates() -> None:
    story = [created(0, opportunity=f"o{n}") for n in range(4)]
    report = report_of(*story, won(10 * DAY, opportunity="o0"), lost(10 * DAY, opportunity="o1"))
    month, week = numbers(report, window="30d"), numbers(report, window="7d")
    assert (month["win_rate_created"], month["win_rate_closed"]) == (0.25, 0.5)
    assert (week["win_rate_created"], week["win_rate_closed"], week["created_won"]) == (None, 0.5, 0)


def test_s24_the_cycle_runs_from_the_first_follow_up() -> None:
    story = (created(0), activity(-5), activity(DAY), activity(2 * DAY, opportunity_id="o1"), won(10 * DAY))
    alice = numbers(report_of(*story))
    assert alice["sales_cycle_won_seconds"] == 9 * 86400
    assert alice["cycle_fallbacks"] == 0


def test_s24_a_follow_up_of_another_opportunity_or_customer_is_none() -> None:
    story = (created(0), activity(DAY, opportunity_id="o2"), activity(DAY, customer="c2"), lost(10 * DAY))
    alice = numbers(report_of(*story))
    assert (alice["sales_cycle_lost_seconds"], alice["cycle_fallbacks"]) == (10 * 86400, 1)


def test_s24_a_follow_up_that_arrives_late_moves_the_cycle() -> None:
    early, late = activity(DAY), activity(3 * DAY)
    story = (created(0), late, won(10 * DAY))
    assert report_of(*story, early) == report_of(early, *story)
    assert numbers(report_of(*story, early))["sales_cycle_won_seconds"] == 9 * 86400


def test_s24_won_reopened_won_again_is_one_win_to_the_last_close() -> None:
    story = (
        created(0),
        activity(0),
        won(2 * DAY, amount=Decimal(10)),
        reopened(3 * DAY),
        won(9 * DAY, amount=Decimal(8)),
    )
    alice = numbers(report_of(*story))
    assert (alice["won"], alice["won_amount"], alice["sales_cycle_won_seconds"]) == (1, "8.00", 9 * 86400)


def test_s24_a_close_on_the_creations_own_day_but_before_it_by_the_clock_has_a_cycle_of_0() -> None:
    """A CRM that stores the date of a close alone: created at 10:15, won at midnight before."""
    other = (lost(-1, opportunity="o2"), created(1, opportunity="o2"))
    alice = numbers(report_of(won(-8 * HOUR), created(0), activity(30), *other))
    assert (alice["sales_cycle_won_seconds"], alice["sales_cycle_lost_seconds"]) == (0, 0)
    assert (alice["cycle_fallbacks"], alice["cycle_negative"]) == (2, 0)


def test_s24_the_creations_own_day_is_that_of_the_policys_zone() -> None:
    tokyo = msgspec.structs.replace(DEFAULT_POLICY, time_zone="Asia/Tokyo")
    story = (won(6 * HOUR + 59), created(7 * HOUR + 1))
    assert numbers(report_of(*story))["sales_cycle_won_seconds"] == 0
    assert numbers(report_of(*story, policy=tokyo))["cycle_negative"] == 1


def test_s24_a_close_on_an_earlier_day_than_the_creation_is_in_no_mean_and_is_counted() -> None:
    story = (won(0), created(DAY), created(0, opportunity="o2"), won(5 * DAY, opportunity="o2"))
    run = Replay(DEFAULT_POLICY)
    for message in story:
        run.add(message)
    alice = numbers(run.report())
    assert (alice["won"], alice["sales_cycle_won_seconds"], alice["cycle_negative"]) == (2, 5 * 86400, 1)
    (ledger,) = run.ledgers
    assert ledger.quality == {instant_us(at(0)) // DAY_US: {"cycle_negative": 1}}


def test_s24_a_correction_of_the_creation_takes_the_negative_cycle_back() -> None:
    run = Replay(DEFAULT_POLICY)
    wrong = created(DAY)
    for message in (won(0), wrong, retracted(DAY, wrong, "opportunity"), created(-5)):
        run.add(message)
    alice = numbers(run.report())
    assert (alice["cycle_negative"], alice["sales_cycle_won_seconds"]) == (0, 300)
    assert run.ledgers[0].quality == {}


def test_s24_reopening_withdraws_the_close() -> None:
    alice = numbers(report_of(created(0), lost(5), reopened(6)))
    assert (alice["lost"], alice["opportunities_created"], alice["created_won"]) == (0, 1, 0)


def test_s26_lifetime_value_moves_with_segment_and_refunds() -> None:
    story = (
        segment(0, "smb"),
        revenue(1, Decimal(100)),
        cost(2, Decimal("30.50")),
        revenue(3, Decimal(-20)),
        segment(4, "enterprise"),
        revenue(1, Decimal(7), customer="c2"),
        segment(9, "smb", customer="c3"),
    )
    segments = report_of(*story)["segments"]
    assert segments["enterprise"] == {"customers": 1, "revenue": "80.00", "cost": "30.50", "lifetime_value": "49.50"}
    assert segments["unknown"] == {"customers": 1, "revenue": "7.00", "cost": "0.00", "lifetime_value": "7.00"}
    assert "smb" not in segments


@pytest.mark.parametrize("amount", ["0.001", "NaN", "Infinity", "1e16", "-1000000000000.01"])
def test_s26_what_is_no_amount_is_refused(amount: str) -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    with pytest.raises(BadRecord) as caught:
        ledger.apply(revenue(0, Decimal(amount)))
    assert caught.value.reason is Reason.MALFORMED
    assert ledger.sizes()["customers"] == 0


def test_s26_the_largest_amounts_are_exact() -> None:
    story = [revenue(n, Decimal("1000000000000.00")) for n in range(9)]
    assert report_of(*story, revenue(10, Decimal("0.01")))["segments"]["unknown"]["revenue"] == "9000000000000.01"


def test_s26_another_currency_is_refused() -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    for event in (revenue(0, Decimal(1), currency="EUR"), won(0, amount=Decimal(1), currency="EUR")):
        with pytest.raises(BadRecord, match="USD") as caught:
            ledger.apply(event)
        assert caught.value.reason is Reason.UNKNOWN_CURRENCY


def test_s27_the_same_event_twice_counts_once_and_other_content_is_a_conflict() -> None:
    run = Replay(DEFAULT_POLICY)
    for event in (
        activity(1, event_id="x"),
        activity(1, event_id="x"),
        activity(2, event_id="x"),
    ):
        run.add(event)
    assert numbers(run.report())["activities"] == {"call": 1}
    assert (run.counts["applied"], run.counts["duplicate"]) == (1, 1)
    assert [bad.reason for _, bad in run.rejected] == [Reason.CONFLICT]


def test_s27_a_retraction_may_come_first() -> None:
    call = activity(1, event_id="late")
    correction = retracted(5, call, "activity")
    assert report_of(correction, call) == report_of(call, correction)
    report = report_of(retracted(5, call, "activity"), call, activity(6))
    assert numbers(report)["activities"] == {"call": 1}


def test_s27_only_the_customer_of_a_fact_can_retract_it() -> None:
    call = activity(1)
    report = report_of(call, retracted(5, call, "activity", customer="c2"))
    assert numbers(report)["activities"] == {"call": 1}


def test_s27_a_directory_that_arrives_late_changes_what_was_counted() -> None:
    story = (activity(8 * HOUR, recontactable=True), opened(0), answered(16 * HOUR - 1))
    directory = (rep("alice", "north", "Asia/Tokyo"),)
    assert report_of(*story, *directory) == {**report_of(*directory, *story)}
    assert set(report_of(*story, *directory)["teams"]) == {"north", "unknown"}
