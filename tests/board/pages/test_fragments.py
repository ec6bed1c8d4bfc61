"""Updates of the live page: applied to what a browser shows, they give what the server has, whatever changed."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processors.board.pages.fragments import Fragment, longest_rise

KEYS = st.sampled_from(["a", "b", "c", "d", "e|1", 'f"<'])
ROWS = st.dictionaries(KEYS, st.tuples(st.sampled_from("xy"), st.lists(st.sampled_from("012"), min_size=2, max_size=2)))


def written(key: str) -> str:
    return key.replace("<", "&lt;").replace('"', "&#34;")


def html_of(rows: dict[str, tuple[str, list[str]]], note: str, seconds: int = 5) -> str:
    lines = [
        f'<tr data-key="{written(key)}" class="{kind}"><th data-since-us="7">{seconds} s</th>'
        f"<td>{a}</td><td>{b}</td></tr>"
        for key, (kind, [a, b]) in rows.items()
    ]
    return f"\n<!--part:note--><p>{note}</p>\n<!--part:rows--><tbody data-rows>{''.join(lines)}</tbody>"


def data_of(event: bytes) -> tuple[str, Any]:
    name, _, data, *_ = event.decode().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


class Shown:
    """What a browser shows: the parts' texts, and the rows by key."""

    def __init__(self, fragment: Fragment) -> None:
        self.parts = {name: part.html for name, part in fragment.parts.items()}
        self.rows = {key: row.html for key, row in fragment.parts["rows"].rows.items()}

    def change(self, update: dict[str, Any]) -> None:
        self.parts |= update.get("parts", {})
        news = update.get("rows", {}).get("rows", {"gone": [], "put": []})
        for key in news["gone"]:
            del self.rows[key]
        for key, after, html, cells in news["put"]:
            row = html or self.rows[key]
            for place, cell in cells.items():
                head, *tail = re.split(r"(<t[dh]\b.*?</t[dh]>)", row)
                tail[2 * int(place)] = cell
                row = "".join([head, *tail])
            self.rows.pop(key, None)
            others = list(self.rows.items())
            place = 0 if after is None else [one for one, _ in others].index(after) + 1
            self.rows = dict([*others[:place], (key, row), *others[place:]])


@given(ROWS, ROWS, st.sampled_from(["one", "two"]))
def test_an_update_leads_from_any_state_to_any_other(
    old: dict[str, tuple[str, list[str]]], new: dict[str, tuple[str, list[str]]], note: str
) -> None:
    before, after = Fragment(html_of(old, "one"), 0, 0), Fragment(html_of(new, note), 1, 0)
    shown = Shown(before)
    name, update = data_of(after.since(before))
    assert name == "change"
    shown.change(update)
    assert list(shown.rows.items()) == [(key, row.html) for key, row in after.parts["rows"].rows.items()]
    assert shown.parts["note"] == after.parts["note"].html


def test_a_cell_that_changed_is_sent_alone() -> None:
    before = Fragment(html_of({"a": ("x", ["0", "0"]), "b": ("x", ["0", "0"])}, "n"), 0, 0)
    after = Fragment(html_of({"a": ("x", ["0", "0"]), "b": ("x", ["0", "1"])}, "n", seconds=6), 9, 0)
    assert data_of(after.since(before)) == (
        "change",
        {"now_us": 9, "rows": {"rows": {"gone": [], "put": [["b", "a", None, {"2": "<td>1</td>"}]]}}},
    )


def test_a_row_that_rises_is_the_only_one_that_moves() -> None:
    order = ["a", "b", "c", "d"]
    before = Fragment(html_of({key: ("x", ["0", "0"]) for key in order}, "n"), 0, 0)
    after = Fragment(html_of({key: ("x", ["0", "0"]) for key in ["d", "a", "b", "c"]}, "n"), 0, 0)
    _, update = data_of(after.since(before))
    assert update["rows"]["rows"]["put"] == [["d", None, None, {}]]


def test_clocks_that_run_change_nothing() -> None:
    rows = {"a": ("x", ["0", "0"])}
    assert Fragment(html_of(rows, "n", 5), 0, 0).tag == Fragment(html_of(rows, "n", 6), 1, 0).tag


def test_other_parts_are_sent_as_a_whole_view() -> None:
    name, data = data_of(Fragment("<!--part:b--><p>2</p>", 3, 0).since(Fragment("<!--part:a--><p>1</p>", 0, 0)))
    assert (name, data) == ("view", {"html": "<!--part:b--><p>2</p>", "now_us": 3})


@given(st.lists(st.integers(0, 20), unique=True))
def test_the_longest_rise_rises_and_none_is_longer(numbers: list[int]) -> None:
    places = longest_rise(numbers)
    assert places == sorted(places)
    rise = [numbers[place] for place in places]
    assert rise == sorted(rise)
    best = [0] * len(numbers)
    for place, number in enumerate(numbers):
        best[place] = 1 + max((best[other] for other in range(place) if numbers[other] < number), default=0)
    assert len(rise) == max(best, default=0)
