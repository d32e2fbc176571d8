//! Golden plans. `UPDATE_EXPECT=1 cargo test -p salamander-planner` writes them anew: read the difference.

use crate::small_catalog::*;
use arrow::datatypes::DataType;
use expect_test::{Expect, expect, expect_file};
use salamander_planner::{JobPlan, JobTarget};
use std::sync::Arc;

fn text(plan: &JobPlan) -> String {
    let physical = datafusion::physical_plan::displayable(plan.physical.as_ref()).indent(false);
    format!("{}\n\n{physical}", plan.logical.display_indent())
}

async fn check(sql: &str, target: &JobTarget, expected: Expect) {
    expected.assert_eq(&text(&job(sql, target).await.unwrap()));
}

#[tokio::test]
async fn the_users_pipeline() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/realtime-logs/pipeline.sql");
    let catalog = Catalog::of(&std::fs::read_to_string(path).unwrap());
    let (table, insert) = (catalog.target.clone().unwrap(), catalog.job.clone().unwrap());
    let target = JobTarget { name: table.name.to_string(), schema: schema_of(&table), columns: vec![] };
    let plan = planner()
        .job(Arc::new(catalog), "default", &insert.query, &target, 2, salamander_planner::Keeps::Table)
        .await
        .unwrap();
    assert_eq!((plan.scans, plan.inputs.len()), (1, 1));
    expect_file!["./users_pipeline.plan"].assert_eq(&text(&plan));
}

