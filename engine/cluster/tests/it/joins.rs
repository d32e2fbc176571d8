//! Joins of two streams end to end: a job's table holds what the same SELECT gives, however the bounds are written; and
//! what joins that a job can't have say.

use crate::engine::*;
use std::fmt::Write;

/// Columns of the target, and the query.
const QUERIES: &[(&str, &str)] = &[
    (
        "a BIGINT, b BIGINT",
        "SELECT a.id, b.id FROM asked a JOIN answered b ON a.k = b.k AND b.at BETWEEN a.at - INTERVAL '5' SECOND AND a.at \
         + INTERVAL '10' SECOND",
    ),
    (
        "a BIGINT, b BIGINT, k STRING",
        "SELECT a.id, b.id, b.k FROM asked a, answered b WHERE a.k = b.k AND a.at <= b.at AND a.at > b.at - INTERVAL '9' \
         SECOND AND a.id % 3 < b.id % 4 AND b.k <> 'key 1'",
    ),
    (
        "a BIGINT, b BIGINT",
        "SELECT a.id, b.id FROM asked a LEFT JOIN answered b ON b.k = a.k AND b.at >= a.at + INTERVAL '1' SECOND AND \
         a.at + INTERVAL '4' SECOND > b.at",
    ),
    (
        "a BIGINT, b BIGINT",
        "SELECT a.id, b.id FROM asked a RIGHT JOIN answered b ON upper(a.k) = upper(b.k) AND a.at >= b.at - INTERVAL '2' \
         SECOND AND a.at <= b.at + INTERVAL '2' SECOND AND a.id > 40",
    ),
    ("a BIGINT, b BIGINT", "SELECT a.id, b.id FROM asked a FULL JOIN answered b ON a.at = b.at AND a.k = b.k"),
    (
        "a BIGINT",
        "SELECT id FROM asked a WHERE EXISTS (SELECT 1 FROM answered b WHERE a.k = b.k AND b.at BETWEEN a.at AND a.at + \
         INTERVAL '3' SECOND)",
    ),
    (
        "a BIGINT",
        "SELECT id FROM asked a WHERE NOT EXISTS (SELECT 1 FROM answered b WHERE a.k = b.k AND b.at BETWEEN a.at AND \
         a.at + INTERVAL '3' SECOND)",
    ),
    (
        "a BIGINT",
        "SELECT id FROM asked a WHERE k IN (SELECT k FROM answered b WHERE b.at BETWEEN a.at AND a.at + INTERVAL '3' \
         SECOND)",
    ),
    (
        "a BIGINT, b BIGINT",
        "SELECT a.id, b.id FROM asked a JOIN answered b ON a.k = b.k AND window(a.at, '10 seconds') = window(b.at, '10 \
         seconds')",
    ),
    (
        "s TIMESTAMP, a BIGINT, b BIGINT",
        "SELECT a.window_start, a.id, b.id FROM TUMBLE(TABLE asked, DESCRIPTOR(at), INTERVAL '6' SECOND) a JOIN \
         TUMBLE(TABLE answered, DESCRIPTOR(at), INTERVAL '6' SECOND) b ON a.window_start = b.window_start AND \
         a.window_end = b.window_end AND a.k = b.k",
    ),
    // A stream with itself, a view, a filter above, and UNION ALL.
    (
        "a BIGINT, b BIGINT",
        "SELECT x, y FROM (SELECT a.id AS x, b.id AS y FROM asked a JOIN some b ON a.k = b.k AND b.at > a.at AND b.at <= \
         a.at + INTERVAL '7' SECOND) AS pairs WHERE x + y > 50 UNION ALL SELECT id, 0 FROM answered",
    ),
];

/// Statements that a job can't run, and what the answer says.
const WRONG: &[(&str, &str)] = &[
    (
        "SELECT a.id FROM asked a JOIN answered b ON a.k = b.k",
        "add AND b.at >= a.at - INTERVAL '10' MINUTE AND b.at <= a.at",
    ),
    ("SELECT a.id FROM asked a JOIN answered b ON a.k = b.k AND b.at >= a.at", "add AND b.at <= a.at + INTERVAL"),
    ("SELECT a.id FROM asked a JOIN answered b ON a.k = b.k AND b.at < a.at", "add AND b.at >= a.at - INTERVAL"),
    (
        "SELECT a.id FROM asked a JOIN answered b ON b.at BETWEEN a.at AND a.at + INTERVAL '1' SECOND",
        "needs an equality beside the bounds of a.at and b.at",
    ),
    ("SELECT a.id FROM asked a CROSS JOIN answered b", "must be bounded in event time"),
    ("SELECT a.id FROM asked a JOIN timeless b ON a.id = b.id AND a.at = b.at", "declare WATERMARK FOR"),
    (
        "SELECT a.id FROM asked a JOIN (SELECT k, id FROM answered) b ON a.k = b.k",
        "one side doesn't have its event time among its columns",
    ),
    (
        "SELECT a.id FROM asked a JOIN answered b ON a.k = b.k AND a.at = b.at JOIN asked c ON c.k = a.k AND c.at = a.at",
        "a job can have one join yet",
    ),
    (
        "SELECT count(*) FROM asked a JOIN answered b ON a.k = b.k AND a.at = b.at GROUP BY window(a.at, '1 minute')",
        "comes from another aggregate or a join",
    ),
    (
        "SELECT a.id FROM asked a JOIN (SELECT k, max(at) AS at FROM answered GROUP BY k) b ON a.k = b.k AND a.at = b.at",
        "a job can't join the result of an aggregate yet",
    ),
    ("SELECT id FROM asked WHERE k NOT IN (SELECT k FROM answered)", "write NOT EXISTS"),
    (
        "SELECT id FROM asked a WHERE id = 3 OR EXISTS (SELECT 1 FROM answered b WHERE a.k = b.k AND a.at = b.at)",
        "as a condition of its own in WHERE",
    ),
];

