"""The core as machine code: `make compile` compiles the very modules that `make pure` runs, with mypyc.

Optional, and nothing else changes: the compiled files lie beside their sources, and Python takes them first. So a note
of what they were made from lies there too, and an edited source is noticed, instead of yesterday's code being run.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from hashlib import sha256
from pathlib import Path

import click
from setuptools import Distribution

ROOT = Path(__file__).parents[2]
CORE = ROOT / "processors" / "core"
NOTE = CORE / "compiled.sha256"
COMPILED_ROOMS = ("time", "state", "folds", "ledger")
"""Rooms that events pass through: they are compiled as one. The reports stay interpreted."""


def sources() -> list[Path]:
    """The modules that are compiled."""
    modules = (path for room in COMPILED_ROOMS for path in (CORE / room).glob("*.py"))
    return sorted(path for path in modules if path.stem != "__init__")


def compiled() -> list[Path]:
    """The compiled files: one beside each source, and the library with all of their code in the core's own folder."""
    return list(CORE.rglob("*.so"))


def fingerprint() -> str:
    """Changes with any source, and with the interpreter."""
    digest = sha256(sys.version.encode())
    for path in sources():
        digest.update(path.relative_to(CORE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def is_stale() -> bool:
    """Whether compiled files are there that do not fit the sources."""
    return bool(compiled()) and (not NOTE.exists() or NOTE.read_text(encoding="ascii") != fingerprint())


def remove() -> None:
    """Back to pure Python."""
    for path in compiled():
        path.unlink()
    NOTE.unlink(missing_ok=True)


def build() -> list[Path]:
    """Compile; gives the files, which lie beside their sources. Raises what the compiler raises."""
    from mypyc.build import mypycify  # noqa: PLC0415 -- only who compiles needs it

    with chdir(ROOT), tempfile.TemporaryDirectory() as directory:
        modules = mypycify([str(path.relative_to(ROOT)) for path in sources()], opt_level="3", target_dir=directory)
        if sys.platform == "linux":
            # Calls into Python's library without the detour through a table of jumps.
            for module in modules:
                module.extra_compile_args = [*module.extra_compile_args, "-fno-plt"]
        distribution = Distribution({"name": "salespulse-core", "ext_modules": modules})
        command = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp, command.parallel = directory, directory, 2
        distribution.run_command("build_ext")
        return list(_placed(Path(directory)))


def _placed(directory: Path) -> Iterator[Path]:
    for made in sorted(directory.rglob("*.so")):
        # The library with all of the code has no package: `processors.core` loads it from its own folder.
        target = (CORE if made.parent == directory else ROOT / made.parent.relative_to(directory)) / made.name
        shutil.copyfile(made, target)
        yield target


@click.command()
@click.option("--remove", "removing", is_flag=True, help="back to pure Python")
@click.option("--remove-stale", "only_stale", is_flag=True, help="the same, if the sources have changed since")
def main(removing: bool, only_stale: bool) -> None:
    """Compile the core, unless it is compiled already."""
    if removing or only_stale:
        if removing or is_stale():
            remove()
        return
    if compiled() and not is_stale():
        click.echo("the core is compiled already")
        return
    remove()
    made = build()
    NOTE.write_text(fingerprint(), encoding="ascii")
    click.echo(f"compiled {len(made) - 1} modules of the core")


if __name__ == "__main__":
    main()
