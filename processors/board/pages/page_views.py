"""All views of the live pages."""

from config.board_settings import BoardSettings
from processors.board.pages.funnel_view import FunnelView
from processors.board.pages.leaderboards_view import LeaderboardsView
from processors.board.pages.pages import PageView
from processors.board.pages.quality_view import QualityView
from processors.board.pages.rep_view import RepView
from processors.board.pages.waiting_view import HoldOf, WaitingView
from processors.board.state.dead_letter_tail import DeadLetterTail
from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums

WAITING = frozenset({"team", "rep", "level", "held", "request", "page"})
LEADERBOARDS = frozenset({"team", "rep", "window", "sort", "order", "page"})
REP = frozenset({"rep", "window"})
FUNNEL = frozenset({"team", "rep", "window", "pipeline"})
NO_FILTERS: frozenset[str] = frozenset()


def build_views(store: Store, hold_of: HoldOf, board: BoardSettings, letters: DeadLetterTail) -> dict[str, PageView]:
    """Build every view, by name."""
    team_sums, waiting = TeamSums(store), WaitingView(store, hold_of, board.crm_url)
    return {
        "waiting": PageView("/", "waiting_now", WAITING, waiting.fill),
        "leaderboards": PageView(
            "/leaderboards", "leaderboards", LEADERBOARDS, LeaderboardsView(store, team_sums).fill
        ),
        "rep": PageView(r"/reps/{rep:[\s\S]+}", "rep", REP, RepView(store, team_sums, waiting).fill),
        "funnel": PageView("/funnel", "funnel", FUNNEL, FunnelView(store, team_sums).fill),
        "quality": PageView("/quality", "data_quality", NO_FILTERS, QualityView(store, letters).fill),
    }
