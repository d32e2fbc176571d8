//! Windowed aggregates end to end: a job's table holds what the same SELECT gives, in both spellings; late rows are a
//! table; a job that is stopped and one whose input has ended.

use crate::engine::*;
use std::fmt::Write;

/// Columns of the target, and the query.
const QUERIES: &[(&str, &str)] = &[
    (
        "window_start TIMESTAMP, name STRING, n BIGINT, mean DOUBLE",
        "SELECT window.start AS window_start, name, count(*) AS n, avg(score) AS mean FROM typed \
         GROUP BY window(at, '10 seconds'), name",
    ),
    (
        "s TIMESTAMP, e TIMESTAMP, n BIGINT",
        "SELECT window.start, window.end, count(*) FROM typed GROUP BY window(at, '1 minute')",
    ),
    (
        "n BIGINT, s TIMESTAMP, share DOUBLE",
        "SELECT count(*), window.start, sum(CASE WHEN score > 6 THEN 1 ELSE 0 END) / count(*) FROM typed \
         WHERE name IS NOT NULL GROUP BY window(at, '30 seconds', '10 seconds'), upper(name) \
         HAVING count(*) > 1 AND max(score) > 2",
    ),
    (
        "s TIMESTAMP, n BIGINT, names BIGINT, high BIGINT",
        "SELECT window_start, count(*), count(DISTINCT name), count(*) FILTER (WHERE score > 6) \
         FROM TUMBLE(TABLE typed, DESCRIPTOR(at), INTERVAL '10' SECOND) GROUP BY window_start, window_end",
    ),
    (
        "s TIMESTAMP, e TIMESTAMP, name STRING, least DOUBLE, deviation DOUBLE",
        "SELECT window_start, window_end, name, min(score), round(stddev(score), 9) \
         FROM TABLE(HOP(TABLE typed, DESCRIPTOR(at), INTERVAL '7' SECOND, INTERVAL '20' SECOND)) AS h \
         WHERE score < 11 GROUP BY window_start, window_end, name",
    ),
    (
        "s TIMESTAMP, e TIMESTAMP, n BIGINT",
        "SELECT window_start, window_end, count(*) FROM CUMULATE(TABLE typed, DESCRIPTOR(at), INTERVAL '10' SECOND, \
         INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
    ),
    (
        "s TIMESTAMP, k STRING, total DOUBLE, half DOUBLE",
        "SELECT w.start, k, sum(score), round(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY score), 9) FROM windowed GROUP BY w, k",
    ),
    (
        "s TIMESTAMP, n BIGINT, last DOUBLE",
        "SELECT window.start, count(*), max(x) FROM (SELECT at, score AS x FROM typed WHERE id % 2 = 0 UNION ALL \
         SELECT at, -score AS x FROM typed) AS both GROUP BY window(at, '10 seconds')",
    ),
    // Without an aggregate: a row for each window.
    (
        "id BIGINT, s TIMESTAMP",
        "SELECT id, window_start FROM HOP(TABLE typed, DESCRIPTOR(at), INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
    ),
    (
        "id BIGINT, e TIMESTAMP",
        "SELECT id, window(at, '1 minute').end FROM typed WHERE window(at, '1 minute').start IS NOT NULL",
    ),
    // What is done with windows once they are whole: top-N, in two spellings.
    (
        "s TIMESTAMP, name STRING, n BIGINT, place BIGINT",
        "SELECT * FROM (SELECT window_start, name, n, row_number() OVER (PARTITION BY window_start ORDER BY n DESC, name) \
         AS place FROM (SELECT window_start, name, count(*) AS n FROM TUMBLE(TABLE typed, DESCRIPTOR(at), INTERVAL '20' \
         SECOND) GROUP BY window_start, window_end, name)) WHERE place <= 2",
    ),
    (
        "e TIMESTAMP, name STRING, share DOUBLE",
        "SELECT window.end AS e, name, count(*) * 1.0 / sum(count(*)) OVER (PARTITION BY window) AS share FROM typed \
         GROUP BY window(at, '30 seconds', '10 seconds'), name QUALIFY rank() OVER (PARTITION BY window ORDER BY count(*) DESC) = 1",
    ),
    // An aggregate of a window's groups, and DISTINCT.
    (
        "s TIMESTAMP, names BIGINT, most BIGINT",
        "SELECT s, count(*), max(n) FROM (SELECT window.start AS s, name, count(*) AS n FROM typed GROUP BY window(at, '10 \
         seconds'), name) GROUP BY s HAVING max(n) > 3",
    ),
    ("s TIMESTAMP, name STRING", "SELECT DISTINCT window(at, '20 seconds').start, name FROM typed WHERE score > 4"),
    (
        "s TIMESTAMP, long BOOLEAN",
        "SELECT DISTINCT s, n > 4 FROM (SELECT window.start AS s, name, count(*) AS n FROM typed GROUP BY window(at, '10 \
         seconds'), name)",
    ),
    // Windowed aggregates joined, with and without a partner, and the same one twice.
    (
        "s TIMESTAMP, name STRING, n BIGINT, few BIGINT",
        "SELECT a.s, a.name, a.n, b.n FROM (SELECT window.start AS s, window.end AS e, name, count(*) AS n FROM typed GROUP BY \
         window(at, '10 seconds'), name) a LEFT JOIN (SELECT window.end AS e, name, count(*) AS n FROM typed WHERE score > 8 \
         GROUP BY window(at, '10 seconds'), name) b ON a.e = b.e AND a.name = b.name",
    ),
    (
        "s TIMESTAMP, n BIGINT, of BIGINT",
        "SELECT a.window_start, a.n, b.n FROM (SELECT window_start, window_end, count(*) AS n FROM TUMBLE(TABLE typed, \
         DESCRIPTOR(at), INTERVAL '10' SECOND) GROUP BY window_start, window_end) a FULL JOIN (SELECT window_end, count(*) AS \
         n FROM TUMBLE(TABLE typed, DESCRIPTOR(at), INTERVAL '30' SECOND) GROUP BY window_start, window_end) b ON a.window_end \
         = b.window_end",
    ),
    // Windows over windows: by the time within, by the start, and by the rows of a rank.
    (
        "s TIMESTAMP, name STRING, most BIGINT, parts BIGINT",
        "SELECT window_start, name, max(n), count(*) FROM TUMBLE(TABLE (SELECT window_time AS t, name, count(*) AS n FROM \
         TUMBLE(TABLE typed, DESCRIPTOR(at), INTERVAL '10' SECOND) GROUP BY window_start, window_end, window_time, name), \
         DESCRIPTOR(t), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, name",
    ),
    (
        "t TIMESTAMP, s TIMESTAMP, n BIGINT",
        "SELECT window_time(w), w.start, n FROM (SELECT window(t, '30 seconds') AS w, sum(n) AS n FROM (SELECT \
         window_time(window) AS t, count(*) AS n FROM typed GROUP BY window(at, '10 seconds')) GROUP BY window(t, '30 seconds'))",
    ),
    (
        "s TIMESTAMP, e TIMESTAMP, total BIGINT",
        "SELECT window.start, window.end, sum(n) FROM (SELECT window.start AS t, count(*) AS n FROM typed GROUP BY window(at, \
         '20 seconds', '10 seconds'), name) GROUP BY window(t, '45 seconds', '15 seconds')",
    ),
    (
        "s TIMESTAMP, best BIGINT",
        "SELECT window.start, sum(n) FROM (SELECT t, n, row_number() OVER (PARTITION BY t ORDER BY n DESC) AS place FROM (SELECT \
         window.end AS t, name, count(*) AS n FROM typed GROUP BY window(at, '10 seconds'), name)) WHERE place = 1 GROUP BY \
         window(t, '1 minute')",
    ),
    // Sessions.
    (
        "s TIMESTAMP, e TIMESTAMP, name STRING, n BIGINT, mean DOUBLE",
        "SELECT session_window.start AS s, session_window.end, name, count(*), avg(score) FROM typed GROUP BY \
         session_window(at, '1 second'), name HAVING count(*) > 1",
    ),
    (
        "e TIMESTAMP, k STRING, n BIGINT, ids BIGINT",
        "SELECT window_end, k, count(*), count(DISTINCT id % 5) FROM SESSION(TABLE (SELECT at, upper(name) AS k, id FROM typed WHERE \
         id % 31 < 2), DESCRIPTOR(at), INTERVAL '2' SECOND) GROUP BY window_start, window_end, k",
    ),
    (
        "s TIMESTAMP, last TIMESTAMP, n BIGINT",
        "SELECT session_window.start, window_time(session_window), count(*) FROM typed WHERE id % 40 < 9 GROUP BY \
         session_window(at, INTERVAL '3' SECOND)",
    ),
    (
        "e TIMESTAMP, name STRING, n BIGINT",
        "SELECT session_window.end, name, count(*) FROM typed GROUP BY session_window(at, '1 second'), name QUALIFY \
         row_number() OVER (PARTITION BY session_window ORDER BY count(*) DESC, name) = 1",
    ),
    // Grouping sets.
    (
        "s TIMESTAMP, name STRING, odd BOOLEAN, what INT, n BIGINT, mean DOUBLE",
        "SELECT window.start, name, id % 2 = 1, grouping(name) + 2 * grouping(id % 2 = 1), count(*), avg(score) FROM typed \
         GROUP BY window(at, '20 seconds'), CUBE (name, id % 2 = 1)",
    ),
    (
        "e TIMESTAMP, name STRING, n BIGINT",
        "SELECT window_end, name, count(*) FROM HOP(TABLE typed, DESCRIPTOR(at), INTERVAL '10' SECOND, INTERVAL '30' SECOND) \
         GROUP BY GROUPING SETS ((window_start, window_end), (window_start, window_end, name), (window_end, window_start))",
    ),
];

