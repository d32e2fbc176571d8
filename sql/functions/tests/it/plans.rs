//! What the rules make of plans: golden text, so that EXPLAIN stays readable.

use std::sync::Arc;

use crate::log_lines::TRANSFORMATION;
use crate::session;
use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::physical_plan::displayable;
use expect_test::{Expect, expect};
use salamander_functions::Kernels;

async fn plan(sql: &str) -> (String, String) {
    let ctx = session(Kernels::Fast);
    let bodies: ArrayRef = Arc::new(StringViewArray::from(vec!["a | b"]));
    let batch = RecordBatch::try_from_iter_with_nullable(vec![("body", bodies, true)]).unwrap();
    ctx.register_batch("raw_logs", batch).unwrap();
    ctx.sql(r"CREATE VIEW fields AS SELECT split(body, ' \| ') AS f, body FROM raw_logs")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let frame = ctx.sql(sql).await.unwrap();
    let logical = frame.clone().into_optimized_plan().unwrap().display_indent().to_string();
    let physical = displayable(frame.create_physical_plan().await.unwrap().as_ref()).indent(false).to_string();
    (logical, physical)
}

async fn check(sql: &str, expected: Expect) {
    let (logical, _) = plan(sql).await;
    expected.assert_eq(&logical);
}

#[tokio::test]
async fn one_field_is_one_call() {
    check(
        r"SELECT split(body, ' \| ')[3] AS x FROM raw_logs",
        expect![[r#"
        Projection: split_field(raw_logs.body, Utf8(" | "), Int64(3)) AS x
          TableScan: raw_logs projection=[body]"#]],
    )
    .await;
}

#[tokio::test]
async fn fields_of_a_view_are_cut_once() {
    check("SELECT f[1] AS level, f[7] AS url FROM fields", expect![[r#"
        Projection: split_fields_get(fields.__split_1, Int64(1)) AS level, split_fields_get(fields.__split_1, Int64(7)) AS url
          SubqueryAlias: fields
            Projection: split_fields(raw_logs.body, Utf8(" | "), Int64(1), Int64(7)) AS __split_1
              TableScan: raw_logs projection=[body]"#]]).await;
}

#[tokio::test]
async fn repeated_splits_are_cut_once() {
    check(
        r"SELECT split(body, ' \| ')[1] AS level, split(body, ' \| ')[7] AS url FROM raw_logs",
        expect![[r#"
        Projection: split_fields_get(__split_2, Int64(1)) AS level, split_fields_get(__split_2, Int64(7)) AS url
          Projection: split_fields(raw_logs.body, Utf8(" | "), Int64(1), Int64(7)) AS __split_2
            TableScan: raw_logs projection=[body]"#]],
    )
    .await;
}

#[tokio::test]
async fn filters_and_aggregates() {
    check("SELECT f[7] AS url, count(*) AS n FROM fields WHERE f[1] = 'ERROR' AND f[2] <> 'x' GROUP BY f[7]", expect![[r#"
        Projection: spark_array_get(fields.f,Int64(7)) AS url, count(Int64(1)) AS count(*) AS n
          Aggregate: groupBy=[[fields.__split_3 AS spark_array_get(fields.f,Int64(7))]], aggr=[[count(Int64(1))]]
            SubqueryAlias: fields
              Projection: split_field(raw_logs.body, Utf8(" | "), Int64(7)) AS __split_3
                Filter: split_fields_get(__common_expr_5, Int64(1)) = Utf8View("ERROR") AND split_fields_get(__common_expr_5, Int64(2)) != Utf8View("x")
                  Projection: split_fields(raw_logs.body, Utf8(" | "), Int64(1), Int64(2)) AS __common_expr_5, raw_logs.body
                    TableScan: raw_logs projection=[body]"#]]).await;
}

#[tokio::test]
async fn a_limit_between_is_no_hindrance() {
    check(
        "SELECT f[1] AS a, f[2] AS b FROM (SELECT * FROM fields LIMIT 3) AS l WHERE f[1] = 'x'",
        expect![[r#"
        Projection: split_fields_get(l.__split_1, Int64(1)) AS a, split_fields_get(l.__split_1, Int64(2)) AS b
          SubqueryAlias: l
            SubqueryAlias: fields
              Projection: split_fields(raw_logs.body, Utf8(" | "), Int64(1), Int64(2)) AS __split_1
                Filter: split_field(raw_logs.body, Utf8(" | "), Int64(1)) = Utf8View("x")
                  Limit: skip=0, fetch=3
                    TableScan: raw_logs projection=[body], fetch=3"#]],
    )
    .await;
}

#[tokio::test]
async fn a_pattern_that_is_no_literal_is_left_alone() {
    check(
        r"SELECT split(body, '\s+')[1] AS a, split(body, '\s+')[2] AS b FROM raw_logs",
        expect![[r#"
        Projection: spark_array_get(__common_expr_1, Int64(1)) AS a, spark_array_get(__common_expr_1, Int64(2)) AS b
          Projection: split(raw_logs.body, Utf8("\s+")) AS __common_expr_1
            TableScan: raw_logs projection=[body]"#]],
    )
    .await;
}

#[tokio::test]
async fn the_users_transformation_cuts_each_line_once() {
    let (_, physical) = plan(TRANSFORMATION).await;
    assert_eq!(physical.matches("split_fields(").count(), 1, "{physical}");
    assert!(!physical.contains("split(body"), "{physical}");
}

#[tokio::test]
async fn casts_and_division() {
    check("SELECT CAST(body AS DOUBLE) AS d, CAST(body AS INT) / 2 AS h, length(body) % length(body) AS m FROM raw_logs", expect![[r#"
        Projection: double(raw_logs.body) AS d, CAST(int(raw_logs.body) AS Float64) / Float64(2) AS h, __common_expr_1 % nonzero(__common_expr_1) AS m
          Projection: length(raw_logs.body) AS __common_expr_1, raw_logs.body
            TableScan: raw_logs projection=[body]"#]]).await;
}
