"""`salespulse replay` and `explain` over files, as people and programs use them."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.settings import PolicySettings
from processors.commands.cli import main
from schemas.codec import encode
from schemas.events import Message
from tests.story import (
    activity,
    answered,
    assigned,
    closed,
    created,
    lost,
    opened,
    reopened,
    rep,
    retracted,
    stage,
    won,
)

STORY: list[Message] = [
    rep("alice", "north"),
    opened(0),
    opened(5),
    answered(7, automated=True),
    assigned(10, "bob"),
    answered(70, "alice"),
    opened(80, automated=True),
    closed(90, "resolved"),
]
SALE: list[Message] = [
    created(0),
    activity(30, opportunity_id="o1"),
    stage(40, "demo"),
    won(50),
    reopened(60),
    won(24 * 60 + 30, amount=5),
]


POLICY = PolicySettings().path
OFFICE = """
calendar = "office"
[[levels]]
name = "1h"
seconds = 3600
severity = "warning"
clock = "business"
[pipelines]
default = ["one"]
[calendars.office]
time_zone = "UTC"
[calendars.office.hours]
mon = ["09:00-17:00"]
"""


def write(path: Path, *messages: Message, extra: bytes = b"") -> str:
    file = path / "events.jsonl"
    file.write_bytes(b"\n".join(encode(message) for message in messages) + b"\n" + extra)
    return str(file)


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def test_replay_prints_the_report_as_json(tmp_path: Path) -> None:
    result = run("replay", write(tmp_path, *STORY, STORY[1]))
    report = json.loads(result.stdout)
    assert report["events"] | {"read": 9, "applied": 8, "duplicate": 1, "malformed": 0} == report["events"]
    assert report["reps"]["alice"]["all"]["response_seconds_sum"] == 70 * 60
    assert set(report) == {
        *("as_of", "events", "reps", "teams", "company", "segments", "open_requests", "alerts", "quality"),
    }
    assert report["quality"]["all"] == {"duplicate": 1}


def test_s29_replay_counts_what_was_wrong_as_the_board_does(tmp_path: Path) -> None:
    """On the day of the event, where the board has that on which the record came."""
    wrong: list[Message] = [
        answered(0, request=None, customer="unlinked"),
        answered(0, "bob", "never opened", customer="orphan"),
        won(0, customer="early"),
        created(24 * 60, customer="early"),
        won(20 * 24 * 60, customer="euro", amount=5, currency="EUR"),
        opened(20 * 24 * 60, customer="twice", event_id="same"),
        opened(20 * 24 * 60 + 1, customer="twice", event_id="same"),
        opened(20 * 24 * 60 + 2, customer="twice", event_id="same"),
        answered(20 * 24 * 60 + 3, "bob", "still to be opened", customer="waiting"),
    ]
    result = run("replay", write(tmp_path, *wrong, extra=b"{\n"))
    quality = json.loads(result.stdout)["quality"]
    folded = {"cycle_negative": 1, "orphan": 1, "unlinked": 1}
    assert quality["all"] == folded | {"conflict": 2, "malformed": 1, "unknown_currency": 1}
    assert quality["today"] == {"conflict": 2, "malformed": 1, "unknown_currency": 1}
    table = run("replay", write(tmp_path, *wrong, extra=b"{\n"), "--format", "table").stdout
    assert table.endswith("  1 unknown_currency (10.0 %)\n  1 unlinked (10.0 %)\n")
    assert "data quality of 10 records\n" in table


def test_replay_reads_standard_input_and_stops_at_an_instant() -> None:
    lines = b"\n".join(encode(message) for message in STORY)
    result = run("replay", "-", "--as-of", "2026-03-02T09:05:00Z", stdin=lines)
    report = json.loads(result.stdout)
    assert report["as_of"] == "2026-03-02T09:05:00Z"
    assert report["open_requests"][0]["levels"] == ["1h"]
    assert report["events"]["after_as_of"] == 3


def test_a_line_that_does_not_fit_is_reported_with_its_position_and_counted(tmp_path: Path) -> None:
    result = run("replay", write(tmp_path, *STORY, extra=b'{"type":"dream"}\n\n{\n'))
    assert json.loads(result.stdout)["events"]["malformed"] == 2
    assert "events.jsonl:9: unknown_type: Invalid value 'dream'" in result.stderr
    assert "events.jsonl:11: malformed" in result.stderr


@pytest.mark.parametrize("command", [("replay", "-"), ("backtest", "-", "--policy", str(POLICY))])
def test_a_file_of_which_nothing_can_be_read_is_one_line_and_exit_2(command: tuple[str, ...]) -> None:
    result = run(*command, stdin=b"\x89PNG\r\n\x1a\n\0\0\n{}\n" * 9)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("salespulse: -:1: malformed: ")
    assert result.stderr.endswith("; none of 36 lines is an event: JSONL is expected\n")
    assert result.stderr.count("\n") == 1


def test_only_the_first_of_many_bad_lines_are_printed_and_all_are_counted(tmp_path: Path) -> None:
    result = run("replay", write(tmp_path, *STORY[:1], extra=b"{}\n" * 9))
    assert (result.exit_code, json.loads(result.stdout)["events"]["malformed"]) == (0, 9)
    assert [line.split(" ")[0].rpartition("/")[2] for line in result.stderr.splitlines()] == [
        *(f"events.jsonl:{number}:" for number in range(2, 7)),
        "more",
    ]


def test_replay_prints_tables_for_people(tmp_path: Path) -> None:
    result = run("replay", write(tmp_path, *STORY, *SALE), "--format", "table")
    for words in ("How customers are treated", "How customers are won", "alice", "company", "default / demo"):
        assert words in result.stdout
    assert re.search(r" won/closed +cycle, won +amount", result.stdout)  # S24: lost ones have one of their own


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay", "nowhere.jsonl"), "nowhere.jsonl: No such file or directory"),
        (("replay", "-", "--as-of", "yesterday"), "'yesterday' is not an RFC 3339 instant"),
        (("replay", "-", "--as-of", "2026-03-02T09:05:00"), "has no offset"),
        (("replay", "-", "--config", "nowhere.toml"), "nowhere.toml"),
        (("explain", "r9", "--from", "-"), "no event names request 'r9'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments, stdin=b"")
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_explain_accounts_for_every_fact_and_interval(tmp_path: Path) -> None:
    result = run("explain", "r1", "--from", write(tmp_path, *STORY), "--format", "json")
    (account,) = json.loads(result.stdout)["accounts"]
    assert [(fact["type"], fact["rule"]) for fact in account["facts"]] == [
        ("request.opened", "S01"),
        ("request.opened", "S02"),
        ("request.answered", "S03"),
        ("request.assigned", "S07"),
        ("request.answered", "S01"),
        ("request.opened", "S04"),
        ("request.closed", "S06"),
    ]
    (turn,) = account["turns"]
    assert (turn["ending"], turn["responder"], turn["wait_seconds"]) == ("answered", "alice", 70 * 60)
    assert [(hold["owner"], hold["seconds"]) for hold in turn["holds"]] == [("_unassigned", 600), ("bob", 3600)]
    assert [(level["level"], level["result"], level["credited_to"]) for level in turn["levels"]] == [
        ("1h", "missed", "bob"),
        ("24h", "met", "alice"),
    ]


def test_explain_shows_what_was_retracted(tmp_path: Path) -> None:
    answer = answered(10)
    never = retracted(20, answer)
    file = write(tmp_path, opened(0), answer, never)
    (account,) = json.loads(run("explain", "r1", "--from", file, "--format", "json").stdout)["accounts"]
    assert [(fact["event_id"], fact["type"], fact["rule"]) for fact in account["facts"][1:]] == [
        (answer.event_id, "request.answered", "S17"),
        (never.event_id, "event.retracted", "S17"),
    ]
    assert account["turns"][0]["ending"] == "waiting"


def test_explain_tells_the_course_of_an_opportunity(tmp_path: Path) -> None:
    file = write(tmp_path, *SALE)
    (account,) = json.loads(run("explain", "o1", "--opportunity", "--from", file, "--format", "json").stdout)[
        "accounts"
    ]
    assert list(account["visited"]) == ["demo"]
    assert list(account["reached"])[:3] == ["prospecting", "qualified", "demo"]
    assert account["cycle_seconds"] == 24 * 3600
    text = run("explain", "o1", "--opportunity", "--from", file).stdout
    assert "sales cycle" in text
    assert "never visited itself" in text


def test_explain_for_people_names_the_rules(tmp_path: Path) -> None:
    text = run("explain", "r1", "--from", write(tmp_path, *STORY)).stdout
    for words in ("turn 1", "70.0 min", "held by bob for 60.0 min", "missed, credited to bob (S08)"):
        assert words in text


def test_explain_tells_whose_answer_ended_a_turn_at_one_instant_and_what_came_twice(tmp_path: Path) -> None:
    first, second = answered(5, "alice", event_id="a"), answered(5, "bob", event_id="b")
    unlinked = answered(20, "carol", None, channel="email", event_id="c")
    chat = answered(16, "carol", None, channel="chat", event_id="d")
    file = write(tmp_path, opened(0), first, second, second, opened(15), unlinked, chat, activity(17))
    account = json.loads(run("explain", "r1", "--from", file, "--format", "json").stdout)
    (request,) = account["accounts"]
    effects = [(fact["event_id"], fact["effect"]) for fact in request["facts"] if fact["type"] == "request.answered"]
    assert effects == [
        ("a", "alice answers turn 1"),
        ("b", "bob answers, but nothing was unanswered"),
        ("d", "carol answers, but nothing was unanswered on chat"),
        ("c", "carol answers turn 2, naming no request"),
    ]
    assert account["copies"] == {"b": 2}
    assert "came 2 times" in run("explain", "r1", "--from", file).stdout


def test_explain_counts_what_each_owner_held_in_calendar_and_working_time(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(OFFICE, encoding="utf-8")
    config = tmp_path / "config.toml"
    config.write_text(f'[policy]\npath = "{policy}"\n', encoding="utf-8")
    file = write(tmp_path, opened(0, rep_id="alice"), assigned(90, "bob"), answered(150, "bob"))
    result = run("explain", "r1", "--from", file, "--format", "json", "--config", str(config))
    (account,) = json.loads(result.stdout)["accounts"]
    (turn,) = account["turns"]
    assert (turn["wait_seconds"], turn["business_seconds"], turn["owner"]) == (9000, 5400, "bob")
    assert [(hold["owner"], hold["seconds"], hold["business_seconds"]) for hold in turn["holds"]] == [
        ("alice", 5400, 1800),
        ("bob", 3600, 3600),
    ]
    assert [(level["result"], level["credited_to"]) for level in turn["levels"]] == [("missed", "bob")]


def test_explain_lists_the_dead_letters_that_name_the_id(tmp_path: Path) -> None:
    conflict = answered(9, "bob", event_id="a")
    bad = b'{"type":"request.opened","request_id":"r1"}\n{"type":"request.opened","request_id":"r10"}\n'
    file = write(tmp_path, opened(0), answered(5, "alice", event_id="a"), conflict, extra=bad)
    letters = json.loads(run("explain", "r1", "--from", file, "--format", "json").stdout)["dead_letters"]
    assert [letter.split(": ")[:2] for letter in letters] == [[f"{file}:3", "conflict"], [f"{file}:4", "malformed"]]
    only = run("explain", "r10", "--from", file)
    assert only.exit_code == 0
    assert "events.jsonl:5: malformed" in only.stdout.replace("\n", "")


def test_explain_tells_what_is_counted_of_an_opportunity_and_which_facts_never_were(tmp_path: Path) -> None:
    never, call = stage(35, "trial"), activity(20)
    file = write(tmp_path, *SALE, stage(45, "demo"), stage(46, "qualified"), never, retracted(36, never), call)
    (account,) = json.loads(run("explain", "o1", "--opportunity", "--from", file, "--format", "json").stdout)[
        "accounts"
    ]
    effects = {fact["event_id"]: fact["effect"] for fact in account["facts"]}
    assert effects[never.event_id].startswith("never was: ")
    assert effects[call.event_id] == "call by alice: the first follow-up"
    assert [text for text in effects.values() if "again" in text or "already" in text] == [
        "enters demo again, which counts once",
        "enters qualified, which was reached already",
    ]
    assert [text for text in effects.values() if "wins" in text] == [
        "alice wins it, which a later fact withdraws",
        "alice wins it",
    ]
    counted = {(line["number"], line["stage"]): (line["amount"], line["rep_id"]) for line in account["counted"]}
    assert counted["won_amount", ""] == ("5.00", "alice")
    assert counted["sales_cycle_won_seconds", ""] == (str((24 * 60 + 10) * 60), "alice")
    assert ("visited", "trial") not in counted
    assert ("entered", "negotiation") in counted
    assert "What is counted" in run("explain", "o1", "--opportunity", "--from", file).stdout


def test_explain_tells_apart_what_happened_at_one_instant(tmp_path: Path) -> None:
    """Won and lost, one stage twice, two stages in the wrong order: the order of S27 decides."""
    same: list[Message] = [
        created(0, event_id="a"),
        stage(5, "demo", event_id="c"),
        stage(5, "qualified", event_id="d"),
        stage(5, "demo", event_id="e"),
        won(9, event_id="f"),
        lost(9, event_id="g"),
    ]
    result = run("explain", "o1", "--opportunity", "--from", write(tmp_path, *reversed(same)), "--format", "json")
    (account,) = json.loads(result.stdout)["accounts"]
    assert {fact["event_id"]: fact["effect"] for fact in account["facts"]} == {
        "a": "created in pipeline default; alice owns it",
        "c": "enters demo, which implies prospecting, qualified",
        "d": "enters qualified, which was reached already",
        "e": "enters demo again, which counts once",
        "f": "alice wins it, which a later fact withdraws",
        "g": "alice loses it",
    }
    assert account["close"].startswith("lost ")


def test_explain_shows_a_retracted_answer_that_named_no_request(tmp_path: Path) -> None:
    question, answer, before = opened(0), answered(5, "alice", None), answered(-5, "alice", None)
    gone = retracted(6, answer)
    story: list[Message] = [question, answer, before, gone, retracted(6, before)]
    (account,) = json.loads(run("explain", "r1", "--from", write(tmp_path, *story), "--format", "json").stdout)[
        "accounts"
    ]
    assert {fact["event_id"]: fact["effect"].split(" on ")[0] for fact in account["facts"]} == {
        question.event_id: "opens turn 1",
        answer.event_id: f"never was: {gone.event_id} retracts it",
        gone.event_id: f"retracts {answer.event_id}",
    }


def test_explain_takes_a_conflict_for_no_copy(tmp_path: Path) -> None:
    question, other = opened(0, event_id="a"), opened(1, event_id="a")
    file = write(tmp_path, question, other, question)
    explanation = json.loads(run("explain", "r1", "--from", file, "--format", "json").stdout)
    assert explanation["copies"] == {"a": 2}
    assert len(explanation["dead_letters"]) == 1
