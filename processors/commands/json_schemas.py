"""The contract as JSON Schema files, generated from the structs: `salespulse schemas`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from schemas import events
from schemas.alerts import Transition
from schemas.errors import UsageError

DIRECTORY = Path("schemas/json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schemas")
@click.option("--check", is_flag=True, help="only check whether the files are current; exit 1 if not")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), default=DIRECTORY)
def command(check: bool, directory: Path) -> None:
    """Generate the contract's JSON Schemas."""
    changed = stale(directory) if check else write(directory)
    for name in changed:
        click.echo(f"{name} {'is not current: run `salespulse schemas`' if check else 'written'}")
    if check and changed:
        raise SystemExit(1)


def schema_files() -> dict[str, bytes]:
    """File name to content, for every message that crosses a topic, and for the event union."""
    types: dict[str, object] = {"event": events.Event, "rep.updated": events.RepUpdated, "alert.transition": Transition}
    for kind in events.Event.__args__:
        types[str(kind.__struct_config__.tag)] = kind
    return {f"{name}.schema.json": _render(name, kind) for name, kind in types.items()}


def write(directory: Path) -> list[str]:
    """Write all files; the names of those that changed."""
    directory.mkdir(parents=True, exist_ok=True)
    changed = stale(directory)
    for name, content in schema_files().items():
        (directory / name).write_bytes(content)
    return changed


def stale(directory: Path) -> list[str]:
    """The names of files that are missing, differ from the structs, or should not exist.

    Raises UsageError where there is no such directory.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory: run this where the schemas are, or name it with --directory")
    wanted = schema_files()
    there = {path.name: path.read_bytes() for path in directory.glob("*.schema.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def _render(name: str, kind: object) -> bytes:
    schema = msgspec.json.schema(kind, schema_hook=_amount)
    ordered = {"$schema": DIALECT, "title": name, **schema}
    return msgspec.json.format(msgspec.json.encode(ordered, order="sorted"), indent=2) + b"\n"


def _amount(_money: type) -> dict[str, Any]:
    """The one type that msgspec does not know: an amount, as the codec reads it. Its pattern is at the type."""
    return {"type": ["string", "number"], "format": "decimal"}
