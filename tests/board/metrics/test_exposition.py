"""What Prometheus reads is what a slow reference says, series by series, at any time and after any change."""

import asyncio
import gzip
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import isclose, nan

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from config.clock import Clock
from config.settings import ClockSettings
from processors.board.metrics.chunks import TEXTS_BATCH_SIZE, gzipped
from processors.board.metrics.exposition import Exposition
from processors.board.metrics.families import MAX_REP_SERIES, windows_of
from processors.board.metrics.shard import parse_shard
from processors.board.metrics.totals import MAX_SEGMENTS, folded, totals
from processors.board.state.rep_directory import MAX_TEAMS
from processors.core.state.first_names import OTHER
from schemas.policy import DEFAULT_POLICY, Level, Policy
from schemas.views import OpenOpportunities, Partial, Segment
from tests.board.reference import Reference, Rep
from tests.board.scene import DAY_US, HOSTILE, HOUR_US, NOW_US, PARTITIONS, TODAY, Scene, furnish, request, some_partial
from tests.read_model.followed_view import until

REPS = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def text_of(exposition: Exposition) -> str:
    return b"".join(asyncio.run(exposition.texts())).decode()


def parsed(text: str) -> Series:
    """Every series once, each family in one piece."""
    series: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in series, key
            assert sample.name == family.name
            series[key] = sample.value
    names = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    changes = [name for before, name in zip(["", *names], names, strict=False) if name != before]
    assert len(changes) == len(set(changes))
    assert len(series) == len(names)
    return series


def of_reps(series: Series) -> Series:
    return {key: value for key, value in series.items() if any(label == "rep" for label, _ in key[1])}


def expected(scene: Scene) -> Series:
    registry = CollectorRegistry()
    registry.register(Reference(scene.reps, scene.wall_us))
    families = registry.collect()
    return {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in families
        for sample in family.samples
    }


def differences(got: Series, wanted: Series) -> Sequence[object]:
    both = {key: (got.get(key, nan), wanted.get(key, nan)) for key in got.keys() | wanted.keys()}
    return [item for item in both.items() if not isclose(*item[1], rel_tol=1e-12, abs_tol=1e-6)][:5]


def check(scene: Scene, exposition: Exposition) -> None:
    assert differences(of_reps(parsed(text_of(exposition))), expected(scene)) == []


@pytest.fixture
def scene() -> Scene:
    return some_scene()


def some_scene() -> Scene:
    made, rng = Scene(), random.Random(7)
    for number in range(REPS):
        rep_id = f"rep-{number}" if number >= len(HOSTILE) else HOSTILE[number]
        made.introduce(rep_id, f"Name of {rep_id}"[:128], f"team {HOSTILE[number % 4]}")
        if number % 5:
            furnish(made, rep_id, rng)
    return made


