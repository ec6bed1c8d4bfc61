"""The worker's own metrics, in a registry that is passed in."""

import math
from collections.abc import Mapping
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from processors.core.state.first_names import OTHER
from schemas.alerts import State, Transition
from schemas.errors import Reason
from schemas.events import Event
from schemas.policy import Policy
from schemas.views import UNKNOWN_TEAM

FAST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
RECOVERY_BUCKETS = (1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)

MAX_TEAMS = 200
"""Teams with series of their own. The directory may name any number of teams."""

TIMER_REASONS = frozenset({"at_risk", "overdue"})
"""Reasons of transitions that timers make. All others come with an event."""


class WorkerMetrics:
    """One worker's instruments. Counters start at 0 with the process."""

    def __init__(self, registry: CollectorRegistry, clock_speed: float = 1.0) -> None:
        """`clock_speed`: clock seconds per wall second; 0: the clock stands still. Metrics are in wall seconds."""
        self._clock_speed = clock_speed or 1.0
        self._count_flow(registry)
        self._count_ownership(registry)
        self._count_state(registry)
        self._count_alerts(registry)
        self._levels: tuple[str, ...] = ()

    def _count_flow(self, registry: CollectorRegistry) -> None:
        self._events = Counter("salespulse_events", "Events by type and result.", ["type", "result"], registry=registry)
        self._batches = Counter("salespulse_batches", "Batches of records applied.", registry=registry)
        self._batch_seconds = Histogram(
            "salespulse_batch_seconds", "Time to apply a batch.", buckets=FAST_BUCKETS, registry=registry
        )
        self._dead_letters = Counter(
            "salespulse_dead_letters", "Records sent to the dead letters.", ["reason"], registry=registry
        )
        for reason in Reason:
            self._dead_letters.labels(reason)
        self._unreadable_records = Counter(
            "salespulse_unreadable_records", "Offsets in batches that could not be read.", ["topic"], registry=registry
        )
        self.lost = Counter(
            "salespulse_records_lost", "Records that left their topic before they were read.", registry=registry
        )
        self.key_mismatches = Counter(
            "salespulse_key_mismatches", "Records whose key is not the customer of their event.", registry=registry
        )
        self.commit_seconds = Histogram(
            "salespulse_commit_seconds", "Time to commit source offsets.", buckets=FAST_BUCKETS, registry=registry
        )
        self.changelog_seconds = Histogram(
            "salespulse_changelog_seconds",
            "Time until the broker acknowledged a part's changelog records.",
            buckets=FAST_BUCKETS,
            registry=registry,
        )

    def _count_ownership(self, registry: CollectorRegistry) -> None:
        self.rebalances = Counter("salespulse_rebalances", "New assignments of partitions.", registry=registry)
        self.recovery_seconds = Histogram(
            "salespulse_recovery_seconds",
            "Time from an assignment until its state was complete.",
            buckets=RECOVERY_BUCKETS,
            registry=registry,
        )
        self.partitions_owned = Gauge(
            "salespulse_partitions_owned", "Partitions with complete state here.", registry=registry
        )
        self.topic_faults = Gauge(
            "salespulse_topic_fault",
            "1: the topic is no longer the one that the state was made from, for which the worker has stopped.",
            ["topic", "fault"],
            registry=registry,
        )
        self.input_partitions = Gauge(
            "salespulse_input_partitions", "Partitions of each events topic.", registry=registry
        )

    def _count_state(self, registry: CollectorRegistry) -> None:
        self._lag_records = Gauge(
            "salespulse_consumer_lag_records",
            "Records on the broker that are not applied yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self._positions = Gauge(
            "salespulse_position_records",
            "Up to where a source partition is applied, in records since its beginning.",
            ["partition"],
            registry=registry,
        )
        self._lag_seconds = Gauge(
            "salespulse_consumer_lag_seconds",
            "How far the newest applied event is behind the clock, while records wait; else 0. NaN: nobody knows.",
            registry=registry,
        )
        self.behind(None)
        self.kafka_up = Gauge(
            "salespulse_kafka_up", "1: the broker has answered for all partitions in the last 10 s.", registry=registry
        )
        self._roots = Gauge("salespulse_roots", "What is held in memory, by kind.", ["kind"], registry=registry)
        self.redis_up = Gauge(
            "salespulse_redis_up",
            "1: the read model answered last time. NaN: no partition is here to ask it for.",
            registry=registry,
        )
        self.redis_up.set(math.nan)

    def _count_alerts(self, registry: CollectorRegistry) -> None:
        self._transitions = Counter(
            "salespulse_alert_transitions", "Alert transitions sent.", ["level", "state"], registry=registry
        )
        self._outcomes = Counter(
            "salespulse_sla_outcomes",
            "Turns that came to a deadline, met or missed.",
            ["team", "level", "result"],
            registry=registry,
        )
        self._teams: set[str] = set()
        self._owed: dict[tuple[str, str, str], int] = {}
        self._alert_lag = Histogram(
            "salespulse_alert_lag_seconds",
            "From the instant at which an alert fell due, under the worker's eyes, until it was sent.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )

    def expect(self, policy: Policy) -> None:
        """Begin all foreseeable series at 0: Prometheus sees no increase from a missing series to 1."""
        for kind in get_args(Event):
            self._events.labels(kind.__struct_config__.tag, "applied")
        self._levels = policy.level_names
        for level, state in product(self._levels, get_args(State)):
            self._transitions.labels(level, state)
        for team in (*policy.teams, UNKNOWN_TEAM):
            self.expect_team(team)

    def expect_team(self, team: str) -> None:
        """Begin the outcomes of a team at 0."""
        for level, result in product(self._levels, ("met", "missed")):
            self._outcomes.labels(self._team(team), level, result)

    def _team(self, team: str) -> str:
        """The label for a team: its name, or `other` beyond MAX_TEAMS. The first teams keep their labels."""
        if len(self._teams) < MAX_TEAMS:
            self._teams.add(team)
        return team if team in self._teams else OTHER

    def events(self, kind: str, result: str, count: int) -> None:
        """Count events of a type: `applied`, or the reason why not."""
        self._events.labels(kind, result).inc(count)

    def batch(self, seconds: float) -> None:
        """Count an applied batch and its duration."""
        self._batches.inc()
        self._batch_seconds.observe(seconds)

    def unreadable(self, topic: str, offsets: int) -> None:
        """Count a range of offsets that cannot be read: one dead letter."""
        self.dead_letter(Reason.UNREADABLE_BATCH)
        self._unreadable_records.labels(topic).inc(offsets)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        self._dead_letters.labels(reason).inc()

    def lag(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Set the lags by topic and partition. Unknown ones, and those of partitions that have left, disappear."""
        self._lag_records.clear()
        for (topic, partition), records in lags.items():
            self._lag_records.labels(topic, partition).set(records)

    def positions(self, positions: Mapping[str, int]) -> None:
        """Set the positions by the partitions' names in the read model; those of other partitions disappear."""
        self._positions.clear()
        for partition, position in positions.items():
            self._positions.labels(partition).set(position)

    def behind(self, behind_us: int | None) -> None:
        """Set how far the newest applied event is behind the clock; None: unknown."""
        self._lag_seconds.set(math.nan if behind_us is None else behind_us / 1e6 / self._clock_speed)

    def sizes(self, sizes: Mapping[str, int]) -> None:
        """Set the number of roots by kind."""
        for kind, count in sizes.items():
            self._roots.labels(kind).set(count)

    def outcomes(self, changes: Mapping[tuple[str, str, str], int]) -> None:
        """Count outcomes by team, level and result. No counter falls: a withdrawn one cancels the next."""
        for (team, level, result), count in changes.items():
            labels = (self._team(team), level, result)
            due = count - self._owed.pop(labels, 0)
            if due >= 0:
                self._outcomes.labels(*labels).inc(due)
            else:
                self._owed[labels] = -due

    def transition(self, transition: Transition, now_us: int, live_since_us: int) -> None:
        """Count an alert transition that is sent now.

        Its delay measures the timers only if its instant passed while they ran, after `live_since_us`: not before an
        assignment, not in an outage, and not before its event came.
        """
        self._transitions.labels(transition.level, transition.state).inc()
        if transition.reason in TIMER_REASONS and transition.at_us > live_since_us:
            self._alert_lag.observe(max(now_us - transition.at_us, 0) / 1e6 / self._clock_speed)
