"""What webhooks, Slack and Alertmanager are sent, and what their answers mean."""

import asyncio
import hashlib
import hmac
import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from config.clock import Clock, wall_us
from config.notifier_settings import NotifierSettings
from config.settings import ClockSettings
from config.values import Secret
from processors.core.time.instants import HOUR_US, SECOND_US, instant_us
from processors.notifier.batching import next_batches
from processors.notifier.receivers.alertmanager import ALERT_LIFETIME_US, Alertmanager, AlertmanagerFormat, labels
from processors.notifier.receivers.base import DeliveryPolicy, Notification, Rejected, TryAgain
from processors.notifier.receivers.configured import configured_receivers
from processors.notifier.receivers.http import HttpPoster
from processors.notifier.receivers.slack import WORD_JOINER, digest_of, message_of
from processors.notifier.receivers.webhook import Webhook, signature
from processors.read_model.acknowledgements import TurnHold
from tests.notifier.world import hook, self_signed, transition

BOARD = "https://sales.example.com/"


def post(status: int, headers: dict[str, str] | None = None) -> None:
    """One post to a receiver that answers so."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text="said\nso")

    async def scenario() -> None:
        application = web.Application()
        application.router.add_post("/", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        poster = HttpPoster(f"http://127.0.0.1:{runner.addresses[0][1]}/", 5.0)
        try:
            await poster.post(b"{}", {})
        finally:
            await poster.close()
            await runner.cleanup()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [200, 201, 204])
def test_any_2xx_is_taken(status: int) -> None:
    post(status)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 413, 422])
def test_a_refusal_and_a_redirect_are_final(status: int) -> None:
    with pytest.raises(Rejected, match=f"^{status} said so$"):
        post(status, {"Location": "http://127.0.0.1:1/"})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with pytest.raises(TryAgain, match=f"^{status} said so$") as caught:
        post(status)
    assert caught.value.after_seconds is None


def test_a_receiver_may_answer_when_to_try_again() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for retry_after, low, high in (("7", 7, 7), ("9999", 300, 300), (soon, 50, 60), ("-3", 0, 0)):
        with pytest.raises(TryAgain) as caught:
            post(429, {"Retry-After": retry_after})
        assert caught.value.after_seconds is not None
        assert low <= caught.value.after_seconds <= high
    with pytest.raises(TryAgain) as caught:
        post(503, {"Retry-After": "soon"})
    assert caught.value.after_seconds is None


def test_a_receiver_that_hangs_or_is_away_is_tried_again() -> None:
    async def scenario() -> None:
        forever = asyncio.Event()

        async def hang(_: dict[str, Any]) -> int:
            await forever.wait()
            return 200

        async with hook(hang) as receiver:
            poster = HttpPoster(receiver.url, 0.2)
            with pytest.raises(TryAgain, match=r"no answer within 0\.2 s"):
                await poster.post(b"{}", {})
            forever.set()
        with pytest.raises(TryAgain):
            await poster.post(b"{}", {})
        await poster.close()

    asyncio.run(scenario())


def test_a_webhook_message_is_signed_and_complete() -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            webhook = Webhook(HttpPoster(receiver.url, 5.0), Secret("word"), BOARD, lambda: 1_700_000_000_999_999)
            step = transition("r 1", topic="price", opened_us=instant_us(datetime(2026, 3, 2, 8, tzinfo=UTC)))
            await webhook.send([Notification(transition=step)])
            await webhook.close()
            (headers, body) = receiver.seen[0]
        assert headers["X-Salespulse-Timestamp"] == "1700000000"
        expected = hmac.new(b"word", b"1700000000." + body, hashlib.sha256).hexdigest()
        assert headers["X-Salespulse-Signature"] == f"v1={expected}"
        assert headers["Idempotency-Key"] == hashlib.sha256(b"c1/r 1/1/1h@5").hexdigest()
        message = json.loads(body)
        assert message | {"version": 1, "key": "c1/r 1/1/1h@5", "state": "fired", "reason": "overdue"} == message
        assert (message["opened_at"], message["due_at"]) == ("2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z")
        assert (message["topic"], message["reminder"], message["rep_id"]) == ("price", False, "alice")
        assert message["link"] == "https://sales.example.com/?request=r%201"

    asyncio.run(scenario())


def test_a_signature_depends_on_secret_time_and_body() -> None:
    signatures = {signature(Secret(s), t, b) for s in ("a", "b") for t in (1, 2) for b in (b"x", b"y")}
    assert len(signatures) == 8


def test_slack_finds_no_markup_in_ids() -> None:
    text = message_of(Notification(transition=transition("<!channel>|x&", customer="<@U1>")), BOARD)
    assert "<!" not in text
    assert "<@" not in text
    assert f"*&lt;@{WORD_JOINER}U1&gt; has waited 1h for an answer*" in text
    assert "<https://sales.example.com/?request=%3C%21channel%3E%7Cx%26|Open>" in text


@pytest.mark.parametrize(
    ("customer", "forbidden"),
    [
        ("@channel", "@channel"),
        ("@here and @all", "@here"),
        ("[Open](http://evil.example)", "](http://"),
        ("![x](http://evil.example/pixel.png)", "](http"),
        ("```", "``"),
        ("http://evil.example", "http://evil"),
        ("www.evil.example", "www."),
    ],
)
def test_mattermost_finds_no_mention_link_or_code_in_ids(customer: str, forbidden: str) -> None:
    notifications = [
        Notification(transition=transition(customer, customer=customer, rep_id=customer)) for _ in range(2)
    ]
    for text in (message_of(notifications[0], BOARD), digest_of(notifications, BOARD)):
        assert forbidden not in re.sub(r"<https://sales[^|]*\|", "", text)
        assert "<https://sales.example.com/?re" in text


def test_a_slack_digest_names_twenty_alerts_and_counts_the_rest() -> None:
    batch = [Notification(transition=transition(f"r{number}")) for number in range(24)]
    batch.append(Notification(transition=transition("r99", "resolved", 2)))
    text = digest_of(batch, BOARD)
    assert text.startswith("*requests of alice: 24 waiting, 1 settled*")
    assert text.count("has waited 1h") == 20
    assert "and 5 more" in text


def test_a_digest_is_one_message_per_rep_and_interval() -> None:
    policy = DeliveryPolicy(digest_seconds=600, batch_size=3)
    due = [
        Notification(transition=transition(f"r{number}", rep_id=rep))
        for number in range(5)
        for rep in ("ann", "bea", "cid")
    ]
    paces = {"ann": 1000 * SECOND_US, "bea": 400 * SECOND_US, "cid": 2000 * SECOND_US}
    now_us = 1001 * SECOND_US
    chosen = next_batches(due, policy, paces, now_us, 5)
    sizes = {batch[0].transition.rep_id: len(batch) for batch in chosen}
    assert sizes == {"bea": 3, "cid": 3}  # ann had one a second ago; cid's clock was set back
    assert all(len({notification.transition.rep_id for notification in batch}) == 1 for batch in chosen)
    assert len(next_batches(due, policy, {}, now_us, 2)) == 2


def test_without_a_digest_notices_are_chunked() -> None:
    due = [Notification(transition=transition(f"r{number}")) for number in range(10)]
    assert [len(batch) for batch in next_batches(due, DeliveryPolicy(batch_size=4), {}, 0, 2)] == [4, 4]
    assert [len(batch) for batch in next_batches(due, DeliveryPolicy(), {}, 0, 3)] == [1, 1, 1]


NOW_US = instant_us(datetime(2026, 3, 2, 12, tzinfo=UTC))


def alerts_at(now_us: int = NOW_US, clock: Clock | None = None) -> AlertmanagerFormat:
    """What Alertmanager gets at an instant of the wall clock."""
    return AlertmanagerFormat(BOARD, clock or Clock(ClockSettings(), wall=lambda: now_us), lambda: now_us)


def test_alertmanager_gets_the_labels_by_which_it_routes_and_the_ids_as_annotations() -> None:
    step = transition(opened_us=NOW_US - 2 * HOUR_US)
    risk, fired = alerts_at().of(Notification(transition=step))
    assert risk["labels"]["alertname"] == "RequestAtRisk1h"
    assert risk["endsAt"] == "2026-03-02T12:00:00Z"
    assert fired["labels"] == {
        "alertname": "RequestUnanswered1h",
        "severity": "warning",
        "level": "1h",
        "rep": "alice",
        "team": "east",
        "channel": "email",
        "priority": "normal",
        "request_key": fired["labels"]["request_key"],
    }
    assert fired["annotations"] | {"customer_id": "c1", "request_id": "r1", "turn": "1"} == fired["annotations"]
    assert fired["annotations"]["link"] == "https://sales.example.com/?request=r1"
    assert fired["annotations"]["runbook_url"].startswith("docs/runbooks/RequestUnanswered1h.md")
    assert (fired["startsAt"], fired["endsAt"]) == ("2026-03-02T11:00:00Z", "2026-03-02T12:04:00Z")


def test_two_requests_of_a_rep_are_two_alerts_and_two_levels_of_a_turn_share_a_key() -> None:
    one, other = labels(transition("r1"), at_risk=False), labels(transition("r2"), at_risk=False)
    assert one["request_key"] != other["request_key"]
    assert labels(transition("r1", level="24h"), at_risk=False)["request_key"] == one["request_key"]


def test_an_alert_resolves_with_the_start_with_which_it_fired() -> None:
    opened_us = NOW_US - 2 * HOUR_US
    (_, fired) = alerts_at().of(Notification(transition=transition(opened_us=opened_us)))
    later = alerts_at(NOW_US + HOUR_US)
    (risk, resolved) = later.of(Notification(transition=transition(state="resolved", facts=2, opened_us=opened_us)))
    assert (resolved["labels"], resolved["startsAt"]) == (fired["labels"], fired["startsAt"])
    assert resolved["endsAt"] == risk["endsAt"] == "2026-03-02T13:00:00Z"


def test_an_alert_that_ends_before_its_deadline_never_starts_in_the_future() -> None:
    step = transition(state="resolved", facts=2, opened_us=NOW_US - HOUR_US // 2)
    for alert in alerts_at().of(Notification(transition=step)):
        assert alert["startsAt"] <= alert["endsAt"] == "2026-03-02T12:00:00Z"


def test_a_held_alert_ends_with_the_reason() -> None:
    (alert,) = alerts_at().of(Notification(transition=transition(), hold=TurnHold(by="bob", at_us=1)))
    assert alert["endsAt"] == "2026-03-02T12:00:00Z"
    assert alert["annotations"]["summary"].endswith("acknowledged by bob")


def test_with_a_scaled_clock_alerts_are_shown_in_the_walls_time_and_stay_there() -> None:
    origin = datetime(2026, 1, 1, tzinfo=UTC)
    settings = ClockSettings(mode="scaled", at=origin, wall_origin=datetime(2026, 3, 2, 11, tzinfo=UTC), speed=60.0)
    step = transition(opened_us=instant_us(origin) + HOUR_US)
    starts = set()
    for now_us in (NOW_US, NOW_US + 600 * SECOND_US):
        clock = Clock(settings, wall=lambda: now_us)  # noqa: B023 -- used at once
        alert = alerts_at(now_us, clock).active(step)
        starts.add(alert["startsAt"])
        assert alert["endsAt"] > alert["startsAt"]
    assert starts == {"2026-03-02T11:02:00Z"}
    assert ALERT_LIFETIME_US == 240 * SECOND_US


def test_one_bad_alert_of_a_batch_is_refused_alone() -> None:
    async def scenario() -> None:
        def answer(alerts: Any) -> int:
            return 400 if any(alert["labels"]["rep"] == "bad" for alert in alerts) else 200

        async with hook(answer) as receiver:
            alertmanager = Alertmanager(
                "alertmanager", HttpPoster(receiver.url, 5.0), BOARD, Clock(ClockSettings()), wall_us
            )
            batch = [Notification(transition=transition(rep, rep_id=rep)) for rep in ("ann", "bad", "cid")]
            assert await alertmanager.send(batch) == {batch[1].key: "400 as asked"}
            assert len(receiver.seen) == 4
            with pytest.raises(Rejected):
                await alertmanager.send(batch[1:2])
            await alertmanager.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "retry_after", ["nan", "-1", "1e999", "Thu, 99 Foo 99999 99:99:99 GMT", "\N{ARABIC-INDIC DIGIT ONE}", ""]
)
def test_a_strange_retry_after_is_a_pause_that_ends(retry_after: str) -> None:
    with pytest.raises(TryAgain) as caught:
        post(429, {"Retry-After": retry_after.encode("latin-1", "replace").decode("latin-1")})
    assert caught.value.after_seconds is None or 0 <= caught.value.after_seconds <= 300


def test_what_goes_wrong_on_the_way_hides_the_address() -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            host = receiver.url.removesuffix("/hook")
        poster = HttpPoster(f"{host}/services/T0/B0/hush", 2.0)
        with pytest.raises(TryAgain) as caught:
            await poster.post(b"{}", {})
        assert "hush" not in str(caught.value)
        with pytest.raises(TryAgain, match="UnicodeError"):
            await HttpPoster(f"http://{'a' * 70}.example/hush", 2.0).post(b"{}", {})
        await poster.close()

    asyncio.run(scenario())


def test_alertmanager_authenticates_us_over_a_certificate_of_an_authority_of_ours(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)

    async def scenario() -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        async with hook(tls=tls) as receiver:
            keys: dict[str, Any] = {"alertmanager_urls": (receiver.url,), "cafile": certificate}
            for more, wanted in (
                ({"alertmanager_token": Secret("hush")}, "Bearer hush"),
                ({"alertmanager_username": "sp", "alertmanager_password": Secret("hush")}, "Basic c3A6aHVzaA=="),
            ):
                (alertmanager,) = configured_receivers(NotifierSettings(**keys, **more), Clock(ClockSettings()))
                await alertmanager.send([Notification(transition=transition())])
                await alertmanager.close()
                assert receiver.seen[-1][0]["Authorization"] == wanted
            (stranger,) = configured_receivers(
                NotifierSettings(alertmanager_urls=(receiver.url,)), Clock(ClockSettings())
            )
            with pytest.raises(TryAgain, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.send([Notification(transition=transition())])
            await stranger.close()

    asyncio.run(scenario())


def test_a_transition_survives_its_json() -> None:
    step = transition(topic="price")
    assert msgspec.json.decode(msgspec.json.encode(step), type=type(step)) == step
