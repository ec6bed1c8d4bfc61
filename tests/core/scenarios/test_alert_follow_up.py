"""An alert that was said is followed up: after a restart, after facts were forgotten, after corrections (S17, S18)."""

from itertools import pairwise

import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.reports.explain import explain_request
from processors.core.state.directory import Directory, directory_of
from processors.core.time.instants import instant_us
from schemas.alerts import Transition
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY, CalendarSpec, Level, Policy, TeamPolicy
from tests.story import DAY, activity, answered, assigned, at, opened, rep, retracted


def ledger_of(*events: Event) -> Ledger:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    for event in events:
        ledger.apply(event)
    return ledger


def pass_time(ledger: Ledger, minute: float) -> list[Transition]:
    now_us = instant_us(at(minute))
    ledger.set_clock(now_us)
    ledger.advance(now_us)
    return ledger.drain_transitions()


def said(transitions: list[Transition]) -> list[tuple[str, str]]:
    return [(transition.level, transition.state) for transition in transitions]


def test_s18_an_alert_said_hours_before_a_restart_resolves_after_it() -> None:
    story: list[Event] = [opened(0), assigned(1, "bob")]
    before = ledger_of()
    pass_time(before, 2)
    for event in story:
        before.apply(event)
    fired = pass_time(before, 61)
    assert said(fired) == [("1h", "at_risk"), ("1h", "fired")]
    after = ledger_of(*story)
    after.resume(instant_us(at(200)), {})
    assert pass_time(after, 201) == []
    after.apply(answered(205))
    resolved = pass_time(after, 206)
    assert said(resolved) == [("1h", "resolved")]
    assert resolved[0].revision > fired[-1].revision


def test_a_restored_ledger_remembers_no_alerts_that_ended_long_ago() -> None:
    ledger = ledger_of(opened(0), answered(70), opened(3 * DAY, "r2"), answered(3 * DAY + 70, "alice", "r2"))
    ledger.resume(instant_us(at(3 * DAY + 80)), {})
    requests = ledger.customers["c1"].requests or {}
    assert requests["r1"].alerts is None
    assert [level for _, level in requests["r2"].alerts or ()] == ["1h"]


def fired_before_calls_are_dropped(count: int, now: int) -> tuple[Ledger, Ledger, Transition]:
    """An alert of a customer with as many calls, which are past retention next; and the ledger after a restart then."""
    ledger = ledger_of(*(activity(n) for n in range(count)))
    pass_time(ledger, now - 20)
    question = opened(now - 61, "new")
    ledger.apply(question)
    *_, fired = pass_time(ledger, now)
    restarted = ledger_of(question)
    restarted.resume(instant_us(at(now)), {})
    return ledger, restarted, fired


def test_s17_revisions_grow_although_facts_are_forgotten_meanwhile_and_across_a_restart() -> None:
    now = 370 * DAY
    ledger, restarted, fired = fired_before_calls_are_dropped(50, now)
    pass_time(ledger, now + DAY)
    assert ledger.sizes()["facts"] == 1
    for one in (ledger, restarted):
        one.apply(answered(now + 5, "alice", "new"))
        resolved = pass_time(one, now + DAY + 1)
        assert (resolved[0].alert_id, resolved[0].state) == (fired.alert_id, "resolved")
        assert resolved[0].revision > fired.revision


def test_s17_a_breach_that_resolved_and_never_was_one_is_retracted() -> None:
    first = opened(0)
    ledger = ledger_of(first, opened(30))
    pass_time(ledger, 69)
    ledger.apply(answered(70))
    assert said(pass_time(ledger, 71)) == [("1h", "resolved")]
    ledger.apply(retracted(72, first))
    assert said(pass_time(ledger, 73)) == [("1h", "retracted")]


