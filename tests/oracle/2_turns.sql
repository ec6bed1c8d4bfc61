-- Requests: turns, owners, waits, breaches (S01 to S15).

CREATE OR REPLACE TEMP TABLE request AS
SELECT stream, customer_id, request_id, row_number() OVER () AS root
FROM (SELECT DISTINCT stream, customer_id, request_id
      FROM fact WHERE type IN ('request.opened', 'request.assigned', 'request.closed'));

-- Everything that may open or end a turn. `restriction` is the channel that an unlinked response is restricted to (S05).
CREATE OR REPLACE TEMP TABLE mark AS
WITH candidate AS (
    SELECT root, at_us, 0 AS rank, event_id, 'opened' AS type, channel AS restriction, rep_id, NULL AS reason
    FROM fact JOIN request USING (stream, customer_id, request_id)
    WHERE type = 'request.opened' AND NOT automated
    UNION ALL
    SELECT root, at_us, 2, event_id, 'answered', NULL, rep_id, NULL
    FROM fact JOIN request USING (stream, customer_id, request_id)
    WHERE type = 'request.answered' AND NOT automated AND NOT internal
    UNION ALL
    SELECT root, at_us, 2, event_id, 'answered', channel, rep_id, NULL
    FROM fact JOIN request USING (stream, customer_id)
    WHERE type = 'request.answered' AND fact.request_id IS NULL AND NOT automated AND NOT internal
    UNION ALL
    SELECT root, at_us, 3, event_id, 'closed', NULL, NULL, reason
    FROM fact JOIN request USING (stream, customer_id, request_id)
    WHERE type = 'request.closed'
)
SELECT *, row_number() OVER (PARTITION BY root ORDER BY at_us, rank, event_id) AS place FROM candidate;

-- If a turn began at this opening: where it would end, and where the next one would begin.
CREATE OR REPLACE TEMP TABLE step AS
WITH ahead AS (
    SELECT *,
        min(CASE WHEN type = 'opened' THEN place END) OVER later AS next_opening,
        min(CASE WHEN type = 'closed' OR type = 'answered' AND restriction IS NULL THEN place END) OVER later AS any_end,
        min(CASE WHEN type = 'answered' AND restriction IS NOT NULL THEN place END) OVER later_on_channel AS channel_end
    FROM mark
    WINDOW
        later AS (PARTITION BY root ORDER BY place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        later_on_channel AS (
            PARTITION BY root, restriction ORDER BY place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), opening AS (
    SELECT root, place,
        CASE WHEN any_end IS NULL OR channel_end < any_end THEN channel_end ELSE any_end END AS end_place
    FROM ahead
    WHERE type = 'opened'
)
SELECT opening.root, opening.place, opening.end_place, ahead.next_opening
FROM opening
LEFT JOIN ahead ON ahead.root = opening.root AND ahead.place = opening.end_place;

CREATE OR REPLACE TEMP TABLE turn AS
WITH RECURSIVE chain AS (
    SELECT root, min(place) AS place, 1 AS turn FROM step GROUP BY root
    UNION ALL
    SELECT step.root, step.next_opening, chain.turn + 1
    FROM chain
    JOIN step ON step.root = chain.root AND step.place = chain.place
    WHERE step.next_opening IS NOT NULL
)
SELECT root, stream, customer_id, request_id, chain.turn, opened.at_us AS opened_at,
    coalesce(ended.type, 'open') AS state, ended.at_us AS ended_at, ended.rep_id AS responder, ended.reason
FROM chain
JOIN step USING (root, place)
JOIN request USING (root)
JOIN mark AS opened USING (root, place)
LEFT JOIN mark AS ended ON ended.root = chain.root AND ended.place = step.end_place;

-- Who owned a request from when (inclusive) to when (exclusive).
CREATE OR REPLACE TEMP TABLE ownership AS
WITH change AS (
    SELECT root, at_us, 0 AS rank, event_id, rep_id
    FROM fact JOIN request USING (stream, customer_id, request_id)
    WHERE type = 'request.opened' AND NOT automated AND rep_id IS NOT NULL
    UNION ALL
    SELECT root, at_us, 1, event_id, coalesce(rep_id, '_unassigned')
    FROM fact JOIN request USING (stream, customer_id, request_id)
    WHERE type = 'request.assigned'
    UNION ALL
    SELECT root, -9000000000000000000, -1, '', '_unassigned' FROM request
)
SELECT root, rep_id, at_us AS since,
    lead(at_us, 1, 9000000000000000000) OVER (PARTITION BY root ORDER BY at_us, rank, event_id) AS until
FROM change
QUALIFY since < until;

CREATE OR REPLACE TEMP TABLE due AS
SELECT turn.*, level, opened_at + limit_us AS due_at, as_of,
    CASE
        WHEN state = 'answered' THEN ended_at > opened_at + limit_us
        WHEN state = 'open' THEN as_of > opened_at + limit_us
        ELSE reason IN ('resolved', 'no_reply_needed') AND ended_at > opened_at + limit_us
    END AS breached
FROM turn JOIN moment USING (stream), level;

INSERT INTO credit
SELECT stream, responder, ended_at, 'responses', NULL, NULL, 1 FROM turn WHERE state = 'answered'
UNION ALL
SELECT stream, responder, ended_at, 'response_us', NULL, NULL, ended_at - opened_at FROM turn WHERE state = 'answered'
UNION ALL
SELECT stream, responder, ended_at, measure, level, NULL, 1
FROM due, (VALUES ('answered_within'), ('due_met')) AS both_of(measure)
WHERE state = 'answered' AND NOT breached
UNION ALL
SELECT stream, ownership.rep_id, due_at, 'breaches', level, NULL, 1
FROM due JOIN ownership ON ownership.root = due.root AND since <= due_at AND due_at < until
WHERE breached
UNION ALL
SELECT stream, ownership.rep_id, ended_at, 'closed_unanswered', reason, NULL, 1
FROM turn JOIN ownership ON ownership.root = turn.root AND since <= ended_at AND ended_at < until
WHERE state = 'closed'
UNION ALL
SELECT stream, ownership.rep_id, ended_at, 'hold_us', NULL, NULL, least(until, ended_at) - greatest(since, opened_at)
FROM turn JOIN ownership ON ownership.root = turn.root AND since < ended_at AND opened_at < until
WHERE state = 'answered';

INSERT INTO encounter
SELECT stream, responder, ended_at, 'customers_answered', customer_id FROM turn WHERE state = 'answered';

CREATE OR REPLACE TEMP TABLE open_request AS
SELECT stream, request_id, turn, customer_id, ownership.rep_id, opened_at, as_of - opened_at AS waiting_us,
    coalesce(list(level ORDER BY due_at, level) FILTER (breached), []) AS levels
FROM due JOIN ownership ON ownership.root = due.root AND since <= as_of AND as_of < until
WHERE state = 'open'
GROUP BY ALL;

-- The last word on every deadline that was passed (S17).
CREATE OR REPLACE TEMP TABLE alert AS
SELECT stream, customer_id || '/' || request_id || '/' || turn || '/' || level AS alert_id, request_id, turn, level,
    ownership.rep_id, CASE WHEN state = 'open' THEN 'fired' ELSE 'resolved' END AS state, due_at,
    coalesce(ended_at, due_at) AS at_us
FROM due JOIN ownership ON ownership.root = due.root AND since <= due_at AND due_at < until
WHERE coalesce(ended_at, as_of) > due_at;
