"""For every query of the boards about the programs: what it must find, from what was sent or was scraped."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from grafana.boards.sla import ALLOWED
from schemas.errors import Reason
from schemas.views import UNASSIGNED
from tests.grafana.expected import Expected, Series, Target, by, one, ratio
from tests.grafana.live import BAD_TIMES, FLOW, Live
from tests.grafana.truth import Truth, quantile

Samples = list[tuple[float, float]]
PROGRAMS = '{job=~"board|workers|notifier"}'
CLOSE = 1e-6
"""Sums in another order."""
SETTLED = 5.0
"""Seconds by which an age may be off."""


class Programs:
    """What the boards have to show of the programs."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.rough = 2.5 / (len(live.samples('up{job="workers"}')[0][1]) - 1)
        """Prometheus extends what it saw to the edges of a range: by a scrape or two in so many."""

    def grown(self, selector: str, *labels: str) -> dict[tuple[str, ...], float]:
        """By how much counters grew, as `increase` estimates it, summed by labels."""
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for own, samples in self.live.samples(selector):
            found[tuple(own[label] for label in labels)] += extended(samples, self.live.at, self.live.seconds)
        return dict(found)

    def rates(self, selector: str, *labels: str) -> Expected:
        """How fast they grew a second."""
        rates = {key: value / self.live.seconds for key, value in self.grown(selector, *labels).items()}
        return Expected({frozenset(zip(labels, key, strict=True)): value for key, value in rates.items()}, CLOSE)

    def sent(self, label: str, counts: Mapping[str, int]) -> Expected:
        """Rates of what was sent while Prometheus scraped."""
        rates = {key: count / self.live.seconds for key, count in counts.items()}
        return Expected(by(label, rates), self.rough)

    def quantile(self, share: float, metric: str) -> Expected:
        """A quantile of a histogram by what was scraped of it."""
        buckets = {key[0]: value for key, value in self.grown(f"{metric}_bucket", "le").items()}
        return Expected(one(quantile(share, buckets)), CLOSE)

    def mean(self, part: str, whole: str) -> Series:
        """A quotient of two growths by instance, where there is one."""
        parts, wholes = self.grown(part, "instance"), self.grown(whole, "instance")
        return by("instance", {key[0]: ratio(parts[key], count) for key, count in wholes.items()})

    def last(self, selector: str, *labels: str) -> Expected:
        """The newest samples."""
        found = self.live.samples(selector)
        return Expected({frozenset((label, own[label]) for label in labels): samples[-1][1] for own, samples in found})

    def burning(self, teams: Iterable[str]) -> dict[str, float]:
        """How many times faster than allowed each team misses the target, by the later part alone."""
        found = {name: missed_share(self.live.later_truth, name) for name in teams}
        return {name: share / ALLOWED for name, share in found.items() if share is not None}


def missed_share(truth: Truth, team: str) -> float | None:
    """The share of a team's turns that missed 1 h."""
    met, missed = (truth.due_lately(team, "1h", result) for result in ("met", "missed"))
    return ratio(missed, met + missed)


def extended(samples: Samples, end: float, seconds: int) -> float:
    """What `increase` makes of samples: their growth, extended to the edges of the range, but not below 0."""
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    if len(samples) < 2 or last == first:
        return 0.0
    covered = last_at - first_at
    gap = covered / (len(samples) - 1)
    before = min(first_at - (end - seconds), covered * first / (last - first))
    reach = covered + sum(edge if edge < 1.1 * gap else gap / 2 for edge in (before, end - last_at))
    return (last - first) * reach / covered


def sla(it: Programs, teams: Iterable[str]) -> dict[Target, Expected]:
    """What the board `SLA` shows of the programs."""
    burning = it.burning(teams)
    worst = Expected(one(max(burning.values(), default=None)), it.rough)
    lag = "salespulse_alert_lag_seconds"
    rates = {("sla", "Burn rates of the worst team", letter): worst for letter in "ABCD"}
    return rates | {
        ("sla", "Burn rate by team, last hour", "A"): Expected(by("team", burning), it.rough),
        ("sla", "Alert lag, p99", "A"): it.quantile(0.99, lag),
        ("sla", "Alert lag", "A"): it.quantile(0.5, lag),
        ("sla", "Alert lag", "B"): it.quantile(0.99, lag),
        ("sla", "Alert transitions", "A"): it.rates("salespulse_alert_transitions_total", "level", "state"),
        ("sla", "Notifications by receiver", "A"): it.rates("salespulse_notifications_total", "receiver", "result"),
    }


