//! Jobs through stops, restarts and rivals.

use crate::engine::*;

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("line {n}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_job_leaves_its_rows_and_lets_its_tables_go() {
    let engine = Engine::start().await;
    engine.follow().await;
    engine.append("events.log", &numbered(0..100));
    engine.wait_for_rows("target", 100).await;
    assert_eq!(engine.job("copy").await.0, "running");
    for sql in ["DROP TABLE events", "DROP TABLE target"] {
        let error = engine.error(sql).await;
        assert!(error.contains("is used by the running job 'copy': STOP JOB first"), "{error}");
    }
    assert_eq!(engine.error("DROP JOB copy").await, "job 'copy' is running: STOP JOB copy first");
    assert!(engine.error("CREATE JOB copy AS INSERT INTO target SELECT body FROM events").await.contains("already"));
    assert_eq!(engine.rows("STOP JOB copy").await, ["job copy stopped: 100 rows read, 0 bad"]);
    assert_eq!(engine.job("copy").await.0, "stopped");
    // Everything is in files that Hive sees.
    let partitions = engine.rows("SHOW PARTITIONS target").await;
    assert!(partitions.len() == 1 && partitions[0].contains(" | 100 | 1 | "), "{partitions:?}");
    engine.append("events.log", &numbered(100..200));
    assert_eq!(engine.rows("DROP JOB copy").await, ["done"]);
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!(engine.value("SELECT count(*) FROM target").await, "100");
    assert_eq!(engine.rows("DROP TABLE events").await, ["done"]);
    assert_eq!(engine.rows("DROP TABLE target").await, ["done"]);
    // An external table's files stay.
    let files = std::fs::read_dir(engine.path("target")).unwrap().filter_map(Result::ok);
    assert_eq!(files.filter(|f| f.file_name().to_string_lossy().ends_with(".parquet")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_go_on_after_a_restart_and_finished_ones_stay_finished() {
    let engine = Engine::start().await;
    engine.follow().await;
    engine.append("events.log", &numbered(0..100));
    engine.append("whole.log", &numbered(0..50));
    let (path, target) = (engine.path("in/whole.log"), engine.path("whole"));
    for sql in [
        format!("CREATE TABLE whole (body STRING) WITH ('connector' = 'files', 'path' = '{path}', 'format' = 'text')"),
        format!("CREATE EXTERNAL TABLE whole_target (body STRING) STORED AS PARQUET LOCATION '{target}'"),
        "CREATE JOB once AS INSERT INTO whole_target SELECT body FROM whole".to_owned(),
    ] {
        engine.rows(&sql).await;
    }
    engine.wait_for_state("once", "finished").await;
    engine.wait_for_rows("target", 100).await;
    engine.head.shutdown().await;
    assert_eq!(engine.job("copy").await.0, "paused");
    engine.append("events.log", &numbered(100..150));
    let second = engine.another().await;
    second.wait_for_rows("target", 150).await;
    second.wait_for_state("once", "finished").await;
    assert_eq!(second.value("SELECT count(*) FROM whole_target").await, "50");
    let lines: std::collections::BTreeSet<String> = second.rows("SELECT body FROM target").await.into_iter().collect();
    assert_eq!(lines.len(), 150);
    // Without a shutdown, as after kill -9.
    drop(second);
    engine.append("events2.log", &numbered(150..170));
    let third = engine.another().await;
    third.wait_for_rows("target", 170).await;
    assert_eq!(third.value("SELECT count(DISTINCT body) FROM target").await, "170");
    third.rows("STOP JOB copy").await;
    let fourth = engine.another().await;
    assert_eq!(fourth.job("copy").await.0, "stopped");
    assert_eq!(fourth.value("SELECT count(*) FROM target").await, "170");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_head_takes_over() {
    let first = Engine::start().await;
    first.follow().await;
    first.append("events.log", &numbered(0..100));
    first.wait_for_rows("target", 100).await;
    let second = first.another().await;
    second.wait_for_state("copy", "running").await;
    first.append("events.log", &numbered(100..200));
    second.wait_for_rows("target", 200).await;
    assert_eq!(
        first.error("CREATE DATABASE late").await,
        "another engine has taken over this data directory; connect to it instead"
    );
    loop {
        let (state, detail) = first.job("copy").await;
        if state == "failed" {
            assert_eq!(detail, "another engine has taken over job copy");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    second.rows("STOP JOB copy").await;
    assert_eq!(second.value("SELECT count(*) FROM target").await, "200");
    assert_eq!(second.value("SELECT count(DISTINCT body) FROM target").await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_does_not_resolve_is_named() {
    let engine = Engine::start().await;
    engine.append("events.log", &numbered(0..10));
    let (secret, target) = (engine.path("place"), engine.path("target"));
    for sql in [
        "CREATE TABLE missing (body STRING) WITH ('connector' = 'files', 'path' = '${SALAMANDER_TEST_NOT_SET}', 'format' = 'text')".to_owned(),
        format!("CREATE TABLE events (body STRING) WITH ('connector' = 'files', 'path' = '${{file:{secret}}}', 'format' = 'text', 'follow' = 'true')"),
        format!("CREATE EXTERNAL TABLE target (body STRING) STORED AS PARQUET LOCATION '{target}'"),
    ] {
        engine.rows(&sql).await;
    }
    let error = engine.error("CREATE JOB j AS INSERT INTO target SELECT body FROM missing").await;
    assert!(error.contains("${SALAMANDER_TEST_NOT_SET}") && error.contains("path"), "{error}");
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    std::fs::write(&secret, engine.path("in/events.log")).unwrap();
    engine.rows("CREATE JOB j AS INSERT INTO target SELECT body FROM events").await;
    engine.wait_for_rows("target", 10).await;
    engine.head.shutdown().await;
    // The next start is without it: the head starts, says so, and the rows are readable.
    std::fs::remove_file(&secret).unwrap();
    let second = engine.another().await;
    let (state, detail) = second.job("j").await;
    assert_eq!(state, "failed");
    assert!(detail.contains(&format!("${{file:{secret}}}")), "{detail}");
    assert_eq!(second.value("SELECT count(*) FROM target").await, "10");
    second.rows("STOP JOB j").await;
    assert_eq!(second.job("j").await.0, "stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_job_goes_on_where_it_was() {
    let engine = Engine::start().await;
    engine.follow().await;
    engine.append("events.log", &numbered(0..100));
    engine.wait_for_rows("target", 100).await;
    assert_eq!(engine.error("START JOB copy").await, "job copy is running already");
    engine.rows("STOP JOB copy").await;
    engine.append("events.log", &numbered(100..200));
    assert!(engine.value("START JOB copy").await.starts_with("job copy started"));
    engine.wait_for_rows("target", 200).await;
    engine.rows("STOP JOB copy").await;
    engine.append("events.log", &numbered(200..300));
    // The next process knows it as stopped, and starts it as well.
    let second = engine.another().await;
    assert_eq!(second.job("copy").await.0, "stopped");
    second.rows("START JOB copy").await;
    second.wait_for_rows("target", 300).await;
    let third = second.another().await;
    third.append("events.log", &numbered(300..310));
    third.wait_for_rows("target", 310).await;
    assert_eq!(third.value("SELECT count(DISTINCT body) FROM target").await, "310");
    third.rows("STOP JOB copy").await;
    third.rows("DROP TABLE events").await;
    let error = third.error("START JOB copy").await;
    assert!(error.contains("events"), "{error}");
    assert_eq!(third.job("copy").await.0, "stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_has_ended_by_itself_holds_nothing_back() {
    let engine = Engine::start().await;
    engine.append("whole.log", &numbered(0..50));
    let (path, target) = (engine.path("in/whole.log"), engine.path("whole"));
    for sql in [
        format!("CREATE TABLE whole (body STRING) WITH ('connector' = 'files', 'path' = '{path}', 'format' = 'text')"),
        format!("CREATE EXTERNAL TABLE target (body STRING) STORED AS PARQUET LOCATION '{target}'"),
        "CREATE JOB once AS INSERT INTO target SELECT body FROM whole".to_owned(),
    ] {
        engine.rows(&sql).await;
    }
    engine.wait_for_state("once", "finished").await;
    let error = engine.error("START JOB once").await;
    assert!(error.contains("has come to its end: all input has been read"), "{error}");
    assert_eq!(engine.rows("DROP TABLE whole").await, ["done"]);
    let (state, detail) = engine.job("once").await;
    assert_eq!((state.as_str(), detail.as_str()), ("finished", "all input has been read"));
    assert_eq!(engine.rows("DROP JOB once").await, ["done"]);
    let second = engine.another().await;
    assert_eq!(second.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!(second.value("SELECT count(*) FROM target").await, "50");
}
