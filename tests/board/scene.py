"""A store with a clock that the test moves, and believable random reps for it."""

import random

import msgspec

from config.clock import Clock
from config.settings import ClockSettings
from processors.board.state.store import Store
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY, Policy
from schemas.views import OpenOpportunities, OpenRequest, Partial, Section, partial_field
from tests.board.reference import STAGES, Rep

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
TODAY = 20_500
NOW_US = TODAY * DAY_US + 15 * HOUR_US
PARTITIONS = ("crm.events/0", "crm.events/1", "crm.events/2")
HOSTILE = (
    "<script>alert(1)</script>",
    'quo"te',
    "back\\slash",
    "new\nline",
    "100% %s",
    "{curly}",
    "张伟",
    "أحمد",
    "x" * 128,
)


class Scene:
    """A store, and the time that it sees."""

    def __init__(self, policy: Policy = DEFAULT_POLICY) -> None:
        self.wall_us = NOW_US
        self.clock = Clock(ClockSettings(), lambda: self.wall_us)
        self.store = Store(policy, self.clock.now_us)
        self.reps: dict[str, Rep] = {}

    def put(self, partition: str, section: Section, field: str, value: object) -> None:
        self.store.put(partition, section, field, None if value is None else msgspec.msgpack.encode(value))

    def introduce(self, rep_id: str, name: str, team: str) -> None:
        entry = RepUpdated(rep_id=rep_id, name=name, team=team)
        self.store.put_rep(rep_id, msgspec.msgpack.encode(entry))
        known = self.reps.setdefault(rep_id, Rep(name, team, TODAY))
        known.name, known.team = name, team

    def set_partials(self, rep_id: str, partials: list[tuple[int, Partial]]) -> None:
        """The n-th partial of a day goes to the n-th partition."""
        old = {day for day, _ in self.reps[rep_id].partials}
        self.reps[rep_id].partials = partials
        for day in old | {day for day, _ in partials}:
            here = [partial for when, partial in partials if when == day]
            for partition, partial in zip(PARTITIONS, [*here, *[None] * len(PARTITIONS)], strict=False):
                self.put(partition, "partials", partial_field("rep", rep_id, day), partial)

    def open(self, rep_id: str, request: OpenRequest, partition: str = PARTITIONS[0]) -> None:
        self.reps[rep_id].open.append(request)
        self.put(partition, "open", f"{request.customer_id}|{request.request_id}", request)

    def answer(self, rep_id: str, request: OpenRequest, partition: str = PARTITIONS[0]) -> None:
        self.reps[rep_id].open.remove(request)
        self.put(partition, "open", f"{request.customer_id}|{request.request_id}", None)

    def stand(self, rep_id: str, standing: OpenOpportunities, partition: str = PARTITIONS[0]) -> None:
        self.reps[rep_id].standing = [standing]
        self.put(partition, "standing", rep_id, standing)


def no_hold(_request: OpenRequest) -> None:
    """Nobody has acknowledged anything."""


def request(rep_id: str, number: int, opened_us: int) -> OpenRequest:
    due = {"1h": opened_us + HOUR_US, "24h": opened_us + 24 * HOUR_US}
    return OpenRequest(f"r{number}", 1, f"c{number % 7}", rep_id, "email", "normal", opened_us, due)


def some_partial(rng: random.Random) -> Partial:
    """A day of a rep."""
    count = rng.randrange(20)
    buckets = [rng.randrange(4) for _ in range(9)]
    stages = {stage: sorted((rng.randrange(9) for _ in range(3)), reverse=True) for stage in rng.sample(STAGES, 3)}
    return Partial(
        activities={kind: rng.randrange(1, 30) for kind in rng.sample(["call", "email", "lunch", *HOSTILE[:3]], 2)},
        recontactable_customers=count,
        responses=sum(buckets),
        customers_answered=sum(buckets) // 2,
        response_us=rng.randrange(10**12),
        response_buckets=buckets if any(buckets) else [],
        answered_within={"1h": count},
        breaches={"1h": rng.randrange(1, 9)},
        opportunities_created=count,
        created_won=count // 2,
        won=count // 2,
        lost=count // 3,
        won_cents=rng.randrange(10**9),
        cycle_won_us=rng.randrange(10**14),
        cycle_won=count // 2,
        cycle_lost_us=rng.randrange(10**14),
        cycle_lost=count // 3,
        stages={"default": stages},
    )


def furnish(scene: Scene, rep_id: str, rng: random.Random) -> None:
    """Give a rep numbers, open requests and opportunities."""
    days = [*rng.sample(range(TODAY - 400, TODAY + 1), 12), *(TODAY - age for age in (0, 1, 6, 7, 29, 30))]
    scene.set_partials(rep_id, [(day, some_partial(rng)) for day in days])
    first = 10 * len(scene.reps)
    for number in range(first, first + rng.randrange(5)):
        scene.open(rep_id, request(rep_id, number, NOW_US - rng.randrange(40 * HOUR_US)))
    scene.stand(rep_id, OpenOpportunities({"default": {rng.choice(["_none", *STAGES]): rng.randrange(1, 9)}}))
