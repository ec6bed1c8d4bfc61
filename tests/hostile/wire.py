"""Record batches made byte by byte, and sent as they are: what an honest client would never send."""

import struct
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from config.settings import KafkaSettings
from processors.kafka.connection import REQUEST_TIMEOUT_MS, async_options
from processors.kafka.record_batches import HEADER

NOW_MS = 1_772_438_400_000
CRC_AT, CRC_OVER = 17, 21
SEND_MS = 30_000
ENCODERS = {"none": bytes, "gzip": gzip_encode, "snappy": snappy_encode, "lz4": lz4_encode, "zstd": zstd_encode}
CODECS = {name: number for number, name in enumerate(ENCODERS)}

Headers = Sequence[tuple[bytes, bytes | None]]


class Sent(NamedTuple):
    """A record as it is to be sent."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    delta_ms: int = 0


def varint(number: int) -> bytes:
    """A zigzag number as Kafka writes it."""
    rest, written = (number << 1) ^ (number >> 63), bytearray()
    rest &= (1 << 64) - 1
    while rest >= 0x80:
        written.append((rest & 0x7F) | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


def field(data: bytes | None) -> bytes:
    """Bytes with their length in front of them."""
    return varint(-1) if data is None else varint(len(data)) + data


def record(number: int, sent: Sent) -> bytes:
    """One record on the wire, with its length in front of it."""
    headers = varint(len(sent.headers)) + b"".join(field(name) + field(value) for name, value in sent.headers)
    frame = b"\0" + varint(sent.delta_ms) + varint(number) + field(sent.key) + field(sent.value) + headers
    return field(frame)


def body(records: Sequence[Sent]) -> bytes:
    """The records of a batch."""
    return b"".join(record(number, sent) for number, sent in enumerate(records))


def batch(
    opened: bytes,
    count: int,
    *,
    codec: str = "none",
    attributes: int | None = None,
    timestamp_ms: int = NOW_MS,
    packed: bytes | None = None,
) -> bytes:
    """A batch with a right checksum. `packed`: what stands in the place of the compressed records."""
    content = ENCODERS[codec](opened) if packed is None else packed
    bits = CODECS[codec] if attributes is None else attributes
    fields = (0, 49 + len(content), 0, 2, 0, bits, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count)
    return resealed(bytearray(HEADER.pack(*fields) + content))


def resealed(raw: bytearray) -> bytes:
    """The same with a checksum that is right again."""
    struct.pack_into(">I", raw, CRC_AT, calc_crc32c(bytes(raw[CRC_OVER:])))
    return bytes(raw)


def legacy(magic: int, sent: Sent, *, offset: int = 0, codec: int = 0) -> bytes:
    """A message of format v0 or v1."""
    times = struct.pack(">q", NOW_MS) if magic else b""
    lengths = [b"\xff\xff\xff\xff" if data is None else struct.pack(">i", len(data)) + data for data in sent[1::-1]]
    checked = struct.pack(">bb", magic, codec) + times + b"".join(lengths)
    return struct.pack(">qiI", offset, 4 + len(checked), zlib.crc32(checked)) + checked


class RawProducer:
    """Sends batches as they are; open it with `async with`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._client = AIOKafkaClient(**async_options(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)

    async def __aenter__(self) -> Self:
        await self._client.bootstrap()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def send(self, topic: str, partition: int, raw: bytes) -> str | None:
        """None: the broker has taken it; otherwise the name of its error."""
        error, _ = await self._send(topic, partition, raw)
        return error

    async def place(self, topic: str, partition: int, raw: bytes) -> int:
        """The offset that a good batch of one record gets."""
        error, offset = await self._send(topic, partition, raw)
        assert error is None, error
        return offset

    async def _send(self, topic: str, partition: int, raw: bytes) -> tuple[str | None, int]:
        self._client.add_topic(topic)
        await self._client._maybe_wait_metadata()
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(None, -1, SEND_MS, [(topic, [(partition, raw)])])
        answer = await self._client.send(node, request)
        _, code, offset, *_ = answer.topics[0][1][0]
        return (None if for_code(code) is NoError else str(for_code(code).__name__)), offset
