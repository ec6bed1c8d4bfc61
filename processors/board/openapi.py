"""The API as an OpenAPI 3.1 document, made from the shapes: served at `/api/v1/openapi.json`, and kept in `docs/`."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from processors.board import shapes
from processors.board.answers import etag_of, tagged
from processors.board.letters_api import REASONS
from processors.board.queries import LARGEST_PAGE, LONGEST_WORD, USUAL_PAGE
from processors.board.requests_api import LAST_TURN, LONGEST_WAIT_SECONDS
from processors.core.time.windows import WINDOWS

VERSION = "1.0.0"
PATH = "/api/v1/openapi.json"
INTRODUCTION = (
    "Live, customer-centred sales numbers. Instants are RFC 3339 text in UTC, durations seconds, money text with two "
    "decimal places. Every GET has an ETag: ask again with If-None-Match. Errors are application/problem+json."
)
Json = dict[str, Any]

_WORD: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST_WORD}
PARAMETERS: dict[str, tuple[str, Json]] = {
    "team": ("Only this team's.", _WORD),
    "rep": ("Only this rep's.", _WORD),
    "level": ("Only those that have passed this level of the policy.", _WORD),
    "reason": ("Only those with this reason.", {"type": "string", "enum": list(REASONS)}),
    "customer_id": ("Whose request is meant, if several customers have one of this id.", _WORD),
    "by": ("Who does it, where nobody signs in.", _WORD),
    "turn": (
        "The turn that is meant: 409 if another one waits.",
        {"type": "integer", "minimum": 1, "maximum": LAST_TURN},
    ),
    "state": ("Only open requests are known.", {"type": "string", "enum": ["open"]}),
    "window": ("Only this window; without it, all.", {"type": "string", "enum": list(WINDOWS)}),
    "min_age": (
        "Only those that wait for so many seconds.",
        {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 0},
    ),
    "limit": (
        "How many items a page has at most.",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": USUAL_PAGE},
    ),
    "after": ("Where the page begins, as the `next` of an earlier answer says.", {"type": "string", "minLength": 1}),
}
BAD, SIGN_IN, FORBIDDEN = HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN
AWAY, TOO_MANY = HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS
WRITING = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, AWAY)
TOO_SLOW, TOO_LARGE = HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
WITH_BODY = (*WRITING, TOO_SLOW, TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
ONE = "/api/v1/requests/{request_id}"
TARGET = ("customer_id", "turn")


class Operation(NamedTuple):
    """What can be asked for; `answer` is None where there is nothing to say."""

    method: str
    path: str
    name: str
    summary: str
    answer: Any
    query: Sequence[str] = ()
    body: Any = None
    problems: Sequence[HTTPStatus] = ()


OPERATIONS = (
    Operation(
        "get",
        "/api/v1/reps",
        "listReps",
        "Reps by id, with their numbers.",
        shapes.Page[shapes.Rep],
        ("team", "window", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        "/api/v1/reps/{rep_id}",
        "getRep",
        "One rep, beside the others of its team.",
        shapes.RepAnswer,
        ("window",),
        problems=(HTTPStatus.NOT_FOUND, AWAY),
    ),
    Operation(
        "get",
        "/api/v1/requests",
        "listRequests",
        "Who waits, the longest wait first.",
        shapes.Page[shapes.WaitingRequest],
        ("state", "min_age", "rep", "team", "level", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        ONE,
        "getRequest",
        "One customer who waits.",
        shapes.WaitingRequest,
        TARGET,
        problems=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, AWAY),
    ),
    Operation(
        "put",
        f"{ONE}/acknowledgement",
        "acknowledge",
        "Take care of a request until its turn ends.",
        shapes.WaitingRequest,
        TARGET,
        shapes.Acknowledgement,
        WITH_BODY,
    ),
    Operation(
        "delete",
        f"{ONE}/acknowledgement",
        "unacknowledge",
        "Let go of a request.",
        None,
        (*TARGET, "by"),
        problems=WRITING,
    ),
    Operation(
        "put",
        f"{ONE}/snooze",
        "snooze",
        "Tell nobody of a request until an instant.",
        shapes.WaitingRequest,
        TARGET,
        shapes.Snooze,
        WITH_BODY,
    ),
    Operation("delete", f"{ONE}/snooze", "unsnooze", "End a snooze.", None, (*TARGET, "by"), problems=WRITING),
    Operation(
        "get",
        "/api/v1/teams",
        "listTeams",
        "Teams by name, and the company.",
        shapes.Teams,
        ("window", "limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get",
        "/api/v1/segments",
        "listSegments",
        "Customers and their worth by segment.",
        shapes.Page[shapes.SegmentItem],
        ("limit", "after"),
        problems=(AWAY,),
    ),
    Operation(
        "get", "/api/v1/quality", "getQuality", "Data quality by window and reason.", shapes.Quality, problems=(AWAY,)
    ),
    Operation(
        "get",
        "/api/v1/dead-letters",
        "listDeadLetters",
        "What could not count of late, and why.",
        shapes.DeadLetters,
        ("reason", "limit", "after"),
        problems=(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, AWAY),
    ),
    Operation("get", "/api/v1/me", "getMe", "Who asks, and what they may do.", shapes.Me),
)


def document() -> Json:
    """The whole document."""
    kinds = [shapes.ProblemBody, *(kind for one in OPERATIONS for kind in (one.answer, one.body) if kind is not None)]
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
    """Where the document is served."""
    body = msgspec.json.encode(document())
    tag = etag_of(body)

    async def openapi(request: web.Request) -> web.Response:
        """This very API, for programs."""
        return tagged(request, tag, lambda: body)

    return [web.get(PATH, openapi)]


def _operation(one: Operation, schemas: dict[Any, Json]) -> Json:
    names = re.findall(r"\{(\w+)\}", one.path)
    operation: Json = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _WORD} for name in names),
            *(_parameter(name) for name in one.query),
        ],
        "responses": _responses(one, schemas),
    }
    if one.body is not None:
        content = {"application/json": {"schema": _body_schema(one, schemas)}}
        operation["requestBody"] = {"required": one.body is shapes.Snooze, "content": content}
    return operation


def _parameter(name: str) -> Json:
    description, schema = PARAMETERS[name]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _body_schema(one: Operation, schemas: dict[Any, Json]) -> Json:
    """A snooze says exactly one end; the rest of a body's shape is the struct's."""
    if one.body is not shapes.Snooze:
        return schemas[one.body]
    ends = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("seconds", "until")]
    return {"allOf": [schemas[one.body], {"oneOf": ends}]}


def _responses(one: Operation, schemas: dict[Any, Json]) -> Json:
    problem = {"application/problem+json": {"schema": schemas[shapes.ProblemBody]}}
    statuses = sorted({BAD, SIGN_IN, FORBIDDEN, TOO_MANY, *one.problems})
    responses: Json = {str(int(each)): {"description": each.phrase, "content": problem} for each in statuses}
    if one.answer is None:
        return {"204": {"description": "Done, or there was nothing to do."}, **responses}
    content = {"application/json": {"schema": schemas[one.answer]}}
    good = {"200": {"description": "OK", "headers": _headers(one), "content": content}}
    if one.method == "get":
        good["304"] = {"description": "What If-None-Match names is still true."}
    return {**good, **responses}


def _headers(one: Operation) -> Json:
    text: Json = {"schema": {"type": "string"}}
    headers = {"ETag": text | {"description": "Changes with what is told, and not with time alone."}}
    if "after" in one.query:
        headers["Link"] = text | {"description": 'The following page, as rel="next", if there is one.'}
    return headers
