//! CREATE, DROP, SHOW, DESCRIBE, USE.

use crate::engine::*;

async fn tables(engine: &Engine) {
    let (path, target) = (engine.path("in"), engine.path("target"));
    for sql in [
        "CREATE DATABASE shop".to_owned(),
        format!(
            "CREATE TABLE shop.orders (id BIGINT COMMENT 'number', who STRING) WITH ('connector' = 'files', \
             'path' = '{path}', 'format' = 'delimited', 'delimiter' = ',')"
        ),
        "CREATE VIEW shop.big AS SELECT id, upper(who) AS who FROM shop.orders WHERE id > 100".to_owned(),
        format!(
            "CREATE EXTERNAL TABLE shop.lake (id BIGINT, who STRING) PARTITIONED BY (day STRING) STORED AS PARQUET \
             LOCATION '{target}'"
        ),
    ] {
        assert_eq!(engine.rows(&sql).await, ["done"], "{sql}");
    }
}

#[tokio::test]
async fn what_is_defined_is_shown() {
    let engine = Engine::start().await;
    tables(&engine).await;
    assert_eq!(engine.rows("SHOW DATABASES").await, ["default", "shop"]);
    assert_eq!(engine.rows("SHOW TABLES").await, Vec::<String>::new());
    let all = ["shop | big | VIEW", "shop | lake | TABLE", "shop | orders | STREAM"];
    assert_eq!(engine.rows("SHOW TABLES IN shop").await, all);
    assert_eq!(engine.rows("SHOW TABLES IN shop LIKE 'l%'").await, ["shop | lake | TABLE"]);
    assert_eq!(engine.rows("USE shop").await, ["database shop"]);
    assert_eq!(engine.rows("SHOW TABLES").await, all);
    assert_eq!(engine.rows("DESCRIBE orders").await, ["id | BIGINT | number", "who | STRING | NULL"]);
    assert_eq!(engine.rows("DESCRIBE big").await, ["id | BIGINT | NULL", "who | STRING | NULL"]);
    let day = "day | STRING | NULL";
    assert_eq!(engine.rows("DESCRIBE TABLE lake").await, ["id | BIGINT | NULL", "who | STRING | NULL", day]);
    let bad = engine.rows("DESCRIBE orders$bad_records").await;
    assert_eq!((bad.len(), bad[0].as_str(), bad[6].as_str()), (7, "_job | STRING | NULL", "reason | STRING | NULL"));
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!(engine.rows("SHOW PARTITIONS lake").await, Vec::<String>::new());
}

/// The statement that SHOW CREATE TABLE gives makes the same table again.
#[tokio::test]
async fn a_shown_statement_makes_the_same_again() {
    let engine = Engine::start().await;
    tables(&engine).await;
    for (name, drop) in [("shop.big", "VIEW"), ("shop.orders", "TABLE"), ("shop.lake", "TABLE")] {
        let statement = engine.value(&format!("SHOW CREATE TABLE {name}")).await;
        assert_eq!(engine.rows(&format!("DROP {drop} {name}")).await, ["done"]);
        // The view needs its table back first; tables stand alone.
        if drop == "TABLE" {
            assert_eq!(engine.rows(&statement).await, ["done"], "{statement}");
            assert_eq!(engine.value(&format!("SHOW CREATE TABLE {name}")).await, statement);
        } else {
            assert_eq!(engine.rows(&statement).await, ["done"], "{statement}");
        }
    }
}

#[tokio::test]
async fn what_can_not_be_is_refused_and_leaves_nothing() {
    let engine = Engine::start().await;
    tables(&engine).await;
    let cases = [
        ("CREATE DATABASE shop", "there is a database 'shop' already"),
        ("DROP DATABASE shop", "database 'shop' is not empty"),
        ("DROP TABLE shop.nothing", "there is no table"),
        ("DROP VIEW shop.lake", "is a table, not a view"),
        ("SELECT * FROM shop.order", "order"),
        ("CREATE VIEW v AS SELECT nothing FROM shop.orders", "nothing"),
        (
            "CREATE TABLE t (a BIGINT) WITH ('connector' = 'files', 'path' = '/x', 'format' = 'text')",
            "has one column, a STRING or BINARY",
        ),
        ("CREATE TABLE t (a STRING) WITH ('connector' = 'files', 'format' = 'text')", "path"),
        (
            "CREATE JOB j AS INSERT INTO shop.lake SELECT id FROM shop.orders",
            "the query has 1 columns, shop.lake takes 3",
        ),
        (
            "CREATE JOB j AS INSERT INTO shop.lake SELECT who, count(*), 'd' FROM shop.orders GROUP BY who",
            "a job's aggregate (or DISTINCT) must have a window of the stream's event time",
        ),
        ("CREATE JOB j AS INSERT INTO shop.big SELECT id, who FROM shop.orders", "is a view, not a table"),
        ("CREATE JOB j AS INSERT INTO shop.orders SELECT id, who FROM shop.orders", "can be written to"),
        ("SET anything = 1", "there is no setting 'anything'"),
        ("SELECT 1; SELECT 2", "one"),
    ];
    for (sql, part) in cases {
        let error = engine.error(sql).await;
        assert!(error.contains(part), "{sql}: {error}");
    }
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert_eq!(engine.rows("SHOW TABLES").await, Vec::<String>::new());
    assert_eq!(engine.rows("DROP TABLE IF EXISTS shop.nothing").await, ["nothing to do"]);
    assert_eq!(engine.rows("CREATE DATABASE IF NOT EXISTS shop").await, ["nothing to do"]);
}

#[tokio::test]
async fn an_explain_of_a_job_runs_nothing() {
    let engine = Engine::start().await;
    tables(&engine).await;
    let plans = engine.rows("EXPLAIN INSERT INTO shop.lake SELECT id, who, 'today' FROM shop.orders").await;
    assert!(plans[0].starts_with("logical | ") && plans[1].contains("EpochSinkExec"), "{plans:?}");
    assert_eq!(engine.rows("SHOW JOBS").await, Vec::<String>::new());
    assert!(
        engine
            .error("EXPLAIN ANALYZE INSERT INTO shop.lake SELECT id, who, 'x' FROM shop.orders")
            .await
            .contains("EXPLAIN ANALYZE JOB")
    );
}
