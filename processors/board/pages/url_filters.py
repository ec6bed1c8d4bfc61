"""The filters in a page's URL. Impossible ones are ignored and reported, so that an old link still works."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from processors.board.state.store import Store
from processors.core.time.windows import WINDOWS

UrlFilters = Mapping[str, str]
"""Query parameters by name."""
Context = dict[str, Any]
"""The variables of a template, which differ from template to template."""

PAGE_ROWS = 100
"""Rows of a page."""
DEFAULT_WINDOW = "30d"
MAX_DIGITS = 6
MAX_SUGGESTED_REPS = 200
MAX_OFFERED_TEAMS = 200
"""Teams offered in a list beside the chosen one; a URL may name any team."""


OPTIONS = {
    "team": ("teams", "team"),
    "level": ("levels", "level"),
    "held": ("held_options", "taken_care"),
    "pipeline": ("pipelines", "pipeline"),
    "window": ("windows", "window"),
}
"""Filter to the template variable with its options, and to the translation key of its label."""


class UnknownRep(LookupError):
    """No rep has this id."""


class FoundReps(NamedTuple):
    """The reps that match a search."""

    query: str
    """The search as shown: the rep's name if it was an id."""
    rep_ids: set[str] | None
    """None for an empty search, which means every rep."""


def window_of(filters: UrlFilters) -> str:
    """The chosen window, or the default."""
    return filters["window"] if filters.get("window") in WINDOWS else DEFAULT_WINDOW


def one_of(filters: UrlFilters, name: str, allowed: tuple[str, ...]) -> str | None:
    """The filter's value if it is allowed, else None."""
    return filters[name] if filters.get(name) in allowed else None


def teams_of(store: Store, filters: UrlFilters) -> Context:
    """The teams to offer, how many more there are, and the chosen one."""
    teams = sorted({store.reps.team(rep_id) for rep_id in store.known_reps()})
    chosen = filters.get("team") if filters.get("team") in teams else None
    offered = teams[:MAX_OFFERED_TEAMS]
    if chosen is not None and chosen not in offered:
        offered.append(chosen)
    return {"teams": offered, "team": chosen, "more_teams": len(teams) - len(offered)}


def ignored_filters(filters: UrlFilters, context: Context) -> list[tuple[str, str]]:
    """The filters whose value the view does not offer: the translation key of the label, and the value."""
    return [
        (label, filters[name])
        for name, (offered, label) in OPTIONS.items()
        if filters.get(name) and name in context and filters[name] not in context.get(offered, (filters[name],))
    ]


def canonical_filters(parameters: Mapping[str, str], known: Collection[str]) -> UrlFilters:
    """The known, non-empty parameters in a fixed order: URLs that show the same have equal filters."""
    chosen = {name: parameters[name] for name in sorted(known) if parameters.get(name)}
    if _page(chosen) == 1:
        chosen.pop("page", None)
    return chosen


def page_at(filters: UrlFilters, total: int, rows: int = PAGE_ROWS) -> Context:
    """The shown page of a list with `total` rows."""
    page = min(_page(filters), max(1, -(-total // rows)))
    first = (page - 1) * rows
    return {"page": page, "first": first, "more": total > page * rows, "total": total}


def find_reps(store: Store, query: str) -> FoundReps:
    """The rep with exactly this id, else every rep whose name or id contains the search."""
    if not query.strip():
        return FoundReps("", None)
    if store.knows(query):
        return FoundReps(store.reps.name(query), {query})
    sought = query.strip().casefold()
    known = store.known_reps()
    return FoundReps(
        query, {one for one in known if sought in store.reps.name(one).casefold() or sought in one.casefold()}
    )


def _page(filters: UrlFilters) -> int:
    text = filters.get("page", "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 1
