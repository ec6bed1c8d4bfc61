"""Panels without a place: what each kind shows and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Steps = tuple[tuple[float, str], ...]
WAIT: Steps = ((3600, "orange"), (86400, "red"))
"""Colours of a wait in seconds: past 1 h, past 24 h."""
ANY_ORANGE: Steps = ((1, "orange"),)
ANY_RED: Steps = ((1, "red"),)
SHARE: Steps = ((0.8, "orange"), (0.95, "green"))
"""Colours of a share that should be high; below the first step it is red."""
LETTERS = "ABCDEFGHIJKLMNOP"
THIN, THICK = 16, 40
"""Pixels of a bar's height, at least and at most: one bar alone does not fill its panel."""
NARROW = 80
"""Pixels of a table's narrowest column: the leaderboard fits on a screen."""
P = TypeVar("P", timeseries.Panel, bargauge.Panel)


@dataclass(frozen=True)
class Query:
    """An expression, and what the legend calls its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Look:
    """How numbers are shown: unit, size on the grid, colours from which value on, stacking, ends of the scale."""

    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: Steps = ()
    stacked: bool = False
    top: float | None = None
    """Where the scale ends; None: wherever the highest value is."""
    signed: bool = False
    """Whether values below 0 are shown: the scale begins at 0 otherwise."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its expression, and how its values look."""

    name: str
    expr: str
    unit: str = "short"
    steps: Steps = ()


def stat_panel(query: Query) -> stat.Panel:
    """One number in large letters."""
    panel = stat.Panel().graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.VALUE)
    return panel.no_value("–").reduce_options(_last()).with_target(_target(query, 0).instant())


def lines_panel(queries: Sequence[Query], look: Look) -> timeseries.Panel:
    """Numbers over time."""
    panel = _scaled(timeseries.Panel(), look).show_points(options.VisibilityMode.NEVER)
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    panel.fill_opacity(30 if look.stacked else 0)
    if look.steps:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED))
    if look.stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    legend = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    panel.legend(legend.placement(options.LegendPlacement.BOTTOM).calcs(["lastNotNull"]))
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    panel.tooltip(tooltip.sort(options.SortOrder.DESCENDING))
    for place, query in enumerate(queries):
        panel.with_target(_target(query, place).range())
    return panel


def bars_panel(queries: Sequence[Query], look: Look) -> bargauge.Panel:
    """One bar for each series, as things are at the end of the time range, in the order of the query."""
    panel = _scaled(bargauge.Panel(), look).orientation(options.VizOrientation.HORIZONTAL).no_value("–")
    panel.sizing(options.BarGaugeSizing.MANUAL).min_viz_height(THIN).max_viz_height(THICK)
    panel.text(common.VizTextDisplayOptions().title_size(12).value_size(15))
    panel.display_mode(options.BarGaugeDisplayMode.GRADIENT).show_unfilled(True).reduce_options(_last())
    for place, query in enumerate(queries):
        panel.with_target(_target(query, place).instant())
    return panel


def heat_panel(query: Query, unit: str) -> heatmap.Panel:
    """A distribution over time, from cumulative buckets."""
    panel = heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit(unit))
    return panel.with_target(_target(query, 0).range().format(PromQueryFormat.HEATMAP))


def table_panel(labels: Mapping[str, str], columns: Sequence[Column]) -> table.Panel:
    """One row for each combination of labels (given with their names), a column for each expression.

    Sorted by the first expression, most first.
    """
    panel = _grid()
    names = dict(labels)
    for place, column in enumerate(columns):
        names["Value" if len(columns) == 1 else f"Value #{LETTERS[place]}"] = column.name
        panel.with_target(_target(Query(column.expr), place).instant().format(PromQueryFormat.TABLE))
        panel.override_by_name(column.name, _column_look(column))
    order = {name: place for place, name in enumerate(names)}
    arranged = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=arranged))
    return panel.sort_by([common.TableSortByFieldState().display_name(columns[0].name).desc(True)])


def matrix_panel(query: Query, row: str, column: str, name: str) -> table.Panel:
    """A table with a row and a column for each value of two labels; `name` heads the first column."""
    panel = _grid()
    panel.override_by_name(f"{row}\\{column}", [models.DynamicConfigValue(id_val="displayName", value=name)])
    panel.with_target(_target(query, 0).instant().format(PromQueryFormat.TABLE))
    layout = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"}
    return panel.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=layout))


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours from each value on; below the first it is red where the last step is green, and green otherwise."""
    lowest = "blue" if not steps else "red" if steps[-1][1] == "green" else "green"
    every = [models.Threshold(value=None, color=lowest), *(models.Threshold(value, color) for value, color in steps)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(every)


def _scaled(panel: P, look: Look) -> P:
    if not look.signed:
        panel.min(0)
    if look.top is not None:
        panel.max(look.top)
    return panel


def _grid() -> table.Panel:
    return table.Panel().show_header(True).filterable(True).min_width(NARROW).no_value("–")


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _target(query: Query, place: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(LETTERS[place]).expr(query.expr)
    return target.legend_format(query.legend or "__auto")


def _column_look(column: Column) -> list[models.DynamicConfigValue]:
    look = [models.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.steps:
        colours = thresholds(column.steps).build().to_json()
        look.append(models.DynamicConfigValue(id_val="thresholds", value=colours))
        look.append(models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
    return look