/// What can't run window by window, and what the answer says.
const REFUSED: &[(&str, &str)] = &[
    (
        "SELECT name, 1, 2 FROM typed GROUP BY session_window(at, '0 seconds'), name",
        "a session's gap must be longer than 0",
    ),
    ("SELECT name, session_window(at, '1 second').start, 2 FROM typed", "can stand in GROUP BY only"),
    (
        "SELECT name, 1, 2 FROM typed GROUP BY session_window(at, '1 second', '2 seconds'), name",
        "takes a time and a gap",
    ),
    ("SELECT name, 1, 2 FROM typed GROUP BY session_window(at, name), name", "must be a constant"),
    (
        "SELECT name, 1, 2 FROM typed GROUP BY session_window(at, '1 second'), window(at, '1 minute'), name",
        "one kind of windows",
    ),
    (
        "SELECT window.start, sum(n), 1 FROM (SELECT session_window.end AS e, count(*) AS n FROM typed GROUP BY session_window(at, '1 \
         second')) GROUP BY window(e, '1 minute')",
        "windows over sessions",
    ),
    (
        "SELECT s, n, sum(n) OVER (ORDER BY s) FROM (SELECT window.start AS s, count(*) AS n FROM typed GROUP BY window(at, \
         '10 seconds'))",
        "must have the window in its PARTITION BY",
    ),
    (
        "SELECT name, max(n), min(s) FROM (SELECT window.start AS s, name, count(*) AS n FROM typed GROUP BY window(at, '10 \
         seconds'), name) GROUP BY name",
        "by the window, or by a window over it",
    ),
    (
        "SELECT DISTINCT name, 1, now FROM (SELECT window.start AS s, name, name AS now FROM typed GROUP BY window(at, '10 \
         seconds'), name)",
        "must have the window among its columns",
    ),
    ("SELECT DISTINCT name, 1, 2 FROM typed", "(or DISTINCT) must have a window"),
    (
        "SELECT a.name, 1, 2 FROM (SELECT name, window.end AS e FROM typed GROUP BY window(at, '10 seconds'), name) a JOIN \
         (SELECT name, window.end AS e FROM typed GROUP BY window(at, '10 seconds'), name) b ON a.name = b.name",
        "ON a.window_end = b.window_end",
    ),
    (
        "SELECT window.start, name, count(*) FROM typed GROUP BY GROUPING SETS ((window(at, '10 seconds'), name), (name))",
        "each of the GROUPING SETS must have the window",
    ),
    (
        "SELECT window.start, max(n), 1 FROM (SELECT window.start AS s, max(at) AS m, count(*) AS n FROM typed GROUP BY \
         window(at, '10 seconds')) GROUP BY window(m, '1 minute')",
        "must be of its window's start or end",
    ),
];

