"""A copy of alertmanager.yml for a run without containers, whose receivers call one webhook each."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import ConfigError

HERE = Path(__file__).resolve().parent
_RECEIVER = re.compile(r"^  - name: (?P<name>[a-z-]+)$", re.MULTILINE)
_TEMPLATES = re.compile(r"^templates: \[(?P<path>.*)\]$", re.MULTILINE)


def render(webhooks: Mapping[str, str]) -> str:
    """The configuration with a webhook (an URL) for each receiver named; the others stay empty.

    The path of the templates becomes absolute: the copy may lie anywhere. Raises ConfigError for a receiver that
    the shipped file does not have.
    """
    text = (HERE / "alertmanager.yml").read_text(encoding="utf-8")
    known = {match["name"] for match in _RECEIVER.finditer(text)}
    for name in sorted(webhooks.keys() - known):
        raise ConfigError(f"alertmanager.yml has no receiver {name!r}: it has {', '.join(sorted(known))}")
    text = _RECEIVER.sub(lambda match: _receiver(match["name"], webhooks.get(match["name"])), text)
    return _TEMPLATES.sub(lambda match: f"templates: [{json.dumps(str(HERE / match['path']))}]", text)


def _receiver(name: str, url: str | None) -> str:
    line = f"  - name: {name}"
    return line if url is None else f"{line}\n    webhook_configs: [{{url: {json.dumps(url)}, send_resolved: true}}]"
