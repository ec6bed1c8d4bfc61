"""Distinct customers of teams and of the company: counts of their own, by the zones whose clocks count their days."""

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from processors.board.metrics.totals import totals
from processors.board.pages.leaderboards_view import LeaderboardsView
from processors.board.pages.rep_view import RepView
from processors.board.pages.waiting_view import WaitingView
from processors.board.state.rep_directory import MAX_TEAMS
from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums
from processors.core.time.windows import WINDOWS
from schemas.views import Partial, Scope, partial_field, pooled_subject
from tests.board.scene import DAY_US, HOUR_US, PARTITIONS, TODAY, Scene, no_hold

HOSTILE_TEAM = 'a|b%7C"\n'
MINUTE_US = 60_000_000


@pytest.fixture
def scene() -> Scene:
    return Scene()


def field(scope: Scope, subject: str, zones: str, day: int) -> str:
    return partial_field(scope, pooled_subject(subject, zones), day)


def answered(scene: Scene, scope: Scope, subject: str) -> list[int]:
    """Customers answered in each window."""
    return [part.customers_answered for part in scene.store.distinct_counts(scope, subject)]


def test_s11_each_zones_days_end_on_its_own_today(scene: Scene) -> None:
    scene.put(PARTITIONS[0], "partials", field("team", "east", "Asia/Tokyo", TODAY + 1), Partial(customers_answered=1))
    scene.put(PARTITIONS[1], "partials", field("team", "east", "UTC", TODAY), Partial(customers_answered=2))
    assert answered(scene, "team", "east") == [3] * len(WINDOWS)
    scene.wall_us = (TODAY + 1) * DAY_US
    assert answered(scene, "team", "east") == [1, *[3] * (len(WINDOWS) - 1)]
    scene.wall_us += 15 * HOUR_US
    assert answered(scene, "team", "east") == [0, *[3] * (len(WINDOWS) - 1)]


def test_any_teams_fields_are_listed_and_removed_with_their_partition(scene: Scene) -> None:
    fields = {
        field("team", HOSTILE_TEAM, "Pacific/Chatham,Pacific/Pago_Pago:1", TODAY),
        field("team", HOSTILE_TEAM, "UTC", TODAY - 1),
        field("company", "", "UTC", TODAY),
    }
    for name in fields:
        scene.put(PARTITIONS[0], "partials", name, Partial(customers_answered=1))
    assert set(scene.store.fields(PARTITIONS[0], "partials")) == fields
    assert scene.store.team_customers.teams() == [HOSTILE_TEAM]
    assert answered(scene, "team", HOSTILE_TEAM) == [0, *[2] * (len(WINDOWS) - 1)]
    scene.store.drop(PARTITIONS[0])
    assert scene.store.team_customers.teams() == []
    assert answered(scene, "company", "") == [0] * len(WINDOWS)


@pytest.mark.parametrize(
    "name",
    [
        *(f"team|east|{TODAY}", f"company||{TODAY}", f"team|a|b|{TODAY}"),
        *(f"team|east|No/Such_Zone|{TODAY}", f"team|east|UTC:x|{TODAY}", f"team|east|UTC,|{TODAY}"),
    ],
)
def test_days_by_no_known_zone_are_passed_over(scene: Scene, name: str) -> None:
    """Workers of a version before wrote them by none, or know more zones than this computer."""
    before = scene.store.version
    for raw in (msgspec.msgpack.encode(Partial(customers_answered=7)), None):
        scene.store.put(PARTITIONS[0], "partials", name, raw)
        assert list(scene.store.fields(PARTITIONS[0], "partials")) == []
        assert answered(scene, "team", "east") == answered(scene, "company", "") == [0] * len(WINDOWS)
    assert scene.store.version == before


