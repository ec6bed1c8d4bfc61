"""What surrounds the panels of a board: its variables, its links, and the alerts that are drawn into its graphs."""

from collections.abc import Callable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from grafana.words import Words

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WINDOWS = ("today", "7d", "30d")
"""What /metrics has of activities and answers, unless `board.metrics_windows` says otherwise."""
LIVE_PAGE = "http://localhost:8080"
"""Where compose publishes the live page; a site changes it in the variable on top of each board."""

_ALERTS = {"operations": 'audience="platform"', "rep": 'audience="sales", rep="$rep"'}

AnyVariable = dashboard.QueryVariable | dashboard.CustomVariable | dashboard.TextBoxVariable


def uid(key: str, words: Words) -> str:
    """The stable address of a board in a language."""
    return f"salespulse-{key}-{words.language.lower()}"


def frame(board: dashboard.Dashboard, key: str, words: Words) -> dashboard.Dashboard:
    """A board without panels: address, tags, time range, links, alerts and the data source."""
    board.uid(uid(key, words)).tags(["salespulse", words.language]).refresh("30s").timezone("browser")
    board.time("now-24h", "now").tooltip(models.DashboardCursorSync.CROSSHAIR)
    source = dashboard.DatasourceVariable("datasource").type("prometheus").label(words.term("datasource"))
    board.with_variable(source).annotation(_alerts(key, words))
    boards = dashboard.DashboardLink(words.term("boards")).type(models.DashboardLinkType.DASHBOARDS)
    board.link(boards.tags(["salespulse", words.language]).as_dropdown(True).keep_time(True).include_vars(True))
    live = dashboard.DashboardLink(words.term("live_page")).type(models.DashboardLinkType.LINK).url("${live_url}")
    return board.link(live.icon("external link").target_blank(True))


def rep_links(words: Words) -> models.DynamicConfigValue:
    """From the name of a rep in a table to the rep's board, and to the rep's customers on the live page."""
    field = f'${{__data.fields["{words.term("rep")}"]:percentencode}}'
    board = f"/d/{uid('rep', words)}?var-rep={field}&${{__url_time_range}}&${{datasource:queryparam}}"
    return models.DynamicConfigValue(
        id_val="links",
        value=[
            {"title": words.term("to_rep"), "url": board},
            {"title": words.term("to_live_page"), "url": f"${{live_url}}/?rep={field}", "targetBlank": True},
        ],
    )


def _alerts(key: str, words: Words) -> dashboard.AnnotationQuery:
    audience = _ALERTS.get(key, 'audience="sales"')
    query = dashboard.AnnotationQuery().name(words.term("alerts")).datasource(SOURCE).enable(True)
    return query.icon_color("red").expr(f'ALERTS{{alertstate="firing", alertname!="Watchdog", {audience}}}')


def _query(name: str, expression: str, label: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    variable.query({"query": expression, "refId": name}).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)


def _team(words: Words) -> dashboard.QueryVariable:
    every = models.VariableOption(text=words.term("all"), value="$__all")
    variable = _query("team", "label_values(crm_rep_info, team)", words.term("team")).multi(True).include_all(True)
    return variable.all_value(".*").current(every)


def _rep(words: Words) -> dashboard.QueryVariable:
    names = 'query_result(max by (rep, rep_name) (crm_rep_info{team=~"$team"}))'
    return _query("rep", names, words.term("rep_name")).regex('/rep="(?<value>[^"]*)",rep_name="(?<text>[^"]*)"/')


def _pipeline(words: Words) -> dashboard.QueryVariable:
    return _query("pipeline", "label_values(crm_stage_entered, pipeline)", words.term("pipeline"))


def _window(default: str) -> Callable[[Words], dashboard.CustomVariable]:
    def build(words: Words) -> dashboard.CustomVariable:
        variable = dashboard.CustomVariable("window").label(words.term("window"))
        return variable.values(",".join(WINDOWS)).current(models.VariableOption(text=default, value=default))

    return build


def _opportunity_window(words: Words) -> dashboard.QueryVariable:
    """What /metrics has of opportunities: `board.metrics_pipeline_windows`."""
    usual = models.VariableOption(text="30d", value="30d")
    query = "label_values(crm_opportunities_created, window)"
    return _query("opportunity_window", query, words.term("opportunity_window")).current(usual)


def _live_url(words: Words) -> dashboard.TextBoxVariable:
    return dashboard.TextBoxVariable("live_url").label(words.term("live_page")).default_value(LIVE_PAGE)


VARIABLES: dict[str, Callable[[Words], AnyVariable]] = {
    "team": _team,
    "rep": _rep,
    "pipeline": _pipeline,
    "window_today": _window("today"),
    "window_30d": _window("30d"),
    "opportunity_window": _opportunity_window,
    "live_url": _live_url,
}
