//! INSERT INTO over tables: all rows once, or none.

use crate::engine::*;
use salamander_cluster::HeadOptions;
use salamander_serve::StatementError;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Rows by the billion.
const ENDLESS: &str =
    "INSERT INTO target SELECT 'row ' || value FROM generate_series(1, 4000000000) WHERE value % 1000 = 0";

async fn with_target() -> Engine {
    let engine = Engine::start().await;
    let target = engine.path("target");
    engine.rows(&format!("CREATE EXTERNAL TABLE target (body STRING) STORED AS PARQUET LOCATION '{target}'")).await;
    engine
}

fn files(engine: &Engine) -> usize {
    let files = std::fs::read_dir(engine.path("target")).unwrap().filter_map(Result::ok);
    files.filter(|f| f.file_name().to_string_lossy().ends_with(".parquet")).count()
}

/// A client whose INSERT is under way.
async fn begin_endless(engine: &Engine) -> JoinHandle<Result<(), StatementError>> {
    use salamander_serve::StatementService;
    let (head, session) = (engine.head.clone(), engine.session.clone());
    let client = tokio::spawn(async move { head.execute(&session, ENDLESS).await.map(drop) });
    while engine.rows("SHOW JOBS").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    engine.wait_for_state("insert_target_1", "running").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answered_insert_is_durable_and_in_files() {
    let engine = with_target().await;
    assert_eq!(engine.rows("INSERT INTO target VALUES ('a'), ('b')").await, ["2"]);
    assert_eq!(engine.sorted("SELECT * FROM target").await, ["a", "b"]);
    assert_eq!(files(&engine), 1);
    assert_eq!(engine.rows("INSERT INTO target SELECT upper(body) FROM target").await, ["2"]);
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    // As after kill -9.
    let second = engine.another().await;
    assert_eq!(second.sorted("SELECT * FROM target").await, ["A", "B", "a", "b"]);
    assert_eq!(second.rows("INSERT INTO target VALUES ('c')").await, ["1"]);
    assert_eq!(second.value("SELECT count(*) FROM target").await, "5");
    assert_eq!(second.rows("DROP TABLE target").await, ["done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_at_once_all_count() {
    let engine = with_target().await;
    let inserts = (0..8).map(|n| {
        let engine = &engine;
        async move { engine.rows(&format!("INSERT INTO target VALUES ('{n}'), ('{n}')")).await }
    });
    for answer in futures::future::join_all(inserts).await {
        assert_eq!(answer, ["2"]);
    }
    assert_eq!(engine.value("SELECT count(*) FROM target").await, "16");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_the_commit_inserts_nothing_ever() {
    let engine = with_target().await;
    let client = begin_endless(&engine).await;
    let error = engine.error("DROP TABLE target").await;
    assert!(error.contains("used by the running job 'insert_target_1'"), "{error}");
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    let folder = std::sync::Arc::clone(&engine.folder);
    let killed = engine.head.clone();
    let second = engine.another().await;
    drop(engine);
    drop(killed);
    while !second.rows("SHOW JOBS").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(second.value("SELECT count(*) FROM target").await, "0");
    assert_eq!(second.rows("INSERT INTO target VALUES ('a')").await, ["1"]);
    let third = second.another().await;
    assert_eq!(third.rows("SELECT * FROM target").await, ["a"]);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_job_ends_an_insert_that_takes_too_long() {
    let engine = with_target().await;
    let client = begin_endless(&engine).await;
    engine.rows("STOP JOB insert_target_1").await;
    let error = client.await.unwrap().unwrap_err();
    assert_eq!(error.message, "it was stopped (nothing was inserted)");
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!((engine.value("SELECT count(*) FROM target").await.as_str(), files(&engine)), ("0", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_tells_the_client_that_nothing_was_inserted() {
    let engine = with_target().await;
    let client = begin_endless(&engine).await;
    engine.head.shutdown().await;
    let error = client.await.unwrap().unwrap_err();
    assert_eq!(error.message, "the engine is shutting down: nothing was inserted");
    let second = engine.another().await;
    while !second.rows("SHOW JOBS").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(second.value("SELECT count(*) FROM target").await, "0");
}

/// What another job has published and not committed could be taken back by a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_reads_what_is_committed() {
    let engine = Engine::with(|o| HeadOptions { checkpoint_interval: Duration::from_secs(3600), ..o }).await;
    engine.follow().await;
    engine.append("events.log", "one\ntwo\n");
    engine.wait_for_rows("target", 2).await;
    let copy = engine.path("copy");
    engine.rows(&format!("CREATE EXTERNAL TABLE copied (body STRING) STORED AS PARQUET LOCATION '{copy}'")).await;
    assert_eq!(engine.rows("INSERT INTO copied SELECT body FROM target").await, ["0"]);
    engine.rows("STOP JOB copy").await;
    assert_eq!(engine.rows("INSERT INTO copied SELECT body FROM target").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_query_leaves_nothing() {
    let engine = with_target().await;
    engine.rows("INSERT INTO target VALUES ('a')").await;
    let sql = "INSERT INTO target SELECT CAST(arrow_cast('x' || body, 'Int64') AS STRING) FROM target";
    let error = engine.error(sql).await;
    assert!(error.contains("'xa'") && error.ends_with("(nothing was inserted)"), "{error}");
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!(engine.rows("SELECT * FROM target").await, ["a"]);
}
