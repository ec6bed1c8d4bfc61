"""JSON for generated files: as few lines as a reviewer needs, one for each entry of the containers that are named.

`python -m docs.compact_json FILE` shortens the npm lock of the preview: a line per package, with what `npm ci` reads.
"""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

UNUSED_BY_NPM_CI = frozenset({"deprecated", "engines", "funding", "license"})


def compact(content: dict[str, Any], *, opened: Collection[str]) -> str:
    """One line for each key of the document, and one for each entry below the keys in `opened`."""
    lines = [f"{_line(key)}:{_opened(value) if key in opened else _line(value)}" for key, value in content.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def slim_lock(text: str) -> str:
    """An npm lock without the fields that `npm ci` does not read; the root entry stays whole."""
    lock: dict[str, Any] = json.loads(text)
    packages: dict[str, dict[str, Any]] = lock["packages"]
    lock["packages"] = {
        name: {key: value for key, value in package.items() if not name or key not in UNUSED_BY_NPM_CI}
        for name, package in packages.items()
    }
    return compact(lock, opened={"packages"})


def _opened(value: dict[str, Any] | list[Any]) -> str:
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{_line(key)}:{_line(entry)}" for key, entry in value.items()) + "\n}"
    return "[\n" + ",\n".join(_line(entry) for entry in value) + "\n]"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    FILE = Path(sys.argv[1])
    FILE.write_text(slim_lock(FILE.read_text(encoding="utf-8")), encoding="utf-8")
