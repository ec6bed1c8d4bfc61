"""A copy of prometheus.yml for a run without containers: the same jobs and rules, addresses instead of DNS names."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import ConfigError

HERE = Path(__file__).resolve().parent
_DISCOVERY = re.compile(r"dns_sd_configs: \[\{names: \[(?P<name>[a-z]+)\],.*$", re.MULTILINE)
_OWN = re.compile(r"targets: \[\"localhost:9090\"\]")
_INTERVAL = re.compile(r"(?P<key>scrape_interval|scrape_timeout|evaluation_interval): \d+s$", re.MULTILINE)
_RULES = re.compile(r"^  - (?P<path>rules/\w+\.yml)$", re.MULTILINE)


def render(targets: Mapping[str, Sequence[str]], interval_seconds: int = 15) -> str:
    """The configuration with `host:port` lists for `board`, `worker`, `notifier`, `alertmanager` and `prometheus`.

    A name left out has no targets. Rule files get absolute paths, so that the copy may lie anywhere; scraping and
    evaluation happen every `interval_seconds`. Raises ConfigError for a name that the shipped file does not know.
    """
    text = (HERE / "prometheus.yml").read_text(encoding="utf-8")
    known = {match["name"] for match in _DISCOVERY.finditer(text)} | {"prometheus"}
    for name in sorted(targets.keys() - known):
        raise ConfigError(f"prometheus.yml scrapes no {name!r}: it knows {', '.join(sorted(known))}")
    text = _DISCOVERY.sub(lambda match: f"static_configs: [{{targets: {_addresses(targets, match['name'])}}}]", text)
    text = _OWN.sub(lambda _: f"targets: {_addresses(targets, 'prometheus')}", text)
    text = _INTERVAL.sub(lambda match: f"{match['key']}: {interval_seconds}s", text)
    return _RULES.sub(lambda match: f"  - {json.dumps(str(HERE / match['path']))}", text)


def _addresses(targets: Mapping[str, Sequence[str]], name: str) -> str:
    return json.dumps(list(targets.get(name, ())))