def test_s17_revisions_grow_when_a_new_team_moves_the_deadline_and_it_is_passed_again() -> None:
    policy = Policy(
        levels=(Level(name="1h", seconds=3600, clock="business", at_risk_share=None),),
        pipelines=DEFAULT_POLICY.pipelines,
        calendars={"late": CalendarSpec(week=(((9 * 60, 17 * 60),),) * 7)},
        teams={"south": TeamPolicy(calendar="late")},
    )
    directory = directory_of(policy)
    ledger = Ledger(policy, directory)
    for event in (activity(0), opened(0, rep_id="alice")):
        ledger.apply(event)
    transitions = pass_time(ledger, 61)
    directory.put(rep("alice", "south"))
    ledger.reps_changed(["alice"])
    transitions += pass_time(ledger, 62)
    transitions += pass_time(ledger, 121)
    assert [transition.state for transition in transitions] == ["fired", "retracted", "fired"]
    assert all(earlier.revision < later.revision for earlier, later in pairwise(transitions))


def test_s17_after_a_restart_the_next_step_is_ahead_of_all_that_was_said_between_two_facts() -> None:
    """Team to and fro: what was said of it is not remembered, and the answer comes late, in the same millisecond."""
    policy = Policy(
        levels=(Level(name="1h", seconds=3600, teams=("north",), at_risk_share=None),),
        pipelines=DEFAULT_POLICY.pipelines,
    )
    directory = directory_of(policy)
    directory.put(rep("alice", "north"))
    question = opened(0, rep_id="alice")
    ledger = Ledger(policy, directory)
    ledger.apply(question)
    transitions = pass_time(ledger, 61)
    for number in range(100):
        for team in ("south", "north"):
            directory.put(rep("alice", team))
            ledger.reps_changed(["alice"])
            transitions += pass_time(ledger, 62 + number / 2)
    assert len(transitions) == 201
    restarted = Ledger(policy, directory)
    restarted.apply(question)
    restarted.resume(instant_us(at(200)), {})
    restarted.apply(activity(0))
    restarted.apply(retracted(0, question))
    (last,) = pass_time(restarted, 201)
    assert last.state == "retracted"
    assert last.revision > transitions[-1].revision
    assert last.revision < 2**53


def test_s14_a_breach_that_is_found_only_with_its_end_says_so() -> None:
    ledger = ledger_of(opened(0))
    pass_time(ledger, 30)
    ledger.set_clock(instant_us(at(71)))
    ledger.apply(answered(70))
    fired, resolved = pass_time(ledger, 71)
    assert (fired.state, fired.reason, resolved.state) == ("fired", "ended_overdue", "resolved")


def test_s14_a_clock_that_is_set_back_and_forth_says_nothing_twice() -> None:
    """An NTP step of ten minutes, both ways, around the warning and the deadline."""
    ledger = ledger_of()
    pass_time(ledger, 0)
    ledger.apply(opened(0))
    minutes = [47, 37, 47, 49, 39, 49, 59, 49, 61, 51, 41, 62, 72, 62]
    heard = [said(pass_time(ledger, minute)) for minute in minutes]
    assert [minute for minute, words in zip(minutes, heard, strict=True) if words] == [49, 61]
    assert [word for words in heard for word in words] == [("1h", "at_risk"), ("1h", "fired")]


def test_s17_an_alert_that_a_clock_ahead_of_time_raised_is_taken_back_by_an_answer_in_time() -> None:
    ledger = ledger_of()
    pass_time(ledger, 0)
    ledger.apply(opened(0))
    assert said(pass_time(ledger, 55 + 10)) == [("1h", "at_risk"), ("1h", "fired")]
    pass_time(ledger, 56)
    ledger.apply(answered(57))
    assert said(pass_time(ledger, 58)) == [("1h", "retracted")]


def test_s14_a_deadline_years_ahead_waits_and_is_said_then() -> None:
    policy = Policy(
        levels=(Level(name="decade", seconds=10 * 365 * 86_400, at_risk_share=None),),
        pipelines=DEFAULT_POLICY.pipelines,
    )
    ledger = Ledger(policy, directory_of(policy))
    ledger.apply(opened(0))
    decade = 10 * 365 * DAY
    assert [transition for year in range(10) for transition in pass_time(ledger, year * 365 * DAY)] == []
    assert pass_time(ledger, decade) == []
    assert said(pass_time(ledger, decade + 1)) == [("decade", "fired")]


