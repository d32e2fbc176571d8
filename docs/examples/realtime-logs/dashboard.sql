-- The dashboard's measures as materialized views over the table logs of analyses.sql: what Power BI reads by Flight SQL is the state
-- of the last moment, the window that is still open included.
--
--     salamander submit docs/examples/realtime-logs/dashboard.sql

-- The tiles and lines by url: requests, errors, mean and 99th percentile of the response time, every ten seconds.
CREATE MATERIALIZED VIEW requests_per_url AS
SELECT window.start AS window_start, url, count(*) AS requests, count(*) FILTER (WHERE log_level = 'ERROR') AS errors,
       avg(response_time) AS mean_s, approx_percentile(response_time, 0.99) AS p99_s
FROM logs
GROUP BY window(ts, '10 seconds'), url;

-- The five slowest urls of each minute.
CREATE MATERIALIZED VIEW slowest_urls AS
SELECT window.start AS minute, url, avg(response_time) AS mean_s, count(*) AS requests
FROM logs
GROUP BY window(ts, '1 minute'), url
QUALIFY row_number() OVER (PARTITION BY window ORDER BY avg(response_time) DESC, url) <= 5;

-- Active users, by minute.
CREATE MATERIALIZED VIEW active_users AS
SELECT window.start AS minute, count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions
FROM logs
GROUP BY window(ts, '1 minute');

-- All that happened since the view was made: requests by method and status, with subtotals.
CREATE MATERIALIZED VIEW requests_by_status AS
SELECT http_method, status, count(*) AS requests, max(ts) AS latest
FROM logs
GROUP BY ROLLUP (http_method, status);

-- The ten users with the most errors so far.
CREATE MATERIALIZED VIEW users_with_errors AS
SELECT user_id, count(*) AS errors, max(ts) AS latest
FROM logs
WHERE log_level = 'ERROR'
GROUP BY user_id
ORDER BY errors DESC, user_id
LIMIT 10;
