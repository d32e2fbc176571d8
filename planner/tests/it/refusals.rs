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
        ("SELECT body FROM logs ORDER BY body", "ORDER BY"),
        ("SELECT body FROM logs LIMIT 10", "LIMIT"),
        ("SELECT DISTINCT ON (body) body FROM logs", "DISTINCT ON a stream"),
        (
            "SELECT body FROM (SELECT body, row_number() OVER (ORDER BY body) AS n FROM logs) WHERE n = 1",
            "a window function (OVER) on a stream",
        ),
        ("SELECT body FROM logs WHERE body = (SELECT max(body) FROM other_logs)", "a subquery in an expression"),
        ("SELECT 'x'", "a part without a stream (VALUES, SELECT without FROM)"),
        ("SELECT body FROM logs UNION ALL SELECT 'x'", "a part without a stream (VALUES, SELECT without FROM)"),
    ];
    for (sql, part) in cases {
        let expected = format!(
            "a job can't have {part} yet: it works row by row (projections, filters, UNION ALL), aggregates by windows of \
             event time and joins streams within bounds of it. Run it as an ordinary SELECT over the job's table instead"
        );
        assert_eq!(refusal(sql, &text_target()).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn joins_without_event_times_are_refused() {
    for sql in [
        "SELECT l.body FROM logs l JOIN other_logs o ON l.body = o.body",
        "SELECT l.body FROM logs l, other_logs o",
        "SELECT body FROM logs WHERE body IN (SELECT name FROM events)",
    ] {
        let refusal = refusal(sql, &text_target()).await;
        assert!(refusal.starts_with("a job's join needs bounds between the event times of both sides"), "{refusal}");
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

#[tokio::test]
async fn aggregates_need_a_window_of_event_time() {
    let none = "a job's aggregate (or DISTINCT) must have a window of the stream's event time among its keys, else it would \
                never be complete and its state would grow for ever: write GROUP BY window(ts, '10 seconds'), … with a \
                column ts that has a WATERMARK, or make it a MATERIALIZED VIEW, or run it as an ordinary SELECT";
    let cases = [
        ("SELECT url FROM clicks GROUP BY url", none),
        ("SELECT DISTINCT url FROM clicks", none),
        ("SELECT body FROM logs UNION SELECT body FROM other_logs", none),
        ("SELECT CAST(count(*) AS STRING) FROM clicks", none),
        (
            "SELECT name FROM events GROUP BY window(at, '10 seconds'), name",
            "a job's windows must be over the stream's event time, and at is not it: events has none: declare WATERMARK \
             FOR at AS at - INTERVAL '10' SECOND in CREATE TABLE",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(seen, '10 seconds'), url",
            "a job's windows must be over the stream's event time, and seen is not it: the event time of clicks is at",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(date_trunc('minute', at), '10 seconds'), url",
            "a job's windows must be over the stream's event time itself, not over",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(at, '10 seconds'), window(at, '1 minute'), url",
            "a job's aggregate can have one kind of windows only",
        ),
        (
            "SELECT url FROM clicks GROUP BY GROUPING SETS ((window(at, '10 seconds'), url), (url))",
            "in a job, each of the GROUPING SETS must have the window, else its groups would never be complete",
        ),
        (
            "SELECT array_to_string(array_agg(url ORDER BY n), ',') FROM clicks GROUP BY window(at, '10 seconds')",
            "a job can't have ORDER BY within array_agg() yet: leave it out, or sort when the target is read",
        ),
        (
            "SELECT max(u) FROM (SELECT max(at) AS e, url AS u FROM clicks GROUP BY window(at, '10 seconds'), url) AS w \
             GROUP BY window(e, '1 minute')",
            "a job's windows over the result of another windowed aggregate must be of its window's start or end, not of \
             max(clicks.at)",
        ),
        (
            "SELECT url FROM HOP(TABLE clicks, DESCRIPTOR(at), INTERVAL '5' SECOND, INTERVAL '10' SECOND) \
             WHERE window_start > to_timestamp('2026-01-01', 'yyyy-MM-dd') GROUP BY window_start, window_end, url",
            "a job can't filter on windows that overlap before they are aggregated: put the condition into HAVING",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(at, '10 seconds', '20 seconds'), url",
            "a window's slide must not be longer than its size: rows in between would be in no window",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(at, '1 month'), url",
            "the size of a window must be a fixed length of time such as '10 seconds' or INTERVAL '1' MINUTE, not 1 month",
        ),
        (
            "SELECT url FROM clicks GROUP BY window(url, '1 minute'), url",
            "window() takes a TIMESTAMP, not Utf8View: write to_timestamp(…) around it",
        ),
        (
            "SELECT url FROM TUMBLE(TABLE clicks, at, INTERVAL '5' SECOND) GROUP BY window_start, url",
            "write TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
        ),
    ];
    for (sql, words) in cases {
        let refusal = refusal(sql, &text_target()).await;
        assert!(refusal.contains(words), "{sql}:\n{refusal}\n{words}");
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
