"""The delivery log and the acknowledgements of the version before are read as it wrote them, and written alike."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from config.settings import KafkaSettings
from processors.notifier.delivery_log import DeliveryLog, DigestRecord, LogContents
from processors.notifier.delivery_record import DeliveryRecord
from processors.read_model.acknowledgements import HoldEvent

FIXTURE = json.loads((Path(__file__).parent / "data/delivery_log_0_1.json").read_text(encoding="utf-8"))
LOG: list[tuple[str, str | None]] = FIXTURE["log"]
RECORDS = {
    "c1/r1/1/1h": DeliveryRecord(alert_id="c1/r1/1/1h", revision=5, result="sent", known_state="fired"),
    "c1/r2/1/24h": DeliveryRecord(alert_id="c1/r2/1/24h", revision=9, result="held"),
    "c1/r3/1/1h": DeliveryRecord(alert_id="c1/r3/1/1h", revision=6, result="rejected"),
    "c1/r5/1/1h": DeliveryRecord(alert_id="c1/r5/1/1h", revision=4, result="held", known_state="at_risk"),
}
NO_PRODUCER: Any = None


def test_the_log_of_the_version_before_is_read() -> None:
    contents = LogContents({}, {})
    log = DeliveryLog(KafkaSettings(), "log", "email", NO_PRODUCER)
    records: Any = [SimpleNamespace(key=key.encode(), value=value and value.encode()) for key, value in LOG]
    assert log._add_all(contents, records) == 0
    assert contents.records == RECORDS
    assert contents.digests == {"ann": 1767571200000000}


def test_records_of_the_log_have_the_bytes_of_the_version_before() -> None:
    values = [value for _, value in LOG if value is not None]
    for record in RECORDS.values():
        assert msgspec.json.encode(record).decode() in values
    assert msgspec.json.encode(DigestRecord(at_us=1767571200000000)).decode() in values


def test_acknowledgements_have_the_bytes_of_the_version_before() -> None:
    for _, value in FIXTURE["acks"]:
        event = msgspec.json.decode(value, type=HoldEvent)
        assert msgspec.json.encode(event).decode() == value
