"""Styles, scripts and images. Their URLs contain a version, so browsers may cache them forever."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from processors.board.web.problems import Problem

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
YEAR_SECONDS = 365 * 86_400


class StaticFiles:
    """The files, read at the start."""

    def __init__(self, here: Path = HERE) -> None:
        self._files = _read((here / "static").iterdir())
        self.version = _digest(self._files)
        """Digest of all files."""
        self.pages_version = _digest(self._files | _read([*(here / "templates").iterdir(), here / "translations.toml"]))
        """Digest of all that pages are made of: files, templates and translations."""

    def routes(self) -> list[web.RouteDef]:
        """The route of the files. Scripts import each other by relative URLs, so the version is part of the path."""
        return [web.get("/static/{version}/{name}", self.file)]

    def url(self, name: str) -> str:
        """The current URL of a file."""
        return f"/static/{self.version}/{name}"

    async def file(self, request: web.Request) -> web.Response:
        """Serve a file. Only the current version may be cached."""
        name = request.match_info["name"]
        if name not in self._files:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no file {name!r}")
        response = web.Response(body=self._files[name], content_type=TYPES[Path(name).suffix], charset="utf-8")
        response.enable_compression()
        if request.match_info["version"] == self.version:
            response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
        return response


def _read(paths: Iterable[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(paths)}


def _digest(files: Mapping[str, bytes]) -> str:
    return blake2b(b"".join(name.encode() + raw for name, raw in files.items()), digest_size=6).hexdigest()
