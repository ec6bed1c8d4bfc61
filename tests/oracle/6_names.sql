-- Names that anybody may make up, bounded: of a subject and window the listed kinds and the first 20 others, of segments
-- `unknown` and the first 200 others; whatever has no room is `_other`.

CREATE OR REPLACE TEMP TABLE free_kind AS
SELECT stream, scope, subject, window_name, key,
    row_number() OVER (PARTITION BY stream, scope, subject, window_name ORDER BY key) AS rank
FROM number
WHERE measure = 'activities' AND amount <> 0 AND key NOT IN ('call', 'email', 'meeting', 'demo', '_other');

CREATE OR REPLACE TEMP TABLE bounded_number AS
SELECT number.* EXCLUDE (key, amount),
    CASE WHEN number.measure = 'activities' AND rank > 20 THEN '_other' ELSE number.key END AS key, sum(amount) AS amount
FROM number LEFT JOIN free_kind USING (stream, scope, subject, window_name, key)
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE bounded_segment AS
WITH free AS (
    SELECT stream, segment, row_number() OVER (PARTITION BY stream ORDER BY segment) AS rank
    FROM segment
    WHERE segment NOT IN ('unknown', '_other')
)
SELECT stream, CASE WHEN rank > 200 THEN '_other' ELSE segment END AS segment,
    sum(customers) AS customers, sum(revenue) AS revenue, sum(cost) AS cost
FROM segment LEFT JOIN free USING (stream, segment)
GROUP BY ALL;
