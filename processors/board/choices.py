"""What a page's address chooses. An impossible choice is passed over and said: an old link still shows something."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from processors.board.store import Store
from processors.core.time.windows import WINDOWS

Choices = Mapping[str, str]
"""The address's parameters."""
Context = dict[str, Any]
"""What a template reads: its variables are as different as the templates."""

ROWS = 100
"""The most rows of a page."""
USUAL_WINDOW = "30d"
MOST_DIGITS = 6
SUGGESTED_REPS = 200
OFFERED_TEAMS = 200
"""The most teams of a list to choose from, beside the chosen one; an address may name any."""


OFFERED = {
    "team": ("teams", "team"),
    "level": ("levels", "level"),
    "held": ("held_options", "taken_care"),
    "pipeline": ("pipelines", "pipeline"),
    "window": ("windows", "window"),
}
"""A choice to what a template reads of it beside the choice itself: everything that can be chosen; and to its word."""


class NoSuchRep(LookupError):
    """Nobody is called that."""


class Found(NamedTuple):
    """Whom the words in a search field name."""

    words: str
    rep_ids: set[str] | None
    """None: nothing was asked for, everyone is meant."""


def window_of(choices: Choices) -> str:
    """The chosen window."""
    return choices["window"] if choices.get("window") in WINDOWS else USUAL_WINDOW


def one_of(choices: Choices, name: str, allowed: tuple[str, ...]) -> str | None:
    """A choice among some; None: no choice was made."""
    return choices[name] if choices.get(name) in allowed else None


def teams_of(store: Store, choices: Choices) -> Context:
    """The teams to choose from, how many more there are, and the chosen one."""
    teams = sorted({store.reps.team(rep_id) for rep_id in store.known_reps()})
    chosen = choices.get("team") if choices.get("team") in teams else None
    offered = teams[:OFFERED_TEAMS]
    if chosen is not None and chosen not in offered:
        offered.append(chosen)
    return {"teams": offered, "team": chosen, "more_teams": len(teams) - len(offered)}


def passed_over(choices: Choices, context: Context) -> list[tuple[str, str]]:
    """The choices that a view has and that are none of those it offers: the key of each one's word, and its value."""
    return [
        (word, choices[name])
        for name, (offered, word) in OFFERED.items()
        if choices.get(name) and name in context and choices[name] not in context.get(offered, (choices[name],))
    ]


def canonical(parameters: Mapping[str, str], known: Collection[str]) -> Choices:
    """The known parameters that choose something: addresses that show the same have the same choices."""
    chosen = {name: parameters[name] for name in sorted(known) if parameters.get(name)}
    if _page(chosen) == 1:
        chosen.pop("page", None)
    return chosen


def page_of(choices: Choices, total: int, rows: int = ROWS) -> Context:
    """Which page of so many rows is shown."""
    page = min(_page(choices), max(1, -(-total // rows)))
    first = (page - 1) * rows
    return {"page": page, "first": first, "more": total > page * rows, "total": total}


def reps_named(store: Store, words: str) -> Found:
    """The rep with exactly that id, else everyone whose name or id has the words in it."""
    if not words.strip():
        return Found("", None)
    if store.knows(words):
        return Found(store.reps.name(words), {words})
    sought = words.strip().casefold()
    known = store.known_reps()
    return Found(words, {one for one in known if sought in store.reps.name(one).casefold() or sought in one.casefold()})


def _page(choices: Choices) -> int:
    said = choices.get("page", "")
    return max(1, int(said)) if said.isascii() and said.isdigit() and len(said) <= MOST_DIGITS else 1