/// `id,name,score,at`: times go on, some fall back by less than the watermark's delay.
fn lines(ids: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for id in ids {
        let second = 100 + id / 3 - (id % 7) / 2;
        let name = if id % 13 == 3 { String::new() } else { format!("name {} of the long ones", id % 5) };
        let _ = writeln!(text, "{id},{name},{}.5,2026-11-24T10:{:02}:{:02}.25", id % 11, second / 60, second % 60);
    }
    text
}

async fn prepare(engine: &Engine) {
    engine.append("typed1.csv", &lines(0..1_500));
    engine.append("typed2.csv", &lines(500..900));
    let typed = engine.path("in/typed*");
    for sql in [
        format!(
            "CREATE TABLE typed (id BIGINT, name STRING, score DOUBLE, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL \
             '5' SECOND) WITH ('connector' = 'files', 'path' = '{typed}', 'format' = 'delimited', 'delimiter' = ',', \
             'null_value' = '')"
        ),
        "CREATE VIEW windowed AS SELECT window(at, '20 seconds') AS w, lower(name) AS k, score FROM typed".to_owned(),
    ] {
        engine.rows(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_windows_are_those_of_the_select() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { epoch_rows: 97, ..options }).await;
    prepare(&engine).await;
    engine.jobs_give_what_selects_give(QUERIES).await;
    assert_eq!(engine.value("SELECT count(*) FROM typed$late_records").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_rows_of_several_windows_is_refused() {
    let engine = Engine::start().await;
    prepare(&engine).await;
    let place = engine.path("out");
    engine
        .rows(&format!("CREATE EXTERNAL TABLE out (a STRING, b STRING, c STRING) STORED AS PARQUET LOCATION '{place}'"))
        .await;
    for (query, says) in REFUSED {
        let error = engine.error(&format!("CREATE JOB refused AS INSERT INTO out {query}")).await;
        assert!(error.contains(says), "{query}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_large_epochs_on_several_partitions() {
    let engine = Engine::with(|options| salamander_cluster::HeadOptions { job_partitions: 3, ..options }).await;
    prepare(&engine).await;
    engine.jobs_give_what_selects_give(QUERIES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_are_a_table_and_open_windows_survive_a_restart() {
    let engine = Engine::start().await;
    engine.append("rows.csv", "1,2026-11-24T10:00:01\n2,2026-11-24T10:00:02\n");
    let (rows, place) = (engine.path("in/rows.csv"), engine.path("counts"));
    for sql in [
        format!(
            "CREATE TABLE rows (id BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH ('connector' \
             = 'files', 'path' = '{rows}', 'format' = 'delimited', 'delimiter' = ',', 'null_value' = '', 'follow' = 'true')"
        ),
        format!("CREATE EXTERNAL TABLE counts (s TIMESTAMP, n BIGINT) STORED AS PARQUET LOCATION '{place}'"),
        "CREATE JOB counting AS INSERT INTO counts SELECT window.start, count(*) FROM rows GROUP BY window(ts, '10 seconds')"
            .to_owned(),
    ] {
        engine.rows(&sql).await;
    }
    engine.append("rows.csv", "3,2026-11-24T10:00:13\n");
    engine.wait_for_rows("counts", 1).await;
    assert_eq!(engine.rows("SELECT * FROM counts").await, ["2026-11-24T10:00:00Z | 2"]);
    // Late, without a time, and in time.
    engine.append("rows.csv", "4,2026-11-24T10:00:03\n5,\n6,2026-11-24T10:00:15\n");
    engine.wait_for_rows("rows$late_records", 2).await;
    assert_eq!(
        engine
            .sorted("SELECT _sequence_number, CAST(body AS STRING), event_time, watermark FROM rows$late_records")
            .await,
        ["3 | 4,2026-11-24T10:00:03 | 2026-11-24T10:00:03Z | 2026-11-24T10:00:11Z", "4 | 5, | NULL | NULL"]
    );
    engine.head.shutdown().await;
    let another = engine.another().await;
    another.append("rows.csv", "7,2026-11-24T10:00:23\n");
    another.wait_for_rows("counts", 2).await;
    assert_eq!(another.sorted("SELECT * FROM counts").await, ["2026-11-24T10:00:00Z | 2", "2026-11-24T10:00:10Z | 2"]);
    let late = another.rows("SHOW JOBS").await;
    assert!(late[0].contains("counting"), "{late:?}");
    // Status follows with the checkpoint. Row 7 waits for the end of its window.
    let begun = std::time::Instant::now();
    let state = loop {
        let state = another.rows("SHOW STATE counting").await;
        if state.iter().any(|row| row.ends_with("10:00:20.000 | 2026-11-24 10:00:30.000")) {
            break state;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{state:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let cells: Vec<&str> = state[0].split(" | ").collect();
    assert_eq!((state.len(), cells[0], cells[3], cells[4]), (1, "counting", "1", "1"), "{state:?}");
    let marks = another.rows("SHOW WATERMARKS").await;
    let cells: Vec<&str> = marks[0].split(" | ").collect();
    assert_eq!(cells[..3], ["counting", "2026-11-24 10:00:21.000", "default.rows"], "{marks:?}");
    assert_eq!(cells[4], "2026-11-24 10:00:21.000");
    match cells[5] {
        "holds" => assert_eq!(cells[7], "2026-11-24 10:00:30.000"),
        // After five seconds of silence.
        standing => assert_eq!((standing, cells[7]), ("idle", "NULL")),
    }
    // What each node has done in this process: row 7 was read, and window 10:00:10 emitted.
    let plan = another.rows("EXPLAIN ANALYZE JOB counting").await;
    let node =
        |name: &str| plan.iter().find(|row| row.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{plan:?}"));
    let figures = |name: &str| node(name).rsplit(" | ").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(figures("EpochSourceExec")[3], "1", "{plan:?}");
    let window = figures("WindowAggregateExec");
    assert_eq!((window[3].as_str(), window[1].as_str()), ("1", "1"), "{plan:?}");
    let graph = another.value("EXPLAIN GRAPH JOB counting").await;
    assert!(graph.contains("label=\"EpochSourceExec\\n1 rows") && graph.contains("-> n0;"), "{graph}");
    assert_eq!(another.rows("EXPLAIN WATERMARK counting").await.len(), 1);
    assert!(another.error("EXPLAIN JOB nobody").await.contains("there is no job 'nobody'"));
    assert!(another.error("SHOW STATE nobody").await.contains("there is no job nobody"));
    // What is still open stays open when a job is stopped.
    another.rows("STOP JOB counting").await;
    assert_eq!(another.value("SELECT count(*) FROM counts").await, "2");
}
