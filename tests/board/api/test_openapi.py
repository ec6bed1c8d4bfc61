"""The API does what its OpenAPI document says, whatever is sent: held by schemathesis against a running board."""

import asyncio
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from config.clock import Clock
from config.settings import ClockSettings, Settings
from processors.board.api.openapi import PATH, document
from processors.board.app import build_board
from schemas.policy import DEFAULT_POLICY
from tests.board.served import Served, furnish, served_by

EXAMPLES = 300 if os.environ.get("SALESPULSE_LONG") else 6
KNOWN = {"rep_id": "ann", "request_id": "r1"}
"""Ids that there are, for half of what is sent."""
OWN_LANGUAGE = ("after", "level")
"""Parameters whose good values only the board knows: the document calls them texts, and wrong ones are 400."""


def _good(found: Any) -> Any:
    """An operation; the document has no wrong ones."""
    return found.ok()


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS: dict[str, Any] = {found.label: found for found in map(_good, SCHEMA.get_all_operations())}
ACCEPTS: Any = CHECKS.get_one("positive_data_acceptance")


def on_board(settings: Settings, label: str, mode: GenerationMode, path: dict[str, str] | None) -> int:
    """Send generated requests to a furnished board and check every answer; how many."""

    async def run() -> int:
        async with served_by(settings) as board:
            await furnish(board)
            address = str(board.client.make_url("")).rstrip("/")
            return await asyncio.to_thread(exercise, address, label, mode, path)

    return asyncio.run(run())


def exercise(address: str, label: str, mode: GenerationMode, path: dict[str, str] | None) -> int:
    sent = 0

    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode, path_parameters=path))
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Case[Any]) -> None:
        nonlocal sent
        sent += 1
        if mode is GenerationMode.POSITIVE:
            case.query = {name: value for name, value in case.query.items() if name not in OWN_LANGUAGE}
        # An instant for a snooze is good or not by the time at which it is sent, which a document cannot say.
        case.call_and_validate(base_url=address, excluded_checks=[ACCEPTS] if label.endswith("/snooze") else [])

    send()
    return sent


@pytest.mark.parametrize("label", list(OPERATIONS))
def test_what_the_document_allows_is_answered_as_it_says(topics: Settings, label: str) -> None:
    path = {name: value for name, value in KNOWN.items() if f"{{{name}}}" in label}
    assert on_board(topics, label, GenerationMode.POSITIVE, None)
    if path:
        assert on_board(topics, label, GenerationMode.POSITIVE, path)


@pytest.mark.parametrize(
    "label", [label for label, operation in OPERATIONS.items() if operation.query or operation.path_parameters]
)
def test_what_the_document_forbids_is_refused_as_a_problem(topics: Settings, label: str) -> None:
    assert on_board(topics, label, GenerationMode.NEGATIVE, None)


def test_the_document_names_every_address_of_the_api_and_no_other() -> None:
    app = build_board(Settings(), Clock(ClockSettings()), DEFAULT_POLICY)
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    described = {(method, path) for path, item in document()["paths"].items() for method in item}
    assert served - {("get", PATH)} == described


def test_the_document_is_served_once(redis_url: str, topics: Settings) -> None:
    async def run() -> None:
        async with served_by(topics) as board:
            assert await board.json(PATH) == document()
            async with board.client.get(PATH) as response:
                tag = response.headers["ETag"]
            async with board.client.get(PATH, headers={"If-None-Match": tag}) as response:
                assert response.status == 304

    asyncio.run(run())


def test_every_answer_has_the_shape_that_the_document_gives_it(topics: Settings) -> None:
    described = document()

    def check(path: str, body: Any, item: str) -> None:
        schema = described["paths"][item]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        closed = {**schema, "components": described["components"]}
        Draft202012Validator(closed).validate(body)
        assert body, path

    async def run(board: Served) -> None:
        await furnish(board)
        for item in (item for item, methods in described["paths"].items() if "get" in methods):
            path = item.format(**KNOWN)
            check(path, await board.json(path), item)

    async def main() -> None:
        async with served_by(topics) as board:
            await run(board)

    asyncio.run(main())
