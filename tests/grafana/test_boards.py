"""The boards, linted in the manner of grafana/dashboard-linter: what they say, where it stands and what they ask."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as pp
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import build, variables
from grafana.boards import sla
from grafana.words import LANGUAGES, Words
from tests.grafana.catalogue import is_counter, metrics
from tests.grafana.queries import BOARDS, Json, expressions, grouped_by, nodes, panels, parse, selectors

ROOT = Path(__file__).resolve().parents[2]
RULES: list[Json] = [
    rule
    for path in sorted((ROOT / "config" / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
BUILT_IN = {"__rate_interval", "__range", "__url_time_range", "__data", "__all"}
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


def labels_of(name: str) -> frozenset[str]:
    """The labels of a metric of the catalogue; a recorded one carries those that its name begins with."""
    return frozenset(name.split(":", 1)[0].split("_")) if name in RECORDED else metrics()[name]


def test_the_files_are_what_the_code_makes() -> None:
    """`python -m grafana.build` was run, and no board is left over."""
    assert build.stale(build.files()) == []


def test_a_changed_board_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, different and left over: all three."""
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "old.json").write_text("{}", encoding="utf-8")
    (tmp_path / "en" / "rep.json").write_text("{}", encoding="utf-8")
    assert {path.stem for path in build.stale(build.files())} == {*build.BOARDS, "old"}
    assert build.main(["--check"]) == 1
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    assert not (tmp_path / "en" / "old.json").exists()


def test_every_word_is_there_in_both_languages_and_used() -> None:
    """Two texts for each key, none empty, none the same by oversight, none left over."""
    for language in LANGUAGES:
        words = Words(language)
        for make in build.BOARDS.values():
            make(words)
        assert words.keys() == words.used


def test_chinese_boards_speak_chinese() -> None:
    """Titles and descriptions have Chinese characters; English ones have none."""
    for name, board in BOARDS.items():
        for panel in [board, *panels(board)]:
            found = [bool(re.search(r"[\u4e00-\u9fff]", panel[key])) for key in ("title", "description")]
            wanted = name.startswith("zh")
            assert found == [wanted, wanted], panel["title"]


def test_both_languages_ask_the_same() -> None:
    """Only words differ."""
    for name in build.BOARDS:
        assert expressions(BOARDS[f"en/{name}"]) == expressions(BOARDS[f"zh-CN/{name}"])


@every_board
def test_the_sdk_reads_back_every_key(board: Json) -> None:
    """A misspelled key would be lost on the way; what Grafana's annotations say is added after the SDK."""
    annotations = board["annotations"]["list"]
    plain = {
        **board,
        "annotations": {"list": [{k: v for k, v in one.items() if k not in build.ANNOTATION} for one in annotations]},
    }
    again = json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(plain))), cls=JSONEncoder))
    assert again == plain


@every_board
def test_panels_say_what_they_show(board: Json) -> None:
    """Title, a description that is more than the title, a unit, and at least one query."""
    for panel in panels(board):
        assert panel["title"], panel["id"]
        assert len(panel["description"]) > (10 if re.search(r"[\u4e00-\u9fff]", panel["description"]) else 40), panel[
            "title"
        ]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@every_board
def test_panels_use_the_chosen_data_source(board: Json) -> None:
    """And so do variables and alerts."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*panels(board), *board["annotations"]["list"]]
    asking += [one for one in board["templating"]["list"] if one["type"] == "query"]
    assert [one["datasource"] for one in asking] == [source] * len(asking)


@every_board
def test_ids_count_from_one(board: Json) -> None:
    """Links to a panel go by its id, headings included."""
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))


@every_board
def test_panels_lie_side_by_side(board: Json) -> None:
    """Within 24 columns, none over another."""
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_across = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_down = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_across or apart_down, (one, other)


@every_board
def test_variables_that_are_used_exist_and_the_other_way_round(board: Json) -> None:
    """A query with an unknown variable finds nothing, silently."""
    defined = {one["name"] for one in board["templating"]["list"]}
    texts = json.dumps([board["panels"], board["links"], board["annotations"], board["templating"]])
    used = {name for pair in re.findall(r"\$(?:\{(\w+)|(\w+))", texts) for name in pair if name}
    assert used - BUILT_IN <= defined
    assert defined <= used
    assert {"datasource", "live_url"} <= defined


@every_board
def test_boards_can_be_found_and_linked(board: Json) -> None:
    """A short address of their own, tags, and a link to the live page and the other boards of the language."""
    assert re.fullmatch(r"salespulse-[a-z-]{2,29}", board["uid"])
    assert "salespulse" in board["tags"]
    assert [link["type"] for link in board["links"]] == ["dashboards", "link"]
    assert len({one["uid"] for one in BOARDS.values()}) == len(BOARDS)


@every_board
def test_links_to_a_rep_lead_to_a_board_in_the_same_language(board: Json) -> None:
    """The address is built from the same name as the board's."""
    language = next(word for word in LANGUAGES if word in board["tags"])
    for address in re.findall(r"/d/([\w-]+)\?", json.dumps(board)):
        assert address == variables.uid("rep", Words(language))