def test_s17_a_late_fact_takes_back_no_warning_that_still_holds() -> None:
    ledger = ledger_of()
    pass_time(ledger, 40)
    for event in (opened(0), assigned(30, "bob")):
        ledger.apply(event)
    assert said(pass_time(ledger, 50)) == [("1h", "at_risk")]
    ledger.apply(assigned(20, "carol"))
    assert pass_time(ledger, 51) == []
    assert said(pass_time(ledger, 61)) == [("1h", "fired")]


def test_s17_a_warning_that_was_taken_back_is_said_again_when_it_is_true_again() -> None:
    first = opened(0)
    ledger = ledger_of(first, opened(30))
    assert said(pass_time(ledger, 50)) == [("1h", "at_risk")]
    ledger.apply(retracted(51, first))
    assert said(pass_time(ledger, 52)) == [("1h", "retracted")]
    assert said(pass_time(ledger, 79)) == [("1h", "at_risk")]


def test_s17_an_alert_of_a_level_that_a_new_team_does_not_have_is_taken_back() -> None:
    level = Level(name="1h", seconds=3600, teams=("north",), at_risk_share=None)
    policy = Policy(levels=(level,), pipelines=DEFAULT_POLICY.pipelines)
    directory = directory_of(policy)
    directory.put(rep("alice", "north"))
    ledger = Ledger(policy, directory)
    ledger.apply(opened(0, rep_id="alice"))
    assert said(pass_time(ledger, 61)) == [("1h", "fired")]
    directory.put(rep("alice", "south"))
    ledger.reps_changed(["alice"])
    assert said(pass_time(ledger, 62)) == [("1h", "retracted")]


URGENT = Policy(
    levels=(Level(name="urgent-15m", seconds=900, priorities=("urgent",), at_risk_share=None),),
    pipelines=DEFAULT_POLICY.pipelines,
)


def test_s17_an_alert_of_a_turn_that_ended_is_taken_back_when_its_level_turns_out_not_to_be_its_own() -> None:
    """An earlier message comes late: it was not urgent, and what was urgent is the second turn's."""
    ledger = Ledger(URGENT, directory_of(URGENT))
    ledger.apply(opened(10, rep_id="alice", priority="urgent"))
    assert said(pass_time(ledger, 26)) == [("urgent-15m", "fired")]
    for event in (opened(0, rep_id="alice"), answered(28)):
        ledger.apply(event)
    assert said(pass_time(ledger, 30)) == [("urgent-15m", "retracted")]


def test_s14_a_new_owner_is_warned_as_well() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"))
    assert [warning.rep_id for warning in pass_time(ledger, 50)] == ["alice"]
    ledger.apply(assigned(51, "bob"))
    (warning,) = pass_time(ledger, 52)
    assert (warning.state, warning.rep_id) == ("at_risk", "bob")
    assert [(fired.state, fired.rep_id) for fired in pass_time(ledger, 61)] == [("fired", "bob")]


def test_s17_a_turn_whose_answer_was_retracted_is_at_risk_again() -> None:
    answer = answered(52)
    ledger = ledger_of(opened(0))
    pass_time(ledger, 50)
    ledger.apply(answer)
    assert said(pass_time(ledger, 53)) == [("1h", "resolved")]
    ledger.apply(retracted(54, answer))
    assert said(pass_time(ledger, 55)) == [("1h", "at_risk")]
    assert said(pass_time(ledger, 61)) == [("1h", "fired")]


def test_s17_a_turn_whose_answer_was_retracted_too_late_for_a_warning_fires_at_once() -> None:
    answer = answered(52)
    ledger = ledger_of(opened(0))
    pass_time(ledger, 50)
    ledger.apply(answer)
    pass_time(ledger, 70)
    ledger.apply(retracted(71, answer))
    assert said(pass_time(ledger, 72)) == [("1h", "fired")]


