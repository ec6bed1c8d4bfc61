"""The OpenAPI 3.1 document, made from the models: served at `/api/v1/openapi.json`, and kept in `docs/`."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from processors.board.api import models
from processors.board.api.query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_TEXT_LENGTH
from processors.board.api.responses import etag_of, tagged_json
from processors.core.time.windows import WINDOWS

VERSION = "1.0.0"
PATH = "/api/v1/openapi.json"
INTRODUCTION = (
    "Live, customer-centred sales numbers. Instants are RFC 3339 text in UTC, durations seconds, money text with two "
    "decimal places. Every GET has an ETag: ask again with If-None-Match. Errors are application/problem+json."
)
Json = dict[str, Any]

_TEXT: Json = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}
PARAMETERS: dict[str, tuple[str, Json]] = {
    "team": ("Only this team's.", _TEXT),
    "rep": ("Only this rep's.", _TEXT),
    "level": ("Only those that are overdue for this level of the policy.", _TEXT),
    "reason": ("Only those with this reason.", {"type": "string", "enum": list(models.REASONS)}),
    "customer_id": ("The customer, if several have a request with this id.", _TEXT),
    "by": ("The name to record, if nobody is signed in.", _TEXT),
    "turn": (
        "The expected turn: 409 if another one is open.",
        {"type": "integer", "minimum": 1, "maximum": models.MAX_TURN},
    ),
    "state": ("Only open requests are available.", {"type": "string", "enum": ["open"]}),
    "window": ("Only this window; all windows by default.", {"type": "string", "enum": list(WINDOWS)}),
    "min_age": (
        "Only those that have waited for at least this many seconds.",
        {"type": "integer", "minimum": 0, "maximum": models.MAX_WAIT_SECONDS, "default": 0},
    ),
    "limit": (
        "Maximum number of items on a page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    ),
    "after": ("Where the page begins, from the `next` of an earlier response.", {"type": "string", "minLength": 1}),
}
BAD, SIGN_IN, FORBIDDEN = HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN
AWAY, TOO_MANY = HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS
WRITING = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, AWAY)
TOO_SLOW, TOO_LARGE = HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
WITH_BODY = (*WRITING, TOO_SLOW, TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
ONE = "/api/v1/requests/{request_id}"
TARGET = ("customer_id", "turn")


class Operation(NamedTuple):
    """One operation; `response` is None for a response without a body."""

    method: str
    path: str
    name: str
    summary: str
    response: Any
    query: Sequence[str] = ()
    body: Any = None
    problems: Sequence[HTTPStatus] = ()


OPERATIONS = (
    Operation(
        "get",
        "/api/v1/reps",
        "listReps",
        "Reps by id, with their numbers.",
        models.Page[models.Rep],
        ("team", "window", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        "/api/v1/reps/{rep_id}",
        "getRep",
        "One rep, compared with the rest of its team.",
        models.RepAnswer,
        ("window",),
        problems=(HTTPStatus.NOT_FOUND, AWAY),
    ),
    Operation(
        "get",
        "/api/v1/requests",
        "listRequests",
        "Open requests, the longest wait first.",
        models.Page[models.WaitingRequest],
        ("state", "min_age", "rep", "team", "level", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        ONE,
        "getRequest",
        "One open request.",
        models.WaitingRequest,
        TARGET,
        problems=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, AWAY),
    ),
    Operation(
        "put",
        f"{ONE}/acknowledgement",
        "acknowledge",
        "Acknowledge a request until its turn ends.",
        models.WaitingRequest,
        TARGET,
        models.Acknowledgement,
        WITH_BODY,
    ),
    Operation(
        "delete",
        f"{ONE}/acknowledgement",
        "unacknowledge",
        "Release a request.",
        None,
        (*TARGET, "by"),
        problems=WRITING,
    ),
    Operation(
        "put",
        f"{ONE}/snooze",
        "snooze",
        "Snooze a request: no alerts until a time.",
        models.WaitingRequest,
        TARGET,
        models.Snooze,
        WITH_BODY,
    ),
    Operation("delete", f"{ONE}/snooze", "unsnooze", "End a snooze.", None, (*TARGET, "by"), problems=WRITING),
    Operation(
        "get",
        "/api/v1/teams",
        "listTeams",
        "Teams by name, and the company.",
        models.Teams,
        ("window", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        "/api/v1/segments",
        "listSegments",
        "Customers and their lifetime value by segment.",
        models.Page[models.SegmentItem],
        ("limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get", "/api/v1/quality", "getQuality", "Data quality by window and reason.", models.Quality, problems=(AWAY,)
    ),
    Operation(
        "get",
        "/api/v1/dead-letters",
        "listDeadLetters",
        "The newest rejected records, with reasons.",
        models.DeadLetters,
        ("reason", "limit", "after"),
        problems=(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, AWAY),
    ),
    Operation("get", "/api/v1/me", "getMe", "The signed-in user and their permissions.", models.Me),
)


def document() -> Json:
    """The whole document."""
    kinds = [models.ProblemBody, *(kind for one in OPERATIONS for kind in (one.response, one.body) if kind is not None)]
    unique = list(dict.fromkeys(kinds))
    found, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(unique, found, strict=True))
    paths: dict[str, Json] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Salespulse", "version": VERSION, "description": INTRODUCTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
        "security": [{}, {"token": []}, {"password": []}],
    }


SCHEMES: Json = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of board.tokens_file."},
    "password": {"type": "http", "scheme": "basic", "description": "Any user name, with a token as the password."},
}


def openapi_routes() -> list[web.RouteDef]:
    """Serve the document."""
    body = msgspec.json.encode(document())
    tag = etag_of(body)

    async def openapi(request: web.Request) -> web.Response:
        """Get the document."""
        return tagged_json(request, tag, lambda: body)

    return [web.get(PATH, openapi)]


def _operation(one: Operation, schemas: dict[Any, Json]) -> Json:
    names = re.findall(r"\{(\w+)\}", one.path)
    operation: Json = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names),
            *(_parameter(name) for name in one.query),
        ],
        "responses": _responses(one, schemas),
    }
    if one.body is not None:
        content = {"application/json": {"schema": _body_schema(one, schemas)}}
        operation["requestBody"] = {"required": one.body is models.Snooze, "content": content}
    return operation


def _parameter(name: str) -> Json:
    description, schema = PARAMETERS[name]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _body_schema(one: Operation, schemas: dict[Any, Json]) -> Json:
    """The schema of a body. A snooze needs exactly one of `seconds` and `until`, which a struct cannot express."""
    if one.body is not models.Snooze:
        return schemas[one.body]
    ends = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("seconds", "until")]
    return {"allOf": [schemas[one.body], {"oneOf": ends}]}


def _responses(one: Operation, schemas: dict[Any, Json]) -> Json:
    problem = {"application/problem+json": {"schema": schemas[models.ProblemBody]}}
    statuses = sorted({BAD, SIGN_IN, FORBIDDEN, TOO_MANY, *one.problems})
    responses: Json = {str(int(each)): {"description": each.phrase, "content": problem} for each in statuses}
    if one.response is None:
        return {"204": {"description": "Done, or nothing to do."}, **responses}
    content = {"application/json": {"schema": schemas[one.response]}}
    good = {"200": {"description": "OK", "headers": _headers(one), "content": content}}
    if one.method == "get":
        good["304"] = {"description": "The representation named in If-None-Match is current."}
    return {**good, **responses}


def _headers(one: Operation) -> Json:
    text: Json = {"schema": {"type": "string"}}
    headers = {"ETag": text | {"description": "Changes with the content, not with time alone."}}
    if "after" in one.query:
        headers["Link"] = text | {"description": 'The next page, as rel="next", if there is one.'}
    return headers
