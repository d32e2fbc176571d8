-- The users' questions as continuous jobs over windows of event time. Each target is a table that Spark, Hive and Power BI read,
-- and each SELECT can be run by itself over the same stream: it gives the same rows. Submit it after pipeline.sql's database is there:
--
--     salamander submit docs/examples/realtime-logs/analyses.sql

-- The lines with typed columns: labels (`Response Time: `) and units (`0.83s`) are stripped, what doesn't fit goes to
-- logs$bad_records, and what comes more than ten seconds behind its partition to logs$late_records.
CREATE TABLE logs (
    ts TIMESTAMP, log_level STRING, request_id STRING, session_id STRING, user_id STRING, action STRING, http_method STRING,
    url STRING, referrer STRING, ip_address STRING, user_agent STRING, response_time DOUBLE, product_id STRING, cart_size INT,
    checkout_status STRING, token STRING, auth_method STRING, auth_level STRING, correlation_id STRING, server_ip STRING,
    port_number INT, protocol STRING, status STRING, detail STRING,
    WATERMARK FOR ts AS ts - INTERVAL '10' SECOND
)
WITH (
    'connector' = 'eventhubs',
    'connection_string' = '${EVENTHUBS_CONNECTION_STRING}',
    'event_hub' = 'logs',
    'consumer_group' = 'analyses',
    'format' = 'delimited',
    'delimiter' = ' | ',
    'strip_labels' = 'true'
);

