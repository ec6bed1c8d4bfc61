"""`docs/notifications.md` describes what the notifier does: fields, labels, headers and metrics are all there."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from config.notifier_settings import NotifierSettings
from config.values import Secret
from processors.kafka.skipped_batches import SKIPPED
from processors.kafka.skipped_metric import SkippedRecords
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.receivers.alertmanager import labels
from processors.notifier.receivers.webhook import MAX_IN_FLIGHT, WebhookMessage, signature
from processors.read_model.acknowledgements import HoldEvent
from tests.notifier.world import transition

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`\n]+)`", TEXT))


def section(title: str) -> str:
    """The text under a heading."""
    return re.split(r"\n#+ ", TEXT.split(f" {title}\n", 1)[1])[0]


def code_words(title: str) -> set[str]:
    """What stands in code quotes under a heading."""
    return set(re.findall(r"`([^`\n]+)`", section(title)))


def test_the_page_names_every_field_of_a_webhook_message_and_no_other() -> None:
    first_cells = "".join(re.findall(r"^\|([^|]*)\|", section("Webhook"), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_cells)) == set(WebhookMessage.__struct_fields__)


def test_the_page_names_every_label_of_an_alert() -> None:
    assert labels(transition(), at_risk=False).keys() <= code_words("Alertmanager")


def test_the_page_names_every_metric() -> None:
    registry = CollectorRegistry()
    NotifierMetrics(registry, ["x"])
    SkippedRecords(registry, ["x"], SKIPPED)
    exported = set(
        re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", generate_latest(registry).decode(), re.MULTILINE)
    )
    named = {word.split("{")[0] for word in code_words("Metrics") if word.startswith("salespulse_")}
    assert named == {name for name in exported if not name.endswith("_created")}


def test_the_page_names_every_field_of_an_acknowledgement() -> None:
    assert set(HoldEvent.__struct_fields__) <= code_words("Acknowledge and snooze")


def test_settings_that_the_page_names_exist_with_their_documented_defaults() -> None:
    named = {word.removeprefix("notifier.") for word in WORDS if word.startswith("notifier.")}
    named |= {word for word in code_words("Receivers") if re.fullmatch(r"[a-z]+_[a-z_]+", word)}
    assert named <= set(NotifierSettings.__struct_fields__)
    defaults = NotifierSettings()
    assert {defaults.log_topic, defaults.dead_letters_topic, defaults.acks_topic} <= WORDS
    assert f"http://{defaults.metrics_host}:{defaults.metrics_port}/metrics" in WORDS
    assert f"up to {MAX_IN_FLIGHT} messages" in TEXT


def test_the_check_of_a_signature_that_the_page_shows_works() -> None:
    code = TEXT.split("```python\n")[1].split("```")[0]
    space: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib, "Mapping": Mapping}
    exec(code, space)  # noqa: S102 -- our own page
    body = msgspec.json.encode({"a": 1})
    headers = {"X-Salespulse-Timestamp": "1000", "X-Salespulse-Signature": signature(Secret("word"), 1000, body)}
    assert space["is_genuine"](b"word", headers, body, 1100.0)
    assert not space["is_genuine"](b"word", headers, body, 2000.0)
    assert not space["is_genuine"](b"other", headers, body, 1100.0)
    assert not space["is_genuine"](b"word", headers, body + b" ", 1100.0)
