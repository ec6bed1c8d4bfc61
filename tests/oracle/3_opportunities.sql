-- Opportunities: what was created, reached, won and lost (S20 to S24).

CREATE OR REPLACE TEMP TABLE opportunity_fact AS
WITH ranked AS (
    SELECT *, CASE type
        WHEN 'opportunity.created' THEN 0
        WHEN 'opportunity.stage_entered' THEN 2
        WHEN 'opportunity.reopened' THEN 3
        ELSE 4 END AS rank
    FROM fact
    WHERE type IN ('opportunity.created', 'opportunity.stage_entered', 'opportunity.reopened',
                   'opportunity.won', 'opportunity.lost')
)
SELECT *, row_number() OVER (PARTITION BY stream, customer_id, opportunity_id ORDER BY at_us, rank, event_id) AS place
FROM ranked;

CREATE OR REPLACE TEMP TABLE created AS
SELECT stream, customer_id, opportunity_id, rep_id, at_us, pipeline
FROM opportunity_fact
WHERE type = 'opportunity.created'
QUALIFY row_number() OVER (PARTITION BY stream, customer_id, opportunity_id ORDER BY place) = 1;

-- The close in force is the last of won, lost and reopened, unless that is a reopening.
CREATE OR REPLACE TEMP TABLE close AS
SELECT * FROM (
    SELECT stream, customer_id, opportunity_id, rep_id, at_us, place, type, coalesce(cents, 0) AS cents
    FROM opportunity_fact
    WHERE type IN ('opportunity.won', 'opportunity.lost', 'opportunity.reopened')
    QUALIFY row_number() OVER (PARTITION BY stream, customer_id, opportunity_id ORDER BY place DESC) = 1)
WHERE type <> 'opportunity.reopened';

INSERT INTO credit
SELECT stream, rep_id, at_us, 'opportunities_created', NULL, NULL, 1 FROM created
UNION ALL
SELECT created.stream, created.rep_id, created.at_us, 'created_won', NULL, NULL, 1
FROM created JOIN close USING (stream, customer_id, opportunity_id)
WHERE close.type = 'opportunity.won'
UNION ALL
SELECT stream, rep_id, at_us, 'won_cents', NULL, NULL, cents FROM close WHERE type = 'opportunity.won'
UNION ALL
SELECT stream, rep_id, at_us, replace(type, 'opportunity.', ''), NULL, NULL, 1 FROM close;

-- Entering a stage implies the earlier ones, winning implies all (S20).
CREATE OR REPLACE TEMP TABLE entry AS
SELECT entered.stream, entered.customer_id, entered.opportunity_id, pipeline, stage.place AS upto,
    entered.rep_id, entered.at_us, entered.place
FROM (SELECT opportunity_fact.* REPLACE (coalesce(created.pipeline, 'default') AS pipeline)
      FROM opportunity_fact LEFT JOIN created USING (stream, customer_id, opportunity_id)
      WHERE type = 'opportunity.stage_entered') AS entered
JOIN stage USING (pipeline, stage);

CREATE OR REPLACE TEMP TABLE arrival AS
WITH evidence AS (
    SELECT *, false AS is_win FROM entry
    UNION ALL
    SELECT close.stream, close.customer_id, close.opportunity_id, coalesce(created.pipeline, 'default'),
        1000000, close.rep_id, close.at_us, close.place, true
    FROM close LEFT JOIN created USING (stream, customer_id, opportunity_id)
    WHERE type = 'opportunity.won'
), first_evidence AS (
    SELECT stream, customer_id, opportunity_id, evidence.pipeline, stage.stage, stage.place AS stage_place, rep_id, at_us
    FROM evidence JOIN stage ON stage.pipeline = evidence.pipeline AND stage.place <= upto
    QUALIFY row_number() OVER (
        PARTITION BY stream, customer_id, opportunity_id, stage.place ORDER BY evidence.place) = 1
)
SELECT first_evidence.*,
    lead(true, 1, false) OVER (PARTITION BY stream, customer_id, opportunity_id ORDER BY stage_place)
        OR bool_or(coalesce(is_win, false)) OVER (PARTITION BY stream, customer_id, opportunity_id) AS advanced
FROM first_evidence
LEFT JOIN (SELECT stream, customer_id, opportunity_id, is_win FROM evidence WHERE is_win) AS win
    USING (stream, customer_id, opportunity_id);

INSERT INTO credit
SELECT stream, rep_id, at_us, 'entered', pipeline, stage, 1 FROM arrival
UNION ALL
SELECT stream, rep_id, at_us, 'advanced', pipeline, stage, 1 FROM arrival WHERE advanced
UNION ALL
SELECT stream, rep_id, at_us, 'visited', pipeline, stage, 1 FROM (
    SELECT entry.*, stage.stage
    FROM entry JOIN stage ON stage.pipeline = entry.pipeline AND stage.place = upto
    QUALIFY row_number() OVER (PARTITION BY stream, customer_id, opportunity_id, upto ORDER BY entry.place) = 1);

-- From the first follow-up to the close (S24): an activity of this opportunity, or of the customer without naming one.
-- A close before the creation has a cycle of 0 on the creation's own day (policy zone), and none on an earlier one.
CREATE OR REPLACE TEMP TABLE cycle AS
SELECT close.stream, close.rep_id, close.at_us, replace(close.type, 'opportunity.', '') AS outcome,
    min(activity.at_us) AS first_follow_up,
    CASE WHEN close.at_us >= created.at_us THEN close.at_us - coalesce(first_follow_up, created.at_us)
        WHEN local_day(close.at_us, config.zone) = local_day(created.at_us, config.zone) THEN 0
        END AS length_us
FROM close
JOIN created ON created.stream = close.stream AND created.customer_id = close.customer_id
    AND created.opportunity_id = close.opportunity_id
CROSS JOIN config
LEFT JOIN fact AS activity ON activity.type = 'activity.logged'
    AND activity.stream = close.stream AND activity.customer_id = close.customer_id
    AND coalesce(activity.opportunity_id, close.opportunity_id) = close.opportunity_id
    AND created.at_us <= activity.at_us AND activity.at_us <= close.at_us
GROUP BY close.stream, close.customer_id, close.opportunity_id, close.rep_id, close.at_us, close.type, created.at_us,
    config.zone;

INSERT INTO credit
SELECT stream, rep_id, at_us, 'cycle_' || outcome, NULL, NULL, 1 FROM cycle WHERE length_us IS NOT NULL
UNION ALL
SELECT stream, rep_id, at_us, 'cycle_' || outcome || '_us', NULL, NULL, length_us FROM cycle WHERE length_us IS NOT NULL
UNION ALL
SELECT stream, rep_id, at_us, 'cycle_negative', NULL, NULL, 1 FROM cycle WHERE length_us IS NULL
UNION ALL
SELECT stream, rep_id, at_us, 'cycle_fallbacks', NULL, NULL, 1 FROM cycle
WHERE first_follow_up IS NULL AND length_us IS NOT NULL;