def test_s17_what_is_at_risk_instead_of_overdue_is_said_so() -> None:
    """The first message never was: the second one is due half an hour later, which is not now, but soon."""
    first = opened(0)
    ledger = ledger_of(first, opened(30))
    pass_time(ledger, 80)
    ledger.apply(retracted(81, first))
    assert said(pass_time(ledger, 82)) == [("1h", "retracted"), ("1h", "at_risk")]


BY_TEAM = Policy(
    levels=(Level(name="1h", seconds=3600, teams=("north",), at_risk_share=None),),
    pipelines=DEFAULT_POLICY.pipelines,
)


def restarted(policy: Policy, directory: Directory, before: Ledger, minute: float) -> Ledger:
    """The worker comes back when time had moved to a minute, with the directory as it is by now."""
    after = Ledger(policy, directory)
    for event in before.facts.values():
        after.apply(event)
    after.set_clock(instant_us(at(minute)))
    after.resume(instant_us(at(minute)), {}, before.reps_fingerprint)
    return after


def test_s14_what_falls_due_because_a_rep_moved_while_the_worker_was_down_is_said() -> None:
    directory = directory_of(BY_TEAM)
    directory.put(rep("alice", "south"))
    before = Ledger(BY_TEAM, directory)
    before.apply(opened(0, rep_id="alice"))
    assert pass_time(before, 70) == []
    directory.put(rep("alice", "north"))
    after = restarted(BY_TEAM, directory, before, 71)
    assert said(pass_time(after, 71)) == [("1h", "fired")]
    assert pass_time(restarted(BY_TEAM, directory, after, 72), 72) == []


def test_s14_of_reps_who_moved_alike_while_the_worker_was_down_all_are_noticed() -> None:
    """Names of one pattern, and teams of equally long names: what a checksum would take for no change."""
    directory = directory_of(BY_TEAM)
    reps = [f"rep-{n:03}" for n in range(8)]
    for number, rep_id in enumerate(reps):
        directory.put(rep(rep_id, "south" if number % 2 else "north"))
    before = Ledger(BY_TEAM, directory)
    for number, rep_id in enumerate(reps):
        before.apply(opened(0, f"r{number}", rep_id=rep_id))
    assert len(pass_time(before, 70)) == 4
    for number, rep_id in enumerate(reps):
        directory.put(rep(rep_id, "north" if number % 2 else "south"))
    after = restarted(BY_TEAM, directory, before, 71)
    assert {last.rep_id for last in pass_time(after, 71)} == set(reps[1::2])


def test_s18_nothing_long_past_is_said_because_a_rep_moved_while_the_worker_was_down() -> None:
    directory = directory_of(BY_TEAM)
    directory.put(rep("alice", "south"))
    before = Ledger(BY_TEAM, directory)
    before.apply(opened(0, rep_id="alice"))
    pass_time(before, 130)
    directory.put(rep("alice", "north"))
    assert pass_time(restarted(BY_TEAM, directory, before, 131), 131) == []


def test_s17_an_alert_said_again_after_a_restart_is_ahead_of_what_took_it_back_before() -> None:
    directory = directory_of(BY_TEAM)
    directory.put(rep("alice", "north"))
    before = Ledger(BY_TEAM, directory)
    before.apply(opened(0, rep_id="alice"))
    pass_time(before, 61)
    directory.put(rep("alice", "south"))
    before.reps_changed(["alice"])
    (taken_back,) = pass_time(before, 62)
    directory.put(rep("alice", "north"))
    (again,) = pass_time(restarted(BY_TEAM, directory, before, 62), 62)
    assert (taken_back.state, again.state) == ("retracted", "fired")
    assert again.revision > taken_back.revision


def test_s17_revisions_grow_across_a_restart_although_facts_were_forgotten_and_none_is_newer() -> None:
    """Forty calls of last year are dropped between the alert and the answer, which comes late."""
    now = 370 * DAY
    _, after, fired = fired_before_calls_are_dropped(40, now)
    after.apply(answered(now - 61, "alice", "new"))
    (taken_back,) = pass_time(after, now + 1)
    assert (taken_back.alert_id, taken_back.state) == (fired.alert_id, "retracted")
    assert taken_back.revision > fired.revision


