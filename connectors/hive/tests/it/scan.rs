//! The table in SQL: rolled, unrolled, memory and foreign rows as one.

use crate::fixture::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::ObjectStoreExt;
use proptest::prelude::*;
use salamander_hive::scan::ForeignFiles;
use salamander_hive::{HiveTable, LiveTable};
use salamander_types::{Epoch, LogNumber};
use std::sync::Arc;

fn session(table: HiveTable) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3).with_batch_size(1000));
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

async fn sql(context: &SessionContext, query: &str) -> Vec<RecordBatch> {
    context.sql(query).await.unwrap().collect().await.unwrap()
}

async fn number(context: &SessionContext, query: &str) -> i64 {
    sql(context, query).await[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn plan(context: &SessionContext, query: &str) -> String {
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}

/// Rows in every stage: a file, a segment with a roll on its way, a segment, memory.
async fn in_all_stages(job: &mut Job, batches: &[RecordBatch; 4]) -> LiveTable {
    job.checkpoint(&[batches[0].clone()], 1).await;
    job.plan(2, true);
    job.roll().await;
    job.checkpoint(&[batches[1].clone()], 3).await;
    job.plan(4, true);
    job.checkpoint(&[batches[2].clone()], 5).await;
    let live = LiveTable::new(job.layout.clone());
    live.reset(&job.id, LogNumber(1), Arc::new(job.state().clone())).unwrap();
    live.publish(&job.id, Epoch(1), vec![batches[3].clone()].into()).unwrap();
    live
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_scan_is_what_was_written(a in rows(), b in rows(), c in rows(), d in rows()) {
        let batches = [batch(&a), batch(&b), batch(&c), batch(&d)];
        block_on(async {
            let mut job = Job::new(&layout(), "j1");
            let live = in_all_stages(&mut job, &batches).await;
            let context = session(HiveTable::latest(Arc::new(live)));
            let rows = sql(&context, "SELECT * FROM t").await;
            assert_eq!(lines(&rows), lines(&batches));
            let total = batches.iter().map(|b| b.num_rows() as i64).sum::<i64>();
            assert_eq!(number(&context, "SELECT count(*) FROM t").await, total);
            // Filters and projections agree with the same query on plain memory.
            let plain = SessionContext::new();
            let seen: Vec<RecordBatch> =
                batches.iter().map(|b| salamander_hive::split::as_readers_see(b, &job.layout).unwrap()).collect();
            let table = datafusion::datasource::MemTable::try_new(schema(), vec![seen]).unwrap();
            plain.register_table("t", Arc::new(table)).unwrap();
            for query in [
                "SELECT big, text FROM t WHERE date = '2026-11-24'",
                "SELECT * FROM t WHERE hour = 3 AND flag",
                "SELECT word, date FROM t WHERE date IS NULL OR hour IS NULL",
                "SELECT at, day, price FROM t WHERE big > 0 AND word = 'word 3'",
                "SELECT date, hour, count(*), count(date), min(text), max(word), sum(price) FROM t GROUP BY date, hour",
                "SELECT hour FROM t WHERE text LIKE 'a%' OR text IS NULL",
                "SELECT 1 FROM t WHERE date <> '2026-11-24' AND hour < 3",
            ] {
                assert_eq!(lines(&sql(&context, query).await), lines(&sql(&plain, query).await), "{query}");
            }
        });
    }
}

#[test]
fn counts_need_no_reading() {
    block_on(async {
        let mut job = Job::new(&layout(), "j1");
        let batches = [many(100, 1), many(200, 2), many(300, 3), many(400, 4)];
        let live = Arc::new(in_all_stages(&mut job, &batches).await);
        let context = session(HiveTable::latest(live.clone()));
        let text = plan(&context, "SELECT count(*) FROM t").await;
        assert!(text.contains("PlaceholderRowExec") && !text.contains("SegmentScanExec"), "{text}");
        assert_eq!(number(&context, "SELECT count(*) FROM t").await, 1000);
        let committed = session(HiveTable::committed(live));
        assert_eq!(number(&committed, "SELECT count(*) FROM t").await, 600);
    });
}

#[test]
fn partition_filters_prune_files_and_parts() {
    block_on(async {
        let mut job = Job::new(&layout(), "j1");
        let row = |day: u8| (Some("x".to_owned()), 1, Some(1), None, Some(day));
        let days = batch(&[row(0), row(1), row(3), row(3)]);
        let live = in_all_stages(&mut job, &[days.clone(), days.clone(), days.clone(), days]).await;
        let context = session(HiveTable::latest(Arc::new(live)));
        let query = "SELECT big FROM t WHERE date = '10:15 a/b=c%' AND hour = 1";
        let text = plan(&context, query).await;
        assert!(text.contains("parts=2, rows=2"), "{text}");
        assert_eq!(text.matches(".parquet").count(), 1, "{text}");
        assert_eq!(sql(&context, query).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        let nothing = plan(&context, "SELECT big FROM t WHERE hour = 77").await;
        assert!(!nothing.contains(".parquet") && !nothing.contains("SegmentScanExec"), "{nothing}");
    });
}

/// A file as Spark writes it: other case, other order, no partition columns, a column unknown to the table.
fn foreign_file() -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("BIG", DataType::Int64, true),
        Field::new("unknown", DataType::Int64, true),
        Field::new("Text", DataType::Utf8, true),
        Field::new("At", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("small", DataType::Int64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(7), None])),
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(StringArray::from(vec!["spark", "was here"])),
        Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![3, 4])),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn foreign_files_are_part_of_the_table() {
    block_on(async {
        let mut job = Job::new(&layout(), "j1");
        let batches = [many(10, 1), many(20, 2), many(30, 3), many(40, 4)];
        let live = Arc::new(in_all_stages(&mut job, &batches).await);
        // The file of the committed roll appears, but the log doesn't know yet: it must not be read.
        let roll = job.state().rolls.values().next().unwrap().clone();
        salamander_hive::execute_roll(&job.layout, job.state(), &roll).await.unwrap();
        let put = |path: &str| {
            let object = job.layout.object(path).unwrap();
            let store = job.layout.location.store.clone();
            async move { store.put(&object, foreign_file().into()).await.unwrap() }
        };
        put("date=2026-11-25/hour=5/part-00000-abc.snappy.parquet").await;
        put("date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/part-00001.snappy.parquet").await;
        put("date=2026-11-25/hour=5/_temporary").await;
        put("_temporary/0/date=2026-11-25/hour=5/part-0.parquet").await;
        let context = session(HiveTable::latest(live.clone()));
        assert_eq!(number(&context, "SELECT count(*) FROM t").await, 104);
        let rows =
            sql(&context, "SELECT text, big, small, flag, at, hour FROM t WHERE date = '2026-11-25' AND small > 2")
                .await;
        assert_eq!(
            lines(&rows),
            ["spark|7|3|NULL|1970-01-01T00:00:00.000001Z|5", "was here|NULL|4|NULL|1970-01-01T00:00:00.000002Z|5"]
        );
        let null =
            number(&context, "SELECT count(*) FROM t WHERE text = 'spark' AND date IS NULL AND hour IS NULL").await;
        assert_eq!(null, 1);
        let own = session(HiveTable::latest(live).with_foreign_files(ForeignFiles::Ignored));
        assert_eq!(number(&own, "SELECT count(*) FROM t").await, 100);
    });
}

