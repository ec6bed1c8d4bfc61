"""Pieces of PromQL that several boards share. The board program may export a number twice: always `max by` first."""

TEAM = 'team=~"$team"'
REP = 'rep="$rep"'
WINDOW = 'window="$window"'
OPPORTUNITY_WINDOW = 'window="$opportunity_window"'
"""Opportunities move in weeks, and have windows of their own."""
OVER_1H = 'age=~"1h_24h|gt24h"'
OVER_24H = 'age="gt24h"'
WITHIN_1H = 'level="1h", result="met"'


def each(metric: str, by: str, *matchers: str) -> str:
    """One value for each combination of the labels `by`, however many boards export it."""
    return f"max by ({by}) ({metric}{{{', '.join(matchers)}}})"


def total(metric: str, by: str, within: str, *matchers: str) -> str:
    """Sums by the labels `by` over the labels `within`; an empty `by` sums everything."""
    labels = ", ".join(word for word in (by, within) if word)
    return f"sum{f' by ({by})' if by else ''} ({each(metric, labels, *matchers)})"


def ratio(part: str, whole: str) -> str:
    """A quotient that has no value, rather than a wrong one, when there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def by_rep(metric: str, *matchers: str, window: str = WINDOW) -> str:
    """A number of each rep of the chosen teams in the chosen window."""
    return each(metric, "rep", TEAM, window, *matchers)


def named(expression: str) -> str:
    """Adds the rep's name and team to an expression that has the label `rep` alone."""
    return (
        f"({expression}) * on (rep) group_left (rep_name, team) max by (rep, rep_name, team) (crm_rep_info{{{TEAM}}})"
    )


def summed(record: str, *matchers: str) -> str:
    """A recorded number of teams, over the chosen teams and the chosen window."""
    return f"sum({record}{{{', '.join((TEAM, WINDOW, *matchers))}}})"


def rate(metric: str, by: str, *matchers: str) -> str:
    """How fast a counter grows, a second."""
    selector = f"{metric}{{{', '.join(matchers)}}}" if matchers else metric
    return f"sum{f' by ({by})' if by else ''} (rate({selector}[$__rate_interval]))"


def mean_seconds(metric: str, by: str) -> str:
    """The mean of a histogram over the last moments."""
    return ratio(rate(f"{metric}_sum", by), rate(f"{metric}_count", by))


def quantile(share: float, metric: str) -> str:
    """A quantile of a histogram over the last moments; no value, rather than NaN, when nothing was observed."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le')}) >= 0"


def customers(measure: str) -> str:
    """Distinct customers of the chosen teams in the chosen window.

    Those of several teams cannot be added up. So it is the company's count when nobody outside the chosen teams has
    any, a team's when no other chosen one has any, and else there is no value.
    """
    team, company = f"team_window:crm_team_{measure}:max", f"window:crm_company_{measure}:max"
    chosen = f"{team}{{{TEAM}, {WINDOW}}}"
    is_all = f"count({chosen} > 0) == count({team}{{{WINDOW}}} > 0)"
    return f"(max({company}{{{WINDOW}}}) and {is_all} or max({chosen}) and count({chosen} > 0) == 1)"
