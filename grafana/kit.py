"""A board in one language: panels laid out from left to right under headings, each with its words."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, dashboard, heatmap, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as models

from grafana import panels, variables
from grafana.panels import Column, Look, Query
from grafana.words import Words

COLUMNS = 24
NAME_WIDTH = 130
"""Pixels of the column with the names of reps."""
AGE_COLOURS = {"lt1h": "green", "1h_24h": "orange", "gt24h": "red"}
"""How far open requests are in the levels, from the youngest on."""
P = TypeVar("P", stat.Panel, timeseries.Panel, bargauge.Panel, heatmap.Panel, table.Panel)


class Board:
    """One dashboard, filled panel by panel."""

    def __init__(self, key: str, words: Words, names: Sequence[str]) -> None:
        """Begin an empty board: `key` names it in the catalogue of words, `names` are its variables."""
        self._key = key
        self._words = words
        self._panels = 0
        self._x = self._y = self._height = 0
        title, about = words.board(key)
        self._board = variables.frame(dashboard.Dashboard(title), key, words).description(about)
        for name in (*names, "live_url"):
            self._board.with_variable(variables.VARIABLES[name](words))

    def build(self) -> models.Dashboard:
        """The finished dashboard."""
        return self._board.build()

    def row(self, term: str) -> None:
        """Put a heading over the panels that follow."""
        self._break_line()
        self._panels += 1
        place = models.GridPos(h=1, w=COLUMNS, x=0, y=self._y)
        self._board.with_row(dashboard.Row(self._words.term(term)).id(self._panels).grid_pos(place))
        self._y += 1

    def stat(self, key: str, expr: str, look: Look) -> None:
        """Add one number in large letters."""
        self._colour(self._add(panels.stat_panel(Query(expr)), key, look))

    def lines(self, key: str, look: Look, *queries: Query) -> None:
        """Add numbers over time."""
        self._add(panels.lines_panel([self._say(query) for query in queries], look), key, look)

    def ages(self, key: str, look: Look, expr: str) -> None:
        """Add what waits now over time, the youngest at the bottom: `expr` has `%s` where the age is chosen."""
        queries = [Query(expr % f'age="{age}"', f"@{age}") for age in AGE_COLOURS]
        panel = panels.lines_panel([self._say(query) for query in queries], replace(look, stacked=True))
        for age, colour in AGE_COLOURS.items():
            fixed = models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
            panel.override_by_name(self._words.term(age), [fixed])
        self._add(panel, key, look)

    def bars(self, key: str, look: Look, *queries: Query) -> None:
        """Add a bar for each series."""
        self._colour(self._add(panels.bars_panel([self._say(query) for query in queries], look), key, look))

    def heat(self, key: str, look: Look, query: Query) -> None:
        """Add a distribution over time."""
        self._add(panels.heat_panel(query, look.unit), key, look)

    def table(self, key: str, look: Look, labels: Sequence[str], columns: Sequence[Column]) -> None:
        """Add a table; the names of labels and columns are terms of the catalogue."""
        named = [replace(column, name=self._words.term(column.name)) for column in columns]
        panel = panels.table_panel({label: self._words.term(label) for label in labels}, named)
        if "rep_name" in labels:
            wide = models.DynamicConfigValue(id_val="custom.width", value=NAME_WIDTH)
            panel.override_by_name(self._words.term("rep_name"), [variables.rep_links(self._words), wide])
        self._add(panel, key, look)

    def matrix(self, key: str, look: Look, expr: str, sides: tuple[str, str]) -> None:
        """Add a table with a row and a column for each value of two labels."""
        row, column = sides
        self._colour(self._add(panels.matrix_panel(Query(expr), row, column, self._words.term(row)), key, look))

    def _say(self, query: Query) -> Query:
        return replace(query, legend=self._words.term(query.legend[1:])) if query.legend.startswith("@") else query

    def _add(self, panel: P, key: str, look: Look) -> P:
        if self._x + look.width > COLUMNS:
            self._break_line()
        self._panels += 1
        title, about = self._words.panel(self._key, key)
        panel.id(self._panels).title(title).description(about).unit(look.unit).datasource(variables.SOURCE)
        panel.grid_pos(models.GridPos(h=look.height, w=look.width, x=self._x, y=self._y))
        panel.thresholds(panels.thresholds(look.steps))
        self._board.with_panel(panel)
        self._x += look.width
        self._height = max(self._height, look.height)
        return panel

    def _colour(self, panel: P) -> None:
        panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))

    def _break_line(self) -> None:
        self._y += self._height
        self._x = self._height = 0
