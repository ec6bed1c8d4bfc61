"""Opportunities folded to numbers: win rates, sales cycle, stage conversion, open ones (S20 to S25)."""

from bisect import bisect_left, insort
from typing import Final, TypeVar

from processors.core.folds.fold import Fold
from processors.core.folds.opportunity_contributions import (
    Contribution,
    closing,
    contributions,
    open_contribution,
    stages_since,
)
from processors.core.folds.scoreboards import Scoreboard, Scoreboards, bump
from processors.core.state.customers import Customer
from processors.core.state.opportunities import Opportunity, OpportunityState, fold_opportunity, foreign_stages, step
from processors.core.state.order import Entry, discard
from processors.core.time.instants import DAY_US
from processors.core.time.zones import ZoneDays
from schemas.errors import BadRecord, Reason
from schemas.events import ActivityLogged, Event, OpportunityCreated, OpportunityFact, OpportunityStageEntered
from schemas.views import Partial

V = TypeVar("V")

STAGE_MEASURES: Final = {"entered": 0, "visited": 1, "advanced": 2}
"""Their indexes in a stage's counts."""


class OpportunityFold(Fold):
    """All opportunities of one source partition."""

    def __init__(self, scoreboards: Scoreboards, pipelines: dict[str, tuple[str, ...]], zone: ZoneDays) -> None:
        """`zone`: the policy's."""
        self._scoreboards = scoreboards
        self._zone = zone
        self._pipelines = pipelines
        self._stages = {stage for stages in pipelines.values() for stage in stages}
        self._to_refold: list[tuple[Customer, Opportunity]] = []
        self._late: dict[Customer, list[int]] = {}
        """Instants of activities that came after a close that they precede. A customer who leaves may come anew."""
        self.foreign_days: dict[int, int] = {}
        """Day (UTC) to how many more of its stage entries are of another pipeline than at the last `refold` (S22)."""
        self.negative_days: dict[int, int] = {}
        """The same of closes on an earlier day than the creation (S24)."""
        self._rejected: list[tuple[Event, BadRecord]] = []
        """Stage entries that turned out to be of another pipeline than their opportunity's."""

    def drain_rejected(self) -> list[tuple[Event, BadRecord]]:
        """The facts that turned out bad since the last call."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def check_stage(self, fact: OpportunityStageEntered) -> None:
        """Raises BadRecord for a stage that no policy knows (S22)."""
        if fact.stage not in self._stages:
            raise BadRecord(Reason.UNKNOWN_STAGE, f"stage {fact.stage!r} is none of {', '.join(sorted(self._stages))}")

    def check_pipeline(self, fact: OpportunityCreated) -> None:
        """Raises BadRecord for a pipeline that no policy knows (S22)."""
        if fact.pipeline not in self._pipelines:
            known = ", ".join(sorted(self._pipelines))
            raise BadRecord(Reason.UNKNOWN_STAGE, f"pipeline {fact.pipeline!r} is none of {known}")

    def add(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Add a fact."""
        root = self._root(customer, fact.opportunity_id)
        entry = Entry(at_us, fact)
        if root.facts and not entry.is_after(root.facts[-1]):
            self._refold_later(customer, root)
            insort(root.facts, entry)
            return
        root.facts.append(entry)
        if not root.folded or not self._follow(customer, root, at_us, fact):
            self._refold_later(customer, root)

    def _follow(self, customer: Customer, root: Opportunity, at_us: int, fact: OpportunityFact) -> bool:
        """The common case, a new opportunity or one step of an open one; false if it is not that."""
        state = root.posted
        if state is None:
            if len(root.facts) > 1:
                return False
            self._fold(customer, root)
            return True
        stages = self._pipelines.get(state.pipeline, ())
        still_open, reached, visited = open_contribution(state), len(state.reached), len(state.visited)
        if not step(root, state, at_us, fact, stages, customer.touches or []):
            return False
        for contribution in stages_since(state, stages, reached, visited):
            self._add(contribution, 1)
        if state.close is not None:
            customer.newest_close_us = max(customer.newest_close_us, at_us)
            for contribution in closing(state, state.close, stages):
                self._add(contribution, 1)
        self._move(still_open, open_contribution(state))
        return True

    def _move(self, old: Contribution | None, new: Contribution | None) -> None:
        """Count an open opportunity at its new owner or stage."""
        if old == new:
            return
        if old is not None:
            self._add(old, -1)
        if new is not None:
            self._add(new, 1)

    def state_of(self, customer: Customer, root: Opportunity) -> OpportunityState:
        """What the facts of one of a customer's opportunities amount to."""
        return fold_opportunity(root, self._pipelines, customer.touches or [], self._zone)

    def remove(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Take a fact back."""
        root = self._root(customer, fact.opportunity_id)
        self._refold_later(customer, root)
        discard(root.facts, Entry(at_us, fact))

    def add_touch(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """An activity that may be a first follow-up (S24)."""
        instants = self._instants(customer, activity.opportunity_id)
        if at_us <= customer.newest_close_us:
            self._refold_closed_later(customer, at_us, activity.opportunity_id)
        if not instants or at_us >= instants[-1]:
            instants.append(at_us)
        else:
            insort(instants, at_us)

    def remove_touch(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """An activity is taken back."""
        self._refold_closed_later(customer, at_us, activity.opportunity_id)
        instants = self._instants(customer, activity.opportunity_id)
        index = bisect_left(instants, at_us)
        if index < len(instants) and instants[index] == at_us:
            del instants[index]
        root = (customer.opportunities or {}).get(activity.opportunity_id or "")
        if root is not None and not root.facts and not root.linked:
            # An activity alone had named it: `refold` forgets it.
            self._refold_later(customer, root)

    def refold(self) -> None:
        """Fold again what was withdrawn."""
        self._apply_late()
        to_refold, self._to_refold = self._to_refold, []
        for customer, root in to_refold:
            self._fold(customer, root)
            root.folded = True
            if not root.facts and not root.linked and customer.opportunities is not None:
                del customer.opportunities[root.opportunity_id]

    def _fold(self, customer: Customer, root: Opportunity) -> None:
        """Fold all facts, and add what is new."""
        state = self.state_of(customer, root)
        self._post(root.posted, state)
        root.posted = state
        if state.close is not None:
            customer.newest_close_us = max(customer.newest_close_us, state.close.at_us)
        self._note_foreign(root, state)
        self._note_negative(root, state)

    def withdraw(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Take back what an opportunity contributes, until `refold` folds it again."""
        del at_us
        root = self._root(customer, fact.opportunity_id)
        if root.posted is not None:
            for contribution in self._contributions(root.posted):
                self._add(contribution, -1)
            root.posted = None
            self._refold_later(customer, root)

    def _root(self, customer: Customer, opportunity_id: str) -> Opportunity:
        if customer.opportunities is None:
            customer.opportunities = {}
        root = customer.opportunities.get(opportunity_id)
        if root is None:
            root = customer.opportunities[opportunity_id] = Opportunity(opportunity_id)
        return root

    def _instants(self, customer: Customer, opportunity_id: str | None) -> list[int]:
        if opportunity_id is not None:
            root = self._root(customer, opportunity_id)
            if root.linked is None:
                root.linked = []
            return root.linked
        if customer.touches is None:
            customer.touches = []
        return customer.touches

    def _refold_closed_later(self, customer: Customer, at_us: int, opportunity_id: str | None) -> None:
        """Withdraw the closed opportunities whose first follow-up an activity may be: the one it names, or any."""
        if opportunity_id is None:
            self._late.setdefault(customer, []).append(at_us)
            return
        root = (customer.opportunities or {}).get(opportunity_id)
        if root is not None and _is_between(root, [at_us]):
            self._refold_later(customer, root)

    def _apply_late(self) -> None:
        """Look at all opportunities of a customer once, however many activities came late."""
        for customer, instants in self._late.items():
            instants.sort()
            for root in (customer.opportunities or {}).values():
                if _is_between(root, instants):
                    self._refold_later(customer, root)
        self._late.clear()

    def _refold_later(self, customer: Customer, root: Opportunity) -> None:
        if not root.folded:
            return
        root.folded = False
        self._to_refold.append((customer, root))

    def _note_foreign(self, root: Opportunity, state: OpportunityState) -> None:
        """Stage entries that count for nothing. They are rejected once it is known which pipeline was created."""
        stages = self._pipelines.get(state.pipeline, ())
        entries = foreign_stages(root.facts, stages)
        if not entries and root.foreign is None:
            return
        found = {entry.fact.event_id: entry.at_us // DAY_US for entry in entries}
        for sign, days in ((-1, root.foreign or {}), (1, found)):
            for day in days.values():
                bump(self.foreign_days, day, sign)
        root.foreign = found or None
        if state.created is not None:
            self._reject_foreign(root, [entry.fact for entry in entries], f"{state.pipeline!r}: {', '.join(stages)}")

    def _note_negative(self, root: Opportunity, state: OpportunityState) -> None:
        """A close on an earlier day than the creation: it is in no mean (S24)."""
        close = state.close
        is_negative = close is not None and state.created is not None and close.cycle_us is None
        day = close.at_us // DAY_US if close is not None and is_negative else None
        if day == root.negative_day:
            return
        if root.negative_day is not None:
            bump(self.negative_days, root.negative_day, -1)
        if day is not None:
            bump(self.negative_days, day, 1)
        root.negative_day = day

    def _reject_foreign(self, root: Opportunity, entered: list[OpportunityStageEntered], pipeline: str) -> None:
        if root.reported is None:
            root.reported = set()
        for fact in entered:
            if fact.event_id not in root.reported:
                root.reported.add(fact.event_id)
                detail = f"stage {fact.stage!r} is not of pipeline {pipeline}"
                self._rejected.append((fact, BadRecord(Reason.FOREIGN_STAGE, detail)))

    def _post(self, posted: OpportunityState | None, state: OpportunityState) -> None:
        """Add what an opportunity newly contributes, and take back what it no longer does."""
        new = self._contributions(state)
        if posted is not None:
            old = set(self._contributions(posted))
            for contribution in old.difference(new):
                self._add(contribution, -1)
            new = [contribution for contribution in new if contribution not in old]
        for contribution in new:
            self._add(contribution, 1)

    def _contributions(self, state: OpportunityState) -> list[Contribution]:
        return contributions(state, self._pipelines.get(state.pipeline, ()))

    def _add(self, contribution: Contribution, sign: int) -> None:
        rep_id, at_us, measure, pipeline, stage, amount = contribution
        scoreboard = self._scoreboards.rep(rep_id)
        if measure == "open":
            _count_open(scoreboard, pipeline, stage, sign)
            return
        partial = scoreboard.at(at_us)
        index = STAGE_MEASURES.get(measure)
        if index is None:
            setattr(partial, measure, getattr(partial, measure) + sign * amount)
        else:
            _count_stage(partial, pipeline, stage, index, sign)


def _is_between(root: Opportunity, instants: list[int]) -> bool:
    """Whether any of these ordered instants lies between what was posted as creation and as close."""
    if root.posted is None or root.posted.close is None or root.posted.created is None:
        return False
    index = bisect_left(instants, root.posted.created.at_us)
    return index < len(instants) and instants[index] <= root.posted.close.at_us


def _count_stage(partial: Partial, pipeline: str, stage: str, index: int, sign: int) -> None:
    stages = _under(partial.stages, pipeline)
    counts = stages.get(stage)
    if counts is None:
        counts = stages[stage] = [0, 0, 0]
    counts[index] += sign
    if sign < 0 and not any(counts):
        del stages[stage]
        if not stages:
            del partial.stages[pipeline]


def _under(pipelines: dict[str, dict[str, V]], pipeline: str) -> dict[str, V]:
    """What lies under a pipeline. `setdefault` would make an empty dictionary each time."""
    stages = pipelines.get(pipeline)
    if stages is None:
        stages = pipelines[pipeline] = {}
    return stages


def _count_open(scoreboard: Scoreboard, pipeline: str, stage: str, sign: int) -> None:
    stages = _under(scoreboard.open_opportunities.opportunities, pipeline)
    bump(stages, stage, sign)
    if not stages:
        del scoreboard.open_opportunities.opportunities[pipeline]
    scoreboard.open_opportunities_changed = True
