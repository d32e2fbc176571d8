//! Queries whose files go away, and the database that a session has chosen.

use crate::engine::*;
use futures::StreamExt;
use salamander_cluster::HeadOptions;
use salamander_serve::{Session, StatementService};
use salamander_types::ErrorKind;
use std::path::{Path, PathBuf};

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "parquet")).collect();
    files.sort();
    files
}

/// A table `foreign_rows` with files of Spark's, say: `n` of them, each with the one row `first`.
async fn foreign(n: usize) -> Engine {
    let engine = Engine::with(|o| HeadOptions { query_partitions: 1, ..o }).await;
    for table in ["made", "foreign_rows"] {
        let path = engine.path(table);
        engine.rows(&format!("CREATE EXTERNAL TABLE {table} (body STRING) STORED AS PARQUET LOCATION '{path}'")).await;
    }
    engine.rows("INSERT INTO made VALUES ('first')").await;
    engine.rows("INSERT INTO foreign_rows SELECT body FROM made WHERE body = 'no such row'").await;
    let made = parquet_files(Path::new(&engine.path("made")));
    for file in 0..n {
        std::fs::copy(&made[0], Path::new(&engine.path("foreign_rows")).join(format!("part-{file}.parquet"))).unwrap();
    }
    engine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_file_is_gone_before_the_first_row_pins_anew() {
    let engine = foreign(1).await;
    let folder = engine.path("foreign_rows");
    assert_eq!(engine.rows("SELECT body FROM foreign_rows").await, ["first"]);
    let mut rows = engine.head.execute(&engine.session, "SELECT body FROM foreign_rows").await.unwrap();
    let old = Path::new(&folder).join("part-0.parquet");
    std::fs::rename(&old, Path::new(&folder).join("part-of-the-next-write.parquet")).unwrap();
    let batch = rows.next().await.unwrap().unwrap();
    assert_eq!(batch.num_rows(), 1);
    assert!(rows.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_it_is_an_error_that_says_what_to_do() {
    let engine = foreign(50).await;
    let mut rows = engine.head.execute(&engine.session, "SELECT body FROM foreign_rows").await.unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap().num_rows(), 1);
    for file in parquet_files(Path::new(&engine.path("foreign_rows"))) {
        std::fs::remove_file(file).unwrap();
    }
    let error = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the rest is missing without a word"),
        }
    };
    let datafusion::common::DataFusionError::External(inner) = error else { panic!("{error}") };
    let error = inner.downcast_ref::<salamander_serve::StatementError>().unwrap();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(error.message.contains("was removed while it ran") && error.message.contains("run it again"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_is_the_sessions_own_and_ends_with_it() {
    let engine = Engine::start().await;
    engine.rows("CREATE DATABASE sales").await;
    engine.rows("CREATE VIEW sales.v AS SELECT 42 AS answer").await;
    engine.rows("USE sales").await;
    assert_eq!(engine.rows("SELECT answer FROM v").await, ["42"]);
    let other = Session::internal("other");
    assert!(engine.head.execute(&other, "SELECT answer FROM v").await.is_err());
    engine.head.session_ended(&engine.session.id);
    let error = engine.error("SELECT answer FROM v").await;
    assert!(error.contains("not found"), "{error}");
}
