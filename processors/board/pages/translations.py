"""The texts of the live pages in English and Chinese, from one catalogue, and the formats of numbers."""

import tomllib
from pathlib import Path
from typing import Literal

from aiohttp import web

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
CATALOGUE = Path(__file__).with_name("translations.toml")
COOKIE = "lang"

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Translation:
    """The catalogue in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.tag = "zh-CN" if language == "zh" else "en"
        entries: dict[str, list[str]] = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
        self._texts = {key: texts[LANGUAGES.index(language)] for key, texts in entries.items()}

    def __getitem__(self, key: str) -> str:
        """A text. Raises KeyError if the catalogue has none."""
        return self._texts[key]

    def span(self, seconds: float | None) -> str:
        """A duration by its two largest units: `1 h 5 min`."""
        if seconds is None:
            return "–"
        left = int(seconds)
        parts: list[str] = []
        for length, unit in _UNITS:
            if left >= length or (unit == "second" and not parts):
                parts.append(f"{left // length} {self[unit]}")
                left %= length
            if len(parts) == 2 or (parts and not left):
                break
        return " ".join(parts)

    def window(self, name: str) -> str:
        """A window's name: `today`, `30 d`, `all`."""
        return f"{name[:-1]}\u00a0{self['day']}" if name[:-1].isdigit() else self[f"window_{name}"]

    def reason(self, reason: str) -> str:
        """A reason for rejecting a record; one that the catalogue does not know is shown as it is."""
        return self._texts.get(f"reason_{reason}", reason)

    def priority(self, priority: str) -> str:
        """A request's priority."""
        return self._texts.get(f"priority_{priority}", priority)

    @staticmethod
    def small_share(ratio: float | None) -> str:
        """A ratio that may be far below one percent."""
        return "–" if ratio is None else f"{ratio:.2%}"

    @staticmethod
    def share(ratio: float | None) -> str:
        """A ratio in percent."""
        return "–" if ratio is None else f"{ratio:.0%}"


TRANSLATIONS = {language: Translation(language) for language in LANGUAGES}


def language_of(request: web.Request) -> Language:
    """The language chosen in the URL, else the cookie's, else the browser's."""
    for choice in (request.query.get("lang"), request.cookies.get(COOKIE)):
        for language in LANGUAGES:
            if choice == language:
                return language
    return "zh" if request.headers.get("Accept-Language", "").lower().startswith("zh") else "en"