def test_s18_a_request_past_its_retention_leaves_without_a_word() -> None:
    ledger = ledger_of(opened(0), answered(70))
    pass_time(ledger, 69)
    pass_time(ledger, 71)
    assert [transition for day in range(360, 400) for transition in pass_time(ledger, day * DAY)] == []
    assert ledger.sizes()["facts"] == 0


def test_s18_alerts_of_last_month_are_not_taken_back_because_a_rep_moves() -> None:
    directory = directory_of(BY_TEAM)
    directory.put(rep("alice", "north"))
    ledger = Ledger(BY_TEAM, directory)
    for event in (opened(0, rep_id="alice"), answered(70)):
        ledger.apply(event)
    assert said(pass_time(ledger, 71)) == [("1h", "fired"), ("1h", "resolved")]
    pass_time(ledger, 30 * DAY)
    directory.put(rep("alice", "south"))
    ledger.reps_changed(["alice"])
    assert pass_time(ledger, 30 * DAY + 1) == []


@pytest.mark.parametrize("time_passed", [True, False])
def test_s15_who_is_assigned_at_the_instant_of_the_message_has_it_from_the_start(time_passed: bool) -> None:
    """A CRM that assigns what comes in: the level is of the owner's team, not of nobody's."""
    directory = directory_of(BY_TEAM)
    directory.put(rep("alice", "north"))
    ledger = Ledger(BY_TEAM, directory)
    ledger.apply(opened(0))
    if time_passed:
        pass_time(ledger, 1)
    ledger.apply(assigned(0, "alice"))
    assert said(pass_time(ledger, 61)) == [("1h", "fired")]
    (turn,) = explain_request(ledger, "r1", instant_us(at(61)))[0].turns
    assert [hold.owner for hold in turn.holds] == ["alice"]


def test_s18_a_restart_in_the_middle_of_a_backfill_makes_no_news_of_history() -> None:
    """The openings of a month ago were there; then come those who had them, and at last their answers."""
    now = 30 * DAY
    story: list[Event] = [opened(n, f"r{n}") for n in range(3)]
    before = ledger_of()
    pass_time(before, now)
    for event in story:
        before.apply(event)
    assert pass_time(before, now + 1) == []
    after = ledger_of(*story)
    after.resume(instant_us(at(now + 1)), {})
    for number in range(3):
        after.apply(assigned(number + 5, "bob", f"r{number}"))
    assert pass_time(after, now + 2) == []
    for number in range(3):
        after.apply(answered(number + 2000, "bob", f"r{number}"))
    assert {transition.state for transition in pass_time(after, now + 3)} == {"resolved"}


@pytest.mark.parametrize(
    "batch", [[opened(0), answered(10)], [opened(0, rep_id="alice"), assigned(5, "bob"), answered(9)]]
)
def test_s14_what_a_batch_itself_contradicts_is_not_said(batch: list[Event]) -> None:
    """A connector catches up after 70 minutes: the answer comes right behind its request."""
    ledger = ledger_of()
    pass_time(ledger, 70)
    for event in batch:
        ledger.apply(event)
    assert pass_time(ledger, 70.1) == []


def test_s08_a_breach_that_is_found_with_its_request_is_said_to_the_owner_that_the_batch_names() -> None:
    ledger = ledger_of()
    pass_time(ledger, 70)
    for event in (opened(0, rep_id="alice"), assigned(5, "bob")):
        ledger.apply(event)
    assert [(last.state, last.rep_id) for last in pass_time(ledger, 70.1)] == [("at_risk", "bob"), ("fired", "bob")]
    assert ledger.view().partial_at("bob", instant_us(at(60))).breaches == {"1h": 1}


