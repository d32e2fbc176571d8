//! Materialized views: at each moment what the SELECT gives of the rows read so far, through restarts and stops.

use crate::engine::*;
use std::fmt::Write;

async fn rows_table(engine: &Engine, follow: bool) {
    engine.append("rows.csv", "");
    let path = engine.path("in/rows.csv");
    engine
        .rows(&format!(
            "CREATE TABLE rows (id BIGINT, name STRING, score DOUBLE, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '2' \
             SECOND) WITH ('connector' = 'files', 'path' = '{path}', 'format' = 'delimited', 'delimiter' = ',', \
             'null_value' = '', 'follow' = '{follow}')"
        ))
        .await;
}

/// Four rows a second, in order.
fn lines(ids: std::ops::Range<u64>) -> String {
    ids.fold(String::new(), |mut text, id| {
        let second = id / 4;
        let name = if id % 7 == 3 { String::new() } else { format!("n{}", id % 5) };
        let _ = writeln!(text, "{id},{name},{}.5,2026-11-24T10:{:02}:{:02}", id % 11, second / 60, second % 60);
        text
    })
}

/// Views and their queries.
const VIEWS: &[(&str, &str)] = &[
    (
        "per_window",
        "SELECT window.start AS s, name, count(*) AS n, avg(score) AS mean FROM rows GROUP BY window(ts, '10 seconds'), name",
    ),
    (
        "hopping",
        "SELECT window.end AS e, max(score) - min(score) AS spread FROM rows GROUP BY window(ts, '20 seconds', '10 seconds') \
         HAVING count(*) > 3",
    ),
    (
        "best",
        "SELECT window.start AS s, name, count(*) AS n FROM rows GROUP BY window(ts, '10 seconds'), name QUALIFY \
         row_number() OVER (PARTITION BY window ORDER BY count(*) DESC, name) = 1",
    ),
    (
        "per_name",
        "SELECT name, count(*) AS n, count(DISTINCT id % 3) AS kinds, max(ts) AS latest FROM rows GROUP BY name",
    ),
    (
        "top",
        "SELECT name, sum(score) AS total FROM rows WHERE name IS NOT NULL GROUP BY name ORDER BY total DESC, name LIMIT 2",
    ),
    ("names", "SELECT DISTINCT name, score > 5 AS high FROM rows"),
    ("whole", "SELECT count(*) AS n, approx_distinct(name) AS names FROM rows"),
    ("many", "SELECT n, count(*) AS names FROM (SELECT name, count(*) AS n FROM rows GROUP BY name) GROUP BY n"),
    ("by_sets", "SELECT name, id % 2 AS odd, count(*) AS n FROM rows GROUP BY ROLLUP (name, id % 2)"),
    ("copied", "SELECT id, upper(name) AS name FROM rows WHERE score > 4"),
    (
        "mixed",
        "SELECT window.start AS at, count(*) AS n FROM rows GROUP BY window(ts, '10 seconds') UNION ALL SELECT ts, id FROM rows WHERE id % 9 = 0",
    ),
];