def folded(live: Live) -> dict[str, float | None]:
    """What has no series of its own: nobody makes up names here, but some reps may never have been announced."""
    unknown = {rep for rep, (name, _) in live.truth.people.items() if rep == name} - {UNASSIGNED}
    return {"kind": 0, "rep": len(unknown), "segment": 0, "team": 0}


def operations(it: Programs) -> dict[Target, Expected]:
    """The board `Operations`."""
    live, own = it.live, it.live.worker_instance
    topics = {key for key, _ in it.last("salespulse_consumer_lag_records", "topic", "partition").series.items()}
    size = it.mean(FLOW, "salespulse_batches_total")
    sums = "salespulse_recovery_seconds"
    found = {
        "Workers up": Expected(one(1)),
        "Partitions owned": Expected(one(1)),
        "Lag": Expected(one(0)),
        "Age of the newest event": Expected(one(live.truth.newest_seconds), absolute=SETTLED),
        "Redis reached by everybody": Expected(one(1)),
        "Kafka answers everybody": Expected(one(1)),
        "Dead letters in range": Expected(one(sum(BAD_TIMES.values())), it.rough),
        "Events a second by type": it.sent("type", types(live)),
        "Records waiting by partition": Expected(dict.fromkeys(topics, 0.0)),
        "Where the time goes, p99": it.quantile(0.99, "salespulse_batch_seconds"),
        "Events in a batch": Expected(size, CLOSE),
        "Events a second by result": it.sent("result", results(live)),
        "Dead letters a second by reason": it.sent("reason", {reason: BAD_TIMES.get(reason, 0) for reason in Reason}),
        "Data quality, last 7 days": Expected(by("reason", quality(live))),
        "Counted under `_other` or `_unknown`": Expected(by("label", folded(live))),
        "What workers hold": Expected(by("kind", live.truth.sizes | segments(it))),
        "Rebalances": Expected(by("instance", {own: 0.0})),
        "Recovery after an assignment": Expected(it.mean(f"{sums}_sum", f"{sums}_count")),
        "Processor": it.rates(f"process_cpu_seconds_total{PROGRAMS}", "job", "instance"),
        "Memory": it.last(f"process_resident_memory_bytes{PROGRAMS}", "job", "instance"),
        "Duration of scrapes": it.last(f"scrape_duration_seconds{PROGRAMS}", "job", "instance"),
    }
    more = {
        "B": it.quantile(0.99, "salespulse_changelog_seconds"),
        "C": it.quantile(0.99, "salespulse_commit_seconds"),
    }
    times = {("operations", "Where the time goes, p99", letter): expected for letter, expected in more.items()}
    return times | {("operations", title, "A"): expected for title, expected in found.items()}


def types(live: Live) -> Counter[str]:
    """Messages of the later part by type: what cannot be read has none. Those that came before only stand still."""
    counts = Counter(dict.fromkeys([*live.earlier.types(), "rep.updated"], 0))
    counts.update(live.later.types())
    counts["none"] = sum(BAD_TIMES.values())
    return counts


def results(live: Live) -> dict[str, int]:
    """Messages of the later part by what became of them."""
    return {"applied": len(live.later.events), "duplicate": len(live.later.again), **BAD_TIMES}


def quality(live: Live) -> dict[str, float | None]:
    """All that was wrong with what was sent in both parts."""
    again = len(live.earlier.again) + len(live.later.again)
    return {
        "duplicate": again,
        "unlinked": live.truth.unlinked,
        **{reason: 2.0 * times for reason, times in BAD_TIMES.items()},
    }


def segments(it: Programs) -> dict[str, float]:
    """How many pieces the journal has, as the worker says: nobody else can know."""
    return {"segments": next(iter(it.last('salespulse_roots{kind="segments"}').series.values()))}


def programs(live: Live, teams: Iterable[str]) -> dict[Target, Expected]:
    """All of them."""
    it = Programs(live)
    return sla(it, teams) | operations(it)
