"""Every error response is `application/problem+json` (RFC 9457)."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

logger = logging.getLogger(__name__)

_NO_HEADERS: Mapping[str, str] = {}
MAX_REQUEST_BYTES = 16 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """An error response. Handlers raise it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem_response(status: HTTPStatus, detail: str, instance: str) -> web.Response:
    """A response with a problem document."""
    body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail, "instance": instance}
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/problem+json", charset="utf-8"
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A middleware that turns exceptions into problem responses."""
    try:
        return await handler(request)
    except Problem as problem:
        response = problem_response(problem.status, problem.detail, request.path)
        response.headers.extend(problem.headers)
        return response
    except web.HTTPException as error:
        return _from_aiohttp(error, request)
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        detail = "the board failed; its log says why"
        return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request.path)


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> web.StreamResponse:
    if error.status < HTTPStatus.BAD_REQUEST:
        raise error
    status = HTTPStatus(error.status)
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.path}",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"the body is larger than {MAX_REQUEST_BYTES} bytes",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible here",
    }
    response = problem_response(status, details.get(status, error.reason), request.path)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return response