async fn compare(engine: &Engine, rows: u64) {
    let begun = std::time::Instant::now();
    for (view, query) in VIEWS {
        let expected = engine.sorted(query).await;
        loop {
            let found = engine.sorted(&format!("SELECT * FROM {view}")).await;
            if found == expected {
                break;
            }
            assert!(begun.elapsed().as_secs() < 60, "{view} after {rows} rows: {found:?}\n{expected:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_what_its_query_gives() {
    let engine =
        Engine::with(|options| salamander_cluster::HeadOptions { job_partitions: 2, epoch_rows: 50, ..options }).await;
    rows_table(&engine, true).await;
    engine.append("rows.csv", &lines(0..70));
    for (view, query) in VIEWS {
        engine.rows(&format!("CREATE MATERIALIZED VIEW {view} AS {query}")).await;
    }
    compare(&engine, 70).await;
    for to in [71, 130, 131, 300] {
        engine.append(
            "rows.csv",
            &lines(if to == 71 {
                70..71
            } else if to == 130 {
                71..130
            } else if to == 131 {
                130..131
            } else {
                131..300
            }),
        );
        compare(&engine, to).await;
    }
    // The windows that are open, and those that have been written.
    let written = engine.rows("SHOW JOBS").await;
    assert_eq!(written.iter().filter(|row| row.contains(" | running | ")).count(), VIEWS.len(), "{written:?}");
    // After a restart, from the last checkpoint and what came after it.
    engine.head.shutdown().await;
    let second = engine.another().await;
    compare(&second, 300).await;
    second.append("rows.csv", &lines(300..333));
    compare(&second, 333).await;
    // Stopped, and read from its last checkpoint; also by another head, which never ran it.
    for (view, _) in VIEWS {
        second.rows(&format!("STOP JOB {view}")).await;
    }
    compare(&second, 333).await;
    second.head.shutdown().await;
    let third = second.another().await;
    compare(&third, 333).await;
    third.rows("START JOB per_window").await;
    third.rows("DROP MATERIALIZED VIEW per_window").await;
    assert!(third.error("SELECT * FROM per_window").await.contains("per_window"));
    assert!(!third.rows("SHOW JOBS").await.iter().any(|row| row.starts_with("per_window")));
    // The name is free again, and nothing of the old one is in the new one.
    third.rows(&format!("CREATE MATERIALIZED VIEW IF NOT EXISTS per_window AS {}", VIEWS[0].1)).await;
    compare(&third, 333).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_over_input_that_ends_stays() {
    let engine = Engine::start().await;
    rows_table(&engine, false).await;
    engine.append("rows.csv", &lines(0..200));
    for (view, query) in VIEWS {
        engine.rows(&format!("CREATE MATERIALIZED VIEW {view} AS {query}")).await;
        engine.wait_for_state(view, "finished").await;
    }
    compare(&engine, 200).await;
}

/// Each row is in the view once at every moment: in an open window, or written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_one_moment() {
    let engine = Engine::start().await;
    rows_table(&engine, true).await;
    engine.rows("CREATE MATERIALIZED VIEW counted AS SELECT window.start AS s, count(*) AS n, min(id) AS low, max(id) AS high FROM rows GROUP BY window(ts, '1 second')").await;
    let mut last = 0;
    for part in 0..40u64 {
        engine.append("rows.csv", &lines(part * 50..(part + 1) * 50));
        let row = engine
            .value(
                "SELECT coalesce(sum(n), 0), coalesce(max(high) + 1, 0), count(*) - count(DISTINCT s), (SELECT coalesce(sum(n), \
                 0) FROM counted) AS again FROM counted",
            )
            .await;
        let cells: Vec<u64> = row.split(" | ").map(|cell| cell.parse().unwrap()).collect();
        // The rows come in order: as many as the highest says, no window twice, and the same in both readings.
        assert_eq!((cells[0], cells[2], cells[0]), (cells[1], 0, cells[3]), "{row}");
        assert!(cells[0] >= last, "{row} after {last}");
        last = cells[0];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_view_cannot_be() {
    let engine = Engine::start().await;
    rows_table(&engine, true).await;
    let place = engine.path("plain");
    engine
        .rows(&format!("CREATE EXTERNAL TABLE plain (name STRING, n BIGINT) STORED AS PARQUET LOCATION '{place}'"))
        .await;
    engine
        .rows(
            "CREATE MATERIALIZED VIEW v (who, n) COMMENT 'how often' AS SELECT name, count(*) FROM rows GROUP BY name",
        )
        .await;
    assert_eq!(engine.rows("SHOW TABLES LIKE 'v'").await, ["default | v | MATERIALIZED VIEW"]);
    assert_eq!(engine.rows("DESCRIBE v").await, ["who | STRING | NULL", "n | BIGINT | NULL"]);
    let made = engine.value("SHOW CREATE TABLE v").await;
    assert_eq!(
        made,
        "CREATE MATERIALIZED VIEW default.v (who, n)\nCOMMENT 'how often' AS\nSELECT name, count(*) FROM rows GROUP BY name"
    );
    for (sql, says) in [
        ("INSERT INTO v SELECT name, id FROM rows", "v is a materialized view: its own query alone writes to it"),
        ("INSERT INTO plain SELECT * FROM v", "it is read by SELECT"),
        ("DROP TABLE v", "DROP MATERIALIZED VIEW"),
        ("DROP VIEW v", "not a view"),
        ("DROP MATERIALIZED VIEW plain", "DROP TABLE drops it"),
        ("DROP MATERIALIZED VIEW nothing", "there is no table or view 'nothing'"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "there is a table 'default.v' already"),
        ("CREATE MATERIALIZED VIEW w (a, b) AS SELECT id FROM rows", "names 2 columns, its query has 1"),
        ("CREATE MATERIALIZED VIEW w AS SELECT id, id + 1 AS id FROM rows", "two columns"),
        ("CREATE MATERIALIZED VIEW w AS SELECT name, n FROM plain", "which is no stream"),
        ("CREATE MATERIALIZED VIEW w AS SELECT id FROM rows ORDER BY id", "ORDER BY"),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT name, count(*) AS n FROM rows GROUP BY name UNION ALL SELECT name, id FROM rows",
            "make a view of each",
        ),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT name, count(*) AS n FROM rows GROUP BY name UNION ALL SELECT name, count(*) FROM \
             rows GROUP BY window(ts, '1 minute'), name",
            "make a view of each",
        ),
    ] {
        let error = engine.error(sql).await;
        assert!(error.contains(says), "{sql}: {error}");
    }
    // Its job can be stopped, not dropped.
    engine.rows("STOP JOB v").await;
    assert!(engine.error("DROP JOB v").await.contains("DROP MATERIALIZED VIEW default.v drops both"));
    engine.rows("DROP MATERIALIZED VIEW v").await;
    assert_eq!(engine.rows("DROP MATERIALIZED VIEW IF EXISTS v").await, ["nothing to do"]);
}
