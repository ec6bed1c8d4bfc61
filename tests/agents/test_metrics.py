"""The worker's metrics: named as in the catalogue, zero before anything happened."""

import math

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from processors.agents.metrics import MAX_TEAMS, WorkerMetrics
from processors.core.state.first_names import OTHER
from schemas.alerts import Transition
from schemas.errors import Reason
from schemas.policy import DEFAULT_POLICY


def fired(due_us: int) -> Transition:
    return Transition(
        alert_id="c/r/1/1h", revision=1, state="fired", level="1h", severity="warning", request_id="r", turn=1,
        customer_id="c", rep_id="alice", team="north", channel="email", priority="normal", opened_us=0, due_us=due_us,
        at_us=due_us, reason="overdue",
    )  # fmt: skip


def test_dead_letters_exist_at_zero_for_every_reason() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)

    assert all(registry.get_sample_value("salespulse_dead_letters_total", {"reason": reason}) == 0 for reason in Reason)


def test_what_can_be_foreseen_exists_at_zero_so_that_a_first_event_is_an_increase() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    metrics.expect(DEFAULT_POLICY)
    metrics.expect_team("north")

    def at_zero(name: str, **labels: str) -> bool:
        return registry.get_sample_value(f"salespulse_{name}_total", labels) == 0

    assert at_zero("events", type="request.opened", result="applied")
    assert all(at_zero("alert_transitions", level="24h", state=state) for state in ("fired", "resolved", "retracted"))
    for team in ("north", "unknown"):
        assert at_zero("sla_outcomes", team=team, level="1h", result="missed")


def test_the_exposition_is_what_the_catalogue_names() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.events("activity.logged", "applied", 2)
    metrics.batch(0.01)
    metrics.lag({("crm.events", 0): 5})
    metrics.sizes({"facts": 3})
    metrics.transition(fired(1), 500_000, 0)

    families = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}

    assert families >= {
        "salespulse_events",
        "salespulse_batches",
        "salespulse_batch_seconds",
        "salespulse_dead_letters",
        "salespulse_key_mismatches",
        "salespulse_consumer_lag_records",
        "salespulse_consumer_lag_seconds",
        "salespulse_roots",
        "salespulse_commit_seconds",
        "salespulse_changelog_seconds",
        "salespulse_rebalances",
        "salespulse_recovery_seconds",
        "salespulse_partitions_owned",
        "salespulse_input_partitions",
        "salespulse_alert_transitions",
        "salespulse_alert_lag_seconds",
        "salespulse_redis_up",
        "salespulse_kafka_up",
    }


def test_before_anything_is_known_no_broker_answers_and_nothing_else_is_claimed() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)

    assert registry.get_sample_value("salespulse_kafka_up") == 0
    for unknown in ("salespulse_consumer_lag_seconds", "salespulse_redis_up"):
        assert math.isnan(registry.get_sample_value(unknown) or 0)


def test_the_lag_of_a_partition_that_has_left_disappears() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.lag({("crm.events", 0): 5, ("crm.events", 1): 6})

    metrics.lag({("crm.events", 1): 7})

    def lag(partition: str) -> float | None:
        return registry.get_sample_value(
            "salespulse_consumer_lag_records", {"topic": "crm.events", "partition": partition}
        )

    assert (lag("0"), lag("1")) == (None, 7)


def test_the_position_of_a_partition_that_has_left_disappears() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.positions({"crm.events/0": 5, "crm.events/1": 6})

    metrics.positions({"crm.events/1": 7})

    def position(partition: str) -> float | None:
        return registry.get_sample_value("salespulse_position_records", {"partition": partition})

    assert (position("crm.events/0"), position("crm.events/1")) == (None, 7)


def test_a_worker_names_so_many_teams_and_counts_all_others_together() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.expect(DEFAULT_POLICY)
    news = {(f"team {number}", "1h", "missed"): 1 for number in range(3 * MAX_TEAMS)}
    metrics.outcomes(news)
    metrics.outcomes({("team 0", "1h", "missed"): 1})

    def counted(team: str) -> float | None:
        labels = {"team": team, "level": "1h", "result": "missed"}
        return registry.get_sample_value("salespulse_sla_outcomes_total", labels)

    named = [team for team, _, _ in news if counted(team) is not None]
    assert len(named) == MAX_TEAMS - 1  # and `unknown`, which came first
    assert counted("team 0") == 2
    assert counted(OTHER) == 2 * MAX_TEAMS + 1


def test_an_outcome_that_is_taken_back_is_made_good_by_the_next_since_counters_never_fall() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    key = ("north", "1h", "missed")

    def counted() -> float | None:
        labels = {"team": "north", "level": "1h", "result": "missed"}
        return registry.get_sample_value("salespulse_sla_outcomes_total", labels)

    metrics.outcomes({key: 2})
    metrics.outcomes({key: -1})
    assert counted() == 2
    metrics.outcomes({key: 3})
    assert counted() == 4


def test_only_what_timers_find_says_how_late_it_is() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    metrics.transition(msgspec.structs.replace(fired(1), state="resolved", reason="answered"), 10**15, 0)
    metrics.transition(msgspec.structs.replace(fired(1), reason="ended_overdue"), 10**15, 0)
    metrics.transition(fired(1_000_000), 10**15, 1_000_000)
    metrics.transition(fired(1_000_000), 1_400_000, 999_999)

    assert registry.get_sample_value("salespulse_alert_lag_seconds_count") == 1
    assert registry.get_sample_value("salespulse_alert_lag_seconds_sum") == 0.4


def test_lags_are_in_seconds_of_the_wall_whatever_the_clock_does() -> None:
    for speed, seconds in ((1.0, 90.0), (60.0, 1.5), (0.0, 90.0)):
        registry = CollectorRegistry()
        metrics = WorkerMetrics(registry, speed)
        metrics.transition(fired(1), 90_000_001, 0)
        metrics.behind(90_000_000)
        assert registry.get_sample_value("salespulse_alert_lag_seconds_sum") == seconds
        assert registry.get_sample_value("salespulse_consumer_lag_seconds") == seconds
