"""`salespulse`: the list of its commands. Each has its options, its help and its work in a file of its own."""

import click

from processors.commands.command_line import LazyCommands, Listed

COMMANDS = {
    "backtest": Listed("backtest", "The alerts that history would have raised under a policy."),
    "board": Listed("board", "Serve the board: metrics, API and live page."),
    "check": Listed("check", "What is wrong here, if anything, and how to fix it."),
    "dead-letters": Listed("dead_letters", "What could not be counted, and why; resends corrected ones."),
    "demo": Listed("demo", "Everything on this machine, with a simulated team."),
    "explain": Listed("explain", "Every event, interval and rule behind one wait or sale."),
    "import": Listed("import_csv", "Import history from files."),
    "notifier": Listed("notifier", "Send alerts to Alertmanager, webhooks, Slack and e-mail."),
    "replay": Listed("replay", "The report over JSONL events, without Kafka."),
    "schemas": Listed("json_schemas", "Generate the contract's JSON Schemas."),
    "simulate": Listed("simulate", "A seeded, believable team of reps and customers as events."),
    "topics": Listed("topics", "Create missing topics, and check all of them."),
    "verify": Listed("verify", "Fold the topics again and compare the live numbers."),
    "worker": Listed("worker", "Run one Faust worker with the configured Kafka and Redis."),
}


@click.group(
    "salespulse",
    cls=LazyCommands,
    listed=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="salespulse")
def main() -> None:
    """Live, customer-centred numbers for sales teams."""


if __name__ == "__main__":
    main()
