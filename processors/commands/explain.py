"""`salespulse explain`: every event and rule behind one request or opportunity, for people or as JSON."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from config.clock import Clock
from config.load_policy import load_policy
from config.settings import Settings
from processors.commands.command_line import output
from processors.commands.event_lines import BadLine, EventLine, read_messages
from processors.commands.journal_facts import read_journal_facts
from processors.commands.new_log import read_logs
from processors.commands.options import CONFIG, settings_of
from processors.commands.printable import printable
from processors.commands.refolded_topics import RefoldedTopics
from processors.commands.replay import span
from processors.core.ledger.identity import require_same
from processors.core.ledger.ledger import Ledger
from processors.core.reports.explain import NOBODY, RequestAccount, TurnAccount, explain_request
from processors.core.reports.explain_opportunity import OpportunityAccount, explain_opportunity
from processors.core.reports.replay import Replay
from processors.kafka.topic_reader import TopicRecord, read_topics
from schemas.codec import decode_message
from schemas.errors import BadRecord, UsageError
from schemas.events import Event, Message, RepUpdated
from schemas.policy import Policy

Account = RequestAccount | OpportunityAccount


@click.command("explain")
@click.argument("wanted", metavar="ID")
@click.option("--opportunity", is_flag=True, help="ID is an opportunity's; default: a request's")
@click.option("--from", "files", multiple=True, help="JSONL file (- for standard input); default: the live topics")
@click.option("--format", "form", type=click.Choice(["json", "text"]), default="text", show_default=True)
@CONFIG
def command(wanted: str, opportunity: bool, files: tuple[str, ...], form: str, config_file: Path | None) -> None:
    """Every event, interval and rule behind one wait or sale."""
    settings = settings_of(config_file)
    if files:
        policy = load_policy(settings.policy.path)
        explanation = explain(read_messages(files), policy, wanted, opportunity=opportunity)
    else:
        explanation = explain_live(settings, wanted, opportunity=opportunity)
    if form == "json":
        click.echo(as_json(explanation))
    else:
        print_explanation(explanation, output())


class Explanation(msgspec.Struct):
    """What was asked for, and what concerns it and could not count."""

    accounts: list[Account]
    copies: dict[str, int]
    """event_id to how often it came, of those that came more than once."""
    dead_letters: list[str]


class _IdSearch:
    """Collects everything that names one id."""

    def __init__(self, wanted: str, *, opportunity: bool) -> None:
        """Raises UsageError for an empty id, which every empty text would be."""
        if not wanted:
            raise UsageError(f"{wanted!r}: an id is needed, of {'an opportunity' if opportunity else 'a request'}")
        self.wanted = wanted
        self.opportunity = opportunity
        self.dead: dict[str, None] = {}
        self._seen: dict[str, list[Event]] = {}
        self._written = {json.dumps(wanted).encode(), json.dumps(wanted, ensure_ascii=False).encode()}

    def mentioned(self, raw: bytes) -> bool:
        """Whether bytes hold the id as a JSON text, whatever else they are."""
        return any(written in raw for written in self._written)

    def note(self, message: Message) -> bool:
        """Count an event that names the id; true if it does."""
        named = (getattr(message, "request_id", None), getattr(message, "opportunity_id", None))
        if isinstance(message, RepUpdated) or self.wanted not in named:
            return False
        seen = self._seen.setdefault(message.event_id, [])
        if not seen or _is_copy(seen[0], message):
            seen.append(message)
        return True

    def explanation(self, ledgers: Iterable[Ledger], policy: Policy, as_of_us: int) -> Explanation:
        """The accounts. Raises UsageError when nothing names the id."""
        accounts: list[Account] = []
        for ledger in ledgers:
            if self.opportunity:
                accounts += explain_opportunity(ledger, self.wanted, as_of_us, policy.pipelines)
            else:
                accounts += explain_request(ledger, self.wanted, as_of_us)
        if not accounts and not self.dead:
            kind = "opportunity" if self.opportunity else "request"
            raise UsageError(
                f"no event names {kind} {self.wanted!r}: check the id, and that its events are in what was read"
            )
        copies = {event_id: len(copies) for event_id, copies in self._seen.items() if len(copies) > 1}
        return Explanation(accounts, copies, list(self.dead))


def _is_copy(one: Event, other: Event) -> bool:
    """Whether an event came again, and is no conflict."""
    with suppress(BadRecord):
        require_same(one, other)
        return True
    return False


def explain(lines: Iterable[EventLine], policy: Policy, wanted: str, *, opportunity: bool) -> Explanation:
    """Fold all lines and account for one id, as of the newest event. Raises UsageError when no line names it."""
    run, search = Replay(policy), _IdSearch(wanted, opportunity=opportunity)
    for position, message in lines:
        if isinstance(message, BadRecord):
            if isinstance(message, BadLine) and search.mentioned(message.raw):
                search.dead[f"{position}: {message}"] = None
            continue
        before = len(run.rejected)
        run.add(message)
        if search.note(message) and len(run.rejected) > before:
            search.dead[f"{position}: {run.rejected[-1][1]}"] = None
    end_us = run.finish()
    return search.explanation(run.ledgers, policy, end_us)


def explain_live(settings: Settings, wanted: str, *, opportunity: bool) -> Explanation:
    """Account for one id from the live topics and their dead letters, as of now. Raises Unavailable, UsageError."""
    kafka, search = settings.kafka, _IdSearch(wanted, opportunity=opportunity)
    refold = RefoldedTopics(settings, read_logs(kafka))
    for letter in filter(refold.concerns, read_topics(kafka, (kafka.dead_letters_topic,))):
        refold.leave_out(letter)
        if letter.value is not None and search.mentioned(letter.value):
            search.dead[_letter_line(letter)] = None
    for record in read_topics(kafka, (kafka.reps_topic, *kafka.events_topics)):
        refold.add(record)
        if record.value is not None and search.mentioned(record.value):
            with suppress(BadRecord):
                search.note(decode_message(record.value))
    refold.finish_reading()
    refold.keep(read_journal_facts(kafka, refold.old()))
    return search.explanation(refold.ledgers(), load_policy(settings.policy.path), Clock(settings.clock).now_us())


def _letter_line(letter: TopicRecord) -> str:
    headers = letter.headers
    position = f"{headers.get('topic', '?')}/{headers.get('partition', '?')}@{headers.get('offset', '?')}"
    return f"{position}: {headers.get('reason', 'unknown')}: {headers.get('detail', '')}"


def as_json(explanation: Explanation) -> str:
    """The explanation for programs."""
    return msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode()


def print_explanation(explanation: Explanation, console: Console) -> None:
    """All accounts for people, and what could not count."""
    for account in explanation.accounts:
        print_account(account, explanation.copies, console)
    for line in explanation.dead_letters:
        console.print(f"[red]not counted[/] {printable(line)}")


def print_account(account: Account, copies: Mapping[str, int], console: Console) -> None:
    """The account for people; `copies`: how often each repeated event came."""
    name = account.request_id if isinstance(account, RequestAccount) else account.opportunity_id
    console.print(f"[bold]{printable(name)}[/] of customer {printable(account.customer_id)}, as of {account.as_of}")
    console.print(_facts(account, copies))
    if isinstance(account, RequestAccount):
        for turn in account.turns:
            _print_turn(turn, console)
        if not account.turns:
            console.print("nobody ever waited: no turn was opened (S01)")
    else:
        _print_opportunity(account, console)


def _facts(account: Account, copies: Mapping[str, int]) -> Table:
    columns = ("instant", "event", "type", "what it did", "rule")
    table = Table(*columns, title="What was seen", title_justify="left", box=box.SIMPLE_HEAD)
    for fact in account.facts:
        count = copies.get(fact.event_id, 1)
        effect = fact.effect if count == 1 else f"{fact.effect} (came {count} times, counts once: S27)"
        table.add_row(fact.at, printable(fact.event_id), fact.type, printable(effect), fact.rule)
    return table


def _print_turn(turn: TurnAccount, console: Console) -> None:
    if turn.ended_at is None:
        how = f"waiting now on {printable(turn.owner)}"
    elif turn.responder is not None:
        how = f"answered {turn.ended_at} by {printable(turn.responder)}, held by {printable(turn.owner)}"
    else:
        how = f"closed {turn.ended_at} unanswered ({turn.ending}), held by {printable(turn.owner)}"
    console.print(f"[bold]turn {turn.turn}[/]: opened {turn.opened_at}, {how} (S01)")
    calendar, business = span(turn.wait_seconds), span(turn.business_seconds)
    console.print(f"  waited {calendar} ({turn.wait_seconds:,.0f} s) by the calendar, {business} of working time (S12)")
    for hold in turn.holds:
        spent = f"{span(hold.seconds)}, {span(hold.business_seconds)} of working time"
        console.print(f"  held by {printable(hold.owner)} for {spent}: {hold.since} to {hold.until} (S07)")
    for level in turn.levels:
        credited = "" if level.credited_to == NOBODY else f", credited to {printable(level.credited_to)}"
        console.print(f"  level {printable(level.level)}: due {level.due_at}: {level.result}{credited} ({level.rule})")


def _print_opportunity(account: OpportunityAccount, console: Console) -> None:
    console.print(f"pipeline {printable(account.pipeline)}, owned by {printable(account.owner or 'nobody')}")
    for stage, mark in account.reached.items():
        visited = account.visited.get(stage)
        note = f"visited {visited}" if visited else "never visited itself"
        console.print(f"  reached {printable(stage)} {printable(mark)}; {printable(note)} (S20)")
    console.print(f"close in force: {printable(account.close or 'none')} (S24)")
    if account.cycle_seconds is not None:
        start = account.first_follow_up or "creation, as there is no follow-up"
        console.print(f"sales cycle {span(account.cycle_seconds)} from {start} (S24)")
    elif any(line.number == "cycle_negative" for line in account.counted):
        console.print("no sales cycle: it closed on an earlier day than it was created, which is in no mean (S24)")
    if account.counted:
        console.print(_counted(account))


def _counted(account: OpportunityAccount) -> Table:
    table = Table("number", "stage", "amount", "for", "at", "rule", title="What is counted", title_justify="left")
    table.box = box.SIMPLE_HEAD
    for line in account.counted:
        what = (printable(line.number), printable(line.stage), line.amount)
        table.add_row(*what, printable(line.rep_id), line.at or "stands open now", line.rule)
    return table