#[tokio::test]
async fn a_filter_reads_only_its_columns() {
    let target = target(&[("name", DataType::Utf8View)]);
    check(
        "SELECT upper(name) FROM events WHERE id > 10",
        &target,
        expect![[r#"
        Projection: upper(events.name) AS name
          Filter: events.id > Int64(10)
            TableScan: events projection=[id, name]

        EpochSinkExec: target=default.target
          ProjectionExec: expr=[upper(name@0) as name]
            FilterExec: id@0 > 10, projection=[name@1]
              CooperativeExec
                EpochSourceExec: table=default.events, columns=[id, name]
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_union_of_two_streams() {
    let sql = "SELECT body FROM logs WHERE body LIKE 'a%' UNION ALL SELECT body FROM other_logs";
    let plan = job(sql, &text_target()).await.unwrap();
    let mut streams: Vec<_> = plan.inputs.iter().map(|i| i.stream.name.as_str()).collect();
    streams.sort_unstable();
    assert_eq!(streams, ["default.logs", "default.other_logs"]);
    let mut scans: Vec<_> = plan.inputs.iter().flat_map(|i| i.scans.clone()).collect();
    scans.sort_unstable();
    assert_eq!(scans, [0, 1]);
    let text = text(&plan);
    for part in
        ["UnionExec", "FilterExec", "EpochSourceExec: table=default.logs", "EpochSourceExec: table=default.other_logs"]
    {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }
    let mut rows = lines(&run(&plan, &["a", "b"]).await);
    rows.sort();
    assert_eq!(rows, ["a", "a", "b"]);
}

#[tokio::test]
async fn the_same_stream_twice_is_read_once() {
    let sql = "SELECT upper(body) FROM logs UNION ALL SELECT body FROM logs";
    let plan = job(sql, &text_target()).await.unwrap();
    assert_eq!((plan.inputs.len(), plan.inputs[0].scans.clone()), (1, vec![0, 1]));
    check(
        sql,
        &text_target(),
        expect![[r#"
        Projection: upper(logs.body) AS body
          Union
            Projection: upper(logs.body) AS upper(logs.body)
              TableScan: logs projection=[body]
            Projection: logs.body AS upper(logs.body)
              TableScan: logs projection=[body]

        EpochSinkExec: target=default.target
          ProjectionExec: expr=[upper(logs.body)@0 as body]
            UnionExec
              ProjectionExec: expr=[upper(body@0) as upper(logs.body)]
                CooperativeExec
                  EpochSourceExec: table=default.logs, columns=[body]
              ProjectionExec: expr=[body@0 as upper(logs.body)]
                CooperativeExec
                  EpochSourceExec: table=default.logs, columns=[body]
    "#]],
    )
    .await;
    assert_eq!(lines(&run(&plan, &["a"]).await), ["A", "a"]);
}

#[tokio::test]
async fn unnesting_a_view() {
    let sql = "SELECT unnest(w) AS body FROM words";
    check(
        sql,
        &text_target(),
        expect![[r#"
        Projection: __unnest_placeholder(words.w,depth=1) AS body
          Unnest: lists[__unnest_placeholder(words.w)|depth=1] structs[]
            Projection: words.w AS __unnest_placeholder(words.w)
              SubqueryAlias: words
                Projection: split(logs.body, Utf8(" ")) AS w
                  TableScan: logs projection=[body]

        EpochSinkExec: target=default.target
          ProjectionExec: expr=[__unnest_placeholder(words.w,depth=1)@0 as body]
            UnnestExec
              ProjectionExec: expr=[split(body@0,  ) as __unnest_placeholder(words.w)]
                CooperativeExec
                  EpochSourceExec: table=default.logs, columns=[body]
    "#]],
    )
    .await;
    let plan = job(sql, &text_target()).await.unwrap();
    assert_eq!(lines(&run(&plan, &["one two", "", "three"]).await), ["one", "two", "", "three"]);
}

#[tokio::test]
async fn windows_decode_only_what_they_need() {
    let time = salamander_connector_api::timestamp_type();
    let target = target(&[("s", time), ("page", DataType::Utf8View), ("n", DataType::Int64), ("t", DataType::Int64)]);
    check(
        "SELECT window.start, page, count(*), sum(n) FILTER (WHERE n < 5) FROM pages GROUP BY window(clicked, \
         '10 seconds'), page HAVING count(*) > 1",
        &target,
        expect![[r#"
            Projection: __datafusion_extracted_1 AS s, pages.page AS page, count(Int64(1)) AS n, sum(pages.n) FILTER (WHERE pages.n < Int64(5)) AS t
              Filter: count(Int64(1)) > Int64(1)
                Projection: get_field(window(pages.clicked,Utf8("10 seconds")), Utf8("start")) AS __datafusion_extracted_1, pages.page, count(Int64(1)), sum(pages.n) FILTER (WHERE pages.n < Int64(5))
                  WindowAggregate: window=[tumbling 10 s of pages.__event_time], groupBy=[[window, pages.page]], aggr=[[count(Int64(1)), sum(CAST(pages.n AS Int64)) FILTER (WHERE pages.n < Int32(5))]]
                    SubqueryAlias: pages
                      Projection: lower(clicks.url) AS page, clicks.n, clicks.at AS __event_time
                        Filter: clicks.n > Int32(0)
                          TableScan: clicks projection=[url, at, n]

            EpochSinkExec: target=default.target
              ProjectionExec: expr=[__datafusion_extracted_1@0 as s, page@1 as page, count(Int64(1))@2 as n, sum(pages.n) FILTER (WHERE pages.n < Int64(5))@3 as t]
                FilterExec: count(Int64(1))@2 > 1
                  ProjectionExec: expr=[get_field(window(pages.clicked,Utf8("10 seconds"))@0, start) as __datafusion_extracted_1, page@1 as page, count(Int64(1))@2 as count(Int64(1)), sum(pages.n) FILTER (WHERE pages.n < Int64(5))@3 as sum(pages.n) FILTER (WHERE pages.n < Int64(5))]
                    WindowAggregateExec: window=[tumbling 10 s of __event_time@2], by=[window, page@0], aggr=[count(Int64(1)), sum(pages.n) FILTER (WHERE pages.n < Int64(5))]
                      ProjectionExec: expr=[lower(url@0) as page, n@2 as n, at@1 as __event_time]
                        FilterExec: n@2 > 0
                          CooperativeExec
                            EpochSourceExec: table=default.clicks, columns=[url, at, n], late after=[tumbling 10 s]
        "#]],
    )
    .await;
    check(
        "SELECT window_start, url, count(*), 0 FROM HOP(TABLE clicks, DESCRIPTOR(at), INTERVAL '5' SECOND, INTERVAL '1' \
         MINUTE) GROUP BY window_start, window_end, url",
        &target,
        expect![[r#"
            Projection: window_start AS s, clicks.url AS page, count(Int64(1)) AS n, Int64(0) AS t
              WindowAggregate: window=[hopping 1 min every 5 s of __event_time], groupBy=[[window start, window end, clicks.url]], aggr=[[count(Int64(1))]]
                Projection: clicks.url, clicks.at AS __event_time, clicks._watermark AS __watermark
                  TableScan: clicks projection=[url, at, _watermark]

            EpochSinkExec: target=default.target
              ProjectionExec: expr=[window_start@0 as s, url@2 as page, count(Int64(1))@3 as n, 0 as t]
                WindowAggregateExec: window=[hopping 1 min every 5 s of __event_time@1], by=[window start, window end, url@0], aggr=[count(Int64(1))]
                  ProjectionExec: expr=[url@0 as url, at@1 as __event_time, _watermark@2 as __watermark]
                    CooperativeExec
                      EpochSourceExec: table=default.clicks, columns=[url, at, _watermark], late after=[hopping 1 min every 5 s]
        "#]],
    )
    .await;
}