def test_s11_teams_and_the_company_are_exported_as_counts_of_their_own(scene: Scene) -> None:
    both = Partial(customers_answered=2, recontactable_customers=1)
    subjects: tuple[tuple[Scope, str], ...] = (("team", "east"), ("team", 'we"st'), ("company", ""))
    for scope, subject in subjects:
        scene.put(PARTITIONS[0], "partials", field(scope, subject, "UTC", TODAY - 7), both)
    text = totals(scene.store, scene.clock).splitlines()
    assert 'crm_team_customers_answered{team="east",window="7d"} 0' in text
    assert 'crm_team_customers_answered{team="east",window="30d"} 2' in text
    assert 'crm_team_recontactable_customers{team="we\\"st",window="30d"} 1' in text
    assert 'crm_company_customers_answered{window="30d"} 2' in text
    assert 'crm_company_recontactable_customers{window="today"} 0' in text
    assert not [line for line in text if 'window="all"' in line and line.startswith(("crm_team", "crm_company"))]
    more = totals(scene.store, scene.clock, ("7d", "all")).splitlines()
    assert 'crm_team_recontactable_customers{team="we\\"st",window="all"} 1' in more


def test_teams_beyond_the_cap_have_no_count_of_customers(scene: Scene) -> None:
    for number in range(MAX_TEAMS + 5):
        name = field("team", f"team-{number:04}", "UTC", TODAY)
        scene.put(PARTITIONS[0], "partials", name, Partial(customers_answered=2))
    text = totals(scene.store, scene.clock)
    assert text.count("\ncrm_team_customers_answered{") == 3 * MAX_TEAMS


SHARED: Mapping[str, Partial] = {
    partial_field("rep", "ann", TODAY): Partial(responses=1, customers_answered=1, response_us=MINUTE_US),
    partial_field("rep", "bob", TODAY): Partial(responses=1, customers_answered=1, response_us=MINUTE_US),
    partial_field("rep", "zoe", TODAY): Partial(responses=1, customers_answered=1, response_us=MINUTE_US),
    field("team", "east", "UTC", TODAY): Partial(customers_answered=1),
    field("team", "west", "UTC", TODAY): Partial(customers_answered=1),
    field("company", "", "UTC", TODAY): Partial(customers_answered=1),
}
"""One customer was answered by three reps: ann and bob in the east, zoe in the west."""


@pytest.fixture
def shared(scene: Scene) -> Store:
    """The board's store with SHARED in it."""
    for rep_id, team in (("ann", "east"), ("bob", "east"), ("zoe", "west")):
        scene.introduce(rep_id, rep_id, team)
    for name, partial in SHARED.items():
        scene.put(PARTITIONS[0], "partials", name, partial)
    return scene.store


@pytest.mark.parametrize(("team", "seconds"), [("", 180), ("east", 120), ("west", 60)])
def test_s11_the_first_row_of_leaderboards_counts_a_customer_of_several_reps_once(
    shared: Store, team: str, seconds: int
) -> None:
    view = asyncio.run(LeaderboardsView(shared, TeamSums(shared)).fill({"team": team}))
    by_column = dict(zip((column.key for column in view["columns"]), view["pooled"], strict=True))
    assert by_column["response_per_customer"].value == seconds


def test_s11_a_rep_card_shows_waits_by_customer_beside_the_whole_team(shared: Store) -> None:
    """The others of the team have no count of their own: the rep's customers may be theirs too."""
    team_sums = TeamSums(shared)
    view = asyncio.run(RepView(shared, team_sums, WaitingView(shared, no_hold, None)).fill({"rep": "ann"}))
    tile = next(tile for tile in view["tiles"] if tile["column"].key == "response_per_customer")
    assert (tile["mine"], tile["whose"], tile["theirs"]) == (60, "team", 120)


def test_s11_sums_over_some_reps_have_no_distinct_customers(shared: Store) -> None:
    pooled = asyncio.run(TeamSums(shared).sum_over(["ann", "bob"]))
    assert [(part.responses, part.customers_answered) for part in pooled] == [(2, 0)] * len(WINDOWS)