@every_board
def test_every_query_is_promql(board: Json) -> None:
    """As a parser of the language sees it, alerts included."""
    for expression in [*expressions(board), *(one["expr"] for one in board["annotations"]["list"])]:
        parse(expression)


@every_board
def test_every_metric_is_in_the_catalogue_with_its_labels(board: Json) -> None:
    """Or is recorded by a rule; a misspelled label finds nothing, silently."""
    for expression in [*expressions(board), *(one["expr"] for one in board["annotations"]["list"])]:
        known = [(one, labels_of(one.name)) for one in selectors(expression)]
        for one, labels in known:
            assert one.labels <= labels, (one.name, one.labels - labels)
        assert grouped_by(expression) <= frozenset().union(*(labels for _, labels in known)), expression


@pytest.mark.parametrize("rule", RULES, ids=[rule.get("record") or rule["alert"] for rule in RULES])
def test_every_metric_of_a_rule_is_in_the_catalogue(rule: Json) -> None:
    """The same for the rules of Prometheus."""
    for one in selectors(rule["expr"]):
        assert one.labels <= labels_of(one.name), one


@every_board
def test_counters_are_shown_as_rates_and_gauges_are_not(board: Json) -> None:
    """Over an interval that follows the zoom, and summed after the rate, never before."""
    for expression in expressions(board):
        for one in selectors(expression):
            assert one.is_range == (is_counter(one.name) and one.name not in RECORDED), (one.name, expression)
        assert set(re.findall(r"\[([^\]]+)\]", expression)) <= {"$__rate_interval", "$__range"}, expression
        for node in nodes(expression):
            if isinstance(node, pp.Call) and node.func.name in {"rate", "increase"}:
                assert isinstance(node.args[0], pp.MatrixSelector), expression


@every_board
def test_two_boards_change_no_number(board: Json) -> None:
    """What the board program exports may come twice: it stands under a maximum, or is recorded under one."""
    for expression in expressions(board):
        bare = re.sub(r"max by \([\w, ]+\) \(crm_\w+(\{[^}]*\})?\)", "", expression)
        assert not re.search(r"(?<![:\w])crm_\w+", bare), expression


@every_board
def test_waits_turn_orange_at_an_hour_and_red_at_a_day(board: Json) -> None:
    """Every single number that is a response time or a wait."""
    waits = [panel for panel in panels(board) if panel["type"] == "stat" and "crm_re" in panel["targets"][0]["expr"]]
    for panel in waits:
        defaults: Json = panel["fieldConfig"]["defaults"]
        if defaults["unit"] == "s":
            steps = [(step["value"], step["color"]) for step in defaults["thresholds"]["steps"]]
            assert steps == [(None, "green"), (3600, "orange"), (86400, "red")], panel["title"]


def test_the_budget_on_the_board_is_that_of_the_rules() -> None:
    """One objective."""
    text = (ROOT / "config" / "prometheus" / "rules" / "slo.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\* (0\.\d+)\)", text)) == {str(sla.ALLOWED)}


def test_leaderboards_never_show_one_number_alone() -> None:
    """At least five side by side in each table of reps."""
    for name, board in BOARDS.items():
        if name.endswith("/team"):
            [table] = [panel for panel in panels(board) if panel["type"] == "table"]
            assert len(table["targets"]) >= 5


def test_provisioning_points_at_what_exists() -> None:
    """Folders of the boards, and the sources that boards and alerts need."""
    folder = ROOT / "grafana" / "provisioning"
    providers: Any = yaml.safe_load((folder / "dashboards" / "salespulse.yml").read_text(encoding="utf-8"))
    places = {Path(one["options"]["path"]).name: one for one in providers["providers"]}
    assert set(places) == set(LANGUAGES)
    assert not any(one["allowUiUpdates"] for one in places.values())
    sources: Any = yaml.safe_load((folder / "datasources" / "salespulse.yml").read_text(encoding="utf-8"))
    by_type = {one["type"]: one for one in sources["datasources"]}
    assert by_type["prometheus"]["jsonData"]["alertmanagerUid"] == by_type["alertmanager"]["uid"]
    scraped = yaml.safe_load((ROOT / "config" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    assert by_type["prometheus"]["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
