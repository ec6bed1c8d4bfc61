-- Activities (S19) and what customers are worth (S26).

INSERT INTO credit
SELECT stream, rep_id, at_us, 'activities', kind, NULL, 1 FROM fact WHERE type = 'activity.logged';

INSERT INTO encounter
SELECT stream, rep_id, at_us, 'recontactable_customers', customer_id
FROM fact
WHERE type = 'activity.logged' AND recontactable;

CREATE OR REPLACE TEMP TABLE segment AS
WITH present AS (
    SELECT stream, customer_id, segment
    FROM fact
    WHERE type = 'customer.updated' AND segment IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY stream, customer_id ORDER BY at_us DESC, event_id DESC) = 1
), worth AS (
    SELECT stream, customer_id,
        coalesce(sum(cents) FILTER (type = 'customer.revenue'), 0) AS revenue,
        coalesce(sum(cents) FILTER (type = 'customer.cost'), 0) AS cost
    FROM fact
    WHERE type IN ('customer.revenue', 'customer.cost')
    GROUP BY stream, customer_id
)
SELECT stream, coalesce(segment, 'unknown') AS segment, count(*) AS customers, sum(revenue) AS revenue, sum(cost) AS cost
FROM worth LEFT JOIN present USING (stream, customer_id)
GROUP BY ALL;
