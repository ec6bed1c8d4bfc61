"""The story of one request: asked, waited, perhaps asked again, answered, reassigned, forgotten, closed, reopened."""

from processors.core.time.instants import HOUR_US
from processors.ingest.simulator.people import SimulatedCustomer
from processors.ingest.simulator.rep_context import RepContext
from schemas.events import RequestAnswered, RequestAssigned, RequestClosed, RequestOpened

CHANNELS = (*("email",) * 9, *("chat",) * 5, *("phone",) * 3, *("web",) * 3)
WORK_HOURS = {"email": 0.9, "chat": 0.12, "phone": 0.35, "web": 0.7}
"""Median working time until a rep of ordinary speed answers, by channel."""
TOPICS = (*("pricing",) * 4, *("delivery",) * 3, *("contract",) * 2, *("support",) * 4, *("invoice",) * 2, None)
PRIORITIES = (*("normal",) * 14, *("high",) * 4, *("low",) * 3, "urgent")
URGENCY = {"low": 1.6, "normal": 1.0, "high": 0.6, "urgent": 0.25}
FATES = (*("answered",) * 184, *("no_reply_needed",) * 4, *("spam",) * 3, *("withdrawn",) * 3, *("forgotten",) * 6)

UNOWNED, BOT, NOTE, NUDGE, REASSIGNED, UNLINKED = 0.12, 0.3, 0.12, 0.3, 0.08, 0.5
"""Probabilities; an answer is unlinked only by a rep who is careless at that moment."""
RELEASED, RETRACTED, REPLY, AWAY, RESOLVED, MAX_TURNS = 0.2, 0.008, 0.3, 0.02, 0.75, 4
TIDIED = 0.8
"""Share of forgotten requests that somebody closes days later."""
NUDGE_AFTER_US = 45 * HOUR_US // 60


class RequestStory:
    """One request of a customer, from its first message to its end."""

    def __init__(self, context: RepContext, customer: SimulatedCustomer, topic: str | None) -> None:
        dice = context.dice
        self._context = context
        self._customer = customer
        self._topic = topic
        self._request_id = context.new_id("R")
        self._channel = dice.pick(CHANNELS)
        self._priority = dice.pick(PRIORITIES)
        self._owner = None if dice.chance(UNOWNED) else context.rep.rep_id

    def run(self, at_us: int, queue: int) -> None:
        """Emit all of its events; `queue` is how many others came in just before and have to be served first."""
        self._ask(at_us)
        self._greet(at_us)
        fate = self._context.dice.pick(FATES)
        if fate == "answered":
            self._converse(at_us, queue)
        elif fate != "forgotten":
            self._close(self._context.worked(at_us, 1.5), fate)
        elif self._context.dice.chance(TIDIED):
            self._close(self._context.worked(at_us, 20.0), "no_reply_needed")

    def _converse(self, at_us: int, queue: int) -> None:
        context = self._context
        answered_us = self._answer(at_us, queue)
        for _ in range(MAX_TURNS - 1):
            if not context.dice.chance(REPLY):
                break
            asked_us = context.passed(answered_us, 3.0)
            self._ask(asked_us)
            answered_us = self._answer(asked_us, 0)
        if context.dice.chance(AWAY):
            self._ask(context.passed(answered_us, 0.01), automated=True)
        if context.dice.chance(RESOLVED):
            self._close(context.worked(answered_us, 2.0), "resolved")

    def _answer(self, asked_us: int, queue: int) -> int:
        """A person's response, and what happens before it."""
        context = self._context
        hours = WORK_HOURS[self._channel] * URGENCY[self._priority] * (1 + 0.5 * queue)
        answered_us = context.worked(asked_us, hours, sigma=1.0)
        self._hand_over(asked_us, answered_us)
        if context.dice.chance(NOTE):
            self._respond(self._between(asked_us, answered_us), internal=True)
        if answered_us - asked_us > NUDGE_AFTER_US and context.dice.chance(NUDGE):
            self._ask(self._between(asked_us, answered_us))
        return self._send(answered_us)

    def _send(self, at_us: int) -> int:
        """The response itself; now and then it went to the wrong recipient, is retracted and sent again."""
        context = self._context
        if context.dice.chance(RETRACTED):
            wrong = self._respond(at_us)
            corrected_us = context.passed(at_us, 0.1)
            context.retract(corrected_us, self._customer, wrong, "request", self._request_id)
            at_us = context.worked(corrected_us, 0.3)
        careless = context.dice.random() > context.rep.diligence
        self._respond(at_us, linked=not (careless and context.dice.chance(UNLINKED)))
        return at_us

    def _hand_over(self, asked_us: int, answered_us: int) -> None:
        context = self._context
        if self._owner is None:
            self._assign(self._between(asked_us, answered_us), context.rep.rep_id)
        elif context.dice.chance(REASSIGNED):
            handed_us = self._between(asked_us, answered_us)
            if context.dice.chance(RELEASED):
                self._assign(self._between(asked_us, handed_us), None)
            self._assign(handed_us, context.colleague())

    def _greet(self, at_us: int) -> None:
        if self._channel in ("chat", "web") and self._context.dice.chance(BOT):
            self._respond(self._context.passed(at_us, 0.001), automated=True)

    def _between(self, from_us: int, to_us: int) -> int:
        return from_us + int((to_us - from_us) * self._context.dice.random())

    def _ask(self, at_us: int, *, automated: bool = False) -> None:
        self._context.emit(
            at_us,
            RequestOpened,
            self._customer,
            request_id=self._request_id,
            channel=self._channel,
            rep_id=self._owner,
            topic=self._topic,
            priority=self._priority,
            automated=automated,
        )

    def _respond(self, at_us: int, *, automated: bool = False, internal: bool = False, linked: bool = True) -> str:
        return self._context.emit(
            at_us,
            RequestAnswered,
            self._customer,
            rep_id=self._owner or self._context.rep.rep_id,
            request_id=self._request_id if linked else None,
            channel=self._channel,
            automated=automated,
            internal=internal,
        )

    def _assign(self, at_us: int, rep_id: str | None) -> None:
        self._owner = rep_id
        self._context.emit(at_us, RequestAssigned, self._customer, request_id=self._request_id, rep_id=rep_id)

    def _close(self, at_us: int, reason: str) -> None:
        self._context.emit(at_us, RequestClosed, self._customer, request_id=self._request_id, reason=reason)