class Course:
    """Things that happen to reps."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.rng = random.Random(seed)

    def step(self) -> None:
        acts: list[Callable[[str], None]] = [self.renew, self.wait, self.answer, self.move, self.stand, self.go_on]
        self.rng.choice(acts)(self.rng.choice(list(self.scene.reps)))

    def renew(self, rep_id: str) -> None:
        days = [TODAY - self.rng.randrange(40) for _ in range(2)]
        self.scene.set_partials(rep_id, [(day, some_partial(self.rng)) for day in days])

    def wait(self, rep_id: str) -> None:
        opened_us = self.scene.wall_us - self.rng.randrange(30 * HOUR_US)
        self.scene.open(rep_id, request(rep_id, 10**6 + self.rng.randrange(10**6), opened_us))

    def answer(self, rep_id: str) -> None:
        for one in list(self.scene.reps[rep_id].open):
            self.scene.answer(rep_id, one)

    def move(self, rep_id: str) -> None:
        self.scene.introduce(rep_id, f"New {self.rng.random()}", self.rng.choice(["a", "b"]))

    def stand(self, rep_id: str) -> None:
        self.scene.stand(rep_id, OpenOpportunities({"default": {"demo": self.rng.randrange(1, 5)}}))

    def go_on(self, _: str) -> None:
        self.scene.wall_us += self.rng.randrange(20 * HOUR_US)
        for rep in self.scene.reps.values():
            rep.today = self.scene.wall_us // DAY_US


def test_every_series_is_what_the_reference_says(scene: Scene) -> None:
    check(scene, Exposition(scene.store, scene.clock, lambda: True))


def test_nothing_is_stale_after_any_changes(scene: Scene) -> None:
    exposition, course = Exposition(scene.store, scene.clock, lambda: True), Course(scene, 8)
    for number in range(6):
        for _ in range(3 * number):
            course.step()
        check(scene, exposition)


def test_a_level_passes_right_after_its_due_instant_and_not_at_it() -> None:
    scene = Scene()
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    scene.introduce("ann", "Ann", "x")
    scene.open("ann", request("ann", 1, NOW_US))
    key = ("crm_requests_open", frozenset({("rep", "ann"), ("team", "x"), ("age", "1h_24h")}))
    for elapsed_us, count in ((0, 0), (HOUR_US, 0), (HOUR_US + 1, 1), (24 * HOUR_US, 1), (24 * HOUR_US + 1, 0)):
        scene.wall_us = NOW_US + elapsed_us
        assert parsed(text_of(exposition))[key] == count
        check(scene, exposition)


def test_a_new_day_begins_in_each_zone_at_its_own_midnight() -> None:
    scene = Scene(Policy(levels=DEFAULT_POLICY.levels, pipelines=DEFAULT_POLICY.pipelines, time_zone="Asia/Tokyo"))
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    scene.introduce("ann", "Ann", "unknown")
    scene.set_partials("ann", [(TODAY, Partial(responses=3)), (TODAY + 1, Partial(responses=4))])
    key = ("crm_responses", frozenset({("rep", "ann"), ("team", "unknown"), ("window", "today")}))
    scene.wall_us = TODAY * DAY_US + 15 * HOUR_US - 1
    assert parsed(text_of(exposition))[key] == 7
    scene.wall_us += 1
    assert parsed(text_of(exposition))[key] == 4


def test_a_rep_of_whom_nothing_is_left_has_no_series_and_its_place_is_taken(scene: Scene) -> None:
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    check(scene, exposition)
    gone = next(rep_id for rep_id, rep in scene.reps.items() if rep.open and rep.partials)
    scene.set_partials(gone, [])
    for one in list(scene.reps[gone].open):
        scene.answer(gone, one)
    scene.put(PARTITIONS[0], "standing", gone, None)
    scene.store.put_rep(gone, None)
    del scene.reps[gone]
    check(scene, exposition)
    scene.introduce("newcomer", "New", "b")
    check(scene, exposition)


def test_a_dropped_partition_takes_its_numbers_along(scene: Scene) -> None:
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    check(scene, exposition)
    for partition in PARTITIONS:
        scene.store.drop(partition)
    for rep in scene.reps.values():
        rep.partials, rep.open, rep.standing = [], [], []
    check(scene, exposition)


def test_the_answer_packed_is_one_gzip_stream_with_the_same_text(scene: Scene) -> None:
    exposition, rng = Exposition(scene.store, scene.clock, lambda: True), random.Random(9)
    for _ in range(3):
        texts = asyncio.run(exposition.texts())
        assert len(texts) > TEXTS_BATCH_SIZE
        assert gzip.decompress(b"".join(gzipped(texts))) == b"".join(texts)
        scene.set_partials("rep-19", [(TODAY, some_partial(rng))])


def test_an_answer_under_way_does_not_change_when_a_rep_does(scene: Scene) -> None:
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    texts = asyncio.run(exposition.texts())
    before = b"".join(texts)
    scene.set_partials("rep-19", [(TODAY, some_partial(random.Random(1)))])
    later = asyncio.run(exposition.texts())
    assert b"".join(texts) == before != b"".join(later)


def test_an_empty_board_has_the_families_and_no_rep() -> None:
    scene = Scene()
    series = parsed(text_of(Exposition(scene.store, scene.clock, lambda: True)))
    assert of_reps(series) == {}
    assert series["crm_currency_info", frozenset({("currency", "USD")})] == 1


FREE = {f"kind {number}": number + 1 for number in range(100)}


def test_a_rep_has_few_series_whatever_a_producer_writes(scene: Scene) -> None:
    busy = "rep-19"
    scene.set_partials(
        busy, [(TODAY, Partial(activities={**FREE, "call": 1, OTHER: 5}, won=1, stages={"no": {"no": [1] * 3}}))]
    )
    scene.stand(busy, OpenOpportunities({"default": {"demo": 2}}))
    series = parsed(text_of(Exposition(scene.store, scene.clock, lambda: True)))
    counts = Counter(dict(labels)["rep"] for _, labels in of_reps(series))
    assert max(counts.values()) == counts[busy] <= MAX_REP_SERIES
    kinds = {
        dict(labels)["kind"]: value
        for (name, labels), value in series.items()
        if ("rep", busy) in labels and name == "crm_activities"
    }
    assert kinds == {"call": 1, "email": 0, "meeting": 0, "demo": 0, OTHER: sum(FREE.values()) + 5}
    assert series["salespulse_folded", frozenset({("label", "kind")})] == 5


def test_more_windows_are_exported_on_demand() -> None:
    scene = Scene()
    scene.introduce("ann", "Ann", "x")
    windows = windows_of(("all", "today", "all"), ("90d",))
    series = parsed(text_of(Exposition(scene.store, scene.clock, lambda: True, windows=windows)))
    found = {
        (name, dict(labels)["window"])
        for name, labels in of_reps(series)
        if ("window", "7d") not in labels and "window" in dict(labels)
    }
    assert {window for name, window in found if name == "crm_responses"} == {"today", "all"}
    assert {window for name, window in found if name == "crm_won_amount"} == {"90d"}


def unknown_scene(count: int) -> Scene:
    """Reps of whom the directory says nothing, and one of whom it does."""
    scene, rng = Scene(), random.Random(3)
    for number in range(count):
        rep_id = f"made up {number}"
        scene.reps[rep_id] = Rep(rep_id, "unknown", TODAY)
        furnish(scene, rep_id, rng)
    scene.introduce("ann", "Ann", "x")
    return scene


def pooled(scene: Scene) -> Series:
    """The series of unknown reps as one, by the reference."""
    pool = Rep("_unknown", "unknown", scene.wall_us // DAY_US)
    for rep_id, rep in scene.reps.items():
        if scene.store.reps.get(rep_id) is None and scene.store.knows(rep_id):
            pool.partials = [*pool.partials, *rep.partials]
            pool.open = [*pool.open, *rep.open]
            pool.standing = [*pool.standing, *rep.standing]
    registry = CollectorRegistry()
    registry.register(Reference({"_unknown": pool}, scene.wall_us))
    distinct = ("crm_customers_answered", "crm_recontactable_customers")
    return {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name not in distinct
    }


def test_unknown_reps_are_one_whatever_happens_to_them() -> None:
    scene = unknown_scene(30)
    exposition, rng = Exposition(scene.store, scene.clock, lambda: True), random.Random(4)

    def look() -> Series:
        series = of_reps(parsed(text_of(exposition)))
        assert {dict(labels)["rep"] for _, labels in series} == {"ann", "_unknown"}
        found = {key: value for key, value in series.items() if ("rep", "_unknown") in key[1]}
        assert differences(found, pooled(scene)) == []
        return series

    few = len(look())
    for number in range(10):
        who = f"made up {rng.randrange(30)}"
        scene.set_partials(who, [(TODAY - rng.randrange(40), some_partial(rng)) for _ in range(3)])
        scene.open(who, request(who, 10**6 + number, NOW_US - rng.randrange(30 * HOUR_US)))
        scene.stand(who, OpenOpportunities({"default": {"demo": number}}))
        scene.wall_us += HOUR_US
        look()
    scene.reps["made up 99"] = Rep("made up 99", "unknown", TODAY)
    furnish(scene, "made up 99", rng)
    assert len(look()) == few
    folded = parsed(text_of(exposition))["salespulse_folded", frozenset({("label", "rep")})]
    assert folded == 31


def test_a_rep_has_its_own_series_from_when_the_directory_knows_it_until_it_does_not() -> None:
    scene = unknown_scene(3)
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    text_of(exposition)
    for rep_id in list(scene.reps):
        scene.introduce(rep_id, "Now known", "x")
    check(scene, exposition)
    scene.store.put_rep("made up 1", None)
    series = of_reps(parsed(text_of(exposition)))
    assert {dict(labels)["rep"] for _, labels in series} == {"made up 0", "made up 2", "ann", "_unknown"}
    assert differences({k: v for k, v in series.items() if ("rep", "_unknown") in k[1]}, pooled(scene)) == []


def test_no_rep_of_the_directory_can_take_the_name_of_the_unknown_ones() -> None:
    scene = unknown_scene(2)
    scene.introduce("_unknown", "Nobody", "evil")
    series = of_reps(parsed(text_of(Exposition(scene.store, scene.clock, lambda: True))))
    assert {dict(labels)["team"] for _, labels in series if ("rep", "_unknown") in labels} == {"unknown"}


@pytest.mark.parametrize("index", range(3))
def test_the_first_shard_alone_has_the_unknown_reps(index: int) -> None:
    scene = unknown_scene(20)
    exposition = Exposition(scene.store, scene.clock, lambda: True, parse_shard(f"{index}/3"))
    found = {key: value for key, value in of_reps(parsed(text_of(exposition))).items() if ("rep", "_unknown") in key[1]}
    assert differences(found, pooled(scene) if index == 0 else {}) == []


def test_teams_beyond_the_first_share_one_label_and_no_chunk_keeps_an_old_one() -> None:
    scene, rng = Scene(), random.Random(5)
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    names = [f"team {number:03}" for number in range(MAX_TEAMS + 20)]
    for number, team in enumerate(rng.sample(names, len(names))):
        scene.introduce(f"rep {number}", "x", team)
        if number % 40 == 39:
            text_of(exposition)
    for rep_id in list(scene.reps)[:10]:
        scene.introduce(rep_id, "x", "team 000")
    teams: dict[str, set[str]] = {}
    for _, labels in of_reps(parsed(text_of(exposition))):
        teams.setdefault(dict(labels)["rep"], set()).add(dict(labels)["team"])
    kept = set(sorted({rep.team for rep in scene.reps.values()})[:MAX_TEAMS])
    assert teams == {rep_id: {rep.team if rep.team in kept else OTHER} for rep_id, rep in scene.reps.items()}
    without = sum(rep.team not in kept for rep in scene.reps.values())
    assert parsed(text_of(exposition))["salespulse_folded", frozenset({("label", "team")})] == without


def test_segments_quality_and_partitions_are_exported() -> None:
    scene = Scene()
    scene.put(PARTITIONS[0], "segments", 'a"b', Segment(2, 1050, 25))
    scene.put(PARTITIONS[1], "segments", 'a"b', Segment(1, -50, 0))
    scene.put(PARTITIONS[0], "quality", str(TODAY), {"duplicate": 3, "odd": 1})
    scene.put(PARTITIONS[0], "quality", str(TODAY - 7), {"duplicate": 4})
    scene.store.published(PARTITIONS[0], 5, NOW_US - HOUR_US)
    scene.store.published(PARTITIONS[1], 0, -(2**63))
    series = parsed(text_of(Exposition(scene.store, scene.clock, lambda: True)))
    assert series["crm_customers", frozenset({("segment", 'a"b')})] == 3
    assert series["crm_customer_revenue_amount", frozenset({("segment", 'a"b')})] == 10
    assert series["crm_customer_cost_amount", frozenset({("segment", 'a"b')})] == 0.25
    counted = {
        window: series["crm_data_quality", frozenset({("reason", "duplicate"), ("window", window)})]
        for window in ("today", "7d", "30d")
    }
    assert counted == {"today": 3, "7d": 3, "30d": 7}
    assert series["crm_data_quality", frozenset({("reason", "orphan"), ("window", "all")})] == 0
    published = "salespulse_read_model_timestamp_seconds"
    assert series[published, frozenset({("partition", PARTITIONS[0])})] == (NOW_US - HOUR_US) / 1e6
    assert series[published, frozenset({("partition", PARTITIONS[1])})] == 0
    position = "salespulse_read_model_position_records"
    assert [series[position, frozenset({("partition", name)})] for name in PARTITIONS[:2]] == [5, 0]


def test_many_segments_keep_their_sums_in_few_series() -> None:
    scene = Scene()
    for number in range(MAX_SEGMENTS + 50):
        scene.put(PARTITIONS[0], "segments", f"s{number}", Segment(number + 1, 100, 0))
    series = parsed(totals(scene.store, scene.clock))
    customers = [value for (name, _), value in series.items() if name == "crm_customers"]
    assert len(customers) == MAX_SEGMENTS + 1
    assert sum(customers) == sum(range(1, MAX_SEGMENTS + 51))
    others = parsed(folded(scene.store, {}))["salespulse_folded", frozenset({("label", "segment")})]
    assert others == sum(range(1, 51))


def test_with_a_scaled_clock_an_age_seen_from_the_wall_is_the_virtual_one() -> None:
    wall_us = [1_800_000_000_000_000]
    virtual = EPOCH + timedelta(microseconds=NOW_US)
    wall = EPOCH + timedelta(microseconds=wall_us[0])
    settings = ClockSettings(mode="scaled", at=virtual, wall_origin=wall, speed=60.0)
    clock = Clock(settings, lambda: wall_us[0])
    scene = Scene()
    scene.store.now_us = clock.now_us
    scene.introduce("ann", "Ann", "x")
    scene.open("ann", request("ann", 1, NOW_US - HOUR_US))
    exposition = Exposition(scene.store, clock, lambda: True)
    oldest = ("crm_request_oldest_open_timestamp_seconds", frozenset({("rep", "ann"), ("team", "x")}))
    for elapsed_seconds in (0, 10, 100):
        wall_us[0] = 1_800_000_000_000_000 + elapsed_seconds * 1_000_000
        age = wall_us[0] / 1e6 - parsed(text_of(exposition))[oldest]
        assert age == pytest.approx(3600 + 60 * elapsed_seconds)


def test_age_classes_come_from_the_levels() -> None:
    levels = (Level(name="slow", seconds=7200), Level(name="15m", seconds=900), Level(name="1h", seconds=3600))
    scene = Scene(Policy(levels=levels, pipelines=DEFAULT_POLICY.pipelines))
    assert scene.store.age_classes.classes == ("lt15m", "15m_1h", "1h_slow", "gtslow")
    assert scene.store.age_classes.levels == ("slow", "15m", "1h")
    one = request("ann", 1, NOW_US)
    one.due_us = {"15m": NOW_US + 900_000_000, "slow": NOW_US + 7_200_000_000}
    assert scene.store.age_classes.index_of(one, NOW_US + 3_700_000_000) == 1
    assert scene.store.age_classes.index_of(one, NOW_US + 7_300_000_000) == 3


def crowd(size: int) -> Scene:
    scene, partial = Scene(), some_partial(random.Random(1))
    for number in range(size):
        scene.introduce(f"r{number}", "x", "t")
        scene.set_partials(f"r{number}", [(TODAY - day, partial) for day in range(3)])
    return scene


def change_all(scene: Scene) -> None:
    for rep_id, rep in scene.reps.items():
        scene.set_partials(rep_id, [*rep.partials, (TODAY, Partial(responses=1))])


def test_nothing_is_shown_of_anybody_before_everybody_is_there() -> None:
    scene, loaded = crowd(3), False
    exposition = Exposition(scene.store, scene.clock, lambda: loaded)
    assert text_of(exposition) == ""
    loaded = True
    assert not exposition.is_complete
    check(scene, exposition)
    assert exposition.is_complete


@pytest.fixture
def backlog(monkeypatch: pytest.MonkeyPatch) -> int:
    """So many changed reps may wait: few, since the reference is slow."""
    monkeypatch.setattr("processors.board.metrics.exposition.MAX_BACKLOG", 5)
    return 5


def test_everybody_is_rendered_and_a_large_backlog_made_short_without_anyone_asking(backlog: int) -> None:
    scene = crowd(backlog + 3)
    exposition = Exposition(scene.store, scene.clock, lambda: True)

    async def watch() -> None:
        task = asyncio.create_task(exposition.run())
        await until(lambda: exposition.is_complete)
        assert exposition.backlog == 0
        change_all(scene)
        await until(lambda: 0 < exposition.backlog <= backlog)
        task.cancel()

    asyncio.run(watch())
    check(scene, exposition)
    assert exposition.backlog == 0


def test_a_scrape_has_no_more_patience_than_it_should_and_the_next_ones_show_the_rest(
    monkeypatch: pytest.MonkeyPatch, backlog: int
) -> None:
    scene = crowd(2 * backlog + 1)
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    check(scene, exposition)
    monkeypatch.setattr("processors.board.metrics.exposition.SCRAPE_BUDGET_SECONDS", 0.0)
    change_all(scene)
    backlogs = []
    for _ in range(3):
        text_of(exposition)
        backlogs.append(exposition.backlog)
    assert backlogs == [backlog + 1, 1, 0]
    check(scene, exposition)


def test_a_change_renders_the_families_that_it_moves_and_no_others(scene: Scene) -> None:
    exposition = Exposition(scene.store, scene.clock, lambda: True)
    check(scene, exposition)
    before = asyncio.run(exposition.texts())
    rep = scene.reps["rep-19"]
    scene.set_partials("rep-19", [*rep.partials, (TODAY - 3, Partial(won=1, won_cents=5))])
    check(scene, exposition)
    after = asyncio.run(exposition.texts())
    moved = {text.decode().split("{")[0] for text, old in zip(after, before, strict=True) if text != old}
    assert moved == {"crm_opportunities_won", "crm_won_amount"}
    kept = [text is old for text, old in zip(after, before, strict=True)]
    assert kept.count(False) == len(moved) + 1  # and what belongs to no rep


def test_shards_share_the_reps_and_the_first_tells_what_belongs_to_none() -> None:
    shares: list[Series] = []
    for index in range(3):
        scene = some_scene()
        shares.append(parsed(text_of(Exposition(scene.store, scene.clock, lambda: True, parse_shard(f"{index}/3")))))
    reps = [of_reps(share) for share in shares]
    assert all(reps)
    assert sum(map(len, reps)) == len(expected(scene))
    assert differences(reps[0] | reps[1] | reps[2], expected(scene)) == []
    assert [len(share) > len(of_reps(share)) for share in shares] == [True, False, False]
