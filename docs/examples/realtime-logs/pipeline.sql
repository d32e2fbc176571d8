-- The real-time logs pipeline, which used to run on Spark: an event hub of log lines -> a Hive table of 25 columns.
-- Submit it with `salamander submit docs/examples/realtime-logs/pipeline.sql`.
--
-- The functions are Spark's and give what Spark gives: docs/sql/functions.md. A backslash in a string is a backslash here:
-- where Spark wants ' \\| ', write ' \| '. Damaged lines become NULLs and end in the partition of dates that are NULL.

CREATE DATABASE formersalamendars;

-- One row a message, its body as text.
CREATE TABLE raw_logs (body STRING)
WITH (
    'connector' = 'eventhubs',
    'connection_string' = '${EVENTHUBS_CONNECTION_STRING}',
    'event_hub' = 'logs',
    'consumer_group' = '$Default',
    'starting_position' = 'earliest',
    'format' = 'text'
);

-- The 24 fields of a line; the first is its time, the ninth the referrer with its label.
CREATE VIEW parsed AS
SELECT to_timestamp(f[0], 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS') AS ts,
       f[1] AS log_level,
       f[2] AS request_id,
       f[3] AS session_id,
       f[4] AS user_id,
       f[5] AS action,
       f[6] AS http_method,
       f[7] AS url,
       f[8] AS referrer_url,
       f[9] AS ip_address,
       f[10] AS user_agent,
       f[11] AS response_time,
       f[12] AS product_id,
       f[13] AS cart_size,
       f[14] AS checkout_status,
       f[15] AS token,
       f[16] AS auth_method,
       f[17] AS auth_level,
       f[18] AS correlation_id,
       f[19] AS server_ip,
       f[20] AS port_number,
       f[21] AS protocol,
       f[22] AS status,
       f[23] AS detail
FROM (SELECT split(body, ' \| ') AS f FROM raw_logs) AS lines;

-- All columns are strings, as they were; Hive's partition column comes last.
CREATE EXTERNAL TABLE formersalamendars.formersalamendars_logs (
    time STRING,
    log_level STRING,
    request_id STRING,
    session_id STRING,
    user_id STRING,
    action STRING,
    http_method STRING,
    url STRING,
    referrer_domain STRING,
    ip_address STRING,
    user_agent STRING,
    response_time STRING,
    product_id STRING,
    cart_size STRING,
    checkout_status STRING,
    token STRING,
    auth_method STRING,
    auth_level STRING,
    correlation_id STRING,
    server_ip STRING,
    port_number STRING,
    protocol STRING,
    status STRING,
    detail STRING
)
PARTITIONED BY (date STRING)
STORED AS PARQUET
LOCATION 'abfss://lake@account.dfs.core.windows.net/logs'
TBLPROPERTIES ('roll_interval' = '5 minutes', 'roll_size' = '128 MB');

-- Labels such as `Response Time: ` are cut off; of the referrer the domain is kept.
CREATE JOB ingest AS
INSERT INTO formersalamendars.formersalamendars_logs
SELECT date_format(ts, 'HH:mm:ss.SSS') AS time,
       log_level,
       request_id,
       session_id,
       user_id,
       action,
       http_method,
       url,
       regexp_extract(referrer_url, '(?<=//)(.*?)(?=/|$)', 1) AS referrer_domain,
       regexp_extract(ip_address, '(?<=:\s)(.*)', 1) AS ip_address,
       regexp_extract(user_agent, '(?<=:\s)(.*)', 1) AS user_agent,
       regexp_extract(response_time, '(?<=:\s)(.*)', 1) AS response_time,
       regexp_extract(product_id, '(?<=:\s)(.*)', 1) AS product_id,
       regexp_extract(cart_size, '(?<=:\s)(.*)', 1) AS cart_size,
       regexp_extract(checkout_status, '(?<=:\s)(.*)', 1) AS checkout_status,
       regexp_extract(token, '(?<=:\s)(.*)', 1) AS token,
       regexp_extract(auth_method, '(?<=:\s)(.*)', 1) AS auth_method,
       regexp_extract(auth_level, '(?<=:\s)(.*)', 1) AS auth_level,
       regexp_extract(correlation_id, '(?<=:\s)(.*)', 1) AS correlation_id,
       regexp_extract(server_ip, '(?<=:\s)(.*)', 1) AS server_ip,
       regexp_extract(port_number, '(?<=:\s)(.*)', 1) AS port_number,
       regexp_extract(protocol, '(?<=:\s)(.*)', 1) AS protocol,
       status,
       regexp_extract(detail, '(?<=:\s)(.*)', 1) AS detail,
       date_format(ts, 'yyyy-MM-dd') AS date
FROM parsed;
