//! What a job can't have, and the words that say so.

use crate::small_catalog::*;
use arrow::datatypes::DataType;
use salamander_planner::JobTarget;
use salamander_types::ErrorKind;

async fn refusal(sql: &str, target: &JobTarget) -> String {
    let error = job(sql, target).await.map(|_| ()).expect_err(sql);
    assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
    error.to_string()
}

#[tokio::test]
async fn what_needs_state_is_named() {
    let cases = [
        ("SELECT name FROM events GROUP BY name", "an aggregate (GROUP BY)"),
        ("SELECT CAST(count(*) AS STRING) FROM events", "an aggregate (GROUP BY)"),
        ("SELECT l.body FROM logs l JOIN other_logs o ON l.body = o.body", "a join"),
        ("SELECT l.body FROM logs l, other_logs o", "a join"),
        ("SELECT body FROM logs ORDER BY body", "ORDER BY"),
        ("SELECT body FROM logs LIMIT 10", "LIMIT"),
        ("SELECT DISTINCT body FROM logs", "DISTINCT"),
        ("SELECT body FROM logs UNION SELECT body FROM other_logs", "DISTINCT"),
        (
            "SELECT body FROM (SELECT body, row_number() OVER (ORDER BY body) AS n FROM logs) WHERE n = 1",
            "a window function (OVER)",
        ),
        ("SELECT body FROM logs WHERE body IN (SELECT name FROM events)", "a subquery in an expression"),
        ("SELECT 'x'", "a part without a stream (VALUES, SELECT without FROM)"),
        ("SELECT body FROM logs UNION ALL SELECT 'x'", "a part without a stream (VALUES, SELECT without FROM)"),
    ];
    for (sql, part) in cases {
        let expected = format!(
            "a job can't have {part} yet: it works row by row (projections, filters, UNION ALL). Run it as an ordinary \
             SELECT over the job's table instead"
        );
        assert_eq!(refusal(sql, &text_target()).await, expected, "{sql}");
    }
}

/// Each epoch would insert the table's rows again.
#[tokio::test]
async fn a_table_that_is_no_stream_is_refused() {
    for sql in [
        "SELECT body FROM logs UNION ALL SELECT CAST(value AS STRING) FROM generate_series(1, 3)",
        "SELECT CAST(value AS STRING) FROM generate_series(1, 3)",
    ] {
        let refusal = refusal(sql, &text_target()).await;
        assert!(refusal.contains("which is no stream") && refusal.contains("runs once"), "{refusal}");
    }
}

/// DataFusion makes a constant of it when it plans: a job would write the time of its start for ever.
#[tokio::test]
async fn the_time_of_day_does_not_stand_still_unnoticed() {
    for sql in
        ["SELECT CAST(now() AS STRING) FROM logs", "SELECT body FROM logs WHERE current_timestamp > _enqueued_time"]
    {
        let refusal = refusal(sql, &text_target()).await;
        assert!(refusal.starts_with("a job can't have now() yet"), "{refusal}");
    }
}

#[tokio::test]
async fn columns_that_do_not_fit_are_counted() {
    assert_eq!(
        refusal("SELECT id, name FROM events", &text_target()).await,
        "the query has 2 columns, default.target takes 1: body"
    );
    let mut two = target(&[("id", DataType::Int64), ("name", DataType::Utf8View)]);
    two.columns = vec!["name".to_owned()];
    assert_eq!(
        refusal("SELECT id, name FROM events", &two).await,
        "the query has 2 columns, default.target takes 1: name"
    );
    two.columns = vec!["name".to_owned(), "name".to_owned()];
    assert_eq!(refusal("SELECT id, name FROM events", &two).await, "column 'name' is named twice");
    two.columns = vec!["nme".to_owned()];
    assert_eq!(refusal("SELECT name FROM events", &two).await, "default.target has no column 'nme'");
}

#[tokio::test]
async fn names_that_are_not_there_are_named() {
    let table = refusal("SELECT body FROM log", &text_target()).await;
    assert!(table.contains("log") && table.contains("not found"), "{table}");
    let column = refusal("SELECT bdy FROM logs", &text_target()).await;
    assert!(column.contains("bdy"), "{column}");
}