/// `id,k,at`: times go on, some fall back by less than the watermark's delay; some keys are NULL.
fn lines(ids: std::ops::Range<u64>, step: u64) -> String {
    let mut text = String::new();
    for id in ids {
        let second = 100 + id * step / 3 - (id % 7) / 2;
        let key = if id % 13 == 3 { String::new() } else { format!("key {}", id % 5) };
        let _ = writeln!(text, "{id},{key},2026-11-24T10:{:02}:{:02}", second / 60, second % 60);
    }
    text
}

async fn prepare(engine: &Engine) {
    engine.append("asked.csv", &lines(0..400, 2));
    engine.append("answered.csv", &lines(0..300, 3));
    for (table, file, watermark) in [
        ("asked", "asked", ", WATERMARK FOR at AS at - INTERVAL '5' SECOND"),
        ("answered", "answered", ", WATERMARK FOR at AS at - INTERVAL '5' SECOND"),
        ("timeless", "asked", ""),
    ] {
        let path = engine.path(&format!("in/{file}.csv"));
        engine
            .rows(&format!(
                "CREATE TABLE {table} (id BIGINT, k STRING, at TIMESTAMP{watermark}) WITH ('connector' = 'files', 'path' = \
                 '{path}', 'format' = 'delimited', 'delimiter' = ',', 'null_value' = '')"
            ))
            .await;
    }
    engine.rows("CREATE VIEW some AS SELECT id, k, at FROM asked WHERE id % 2 = 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_joins_are_those_of_the_select() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { epoch_rows: 41, ..options }).await;
    prepare(&engine).await;
    engine.jobs_give_what_selects_give(QUERIES).await;
    assert_eq!(engine.value("SELECT count(*) FROM asked$late_records").await, "0");
}

/// Epochs that are large enough for their plan partitions to run at the same time, all of them on one state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_epochs_join_on_several_partitions() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { job_partitions: 3, ..options }).await;
    prepare(&engine).await;
    // Twelve rows a second.
    let dense = |ids: std::ops::Range<u64>| {
        ids.fold(String::new(), |mut text, id| {
            let second = 100 + id / 12;
            let _ = writeln!(text, "{id},key {},2026-11-24T10:{:02}:{:02}", id * 7 % 400, second / 60, second % 60);
            text
        })
    };
    engine.append("many1.csv", &dense(0..20_000));
    engine.append("many2.csv", &dense(3..20_003));
    for table in ["many1", "many2"] {
        let path = engine.path(&format!("in/{table}.csv"));
        let sql = format!(
            "CREATE TABLE {table} (id BIGINT, k STRING, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5' SECOND) WITH \
             ('connector' = 'files', 'path' = '{path}', 'format' = 'delimited', 'delimiter' = ',')"
        );
        engine.rows(&sql).await;
    }
    let joined = |kind: &str, columns: &str| {
        format!(
            "SELECT {columns} FROM many1 a {kind} JOIN many2 b ON a.k = b.k AND b.at BETWEEN a.at - INTERVAL '3' SECOND AND a.at + \
             INTERVAL '40' SECOND AND (a.id + b.id) % 3 > 0"
        )
    };
    let queries = [
        ("a BIGINT, b BIGINT", joined("", "a.id, b.id")),
        ("a BIGINT, b BIGINT", joined("FULL", "a.id, b.id")),
        ("a BIGINT, k STRING", joined("LEFT SEMI", "a.id, a.k")),
        ("a BIGINT, k STRING", joined("LEFT ANTI", "a.id, a.k")),
    ];
    let queries: Vec<_> = queries.iter().map(|(columns, query)| (*columns, query.as_str())).collect();
    engine.jobs_give_what_selects_give(&queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_a_job_cannot_have_say_what_to_write() {
    let engine = Engine::start().await;
    prepare(&engine).await;
    let place = engine.path("out");
    engine.rows(&format!("CREATE EXTERNAL TABLE out (a BIGINT) STORED AS PARQUET LOCATION '{place}'")).await;
    for (query, says) in WRONG {
        let error = engine.error(&format!("CREATE JOB wrong AS INSERT INTO out {query}")).await;
        assert!(error.contains(says), "{query}\n  says: {error}");
    }
}
