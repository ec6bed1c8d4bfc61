"""A seeded producer that gets everything wrong: batches, codecs, keys, headers, times and bytes."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from processors.core.time.instants import DAY_US, moment, rfc3339
from processors.kafka.record_batches import HEADER
from schemas import events as ev
from schemas.codec import encode
from tests.hostile.wire import CODECS, Sent, batch, body, resealed

BATCH_RECORDS = 200
BATCH_BYTES = 900_000
BOMB_BYTES = 100_000_000
REPS = tuple(f"rep-{number}" for number in range(10))
ODD_TEXTS = ("", "\0", "a\nb", "..", "\u202eevil", "x" * 5000, "é" * 64, "😀", "a" * 128, "{}", "NaN", "-1", " ")
ODD_NUMBERS = (
    "1e400",
    "1e999999999",
    "-0",
    "0.001",
    "NaN",
    "1" * 400,
    "true",
    "[]",
    '"sNaN"',
    '"1E+99999999999"',
    "null",
)
ODD_KEYS = (None, b"", b"\xff\xfe", b"k" * 20_000, b"other", b"\0")
KEPT_HEADER = frozenset({*range(21), *range(23, 27)})
"""What a broker sets or counts by: the place of a batch, its length, format and last offset."""


class Made(NamedTuple):
    """A batch, and how many offsets it takes."""

    raw: bytes
    records: int


class HostileProducer:
    """Makes batches; the same seed makes the same ones."""

    def __init__(self, seed: int, now_us: int) -> None:
        self._random = Random(seed)
        self._now_us = now_us
        self._numbers = 0
        self._latest: list[Sent] = []
        self._bombs = {codec: batch(body([Sent(b" " * BOMB_BYTES)]), 1, codec=codec) for codec in ("gzip", "zstd")}

    def batch(self) -> Made:
        """The next batch: most are right around wrong records, every tenth is wrong itself."""
        sent = self._records()
        codec = self._random.choice(sorted(CODECS))
        raw = batch(body(sent), len(sent), codec=codec, timestamp_ms=self._now_us // 1000)
        if self._random.random() < 0.9:
            return Made(raw, len(sent))
        if self._random.random() < 0.05:
            return Made(self._bombs[self._random.choice(sorted(self._bombs))], 1)
        damage: Callable[[bytes, int], bytes] = self._random.choice(
            [self._flip, self._flip_sealed, self._odd_header, self._odd_codec, self._cut, self._claim]
        )
        return Made(damage(raw, len(sent)), len(sent))

    def directory(self) -> Made:
        """A batch of the reps that good events name."""
        reps = [ev.RepUpdated(rep_id=rep_id, name=rep_id) for rep_id in REPS]
        sent = [Sent(encode(rep), rep.rep_id.encode()) for rep in reps]
        return Made(batch(body(sent), len(sent), timestamp_ms=self._now_us // 1000), len(sent))

    def good(self) -> Made:
        """A batch of one good event."""
        return Made(batch(body([self._good()]), 1, timestamp_ms=self._now_us // 1000), 1)

    def _records(self) -> list[Sent]:
        sent: list[Sent] = []
        size = 0
        for _ in range(self._random.randint(1, BATCH_RECORDS)):
            one = self._record()
            size += len(one.value or b"") + len(one.key or b"") + sum(len(value or b"") for _, value in one.headers)
            if sent and size > BATCH_BYTES:
                break
            sent.append(one)
        return sent

    def _record(self) -> Sent:
        good = self._good()
        roll = self._random.random()
        if roll < 0.6:
            return good
        mutate: Callable[[Sent], Sent] = self._random.choice(
            [self._repeat, self._bytes, self._field, self._nothing, self._key, self._headers, self._time]
        )
        return mutate(good)

    def _good(self) -> Sent:
        self._numbers += 1
        number, random = self._numbers, self._random
        customer = f"c{random.randrange(200)}"
        at = moment(self._now_us - random.randrange(20) * DAY_US - random.randrange(DAY_US))
        head: dict[str, Any] = {"event_id": f"h{number}", "occurred_at": at, "customer_id": customer}
        rep, request = random.choice(REPS), f"r{random.randrange(1000)}"
        events: list[ev.Event] = [
            ev.ActivityLogged(rep_id=rep, kind="call", **head),
            ev.RequestOpened(request_id=request, channel="email", rep_id=rep, **head),
            ev.RequestAnswered(request_id=request, rep_id=rep, **head),
            ev.CustomerUpdated(segment="smb", **head),
        ]
        event = random.choice(events)
        sent = Sent(encode(event), customer.encode())
        self._latest = [*self._latest[-50:], sent]
        return sent

    def _repeat(self, _good: Sent) -> Sent:
        return self._random.choice(self._latest)

    def _bytes(self, good: Sent) -> Sent:
        raw = bytearray(good.value or b"")
        for _ in range(self._random.randint(1, 4)):
            raw[self._random.randrange(len(raw))] = self._random.randrange(256)
        return good._replace(value=bytes(raw))

    def _field(self, good: Sent) -> Sent:
        fields: dict[str, Any] = json.loads(good.value or b"{}")
        name = self._random.choice([*fields, "new", "amount"])
        odd: list[Any] = [
            *ODD_TEXTS,
            None,
            0,
            -1,
            2**70,
            [],
            {},
            rfc3339(-(2**55)),
            rfc3339(2**57),
            "2026-02-30T00:00:00Z",
        ]
        fields[name] = self._random.choice(odd)
        text = json.dumps(fields)
        if self._random.random() < 0.3:
            text = f'{{"type":"customer.revenue","amount":{self._random.choice(ODD_NUMBERS)},{text[1:]}'
        return good._replace(value=text.encode("utf-8", "surrogatepass"))

    def _nothing(self, good: Sent) -> Sent:
        values = (None, b"", b"null", b"[" * 60_000, b"x" * 70_000, self._random.randbytes(50), b'{"type":"dream"}')
        return good._replace(value=self._random.choice(values))

    def _key(self, good: Sent) -> Sent:
        return good._replace(key=self._random.choice(ODD_KEYS))

    def _headers(self, good: Sent) -> Sent:
        kinds = ([(b"\xff", b"x")], [(b"", None)] * 3000, [(b"h", b"x" * 30_000)], [(b"value_bytes", b"abc")])
        return good._replace(headers=self._random.choice(kinds))

    def _time(self, good: Sent) -> Sent:
        return good._replace(delta_ms=self._random.choice((-(10**6), 10**6, -self._now_us // 1000, -(10**9))))

    def _flip(self, raw: bytes, _count: int) -> bytes:
        changed = bytearray(raw)
        for _ in range(self._random.randint(1, 5)):
            changed[self._random.randrange(HEADER.size, len(raw))] ^= self._random.randrange(1, 256)
        return bytes(changed)

    def _flip_sealed(self, raw: bytes, count: int) -> bytes:
        return resealed(bytearray(self._flip(raw, count)))

    def _odd_header(self, raw: bytes, _count: int) -> bytes:
        changed = bytearray(raw)
        places = [place for place in range(HEADER.size) if place not in KEPT_HEADER]
        changed[self._random.choice(places)] = self._random.randrange(256)
        return resealed(changed)

    def _odd_codec(self, raw: bytes, _count: int) -> bytes:
        changed = bytearray(raw)
        changed[22] = (changed[22] & ~7) | self._random.randrange(8)
        return resealed(changed)

    def _cut(self, raw: bytes, _count: int) -> bytes:
        shorter = bytearray(raw[: self._random.randrange(HEADER.size, len(raw))])
        shorter[8:12] = (len(shorter) - 12).to_bytes(4, "big")
        return resealed(shorter)

    def _claim(self, raw: bytes, count: int) -> bytes:
        changed = bytearray(raw)
        changed[57:61] = self._random.choice((0, 1, count + 1, 2**31 - 1)).to_bytes(4, "big")
        return resealed(changed)
