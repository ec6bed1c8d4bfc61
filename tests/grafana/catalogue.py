"""The metrics that boards and rules may use, with the labels they carry."""

BUSINESS: dict[str, tuple[str, ...]] = {
    "crm_rep_info": ("rep", "rep_name", "team"),
    "crm_activities": ("rep", "team", "kind", "window"),
    "crm_recontactable_customers": ("rep", "team", "window"),
    "crm_responses": ("rep", "team", "window"),
    "crm_response_seconds_sum": ("rep", "team", "window"),
    "crm_customers_answered": ("rep", "team", "window"),
    "crm_response_seconds_bucket": ("rep", "team", "window", "le"),
    "crm_requests_due": ("rep", "team", "level", "result", "window"),
    "crm_requests_open": ("rep", "team", "age"),
    "crm_request_oldest_open_timestamp_seconds": ("rep", "team"),
    "crm_opportunities_created": ("rep", "team", "window"),
    "crm_opportunities_won": ("rep", "team", "window"),
    "crm_opportunities_lost": ("rep", "team", "window"),
    "crm_opportunities_created_won": ("rep", "team", "window"),
    "crm_won_amount": ("rep", "team", "window"),
    "crm_sales_cycle_seconds_sum": ("rep", "team", "outcome", "window"),
    "crm_sales_cycle_seconds_count": ("rep", "team", "outcome", "window"),
    "crm_stage_entered": ("rep", "team", "pipeline", "stage", "window"),
    "crm_stage_advanced": ("rep", "team", "pipeline", "stage", "window"),
    "crm_opportunities_open": ("rep", "team", "stage"),
    "crm_team_customers_answered": ("team", "window"),
    "crm_team_recontactable_customers": ("team", "window"),
    "crm_company_customers_answered": ("window",),
    "crm_company_recontactable_customers": ("window",),
    "crm_customers": ("segment",),
    "crm_customer_revenue_amount": ("segment",),
    "crm_customer_cost_amount": ("segment",),
    "crm_data_quality": ("reason", "window"),
    "salespulse_folded": ("label",),
    "salespulse_read_model_timestamp_seconds": ("partition",),
    "salespulse_read_model_position_records": ("partition",),
}
"""Gauges of the board."""

COUNTERS: dict[str, tuple[str, ...]] = {
    "salespulse_events_total": ("type", "result"),
    "salespulse_batches_total": (),
    "salespulse_dead_letters_total": ("reason",),
    "salespulse_records_lost_total": (),
    "salespulse_key_mismatches_total": (),
    "salespulse_rebalances_total": (),
    "salespulse_sla_outcomes_total": ("team", "level", "result"),
    "salespulse_alert_transitions_total": ("level", "state"),
    "salespulse_notifications_total": ("receiver", "result"),
    "salespulse_notifier_restarts_total": ("receiver",),
    "process_cpu_seconds_total": (),
}
HISTOGRAMS = (
    "salespulse_batch_seconds",
    "salespulse_commit_seconds",
    "salespulse_changelog_seconds",
    "salespulse_recovery_seconds",
    "salespulse_alert_lag_seconds",
)
GAUGES: dict[str, tuple[str, ...]] = {
    "salespulse_consumer_lag_records": ("topic", "partition"),
    "salespulse_consumer_lag_seconds": (),
    "salespulse_position_records": ("partition",),
    "salespulse_roots": ("kind",),
    "salespulse_partitions_owned": (),
    "salespulse_topic_fault": ("topic", "fault"),
    "salespulse_read_model_silent_partitions": (),
    "salespulse_input_partitions": (),
    "salespulse_redis_up": (),
    "salespulse_kafka_up": (),
    "salespulse_exposition_seconds": (),
    "salespulse_exposition_samples": (),
    "salespulse_exposition_backlog_reps": (),
    "process_resident_memory_bytes": (),
    "process_start_time_seconds": (),
}
OWN: dict[str, tuple[str, ...]] = {
    "up": (),
    "scrape_duration_seconds": (),
    "ALERTS": ("alertname", "alertstate", "severity", "audience", "level", "team", "rep"),
}
"""What Prometheus makes itself."""

TARGET = ("job", "instance")
"""Labels that every scraped series carries."""


def metrics() -> dict[str, frozenset[str]]:
    """Every name that may stand in a query, with its labels; recorded ones are not among them."""
    simple = {**BUSINESS, **COUNTERS, **GAUGES, **OWN}
    known = {name: frozenset((*labels, *TARGET)) for name, labels in simple.items()}
    for name in HISTOGRAMS:
        known |= {f"{name}_{part}": frozenset(TARGET) for part in ("sum", "count")}
        known[f"{name}_bucket"] = frozenset((*TARGET, "le"))
    return known


def is_counter(name: str) -> bool:
    """Whether a metric only grows, so that it is shown as a rate."""
    return name in COUNTERS or any(name.startswith(f"{histogram}_") for histogram in HISTOGRAMS)