-- 1. Performance: latency per url over one minute, every ten seconds.
CREATE EXTERNAL TABLE latency_per_url (
    window_start TIMESTAMP, window_end TIMESTAMP, url STRING, requests BIGINT, mean_s DOUBLE, p50_s DOUBLE, p95_s DOUBLE, p99_s DOUBLE,
    slowest_s DOUBLE
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/latency_per_url';

CREATE JOB latency_per_url AS
INSERT INTO latency_per_url
SELECT window.start, window.end, url, count(*), avg(response_time), approx_percentile(response_time, 0.5),
       approx_percentile(response_time, 0.95), approx_percentile(response_time, 0.99), max(response_time)
FROM logs
GROUP BY window(ts, '1 minute', '10 seconds'), url;

-- 2. Behaviour: the funnel from login through pages to submitted forms, and where visitors come from, per minute.
CREATE EXTERNAL TABLE funnel (
    window_start TIMESTAMP, referrer_domain STRING, users BIGINT, logins BIGINT, views BIGINT, submits BIGINT
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/funnel';

CREATE JOB funnel AS
INSERT INTO funnel
SELECT window.start, regexp_extract(referrer, '(?<=//)(.*?)(?=/|$)', 1), count(DISTINCT user_id),
       count(*) FILTER (WHERE action = 'login'), count(*) FILTER (WHERE action = 'view_page'),
       count(*) FILTER (WHERE action = 'submit_form')
FROM logs
GROUP BY window(ts, '1 minute'), regexp_extract(referrer, '(?<=//)(.*?)(?=/|$)', 1);

-- 3. Errors and anomalies: per url and ten seconds the error rate, response times far from the window's mean, unusual actions, huge carts.
CREATE EXTERNAL TABLE anomalies_per_url (
    window_start TIMESTAMP, url STRING, requests BIGINT, errors BIGINT, error_rate DOUBLE, unusual_actions BIGINT, huge_carts BIGINT,
    slowest_deviations DOUBLE
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/anomalies_per_url';

CREATE JOB anomalies_per_url AS
INSERT INTO anomalies_per_url
SELECT window.start, url, count(*), count(*) FILTER (WHERE log_level = 'ERROR'),
       count(*) FILTER (WHERE log_level = 'ERROR') / count(*),
       count(*) FILTER (WHERE action = 'unusual_action'), count(*) FILTER (WHERE cart_size >= 100),
       (max(response_time) - avg(response_time)) / stddev_pop(response_time)
FROM logs
GROUP BY window(ts, '10 seconds'), url;

-- 4. Security: users that are refused (401, 403) again and again, and sessions that come from several addresses, per minute.
CREATE EXTERNAL TABLE refusals_per_user (
    window_start TIMESTAMP, user_id STRING, refusals BIGINT, addresses BIGINT, tokens BIGINT, admin_level BIGINT
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/refusals_per_user';

CREATE JOB refusals_per_user AS
INSERT INTO refusals_per_user
SELECT window.start, user_id, count(*), count(DISTINCT ip_address), count(DISTINCT token),
       count(*) FILTER (WHERE auth_level = 'Admin')
FROM logs
WHERE status LIKE '401%' OR status LIKE '403%'
GROUP BY window(ts, '1 minute'), user_id
HAVING count(*) >= 3;

CREATE EXTERNAL TABLE sessions_of_many_addresses (window_start TIMESTAMP, session_id STRING, addresses BIGINT, requests BIGINT)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/sessions_of_many_addresses';

CREATE JOB sessions_of_many_addresses AS
INSERT INTO sessions_of_many_addresses
SELECT window.start, session_id, count(DISTINCT ip_address), count(*)
FROM logs
GROUP BY window(ts, '1 minute'), session_id
HAVING count(DISTINCT ip_address) > 1;

-- 5. State of the system: rates and active users, every ten seconds.
CREATE EXTERNAL TABLE system_state (
    window_start TIMESTAMP, requests_per_second DOUBLE, errors_per_second DOUBLE, active_users BIGINT, mean_s DOUBLE
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/system_state';

CREATE JOB system_state AS
INSERT INTO system_state
SELECT window.start, count(*) / 10, count(*) FILTER (WHERE log_level = 'ERROR') / 10, count(DISTINCT user_id), avg(response_time)
FROM logs
GROUP BY window(ts, '10 seconds');

-- 6. Commerce: carts and the outcome of checkouts by product, per minute.
CREATE EXTERNAL TABLE checkouts_per_product (
    window_start TIMESTAMP, product_id STRING, checkout_status STRING, requests BIGINT, mean_cart DOUBLE, largest_cart INT
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/checkouts_per_product';

CREATE JOB checkouts_per_product AS
INSERT INTO checkouts_per_product
SELECT window.start, product_id, checkout_status, count(*), avg(cart_size), max(cart_size)
FROM logs
GROUP BY window(ts, '1 minute'), product_id, checkout_status;

-- 7. Use of the API: calls per endpoint, method and status, since midnight, up to each hour.
CREATE EXTERNAL TABLE api_calls (day TIMESTAMP, up_to TIMESTAMP, url STRING, http_method STRING, status STRING, calls BIGINT)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/api_calls';

CREATE JOB api_calls AS
INSERT INTO api_calls
SELECT window.start, window.end, url, http_method, status, count(*)
FROM logs
GROUP BY cumulate_window(ts, '1 day', '1 hour'), url, http_method, status;

-- 8. Load: traffic per server and port, every ten seconds.
CREATE EXTERNAL TABLE load_per_server (window_start TIMESTAMP, server_ip STRING, port_number INT, requests BIGINT, busy_s DOUBLE)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/load_per_server';

CREATE JOB load_per_server AS
INSERT INTO load_per_server
SELECT window.start, server_ip, port_number, count(*), sum(response_time)
FROM logs
GROUP BY window(ts, '10 seconds'), server_ip, port_number;

-- Sessions of each user: from the first request to half a minute after the last, and what was done in it.
CREATE EXTERNAL TABLE user_sessions (
    session_start TIMESTAMP, session_end TIMESTAMP, user_id STRING, requests BIGINT, pages BIGINT, errors BIGINT, mean_s DOUBLE
)
STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/user_sessions';

CREATE JOB user_sessions AS
INSERT INTO user_sessions
SELECT session_window.start, session_window.end, user_id, count(*), count(DISTINCT url), count(*) FILTER (WHERE log_level = 'ERROR'),
       avg(response_time)
FROM logs
GROUP BY session_window(ts, '30 seconds'), user_id;
