"""`salespulse explain`: the account of a request or an opportunity, for people or as JSON."""

from collections.abc import Iterable

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from processors.core.explain import (
    OpportunityAccount,
    RequestAccount,
    TurnAccount,
    explain_opportunity,
    explain_request,
)
from processors.core.replay import Replay
from processors.tools.legible import legible
from processors.tools.lines import Line
from processors.tools.replay import span
from schemas.errors import BadRecord, UsageError
from schemas.policy import Policy

Account = RequestAccount | OpportunityAccount


class Explanation(msgspec.Struct):
    """What was asked for, and the lines that concern it and could not count."""

    accounts: list[Account]
    dead_letters: list[str]


def explain(lines: Iterable[Line], policy: Policy, wanted: str, *, opportunity: bool) -> Explanation:
    """Fold all lines and account for one id. Raises UsageError when no line names it."""
    run, dead = Replay(policy), []
    for place, message in lines:
        if isinstance(message, BadRecord):
            continue
        before = len(run.rejected)
        run.take(message)
        if len(run.rejected) > before and wanted in (
            getattr(message, "request_id", None),
            getattr(message, "opportunity_id", None),
        ):
            dead.append(f"{place}: {run.rejected[-1][1]}")
    end_us = run.finish()
    accounts: list[Account] = []
    for ledger in run.ledgers:
        if opportunity:
            accounts += explain_opportunity(ledger, wanted, end_us, policy.pipelines)
        else:
            accounts += explain_request(ledger, wanted, end_us)
    if not accounts and not dead:
        kind = "opportunity" if opportunity else "request"
        raise UsageError(f"no event names {kind} {wanted!r}: check the id, and that its events are in what was read")
    return Explanation(accounts, dead)


def as_json(explanation: Explanation) -> str:
    """The explanation for programs."""
    return msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode()


def print_explanation(explanation: Explanation, console: Console) -> None:
    """All accounts for people, and what could not count."""
    for account in explanation.accounts:
        print_account(account, console)
    for line in explanation.dead_letters:
        console.print(f"[red]not counted[/] {legible(line)}")


def print_account(account: Account, console: Console) -> None:
    """The account for people."""
    name = account.request_id if isinstance(account, RequestAccount) else account.opportunity_id
    console.print(f"[bold]{legible(name)}[/] of customer {legible(account.customer_id)}, as of {account.as_of}")
    console.print(_facts(account))
    if isinstance(account, RequestAccount):
        for turn in account.turns:
            _print_turn(turn, console)
    else:
        _print_course(account, console)


def _facts(account: Account) -> Table:
    columns = ("instant", "event", "type", "what it did", "rule")
    table = Table(*columns, title="What was seen", title_justify="left", box=box.SIMPLE_HEAD)
    for fact in account.facts:
        table.add_row(fact.at, legible(fact.event_id), fact.type, legible(fact.effect), fact.rule)
    return table


def _print_turn(turn: TurnAccount, console: Console) -> None:
    how = f"{turn.ending} {turn.ended_at} by {legible(turn.responder or 'nobody')}" if turn.ended_at else "waiting now"
    console.print(f"[bold]turn {turn.turn}[/]: opened {turn.opened_at}, {how} (S01)")
    calendar, business = span(turn.wait_seconds), span(turn.business_seconds)
    console.print(f"  waited {calendar} ({turn.wait_seconds:,.0f} s) by the calendar, {business} of working time (S12)")
    for hold in turn.holds:
        console.print(f"  held by {legible(hold.owner)} for {span(hold.seconds)}: {hold.since} to {hold.until} (S07)")
    for level in turn.levels:
        owner = legible(level.credited_to)
        console.print(f"  level {level.level}: due {level.due_at}: {level.result}, credited to {owner} ({level.rule})")


def _print_course(account: OpportunityAccount, console: Console) -> None:
    console.print(f"pipeline {legible(account.pipeline)}")
    for stage, mark in account.reached.items():
        visited = account.visited.get(stage)
        note = f"visited {visited}" if visited else "never visited itself"
        console.print(f"  reached {legible(stage)} {legible(mark)}; {legible(note)} (S20)")
    console.print(f"close in force: {legible(account.close or 'none')} (S24)")
    if account.cycle_seconds is not None:
        start = account.first_follow_up or "creation, as there is no follow-up"
        console.print(f"sales cycle {span(account.cycle_seconds)} from {start} (S24)")
