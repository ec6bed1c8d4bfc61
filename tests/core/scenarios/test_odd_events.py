"""Events that decode and are odd: at the ends of time, of numbers, of what an identifier may be."""

from decimal import Decimal

import msgspec
import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.reports.explain import explain_request
from processors.core.reports.replay import replay
from processors.core.state.directory import directory_of
from processors.core.time.instants import instant_us
from schemas.codec import decode_event
from schemas.errors import BadRecord, Reason
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY, Policy
from schemas.views import UNASSIGNED, Partial
from tests.story import activity, answered, assigned, at, closed, created, lost, rep, report_of, stage, won
from tests.story import opened as story_opened

NOW_US = instant_us(at(0))


def event(**fields: object) -> Event:
    head = {"event_id": "e1", "occurred_at": "2026-03-02T07:00:00Z", "customer_id": "c1"}
    return decode_event(msgspec.json.encode(head | fields))


def opened(**fields: object) -> Event:
    return event(type="request.opened", request_id="r1", channel="email", **fields)


def revenue(amount: str) -> Event:
    """Also with an amount that the decoder would refuse."""
    return msgspec.structs.replace(event(type="customer.revenue", amount=1), amount=Decimal(amount))


def live() -> Ledger:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    ledger.set_clock(NOW_US)
    return ledger


@pytest.mark.parametrize(
    ("instant", "reason"),
    [
        ("0001-01-01T00:00:00+14:00", Reason.TOO_LATE),
        ("0001-01-01T00:00:00Z", Reason.TOO_LATE),
        ("9999-12-31T23:59:59Z", Reason.CLOCK_SKEW),
        ("9999-12-31T23:59:59-14:00", Reason.CLOCK_SKEW),
    ],
)
def test_s28_an_instant_at_the_end_of_time_is_refused_in_words(instant: str, reason: Reason) -> None:
    ledger = live()
    with pytest.raises(BadRecord) as caught:
        ledger.apply(opened(occurred_at=instant))
    assert caught.value.reason is reason
    assert ledger.facts == {}


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_replay_reports_and_explains_the_ends_of_time(instant: str) -> None:
    first = opened(occurred_at=instant)
    assert [one["opened_at"][:4] for one in replay([first], DEFAULT_POLICY)["open_requests"]] == [instant[:4]]
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    ledger.apply(first)
    assert len(explain_request(ledger, "r1", NOW_US)) == 1


@pytest.mark.parametrize(
    "amount",
    ["1E+999999", "1E+9999999", "-1E+999999999999999999", "1E-9999999", "NaN", "sNaN", "-Infinity", "9" * 30_000],
)
def test_an_amount_that_is_no_money_is_malformed_and_changes_nothing(amount: str) -> None:
    ledger = live()
    with pytest.raises(BadRecord) as caught:
        ledger.apply(revenue(amount))
    assert caught.value.reason is Reason.MALFORMED
    assert len(caught.value.detail) < 200
    assert ledger.facts == {}
    assert ledger.customers == {}


