-- From credits at instants to numbers of windows. `subject` is a rep, a team, or '' for the company.

-- A rep is reported who is in the directory, or has a number that is not 0.
CREATE OR REPLACE TEMP TABLE credited AS
SELECT stream, rep_id FROM rep
UNION
SELECT stream, rep_id FROM credit WHERE amount <> 0
UNION
SELECT stream, rep_id FROM encounter;

CREATE OR REPLACE TEMP TABLE subject AS
SELECT stream, rep_id, coalesce(team, 'unknown') AS team, coalesce(rep.zone, config.zone) AS zone,
    local_day(as_of, coalesce(rep.zone, config.zone)) AS today
FROM credited
JOIN moment USING (stream)
LEFT JOIN rep USING (stream, rep_id), config;

-- A rep's window reaches back from the rep's own today; a team's numbers are the sums over its reps' windows.
CREATE OR REPLACE TEMP TABLE covered AS
SELECT credit.stream, rep_id, team, window_name, measure, key, subkey, sum(amount) AS amount
FROM credit
JOIN subject USING (stream, rep_id)
JOIN time_window ON days IS NULL OR local_day(at_us, zone) > today - days
GROUP BY ALL;

-- Who was met in which window of the rep. The customers of a team are the distinct ones of the very encounters that
-- are in the windows of its reps (S11).
CREATE OR REPLACE TEMP TABLE met AS
SELECT DISTINCT encounter.stream, rep_id, team, window_name, measure, customer_id
FROM encounter
JOIN subject USING (stream, rep_id)
JOIN time_window ON days IS NULL OR local_day(at_us, zone) > today - days;

CREATE OR REPLACE TEMP TABLE number AS
SELECT stream, 'reps' AS scope, rep_id AS subject, window_name, measure, key, subkey, amount FROM covered
UNION ALL
SELECT stream, 'teams', team, window_name, measure, key, subkey, sum(amount) FROM covered GROUP BY ALL
UNION ALL
SELECT stream, 'company', '', window_name, measure, key, subkey, sum(amount) FROM covered GROUP BY ALL
UNION ALL
SELECT stream, 'reps', rep_id, window_name, measure, NULL, NULL, count(DISTINCT customer_id) FROM met GROUP BY ALL
UNION ALL
SELECT stream, 'teams', team, window_name, measure, NULL, NULL, count(DISTINCT customer_id) FROM met GROUP BY ALL
UNION ALL
SELECT stream, 'company', '', window_name, measure, NULL, NULL, count(DISTINCT customer_id) FROM met GROUP BY ALL;

-- p50 and p90 of the waits, interpolated linearly between the two nearest.
CREATE OR REPLACE TEMP TABLE quantile AS
WITH wait AS (
    SELECT credit.stream, rep_id, team, window_name, amount::BIGINT AS wait_us
    FROM credit
    JOIN subject USING (stream, rep_id)
    JOIN time_window ON days IS NULL OR local_day(at_us, zone) > today - days
    WHERE measure = 'response_us'
), pooled AS (
    SELECT stream, 'reps' AS scope, rep_id AS subject, window_name, wait_us FROM wait
    UNION ALL
    SELECT stream, 'teams', team, window_name, wait_us FROM wait
    UNION ALL
    SELECT stream, 'company', '', window_name, wait_us FROM wait
)
SELECT stream, scope, subject, window_name, quantile_cont(wait_us, 0.5) AS p50, quantile_cont(wait_us, 0.9) AS p90
FROM pooled
GROUP BY ALL;
