//! A job's table holds what the same SELECT gives, however the input is cut into epochs and spread.

use crate::engine::*;

/// Columns of the target, and the query.
const QUERIES: &[(&str, &str)] = &[
    ("body STRING", "SELECT body FROM raw"),
    (
        "u STRING, n INT",
        "SELECT upper(body) AS u, length(body) AS n FROM raw WHERE body LIKE '%e%' AND length(body) > 20",
    ),
    (
        "a STRING, b STRING, z STRING",
        r"SELECT split(body, ' \| ')[1] AS a, split(body, ' \| ')[4] AS b, split(body, ' \| ')[23] AS z FROM raw",
    ),
    ("d STRING", r"SELECT regexp_extract(body, '(?<=//)(.*?)(?=/|$)', 1) AS d FROM raw"),
    (
        "t STRING, day STRING",
        r"SELECT date_format(ts, 'HH:mm:ss.SSS') AS t, date_format(ts, 'yyyy-MM-dd') AS day FROM parsed",
    ),
    ("ts TIMESTAMP, level STRING", "SELECT ts, level FROM parsed WHERE ts IS NOT NULL"),
    ("f STRING", r"SELECT unnest(split(body, ' \| ')) AS f FROM raw"),
    ("x STRING", "SELECT body AS x FROM raw WHERE body LIKE '%INFO%' UNION ALL SELECT name AS x FROM typed"),
    ("x STRING", "SELECT name AS x FROM typed UNION ALL SELECT upper(name) AS x FROM typed"),
    ("id BIGINT, name STRING, score DOUBLE, at TIMESTAMP", "SELECT * FROM typed"),
    ("twice BIGINT, third DOUBLE", "SELECT id * 2 AS twice, score / 3 AS third FROM typed WHERE score > 1.5"),
    ("n BIGINT, p STRING, id BIGINT", "SELECT _sequence_number AS n, _partition AS p, id FROM typed WHERE id % 7 = 0"),
    (
        "name STRING, k STRING",
        "SELECT coalesce(name, 'none') AS name, CASE WHEN score > 6 THEN 'high' WHEN name IS NULL THEN NULL ELSE 'low' END AS k FROM typed",
    ),
    ("n INT", "SELECT CAST(substring(name, 6, 2) AS INT) AS n FROM typed"),
];

async fn prepare(engine: &Engine, rows: u64, big: u64) {
    engine.append("raw1.log", &log_lines(rows));
    engine.append("raw2.log", &log_lines(rows / 3));
    engine.append("typed1.csv", &typed_lines(0..big));
    engine.append("typed2.csv", &typed_lines(big..big + big / 2));
    let (raw, typed) = (engine.path("in/raw*"), engine.path("in/typed*"));
    for sql in [
        format!("CREATE TABLE raw (body STRING) WITH ('connector' = 'files', 'path' = '{raw}', 'format' = 'text')"),
        format!(
            "CREATE TABLE typed (id BIGINT, name STRING, score DOUBLE, at TIMESTAMP) WITH ('connector' = 'files', \
             'path' = '{typed}', 'format' = 'delimited', 'delimiter' = ',', 'null_value' = '')"
        ),
        r"CREATE VIEW parsed AS SELECT to_timestamp(split(body, ' \| ')[0], 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS') AS ts,
          split(body, ' \| ')[1] AS level FROM raw"
            .to_owned(),
    ] {
        engine.rows(&sql).await;
    }
}

async fn compare(engine: &Engine) {
    for (i, (columns, query)) in QUERIES.iter().enumerate() {
        let place = engine.path(&format!("table{i}"));
        engine.rows(&format!("CREATE EXTERNAL TABLE out{i} ({columns}) STORED AS PARQUET LOCATION '{place}'")).await;
        engine.rows(&format!("CREATE JOB job{i} AS INSERT INTO out{i} {query}")).await;
    }
    for (i, (_, query)) in QUERIES.iter().enumerate() {
        assert_eq!(engine.wait_for_state(&format!("job{i}"), "finished").await, "all input has been read");
        let (found, expected) = (engine.sorted(&format!("SELECT * FROM out{i}")).await, engine.sorted(query).await);
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(found.len(), expected.len(), "{query}");
        let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(differs, None, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tiny_epochs() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { epoch_rows: 7, ..options }).await;
    prepare(&engine, 300, 300).await;
    compare(&engine).await;
    // What doesn't decode is there once a job that reads it.
    let readers = QUERIES.iter().filter(|(_, query)| query.contains("FROM typed")).count();
    let bad = (0..450).filter(|id| id % 11 == 5).count();
    assert_eq!(engine.value("SELECT count(*) FROM typed$bad_records").await, (bad * readers).to_string());
    let once =
        "SELECT count(DISTINCT concat(_job, _partition, CAST(_sequence_number AS STRING))) FROM typed$bad_records";
    assert_eq!(engine.value(once).await, (bad * readers).to_string());
    assert_eq!(engine.value("SELECT DISTINCT reason FROM typed$bad_records").await.lines().count(), 1);
}

/// Enough rows at once that the epochs' partitions run side by side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_partitions() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { job_partitions: 3, ..options }).await;
    prepare(&engine, 300, 40_000).await;
    compare(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_partitions_and_tiny_epochs() {
    let change = |options| salamander_cluster::HeadOptions { job_partitions: 3, epoch_rows: 5, ..options };
    let engine = Engine::with(change).await;
    prepare(&engine, 120, 120).await;
    compare(&engine).await;
}