@pytest.mark.parametrize("amount", ["2", "NaN", "sNaN"])
def test_s27_other_content_under_a_known_id_is_a_conflict_whatever_it_is(amount: str) -> None:
    ledger = live()
    ledger.apply(revenue("1"))
    with pytest.raises(BadRecord) as caught:
        ledger.apply(revenue(amount))
    assert caught.value.reason is Reason.CONFLICT
    assert caught.value.detail.endswith(" was already used for another customer.revenue")
    assert ledger.customers["c1"].revenue_cents == 100


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a|b", "c"), ("a", "b|c")), (("a/b", "c"), ("a", "b/c")), (("a%7Cb", "c"), ("a|b", "c"))],
)
def test_requests_whose_ids_hold_separators_are_not_mistaken_for_each_other(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    ledger = live()
    for number, (customer, request) in enumerate((one, other)):
        ids = {"event_id": f"e{number}", "customer_id": customer, "request_id": request}
        ledger.apply(event(type="request.opened", channel="email", **ids))
    ledger.advance(NOW_US + 1)
    assert len(ledger.everything().puts["open"]) == 2
    assert len({transition.alert_id for transition in ledger.drain_transitions()}) == 2


@pytest.mark.parametrize("order", [1, -1])
def test_s07_a_request_passed_round_in_circles_waits_once_and_every_second_is_somebodys(order: int) -> None:
    story: list[Event] = [story_opened(0, rep_id="r0")]
    story += [assigned(n / 60, f"r{n % 3}") for n in range(1, 3_600)]
    story.append(answered(60, "r0"))
    report = replay(story[::order], DEFAULT_POLICY)
    assert report["company"]["all"]["response_seconds_sum"] == 3600
    assert report["company"]["all"]["hold_seconds_sum"] == 3600
    assert [report["reps"][f"r{n}"]["all"]["hold_seconds_sum"] for n in (1, 2)] == [1200, 1200]


def test_s01_a_close_before_its_message_closes_nothing_and_the_customer_waits() -> None:
    report = replay([closed(0, "resolved"), story_opened(5)], DEFAULT_POLICY)
    assert report["company"]["all"]["closed_unanswered"] == {}
    assert [one["turn"] for one in report["open_requests"]] == [1]


def test_a_rep_in_no_directory_counts_under_its_id_in_team_unknown_in_the_default_zone() -> None:
    report = replay([activity(0, "nobody knows")], DEFAULT_POLICY)
    assert report["reps"]["nobody knows"]["all"]["activities"] == {"call": 1}
    assert report["teams"]["unknown"]["all"]["activities"] == {"call": 1}


def test_a_rep_that_is_removed_counts_as_one_that_was_never_announced() -> None:
    directory = directory_of(DEFAULT_POLICY)
    ledger = Ledger(DEFAULT_POLICY, directory)
    directory.put(rep("alice", "north", "Asia/Tokyo"))
    ledger.apply(activity(8 * 60, recontactable=True))
    ledger.drain_changes()
    assert directory.remove("alice")
    assert not directory.remove("alice")
    ledger.reps_changed(["alice"])
    fresh = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    fresh.apply(activity(8 * 60, recontactable=True))
    assert ledger.everything().puts == fresh.everything().puts


def test_an_answer_to_a_request_that_nobody_opened_counts_for_nothing() -> None:
    report = replay([answered(0, "alice", "never opened")], DEFAULT_POLICY)
    assert report["reps"] == {}
    assert report["open_requests"] == []


@pytest.mark.parametrize("pipelines", [{"sales": ("lead", "offer")}, {"sales": ("lead", "offer"), "other": ("one",)}])
def test_s22_a_policy_need_not_have_a_pipeline_named_default(pipelines: dict[str, tuple[str, ...]]) -> None:
    policy = Policy(levels=DEFAULT_POLICY.levels, pipelines=pipelines)
    for lone in (won(5), lost(5), stage(5, "offer")):
        assert report_of(lone, policy=policy)["events"]["applied"] == 1
    story = (created(0, pipeline="sales"), stage(1, "lead"), won(5))
    assert report_of(*reversed(story), policy=policy) == report_of(*story, policy=policy)


def test_s22_a_stage_that_comes_before_its_opportunity_is_of_no_wrong_pipeline() -> None:
    pipelines = {**DEFAULT_POLICY.pipelines, "partner": ("contacted", "signed")}
    policy = Policy(levels=DEFAULT_POLICY.levels, pipelines=pipelines)
    ledger = Ledger(policy, directory_of(policy))
    ledger.apply(stage(5, "contacted"))
    ledger.refold()
    ledger.apply(created(0, pipeline="partner"))
    ledger.refold()
    assert ledger.drain_rejected() == []


@pytest.mark.parametrize("before", [True, False])
def test_s27_nobody_may_be_in_a_team_and_a_zone_of_its_own(before: bool) -> None:
    entry = rep(UNASSIGNED, "triage", "Asia/Tokyo")
    directory = directory_of(DEFAULT_POLICY)
    ledger = Ledger(DEFAULT_POLICY, directory)
    if before:
        directory.put(entry)
    ledger.apply(story_opened(480))
    ledger.advance(instant_us(at(541)))
    if not before:
        directory.put(entry)
        ledger.reps_changed([UNASSIGNED])
    ledger.apply(answered(530))
    ledger.refold()
    days = ledger.view().partials(UNASSIGNED).values()
    assert all(partial == Partial() or partial.hold_us == 50 * 60_000_000 for partial in days)
    assert not any(partial.breaches for partial in days)


def test_s26_the_largest_amounts_can_be_published() -> None:
    ledger = live()
    for number in range(500):
        ledger.apply(event(type="customer.revenue", amount="-1000000000000", event_id=f"e{number}"))
    assert ledger.drain_changes().puts["segments"]
