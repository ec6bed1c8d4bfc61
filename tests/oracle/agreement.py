"""Core against oracle on many streams at once, and the smallest stream on which they still disagree."""

from collections.abc import Sequence
from dataclasses import replace

from processors.core.reports.replay import replay
from tests.oracle import oracle
from tests.oracle.compare import differences
from tests.strategies import POLICY, Stream

LEVELS = {level.name: level.seconds for level in POLICY.levels}


def disagreements(streams: Sequence[Stream]) -> list[list[str]]:
    """For each stream, where the core's report differs from the oracle's."""
    answers = oracle.reports([(stream.lines, stream.as_of_us) for stream in streams], LEVELS, POLICY.pipelines)
    return [
        differences(replay(stream.messages, POLICY, stream.as_of_us), answer)
        for stream, answer in zip(streams, answers, strict=True)
    ]


def smallest(stream: Stream) -> Stream:
    """The stream without all the messages that the disagreement does not need."""
    while True:
        messages = stream.messages
        fewer = [replace(stream, messages=messages[:i] + messages[i + 1 :]) for i in range(len(messages))]
        worse = [candidate for candidate, found in zip(fewer, disagreements(fewer), strict=True) if found]
        if not worse:
            return stream
        stream = worse[0]


def assert_agreed(streams: Sequence[Stream]) -> None:
    """Fails with the smallest example, ready for `salespulse replay`."""
    for stream, found in zip(streams, disagreements(streams), strict=True):
        if found:
            example = smallest(stream)
            (left,) = disagreements([example])
            raise AssertionError("\n".join([f"as_of_us={example.as_of_us}", *example.lines, *left[:20]]))
