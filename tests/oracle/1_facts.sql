-- What was said (message), what counts (fact), who is who (rep). Needs line, asked, config, level, stage, time_window.

CREATE OR REPLACE MACRO local_day(us, zone) AS
    date_diff('day', DATE '1970-01-01', timezone(zone, make_timestamptz(us))::DATE);

CREATE OR REPLACE TEMP TABLE message AS
WITH field AS (
    SELECT stream, line_number, json_extract_string(line, [
        '$.type', '$.event_id', '$.occurred_at', '$.customer_id', '$.request_id', '$.opportunity_id', '$.rep_id',
        '$.channel', '$.reason', '$.kind', '$.pipeline', '$.stage', '$.segment', '$.amount', '$.retracts',
        '$.team', '$.time_zone', '$.automated', '$.internal', '$.recontactable', '$.currency']) AS f
    FROM line
    WHERE json_valid(line)
)
SELECT stream, line_number,
    f[1] AS type, f[2] AS event_id, epoch_us(f[3]::TIMESTAMPTZ) AS at_us, f[4] AS customer_id, f[5] AS request_id,
    f[6] AS opportunity_id, f[7] AS rep_id, f[8] AS channel, f[9] AS reason, f[10] AS kind,
    coalesce(f[11], 'default') AS pipeline, f[12] AS stage, f[13] AS segment,
    (f[14]::DECIMAL(30, 2) * 100)::HUGEINT AS cents, f[15] AS retracts, f[16] AS team, f[17] AS time_zone,
    coalesce(f[18], 'false') = 'true' AS automated, coalesce(f[19], 'false') = 'true' AS internal,
    coalesce(f[20], 'false') = 'true' AS recontactable,
    f[21] AS currency
FROM field;

-- What is a dead letter by itself never was: money in a foreign currency, an unknown
-- pipeline, a stage of no pipeline (S22).
DELETE FROM message
USING config
WHERE cents IS NOT NULL AND coalesce(message.currency, config.currency) <> config.currency
    OR type = 'opportunity.created' AND pipeline NOT IN (SELECT pipeline FROM stage)
    OR type = 'opportunity.stage_entered' AND message.stage NOT IN (SELECT stage FROM stage);

-- The newest entry of a rep, in the order of the lines, is the rep's.
CREATE OR REPLACE TEMP TABLE rep AS
SELECT stream, rep_id, coalesce(team, 'unknown') AS team, coalesce(time_zone, config.zone) AS zone
FROM message, config
WHERE type = 'rep.updated'
QUALIFY row_number() OVER (PARTITION BY stream, rep_id ORDER BY line_number DESC) = 1;

CREATE OR REPLACE TEMP TABLE moment AS
SELECT asked.stream, coalesce(asked.as_of, max(at_us), 0) AS as_of
FROM asked
LEFT JOIN message ON message.stream = asked.stream AND type <> 'rep.updated'
GROUP BY asked.stream, asked.as_of;

-- The same event_id twice is the same fact (S27); what is still to come at the report's instant is not known yet.
CREATE OR REPLACE TEMP TABLE known AS
SELECT DISTINCT ON (message.stream, event_id) message.*
FROM message
JOIN moment ON moment.stream = message.stream AND at_us <= as_of
WHERE type <> 'rep.updated';

CREATE OR REPLACE TEMP TABLE fact AS
SELECT *
FROM known
WHERE type <> 'event.retracted' AND NOT EXISTS (
    SELECT 1
    FROM known AS correction
    WHERE correction.type = 'event.retracted' AND correction.stream = known.stream
        AND correction.customer_id = known.customer_id AND correction.retracts = known.event_id);

-- What is credited to whom at which instant. The local day comes later, from the zone of the rep.
CREATE OR REPLACE TEMP TABLE credit (
    stream INTEGER, rep_id VARCHAR, at_us BIGINT, measure VARCHAR, key VARCHAR, subkey VARCHAR, amount HUGEINT);
CREATE OR REPLACE TEMP TABLE encounter (
    stream INTEGER, rep_id VARCHAR, at_us BIGINT, measure VARCHAR, customer_id VARCHAR);
