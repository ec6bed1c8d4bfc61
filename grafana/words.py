"""Every word that a board shows, in English and Chinese, from the one catalogue `words.toml`."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh-CN"]
LANGUAGES: tuple[Language, ...] = ("en", "zh-CN")
CATALOGUE = Path(__file__).with_name("words.toml")

Entry = Mapping[str, list[str]]


class Words:
    """The catalogue in one language. It remembers what was asked for, so that a test can find what nobody uses."""

    def __init__(self, language: Language) -> None:
        """Read the catalogue."""
        self.language = language
        self.used: set[str] = set()
        self._place = LANGUAGES.index(language)
        self._catalogue = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))

    def keys(self) -> set[str]:
        """Every key of the catalogue, as `terms.rep` or `panels.team.activities`."""
        terms = {f"terms.{key}" for key in self._catalogue["terms"]}
        boards = {f"boards.{key}" for key in self._catalogue["boards"]}
        panels = self._catalogue["panels"]
        return terms | boards | {f"panels.{board}.{key}" for board, keys in panels.items() for key in keys}

    def term(self, key: str) -> str:
        """A word or two: a legend, a column, the label of a variable. Raises KeyError for an unknown key."""
        self.used.add(f"terms.{key}")
        word: str = self._catalogue["terms"][key][self._place]
        return word

    def board(self, key: str) -> tuple[str, str]:
        """Title and description of a board. Raises KeyError for an unknown key."""
        self.used.add(f"boards.{key}")
        return self._both(self._catalogue["boards"][key])

    def panel(self, board: str, key: str) -> tuple[str, str]:
        """Title and description of a panel, its own or the common ones. Raises KeyError for an unknown key."""
        panels = self._catalogue["panels"]
        section = board if key in panels.get(board, {}) else "common"
        self.used.add(f"panels.{section}.{key}")
        return self._both(panels[section][key])

    def _both(self, entry: Entry) -> tuple[str, str]:
        return entry["title"][self._place], entry["about"][self._place]
