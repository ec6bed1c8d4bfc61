"""The views of the live page, put together."""

from config.board_settings import BoardSettings
from processors.board.pages.funnel_view import FunnelView
from processors.board.pages.leaderboards_view import BoardsView
from processors.board.pages.pages import View
from processors.board.pages.quality_view import QualityView
from processors.board.pages.rep_view import RepView
from processors.board.pages.waiting_view import WaitingView
from processors.board.state.dead_letter_tail import LatestDeadLetters
from processors.board.state.store import Store
from processors.board.state.team_sums import Pools

WAITING = frozenset({"team", "rep", "level", "held", "request", "page"})
BOARDS = frozenset({"team", "rep", "window", "sort", "order", "page"})
REP = frozenset({"rep", "window"})
FUNNEL = frozenset({"team", "rep", "window", "pipeline"})
NOTHING: frozenset[str] = frozenset()


def build_views(store: Store, board: BoardSettings, letters: LatestDeadLetters) -> dict[str, View]:
    """Every view by name."""
    pools, waiting = Pools(store), WaitingView(store, board.crm_url)
    return {
        "waiting": View("/", "waiting_now", WAITING, waiting.fill),
        "leaderboards": View("/leaderboards", "leaderboards", BOARDS, BoardsView(store, pools).fill),
        "rep": View(r"/reps/{rep:[\s\S]+}", "rep", REP, RepView(store, pools, waiting).fill),
        "funnel": View("/funnel", "funnel", FUNNEL, FunnelView(store, pools).fill),
        "quality": View("/quality", "data_quality", NOTHING, QualityView(store, letters).fill),
    }
