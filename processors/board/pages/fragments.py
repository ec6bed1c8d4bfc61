"""Fragments: the live part of a page, split up so that an update carries changed rows and cells, not whole tables.

A live template marks its parts with `<!--part:name-->`; a part may contain one table body with rows of the form
`<tr data-key="...">`. All user input is escaped, so neither mark can occur in it. The text of a clock is not compared:
browsers advance clocks themselves.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from html import unescape

import msgspec

_PART = re.compile(r"<!--part:([a-z]+)-->")
_ROW = re.compile(r'<tr data-key="([^"]*)".*?</tr>\s*', re.DOTALL)
_CELL = re.compile(r"<t[dh]\b.*?</t[dh]>", re.DOTALL)
_CLOCK = re.compile(r'(data-(?:since|until)-us="-?\d+"[^>]*>)[^<]*')

MAX_KEPT_UPDATES = 4
"""Updates cached for each state, one for each earlier state: most pages are equally up to date."""


class TableRow(msgspec.Struct, frozen=True):
    """A rendered row, and its HTML without the text of clocks."""

    html: str
    text: str


class FragmentPart(msgspec.Struct, frozen=True):
    """A part: its whole HTML, its HTML without rows and clocks (`frame`), and its rows by key."""

    html: str
    frame: str
    rows: dict[str, TableRow]


class PlacedRow(msgspec.Struct, array_like=True, frozen=True):
    """A row that is new, changed or moved. It follows the row `after`; None puts it first."""

    key: str
    after: str | None
    html: str | None = None
    """The whole row; None if the row only moves or only `cells` change."""
    cells: dict[int, str] = {}
    """Changed cells by index."""


class RowChanges(msgspec.Struct, frozen=True):
    """Changes of the rows of one part, to be applied in this order."""

    gone: list[str]
    put: list[PlacedRow]


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a browser does to get from one state to another."""

    now_us: int
    parts: dict[str, str] = {}
    rows: dict[str, RowChanges] = {}


class Fragment:
    """One state of the live part of a page."""

    def __init__(self, html: str, now_us: int, stale_us: int) -> None:
        self.html = html
        self.now_us = now_us
        self.stale_us = stale_us
        """From this time on, in microseconds since 1970, time alone has made it untrue."""
        self.tag = blake2b(_without_clocks(html).encode(), digest_size=12).hexdigest()
        """Equal for two fragments if only their clocks differ."""
        self.parts = dict(_parts(html))
        self._updates: dict[str, bytes] = {}

    def whole(self) -> bytes:
        """The event `view`, with the whole HTML."""
        return _event("view", self.tag, {"html": self.html, "now_us": self.now_us})

    def alone(self) -> bytes:
        """An event `change` that reends the parts of these names and leaves the rest of the page."""
        return _event("change", self.tag, Update(self.now_us, {name: part.html for name, part in self.parts.items()}))

    def since(self, old: "Fragment") -> bytes:
        """The event that leads from an earlier state to this one: `change`, or `view` if the parts differ in name."""
        if old.tag not in self._updates:
            if len(self._updates) >= MAX_KEPT_UPDATES:
                self._updates.clear()
            same = old.parts.keys() == self.parts.keys()
            self._updates[old.tag] = _event("change", self.tag, update(old, self)) if same else self.whole()
        return self._updates[old.tag]


def update(old: Fragment, new: Fragment) -> Update:
    """The difference between two states with equal part names."""
    parts: dict[str, str] = {}
    rows: dict[str, RowChanges] = {}
    for name, part in new.parts.items():
        before = old.parts[name]
        if before.frame != part.frame:
            parts[name] = part.html
        elif _differ(before.rows, part.rows):
            rows[name] = _rows(before.rows, part.rows)
    return Update(new.now_us, parts, rows)


def _event(name: str, tag: str, data: object) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), tag.encode(), msgspec.json.encode(data))


def _without_clocks(html: str) -> str:
    return _CLOCK.sub(r"\1", html)


def _parts(html: str) -> Iterator[tuple[str, FragmentPart]]:
    _, *pieces = _PART.split(html)
    for name, piece in zip(pieces[::2], pieces[1::2], strict=True):
        found = {unescape(match[1]): TableRow(match[0], _without_clocks(match[0])) for match in _ROW.finditer(piece)}
        yield name, FragmentPart(piece, _without_clocks(_ROW.sub("", piece)), found)


def _differ(old: dict[str, TableRow], new: dict[str, TableRow]) -> bool:
    return list(old) != list(new) or any(old[key].text != row.text for key, row in new.items())


def _rows(old: dict[str, TableRow], new: dict[str, TableRow]) -> RowChanges:
    staying = [key for key in old if key in new]
    index = {key: number for number, key in enumerate(staying)}
    kept = [key for key in new if key in index]
    # Rows of a longest increasing subsequence stay in the document; only the others are moved around them.
    still = {kept[number] for number in longest_rise([index[key] for key in kept])}
    put: list[PlacedRow] = []
    after: str | None = None
    for key, row in new.items():
        if key not in old:
            put.append(PlacedRow(key, after, row.html))
        elif key not in still or old[key].text != row.text:
            put.append(_changed(key, after, old[key], row))
        after = key
    return RowChanges([key for key in old if key not in new], put)


def _changed(key: str, after: str | None, old: TableRow, new: TableRow) -> PlacedRow:
    if old.text == new.text:
        return PlacedRow(key, after)
    before, now = (_CELL.findall(row.html) for row in (old, new))
    if len(before) != len(now) or _CELL.sub("", old.text) != _CELL.sub("", new.text):
        return PlacedRow(key, after, new.html)
    pairs = enumerate(zip(before, now, strict=True))
    return PlacedRow(
        key, after, None, {index: html for index, (was, html) in pairs if _without_clocks(was) != _without_clocks(html)}
    )


def longest_rise(numbers: Sequence[int]) -> list[int]:
    """The indexes of a longest increasing subsequence."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int | None] = []
    for index, number in enumerate(numbers):
        length = bisect_left(tails, number)
        before.append(ends[length - 1] if length else None)
        tails[length : length + 1] = [number]
        ends[length : length + 1] = [index]
    result: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        result.append(last)
        last = before[last]
    return result[::-1]
