"""What people read about alerts. Ids may hold any character of a CRM: whoever writes markup escapes them."""

from collections.abc import Sequence
from urllib.parse import quote

from processors.core.reports.foreign_text import visible
from processors.core.time.instants import rfc3339
from schemas.alerts import Transition
from schemas.views import UNASSIGNED

ENDINGS = {
    "answered": "answered",
    "closed": "closed without an answer",
    "resolved": "closed as resolved",
    "no_reply_needed": "closed: no reply needed",
    "withdrawn": "withdrawn by the customer",
    "spam": "closed as spam",
}
CORRECTIONS = {
    "answered_in_time": "it was answered in time",
    "corrected": "the facts were corrected",
}


def headline(transition: Transition) -> str:
    """One line: what happened."""
    customer, level = visible(transition.customer_id), transition.level
    match transition.state:
        case "at_risk":
            return f"{customer} will soon have waited {level} for an answer"
        case "fired":
            return f"{customer} has waited {level} for an answer"
        case "resolved":
            ending = ENDINGS.get(transition.reason, transition.reason)
            return f"{customer} does not wait any more: {ending}"
        case "retracted":
            return f"{customer} did not wait {level}: {CORRECTIONS.get(transition.reason, transition.reason)}"


def details(transition: Transition) -> str:
    """One line: what one needs to act."""
    topic = f", topic {visible(transition.topic)}" if transition.topic else ""
    request = f"request {visible(transition.request_id)} by {visible(transition.channel)}"
    return (
        f"{request}, priority {transition.priority}{topic}; "
        f"{owner(transition)}; waiting since {rfc3339(transition.opened_us)}, due {rfc3339(transition.due_us)}"
    )


def owner(transition: Transition) -> str:
    """Who should answer."""
    if transition.rep_id == UNASSIGNED:
        return "nobody owns it"
    return f"owner {visible(transition.rep_id)}, team {visible(transition.team)}"


def digest_headline(transitions: Sequence[Transition]) -> str:
    """One line for several alerts of one rep."""
    waiting = sum(transition.state in ("at_risk", "fired") for transition in transitions)
    over = len(transitions) - waiting
    rep = transitions[0].rep_id
    who = "requests of nobody" if rep == UNASSIGNED else f"requests of {visible(rep)}"
    parts = [f"{waiting} waiting"] * bool(waiting) + [f"{over} settled"] * bool(over)
    return f"{who}: {', '.join(parts)}"


def link(board_url: str, transition: Transition) -> str:
    """The request on the live page."""
    return f"{board_url.rstrip('/')}/?request={quote(transition.request_id, safe='')}"


def rep_link(board_url: str, rep_id: str) -> str:
    """The rep's requests on the live page."""
    return f"{board_url.rstrip('/')}/?rep={quote(rep_id, safe='')}"
