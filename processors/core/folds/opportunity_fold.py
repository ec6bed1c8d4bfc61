"""Opportunities folded to numbers: win rates, sales cycle, stage conversion, what stands open (S20 to S25)."""

from bisect import bisect_left, insort
from typing import Final, TypeVar

from processors.core.folds.fold import Folder
from processors.core.folds.opportunity_contributions import (
    Contribution,
    closing,
    contributions,
    stages_since,
    standing_of,
)
from processors.core.folds.scoreboards import Desk, Desks, bump
from processors.core.state.customers import Customer
from processors.core.state.opportunities import Course, Opportunity, course_of, foreign_stages, step
from processors.core.state.order import Entry, discard
from processors.core.time.instants import DAY_US
from processors.core.time.zones import ZoneDays
from schemas.errors import BadRecord, Reason
from schemas.events import ActivityLogged, Event, OpportunityCreated, OpportunityFact, OpportunityStageEntered
from schemas.views import Partial

V = TypeVar("V")

STAGE_MEASURES: Final = {"entered": 0, "visited": 1, "advanced": 2}
"""Their places in a stage's counts."""


class Pipeline(Folder):
    """All opportunities of one source partition."""

    def __init__(self, desks: Desks, pipelines: dict[str, tuple[str, ...]], zone: ZoneDays) -> None:
        """`zone`: the policy's."""
        self._desks = desks
        self.zone = zone
        self._pipelines = pipelines
        self._stages = {stage for stages in pipelines.values() for stage in stages}
        self._unsettled: list[tuple[Customer, Opportunity]] = []
        self._late: dict[Customer, list[int]] = {}
        """Instants of activities that came after a close they precede. A customer who leaves may come anew."""
        self.foreign_days: dict[int, int] = {}
        """Day (UTC) to how many more of its stage entries are of another pipeline than at the last `settle` (S22)."""
        self.negative_days: dict[int, int] = {}
        """The same of closes on an earlier day than the creation (S24)."""
        self.rejected: list[tuple[Event, BadRecord]] = []
        """Stage entries that turned out to be of another pipeline than their opportunity's."""

    def check_stage(self, fact: OpportunityStageEntered) -> None:
        """Raises BadRecord for a stage that no policy knows (S22)."""
        if fact.stage not in self._stages:
            raise BadRecord(Reason.UNKNOWN_STAGE, f"stage {fact.stage!r} is none of {', '.join(sorted(self._stages))}")

    def check_pipeline(self, fact: OpportunityCreated) -> None:
        """Raises BadRecord for a pipeline that no policy knows (S22)."""
        if fact.pipeline not in self._pipelines:
            known = ", ".join(sorted(self._pipelines))
            raise BadRecord(Reason.UNKNOWN_STAGE, f"pipeline {fact.pipeline!r} is none of {known}")

    def take(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Add a fact."""
        root = self._root(customer, fact.opportunity_id)
        entry = Entry(at_us, fact)
        if root.facts and not entry.is_after(root.facts[-1]):
            self._withdraw(customer, root)
            insort(root.facts, entry)
            return
        root.facts.append(entry)
        if not root.settled or not self._follow(customer, root, at_us, fact):
            self._withdraw(customer, root)

    def _follow(self, customer: Customer, root: Opportunity, at_us: int, fact: OpportunityFact) -> bool:
        """The common case, a new opportunity or one step of an open one; false if it is not that."""
        course = root.posted
        if course is None:
            if len(root.facts) > 1:
                return False
            self._fold(customer, root)
            return True
        stages = self._pipelines.get(course.pipeline, ())
        standing, reached, visited = standing_of(course), len(course.reached), len(course.visited)
        if not step(root, course, at_us, fact, stages, customer.touches or []):
            return False
        for contribution in stages_since(course, stages, reached, visited):
            self._add(contribution, 1)
        if course.close is not None:
            customer.newest_close_us = max(customer.newest_close_us, at_us)
            for contribution in closing(course, course.close, stages):
                self._add(contribution, 1)
        self._move(standing, standing_of(course))
        return True

    def _move(self, old: Contribution | None, new: Contribution | None) -> None:
        """An opportunity stands open elsewhere now."""
        if old == new:
            return
        if old is not None:
            self._add(old, -1)
        if new is not None:
            self._add(new, 1)

    def remove(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Take a fact back."""
        root = self._root(customer, fact.opportunity_id)
        self._withdraw(customer, root)
        discard(root.facts, Entry(at_us, fact))

    def touch(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """An activity that may be a first follow-up (S24)."""
        instants = self._instants(customer, activity.opportunity_id)
        if at_us <= customer.newest_close_us:
            self._withdraw_closed(customer, at_us, activity.opportunity_id)
        if not instants or at_us >= instants[-1]:
            instants.append(at_us)
        else:
            insort(instants, at_us)

    def untouch(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """An activity is taken back."""
        self._withdraw_closed(customer, at_us, activity.opportunity_id)
        instants = self._instants(customer, activity.opportunity_id)
        index = bisect_left(instants, at_us)
        if index < len(instants) and instants[index] == at_us:
            del instants[index]
        root = (customer.opportunities or {}).get(activity.opportunity_id or "")
        if root is not None and not root.facts and not root.linked:
            # An activity alone had named it: `settle` forgets it.
            self._withdraw(customer, root)

    def settle(self) -> None:
        """Fold again what was withdrawn."""
        self._withdraw_late()
        unsettled, self._unsettled = self._unsettled, []
        for customer, root in unsettled:
            self._fold(customer, root)
            root.settled = True
            if not root.facts and not root.linked and customer.opportunities is not None:
                del customer.opportunities[root.opportunity_id]

    def _fold(self, customer: Customer, root: Opportunity) -> None:
        """Fold all facts, and post what is new."""
        course = course_of(root, self._pipelines, customer.touches or [], self.zone)
        self._post(root.posted, course)
        root.posted = course
        if course.close is not None:
            customer.newest_close_us = max(customer.newest_close_us, course.close.at_us)
        self._note_foreign(root, course)
        self._note_negative(root, course)

    def unpost(self, customer: Customer, at_us: int, fact: OpportunityFact) -> None:
        """Take back what an opportunity says, until `settle` folds it again."""
        del at_us
        root = self._root(customer, fact.opportunity_id)
        if root.posted is not None:
            for contribution in self._contributions(root.posted):
                self._add(contribution, -1)
            root.posted = None
            self._withdraw(customer, root)

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

    def _withdraw_closed(self, customer: Customer, at_us: int, opportunity_id: str | None) -> None:
        """Withdraw the closed opportunities whose first follow-up an activity may be: the one it names, or any."""
        if opportunity_id is None:
            self._late.setdefault(customer, []).append(at_us)
            return
        root = (customer.opportunities or {}).get(opportunity_id)
        if root is not None and _is_between(root, [at_us]):
            self._withdraw(customer, root)

    def _withdraw_late(self) -> None:
        """Look at all opportunities of a customer once, however many activities came late."""
        for customer, instants in self._late.items():
            instants.sort()
            for root in (customer.opportunities or {}).values():
                if _is_between(root, instants):
                    self._withdraw(customer, root)
        self._late.clear()

    def _withdraw(self, customer: Customer, root: Opportunity) -> None:
        if not root.settled:
            return
        root.settled = False
        self._unsettled.append((customer, root))

    def _note_foreign(self, root: Opportunity, course: Course) -> None:
        """Stage entries that count for nothing. They are said once it is known which pipeline was created."""
        stages = self._pipelines.get(course.pipeline, ())
        entries = foreign_stages(root.facts, stages)
        if not entries and root.foreign is None:
            return
        found = {entry.fact.event_id: entry.at_us // DAY_US for entry in entries}
        for sign, days in ((-1, root.foreign or {}), (1, found)):
            for day in days.values():
                bump(self.foreign_days, day, sign)
        root.foreign = found or None
        if course.created is not None:
            self._say_foreign(root, [entry.fact for entry in entries], f"{course.pipeline!r}: {', '.join(stages)}")

    def _note_negative(self, root: Opportunity, course: Course) -> None:
        """A close on an earlier day than the creation: it is in no mean (S24)."""
        close = course.close
        is_negative = close is not None and course.created is not None and close.cycle_us is None
        day = close.at_us // DAY_US if close is not None and is_negative else None
        if day == root.negative_day:
            return
        if root.negative_day is not None:
            bump(self.negative_days, root.negative_day, -1)
        if day is not None:
            bump(self.negative_days, day, 1)
        root.negative_day = day

    def _say_foreign(self, root: Opportunity, entered: list[OpportunityStageEntered], pipeline: str) -> None:
        if root.said is None:
            root.said = set()
        for fact in entered:
            if fact.event_id not in root.said:
                root.said.add(fact.event_id)
                detail = f"stage {fact.stage!r} is not of pipeline {pipeline}"
                self.rejected.append((fact, BadRecord(Reason.FOREIGN_STAGE, detail)))

    def _post(self, posted: Course | None, course: Course) -> None:
        """Post what an opportunity newly says, and take back what it no longer says."""
        new = self._contributions(course)
        if posted is not None:
            old = set(self._contributions(posted))
            for contribution in old.difference(new):
                self._add(contribution, -1)
            new = [contribution for contribution in new if contribution not in old]
        for contribution in new:
            self._add(contribution, 1)

    def _contributions(self, course: Course) -> list[Contribution]:
        return contributions(course, self._pipelines.get(course.pipeline, ()))

    def _add(self, contribution: Contribution, sign: int) -> None:
        rep_id, at_us, measure, pipeline, stage, amount = contribution
        desk = self._desks.rep(rep_id)
        if measure == "open":
            _stand(desk, pipeline, stage, sign)
            return
        partial = desk.at(at_us)
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


def _stand(desk: Desk, pipeline: str, stage: str, sign: int) -> None:
    stages = _under(desk.standing.opportunities, pipeline)
    bump(stages, stage, sign)
    if not stages:
        del desk.standing.opportunities[pipeline]
    desk.standing_changed = True
