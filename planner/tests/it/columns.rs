//! Which columns a query has, and what becomes of values that don't fit.

use crate::small_catalog::*;
use arrow::datatypes::{DataType, TimeUnit};

#[tokio::test]
async fn a_star_leaves_metadata_out() {
    let events = ["id", "name", "at"];
    assert_eq!(names("SELECT * FROM events").await, events);
    assert_eq!(names("SELECT e.* FROM events AS e").await, events);
    assert_eq!(names("SELECT events.* FROM events").await, events);
    assert_eq!(names("SELECT * FROM (SELECT * FROM events) AS inner_one").await, events);
    assert_eq!(names("WITH e AS (SELECT * FROM events) SELECT * FROM e").await, events);
    assert_eq!(names("SELECT *, id + 1 AS more FROM events").await, ["id", "name", "at", "more"]);
    assert_eq!(names("SELECT * FROM words").await, ["w"]);
    assert_eq!(names("SELECT a.*, b.* FROM logs AS a, events AS b").await, ["body", "id", "name", "at"]);
}

#[tokio::test]
async fn a_star_takes_a_name_with_and_without_its_database() {
    let events = ["id", "name", "at"];
    assert_eq!(names("SELECT events.* FROM default.events").await, events);
    assert_eq!(names("SELECT default.events.* FROM events").await, events);
    assert_eq!(names("SELECT EVENTS.* FROM `default`.`Events`").await, events);
    assert_eq!(names("SELECT logs.*, events.* FROM default.logs, default.events").await, ["body", "id", "name", "at"]);
    assert_eq!(names("SELECT words.* FROM default.words").await, ["w"]);
}

#[tokio::test]
async fn columns_may_have_the_same_name() {
    assert_eq!(names("SELECT id, id FROM events").await, ["id", "id"]);
    assert_eq!(names("SELECT ID, e.id, name AS Id FROM events AS e ORDER BY id").await, ["id", "id", "id"]);
    assert_eq!(names("SELECT 1 AS x, 2 AS x, 3 AS y").await, ["x", "x", "y"]);
    assert_eq!(names("SELECT upper(name), upper(name) FROM events").await, ["upper(name)", "upper(name)"]);
    assert_eq!(names("SELECT name, count(*), name FROM events GROUP BY name").await[2], "name");
    assert_eq!(names("SELECT *, upper(name) AS name FROM events").await, ["id", "name", "at", "name"]);
    assert_eq!(names("SELECT id, id FROM events UNION ALL SELECT id, id FROM events").await, ["id", "id"]);
    assert_eq!(names("WITH e AS (SELECT id FROM events) SELECT id, id FROM e").await, ["id", "id"]);
    let target = target(&[("a", DataType::Utf8View), ("b", DataType::Utf8View)]);
    let plan = job("SELECT body, body FROM logs", &target).await.unwrap();
    assert_eq!(lines(&run(&plan, &["x"]).await), ["x|x"]);
}

#[tokio::test]
async fn rlike_and_regexp_are_operators() {
    let sql = "SELECT body FROM logs WHERE body RLIKE '^a' AND NOT body REGEXP 'b' AND body NOT RLIKE 'c$'";
    let plan = job(sql, &text_target()).await.unwrap();
    assert_eq!(lines(&run(&plan, &["a", "ab", "ac", "ad", "b"]).await), ["a", "ad"]);
}

#[tokio::test]
async fn metadata_is_there_once_named() {
    let sql =
        "SELECT _partition, _sequence_number, _offset, _enqueued_time, _partition_key, _properties, body FROM logs";
    assert_eq!(names(sql).await.len(), 7);
    assert_eq!(names("SELECT *, _partition FROM logs").await, ["body", "_partition"]);
    let target = target(&[("split", DataType::Utf8View), ("number", DataType::Int64), ("body", DataType::Utf8View)]);
    let plan = job("SELECT _partition, _sequence_number, body FROM logs WHERE _sequence_number > 0", &target).await;
    assert_eq!(lines(&run(&plan.unwrap(), &["a", "b", "c"]).await), ["0|1|b", "0|2|c"]);
}

#[tokio::test]
async fn values_that_do_not_cast_become_null() {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let target = target(&[("n", DataType::Int32), ("t", time), ("d", DataType::Float64)]);
    let plan = job("SELECT body AS a, body AS b, body AS c FROM logs", &target).await.unwrap();
    let rows = lines(&run(&plan, &["12", "x", "2023-12-22 22:07:37.5", "99999999999", "1.5"]).await);
    let times: Vec<_> = rows.iter().map(|r| r.split('|').collect::<Vec<_>>()).collect();
    assert_eq!((times[0][0], times[0][2]), ("12", "12.0"));
    assert_eq!(rows[1], "NULL|NULL|NULL");
    assert_eq!(times[2], ["NULL", "2023-12-22T22:07:37.500Z", "NULL"]);
    assert_eq!((times[3][0], times[3][2]), ("NULL", "99999999999.0"));
    assert_eq!(times[4][2], "1.5");
}

#[tokio::test]
async fn columns_that_are_not_named_become_null() {
    let mut target = target(&[("id", DataType::Int64), ("name", DataType::Utf8View), ("day", DataType::Utf8View)]);
    target.columns = vec!["day".to_owned(), "id".to_owned()];
    let plan = job("SELECT 'd', body FROM logs", &target).await.unwrap();
    assert_eq!(lines(&run(&plan, &["7", "x"]).await), ["7|NULL|d", "NULL|NULL|d"]);
    let fields: Vec<_> = plan.physical.children()[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(fields, ["id", "name", "day"]);
}