def test_s29_what_is_overdue_at_its_arrival_counts_at_once() -> None:
    ledger = ledger_of()
    pass_time(ledger, 70)
    ledger.apply(opened(0, rep_id="alice"))
    ledger.refold()
    assert ledger.view().partial_at("alice", instant_us(at(60))).breaches == {"1h": 1}


def test_s17_an_answer_whose_instant_is_corrected_to_too_late_is_said_to_be_a_breach() -> None:
    answer = answered(52)
    ledger = ledger_of(opened(0))
    pass_time(ledger, 50)
    ledger.apply(answer)
    assert said(pass_time(ledger, 53)) == [("1h", "resolved")]
    pass_time(ledger, 71)
    for event in (retracted(72, answer), answered(70)):
        ledger.apply(event)
    fired, resolved = pass_time(ledger, 73)
    assert (fired.state, fired.reason, resolved.state) == ("fired", "corrected", "resolved")


@pytest.mark.parametrize("warned", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_s17_a_retracted_answer_fires_however_long_the_customer_was_thought_to_be_answered(
    warned: bool, restarts: bool
) -> None:
    question, answer = opened(0), answered(52)
    ledger = ledger_of(question)
    if warned:
        pass_time(ledger, 50)
    ledger.apply(answer)
    pass_time(ledger, 150)
    if restarts:
        ledger = ledger_of(question, answer)
        ledger.resume(instant_us(at(150)), {})
    ledger.apply(retracted(151, answer))
    assert said(pass_time(ledger, 152))[-1] == ("1h", "fired")


def test_s18_a_retraction_of_last_month_is_no_news_either() -> None:
    ledger = ledger_of()
    pass_time(ledger, 30 * DAY)
    answer = answered(52)
    for event in (opened(0), answer, retracted(151, answer)):
        ledger.apply(event)
    assert pass_time(ledger, 30 * DAY + 1) == []


def test_s17_revisions_grow_across_a_restart_though_the_sender_is_ahead_of_the_clock() -> None:
    first = opened(0)
    early = retracted(65, first)
    before = ledger_of(first, opened(30))
    pass_time(before, 61)
    before.apply(early)
    (taken_back,) = pass_time(before, 62)
    after = ledger_of(*before.facts.values())
    after.resume(instant_us(at(62)), {})
    heard = pass_time(after, 79) + pass_time(after, 91)
    assert said([taken_back, *heard]) == [("1h", "retracted"), ("1h", "at_risk"), ("1h", "fired")]
    assert taken_back.revision < heard[0].revision < heard[1].revision


def test_s18_an_alert_that_was_said_is_followed_up_however_long_nobody_could_say_more() -> None:
    """The warning was said at 23 hours; the worker is away until the 26th."""
    question = opened(0)
    before = ledger_of(question)
    pass_time(before, 100)
    assert said(pass_time(before, 23 * 60)) == [("24h", "at_risk")]
    after = ledger_of(question)
    after.set_clock(instant_us(at(26 * 60)))
    after.resume(instant_us(at(23 * 60)), {})
    assert said(pass_time(after, 26 * 60)) == [("24h", "fired")]


def test_s08_an_owner_who_is_named_more_than_an_hour_late_takes_over_alert_and_breach() -> None:
    ledger = ledger_of(opened(0, rep_id="alice"))
    pass_time(ledger, 61)
    ledger.set_clock(instant_us(at(125)))
    ledger.apply(assigned(59, "bob"))
    assert [(last.state, last.rep_id) for last in pass_time(ledger, 125)] == [("fired", "bob")]


def test_s18_history_is_no_news_because_something_else_of_the_customer_was_retracted() -> None:
    ledger = ledger_of()
    pass_time(ledger, 30 * DAY)
    call, other = activity(30 * DAY), opened(30 * DAY, "other")
    for event in (call, other, retracted(30 * DAY, call, "activity"), retracted(30 * DAY, other)):
        ledger.apply(event)
    pass_time(ledger, 30 * DAY + 1)
    ledger.apply(opened(0))
    assert pass_time(ledger, 30 * DAY + 2) == []