#[test]
fn an_empty_table_is_a_table() {
    block_on(async {
        let live = LiveTable::new(layout());
        let context = session(HiveTable::latest(Arc::new(live)));
        assert_eq!(number(&context, "SELECT count(*) FROM t").await, 0);
        assert!(sql(&context, "SELECT text FROM t WHERE date = 'x'").await.iter().all(|b| b.num_rows() == 0));
    });
}

#[test]
fn a_lost_segment_is_a_clear_error() {
    block_on(async {
        let mut job = Job::new(&layout(), "j1");
        let batches = [many(10, 1), many(20, 2), many(30, 3), many(40, 4)];
        let live = in_all_stages(&mut job, &batches).await;
        for path in job.state().segments.keys() {
            job.layout.location.store.delete(&job.layout.object(path).unwrap()).await.unwrap();
        }
        let context = session(HiveTable::latest(Arc::new(live)));
        let error = context.sql("SELECT text FROM t").await.unwrap().collect().await.unwrap_err();
        assert!(error.to_string().contains("table db.logs, _salamander/j1/"), "{error}");
    });
}

/// All visible files below a folder, relative to it.
fn visible_files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with(['_', '.']) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn local_folders_hold_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (store, root) = salamander_storage::open_store(folder.path().to_str().unwrap()).unwrap();
    let layout = layout_of(store, root.as_ref(), Default::default());
    block_on(async {
        salamander_hive::claim_folder(&layout).await.unwrap();
        salamander_hive::claim_folder(&layout).await.unwrap();
        let mut job = Job::new(&layout, "j1");
        let row = |day: u8| (Some("x".to_owned()), 1, Some(1), None, Some(day));
        let odd = batch(&[row(1), row(3), row(0)]);
        let batches = [odd.clone(), many(200, 2), odd.clone(), odd];
        let live = in_all_stages(&mut job, &batches).await;
        let files = visible_files(folder.path());
        assert_eq!(files.len(), 3, "{files:?}");
        assert!(files[0].starts_with("date=10%3A15 a%2Fb%3Dc%25/hour=1/sal-j1-1-"), "{files:?}");
        assert!(files[2].starts_with("date=é%7Bx}/hour=3/sal-j1-1-"), "{files:?}");
        let context = session(HiveTable::latest(Arc::new(live)));
        let rows = sql(&context, "SELECT * FROM t").await;
        assert_eq!(lines(&rows), lines(&batches));
        let one = sql(&context, "SELECT big FROM t WHERE date = 'é{x}'").await;
        assert_eq!(one.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        // Cleaning up works there too.
        job.roll().await;
        job.plan(9, true);
        job.roll().await;
        let due = job.state().segments.keys().cloned().collect();
        salamander_hive::delete_superseded(&layout, job.state(), due).await.unwrap();
        let orphans = salamander_hive::delete_orphans(&layout, &job.id, job.generation, job.state()).await.unwrap();
        assert!(orphans.is_empty());
    });
}
