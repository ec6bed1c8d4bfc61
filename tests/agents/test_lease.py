"""The lease: only the coordinator's answers renew it, and it ends before the session does."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

from processors.agents.lease import LEASE_SHARE, SEND_SHARE, Lease, renewing

SESSION_SECONDS = 6.0
HEARTBEAT = HeartbeatRequest("g", 1, "m")
SYNC = SyncGroupRequest("g", 1, "m", None, [])


class Answer:
    def __init__(self, error_code: int) -> None:
        self.error_code = error_code


class Scene:
    """A lease by a clock that is set by hand, and a coordinator that takes its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lease = Lease(SESSION_SECONDS, lambda: self.now)

    def ask(self, request: Any, error_code: int, seconds: float = 0.0) -> None:
        async def send(asked: Any) -> Answer:
            assert asked is request
            self.now += seconds
            return Answer(error_code)

        async def asking() -> None:
            await renewing(send, self.lease)(request)

        asyncio.run(asking())


def test_without_an_answer_there_is_no_lease() -> None:
    assert not Scene().lease.holds


@pytest.mark.parametrize("request_", [HEARTBEAT, SYNC], ids=["heartbeat", "sync"])
def test_it_holds_for_a_share_of_the_session_from_when_the_coordinator_was_asked(request_: Any) -> None:
    scene = Scene()
    scene.ask(request_, 0, seconds=1.5)
    scene.now = 100.0 + SESSION_SECONDS * LEASE_SHARE
    assert scene.lease.holds
    scene.now += 0.1
    assert not scene.lease.holds


def test_what_is_sent_under_it_is_given_up_by_the_end_of_the_session() -> None:
    assert LEASE_SHARE + SEND_SHARE <= 1


@pytest.mark.parametrize("error", [UnknownMemberIdError, IllegalGenerationError])
def test_who_is_not_a_member_any_more_has_none(error: Any) -> None:
    scene = Scene()
    scene.ask(HEARTBEAT, 0)
    scene.ask(HEARTBEAT, error.errno)
    assert not scene.lease.holds


def test_a_rebalance_does_not_renew_it_and_does_not_end_it() -> None:
    scene = Scene()
    scene.ask(HEARTBEAT, 0)
    scene.now += SESSION_SECONDS * LEASE_SHARE - 0.5
    scene.ask(HEARTBEAT, RebalanceInProgressError.errno)
    assert scene.lease.holds
    scene.now += 1.0
    assert not scene.lease.holds


def test_other_requests_say_nothing_of_the_membership() -> None:
    scene = Scene()
    scene.ask(OffsetFetchRequest("g", []), 0)
    assert not scene.lease.holds


def test_a_confirmation_counts_if_it_was_asked_for_after_the_instant() -> None:
    scene = Scene()
    scene.ask(HEARTBEAT, 0, seconds=1.0)
    assert not scene.lease.confirmed_after(100.5)
    scene.ask(HEARTBEAT, 0)
    assert scene.lease.confirmed_after(100.5)
    scene.now += SESSION_SECONDS
    assert not scene.lease.confirmed_after(100.5)
