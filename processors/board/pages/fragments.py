"""The part of a page that changes, taken apart, so that an update carries what is new and not the whole table.

A live template marks its parts with `<!--part:name-->`; a part may hold one body of rows, each `<tr data-key="...">`.
Everything that anybody typed is escaped, so that neither mark can stand in it. What clocks say is no news: browsers let
them run.
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

KEPT = 4
"""Updates from so many earlier states are kept with each state: readers go at nearly the same pace."""


class Row(msgspec.Struct, frozen=True):
    """A row of a table as it was rendered, and what it says without its clocks."""

    html: str
    said: str


class Part(msgspec.Struct, frozen=True):
    """A piece of the fragment: its frame, and its rows by key if it has any."""

    html: str
    frame: str
    rows: dict[str, Row]


class Put(msgspec.Struct, array_like=True, frozen=True):
    """A row that is new, changed or elsewhere: it follows the row `after` (None: it is the first)."""

    key: str
    after: str | None
    html: str | None = None
    """The whole row; None when it only moves, or when `cells` tells what changed."""
    cells: dict[int, str] = {}
    """Cells that changed, by their place."""


class Rows(msgspec.Struct, frozen=True):
    """What became of the rows of one part; to be done in this order."""

    gone: list[str]
    put: list[Put]


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a browser that shows one state must do to show another."""

    now_us: int
    parts: dict[str, str] = {}
    rows: dict[str, Rows] = {}


class Fragment:
    """One state of the changing part of a page."""

    def __init__(self, html: str, now_us: int, stale_us: int) -> None:
        self.html = html
        self.now_us = now_us
        self.stale_us = stale_us
        """From this instant on time alone has made it untrue."""
        self.tag = blake2b(_silent(html).encode(), digest_size=12).hexdigest()
        """Equal when nothing but the clocks in it differs."""
        self.parts = dict(_parts(html))
        self._updates: dict[str, bytes] = {}

    def whole(self) -> bytes:
        """The event `view`."""
        return _event("view", self.tag, {"html": self.html, "now_us": self.now_us})

    def alone(self) -> bytes:
        """The event that puts these parts in the place of those with the same names, and leaves what else is shown."""
        return _event("change", self.tag, Update(self.now_us, {name: part.html for name, part in self.parts.items()}))

    def since(self, old: "Fragment") -> bytes:
        """The event that leads from an earlier state to this one: `change`, or `view` when the parts are others."""
        if old.tag not in self._updates:
            if len(self._updates) >= KEPT:
                self._updates.clear()
            same = old.parts.keys() == self.parts.keys()
            self._updates[old.tag] = _event("change", self.tag, update(old, self)) if same else self.whole()
        return self._updates[old.tag]


def update(old: Fragment, new: Fragment) -> Update:
    """The difference of two states with the same parts."""
    parts: dict[str, str] = {}
    rows: dict[str, Rows] = {}
    for name, part in new.parts.items():
        before = old.parts[name]
        if before.frame != part.frame:
            parts[name] = part.html
        elif _differ(before.rows, part.rows):
            rows[name] = _rows(before.rows, part.rows)
    return Update(new.now_us, parts, rows)


def _event(name: str, tag: str, data: object) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), tag.encode(), msgspec.json.encode(data))


def _silent(html: str) -> str:
    return _CLOCK.sub(r"\1", html)


def _parts(html: str) -> Iterator[tuple[str, Part]]:
    _, *pieces = _PART.split(html)
    for name, piece in zip(pieces[::2], pieces[1::2], strict=True):
        found = {unescape(match[1]): Row(match[0], _silent(match[0])) for match in _ROW.finditer(piece)}
        yield name, Part(piece, _silent(_ROW.sub("", piece)), found)


def _differ(old: dict[str, Row], new: dict[str, Row]) -> bool:
    return list(old) != list(new) or any(old[key].said != row.said for key, row in new.items())


def _rows(old: dict[str, Row], new: dict[str, Row]) -> Rows:
    staying = [key for key in old if key in new]
    place = {key: number for number, key in enumerate(staying)}
    kept = [key for key in new if key in place]
    still = {kept[number] for number in longest_rise([place[key] for key in kept])}
    put: list[Put] = []
    after: str | None = None
    for key, row in new.items():
        if key not in old:
            put.append(Put(key, after, row.html))
        elif key not in still or old[key].said != row.said:
            put.append(_changed(key, after, old[key], row))
        after = key
    return Rows([key for key in old if key not in new], put)


def _changed(key: str, after: str | None, old: Row, new: Row) -> Put:
    if old.said == new.said:
        return Put(key, after)
    before, now = (_CELL.findall(row.html) for row in (old, new))
    if len(before) != len(now) or _CELL.sub("", old.said) != _CELL.sub("", new.said):
        return Put(key, after, new.html)
    pairs = enumerate(zip(before, now, strict=True))
    return Put(key, after, None, {place: html for place, (was, html) in pairs if _silent(was) != _silent(html)})


def longest_rise(numbers: Sequence[int]) -> list[int]:
    """The places of a longest rising subsequence: what may stay where it is while the others move around it."""
    tails: list[int] = []
    places: list[int] = []
    before: list[int | None] = []
    for place, number in enumerate(numbers):
        length = bisect_left(tails, number)
        before.append(places[length - 1] if length else None)
        tails[length : length + 1] = [number]
        places[length : length + 1] = [place]
    result: list[int] = []
    last = places[-1] if places else None
    while last is not None:
        result.append(last)
        last = before[last]
    return result[::-1]
