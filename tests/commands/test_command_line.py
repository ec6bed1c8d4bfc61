"""A wrong command line, a wrong value and a broker that is not there are one line, with the right exit code."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from config.settings import PolicySettings
from processors.commands.cli import COMMANDS, main
from processors.dev.process import LOOPBACK, free_port


def run(*arguments: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nope", "No such command 'nope'"),
        ("--nope", "No such option"),
        ("replay", "Missing argument 'FILES...'; see `salespulse replay --help`"),
        ("replay - --as-of now", "'now' is not an RFC 3339 instant"),
        ("replay - --as-of 2026-05-01T12:00:00", "has no offset"),
        ("replay - --window 8d", "'8d' is not one of"),
        ("check --config /", "'--config'"),
        ("import csv", "see `salespulse import csv --help`"),
        ("dead-letters --reason nope", "'malformed'"),
        ("board --shard x", "'--shard': 'x' does not fit; allowed: a shard and how many there are, such as \"0/4\""),
        ("board --shard 4/4", "'--shard': '4/4' does not fit; allowed: shards counted from 0: 0/4, 1/4, 2/4 or 3/4"),
        ("demo --speed nan", "'--speed': 'nan' is no number"),
        ("demo --seconds inf", "'--seconds': 'inf' is no number"),
        ("demo --port 65536", "'--port'"),
        ("demo --worker-port 8080", "--port 8080 and --worker-port 8080: each part needs its own"),
        ("demo --redis-port 7001 --broker-port 7001", "--broker-port 7001 and --redis-port 7001"),
        ("explain --from /dev/null ''", "an id is needed"),
        ("explain ''", "an id is needed"),
        ("schemas --check --directory nowhere", "nowhere is no directory"),
        ("simulate --count -1", "'--count'"),
        ("simulate --rate nan", "'--rate'"),
        ("simulate --rate 0", "'--rate'"),
        ("simulate --reps 0", "'--reps'"),
        ("simulate --intensity nan", "'--intensity'"),
        ("simulate --disorder 2", "'--disorder'"),
        ("simulate --reps 5 --customers 4", "every rep needs at least one"),
        ("simulate --start 9999-12-31T00:00:00Z --count 5", "to 2100-01-01T00:00:00Z can be simulated"),
        ("simulate --start 0001-01-01T00:00:00Z --count 5", "from 1970-01-01T00:00:00Z"),
        ("simulate --start 2026-02-01T00:00:00Z --until 2026-01-01T00:00:00Z", "is before start"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(arguments: str, words: str) -> None:
    result = run(*shlex.split(arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("salespulse: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize("arguments", [(), ("import",)])
def test_a_group_without_a_command_shows_its_help(arguments: tuple[str, ...]) -> None:
    assert "Commands:" in run(*arguments).output


def test_every_command_says_in_the_list_what_it_does_without_being_cut_short() -> None:
    listed = run("--help").stdout.split("Commands:\n")[1].splitlines()
    assert len(listed) == len(COMMANDS)
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_shows_the_first_line_of_each_commands_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.get_short_help_str(limit=200) == COMMANDS[name].summary


def test_a_broker_that_is_not_there_is_one_line_and_exit_1_whatever_libraries_log(tmp_path: Path) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    commands = ["simulate --count 5 --to kafka", "topics", "verify", "dead-letters"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "processors.commands.cli", *command.split()],
            env=os.environ | {"SALESPULSE_KAFKA__BOOTSTRAP": address},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands  # at the same time: each waits some seconds before it gives up
    ]
    for command, program in zip(commands, running, strict=True):
        out, errors = program.communicate(timeout=90)
        assert (program.returncode, out) == (1, ""), command
        assert errors.startswith(f"salespulse: Kafka at {address} (PLAINTEXT): "), command
        assert errors.count("\n") == errors.count("Error:") == 1, command


def test_a_worker_that_may_not_write_its_files_says_so_before_it_asks_for_a_broker(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    program = subprocess.run(
        [sys.executable, "-m", "processors.commands.cli", "worker"],
        env=os.environ
        | {"SALESPULSE_WORKER__DATA_DIR": str(tmp_path / "file"), "SALESPULSE_WORKER__METRICS_PORT": "0"},
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (program.returncode, program.stdout) == (2, "")
    assert program.stderr.startswith(f"salespulse: worker.data_dir = {tmp_path}/file: Not a directory; allowed: ")
    assert program.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    ["--help", "replay --help", "replay EVENTS", "replay EVENTS --format table", "backtest EVENTS --policy POLICY"],
)
def test_a_reader_that_leaves_before_the_end_ends_the_command_quietly(command: str, tmp_path: Path) -> None:
    (tmp_path / "EVENTS").touch()
    (tmp_path / "POLICY").write_bytes(PolicySettings().path.read_bytes())
    there, here = os.pipe()
    os.close(there)
    arguments = [sys.executable, "-m", "processors.commands.cli", *command.split()]
    program = subprocess.run(arguments, cwd=tmp_path, check=False, stdout=here, stderr=subprocess.PIPE, timeout=90)
    os.close(here)
    assert (program.returncode, program.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["simulate --count 10", "check --help"])
def test_a_full_disk_is_one_line_and_exit_1(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        arguments = [sys.executable, "-m", "processors.commands.cli", *command.split()]
        ended = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "salespulse: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("loaded", [False, True])
def test_ctrl_c_ends_a_command_without_a_word_also_while_it_is_being_loaded(loaded: bool, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("salespulse")
    events, errors = tmp_path / "events", tmp_path / "errors"
    with events.open("wb") as out, errors.open("wb") as stderr:
        running = subprocess.Popen([program, "simulate", "--live"], stdout=out, stderr=stderr)

    def begun() -> bool:
        return events.stat().st_size > 0 if loaded else "msgspec" in Path(f"/proc/{running.pid}/maps").read_text()

    deadline = time.monotonic() + 60
    while not begun():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.send_signal(signal.SIGINT)

    assert running.wait(60) in ([130] if loaded else [130, -signal.SIGINT])
    assert errors.read_text(encoding="utf-8") == ""
