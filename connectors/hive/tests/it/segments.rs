//! Segments give back what was written, and notice any damage.

use crate::fixture::*;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use proptest::prelude::*;
use salamander_hive::partition::canonical_value;
use salamander_hive::{HiveError, TableLayout, TableOptions, read_part, split_by_partition, write_segment};
use salamander_types::Entropy;
use salamander_types::manifest::Segment;
use std::sync::Arc;

async fn read_all(layout: &Arc<TableLayout>, segment: &Segment) -> Result<Vec<(usize, RecordBatch)>, HiveError> {
    let mut all = Vec::new();
    for part in 0..segment.parts.len() {
        let batches: Vec<RecordBatch> = read_part(layout, segment, part)?.try_collect().await?;
        all.extend(batches.into_iter().map(|b| (part, b)));
    }
    Ok(all)
}

async fn write(layout: &Arc<TableLayout>, batches: Vec<RecordBatch>) -> Option<Segment> {
    let job = Job::new(layout, "j1");
    let entropy: Arc<dyn Entropy> = job.entropy.clone();
    write_segment(layout, job.stamp(5), &entropy, batches.into()).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_come_back(batches in prop::collection::vec(rows(), 0..4)) {
        let layout = layout();
        let batches: Vec<RecordBatch> = batches.iter().map(|r| batch(r)).collect();
        let expected: Vec<RecordBatch> = batches.iter().map(|b| b.project(&(0..11).collect::<Vec<_>>()).unwrap()).collect();
        block_on(async {
            let Some(segment) = write(&layout, batches).await else {
                assert_eq!(expected.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
                return;
            };
            let read = read_all(&layout, &segment).await.unwrap();
            let rows: u64 = segment.parts.iter().map(|p| p.rows).sum();
            assert_eq!(rows, read.iter().map(|(_, b)| b.num_rows() as u64).sum::<u64>());
            let read: Vec<RecordBatch> = read.into_iter().map(|(_, b)| b).collect();
            assert_eq!(lines(&read), lines(&expected));
            let stored = layout.location.store.head(&layout.object(&segment.path).unwrap()).await.unwrap();
            assert_eq!(stored.size, segment.bytes);
        });
    }

    #[test]
    fn splits_lose_nothing(rows in rows()) {
        let layout = layout();
        let whole = batch(&rows);
        let parts = split_by_partition(&whole, &layout).unwrap();
        prop_assert_eq!(parts.iter().map(|p| p.batch.num_rows()).sum::<usize>(), rows.len());
        let mut seen = std::collections::HashSet::new();
        for part in &parts {
            prop_assert!(seen.insert(part.values.clone()), "one part for each partition");
            for value in part.values.iter().flatten() {
                prop_assert!(canonical_value(Some(value)).is_some());
            }
        }
        let batches: Vec<RecordBatch> = parts.iter().map(|p| p.batch.clone()).collect();
        let expected = whole.project(&(0..11).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(lines(&batches), lines(&[expected]));
    }

    #[test]
    fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let layout = layout();
        block_on(async {
            let segment = write(&layout, vec![many(500, 3)]).await.unwrap();
            let object = layout.object(&segment.path).unwrap();
            let mut bytes = layout.location.store.get(&object).await.unwrap().bytes().await.unwrap().to_vec();
            // The object's header is only looked at when the columns have changed.
            let first = segment.parts[0].offset as usize;
            let place = first + at.index(bytes.len() - first);
            bytes[place] ^= flip;
            layout.location.store.put(&object, bytes.into()).await.unwrap();
            let error = read_all(&layout, &segment).await.unwrap_err();
            assert!(matches!(error, HiveError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(&segment.path), "{error}");
        });
    }
}

#[test]
fn big_parts_come_in_blocks() {
    let layout = layout();
    block_on(async {
        let batches: Vec<RecordBatch> = (0..4).map(|i| many(70_000, i)).collect();
        let expected: Vec<RecordBatch> =
            batches.iter().map(|b| b.project(&(0..11).collect::<Vec<_>>()).unwrap()).collect();
        let segment = write(&layout, batches).await.unwrap();
        assert_eq!(segment.parts.len(), 1);
        let read: Vec<RecordBatch> = read_all(&layout, &segment).await.unwrap().into_iter().map(|(_, b)| b).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(lines(&read), lines(&expected));
        // In order, too.
        assert_eq!(read[0].column(2).slice(0, 70_000).as_ref(), expected[0].column(2).as_ref());
    });
}

#[test]
fn truncation_and_foreign_bytes_are_errors() {
    let layout = layout();
    block_on(async {
        let segment = write(&layout, vec![many(500, 3)]).await.unwrap();
        let object = layout.object(&segment.path).unwrap();
        let bytes = layout.location.store.get(&object).await.unwrap().bytes().await.unwrap();
        for cut in [0, 10, 700, bytes.len() - 1] {
            layout.location.store.put(&object, bytes.slice(..cut).into()).await.unwrap();
            read_all(&layout, &segment).await.unwrap_err();
        }
        layout.location.store.put(&object, vec![7u8; bytes.len()].into()).await.unwrap();
        let error = read_all(&layout, &segment).await.unwrap_err();
        assert!(error.to_string().contains("no block begins here"), "{error}");
    });
}

#[test]
fn altered_tables_read_old_segments() {
    let old = layout();
    block_on(async {
        let segment = write(&old, vec![many(300, 3)]).await.unwrap();
        // A column more, one less, another order and type.
        let fields = vec![
            Field::new("added", DataType::Float64, true),
            Field::new("small", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
            Field::new("date", DataType::Utf8View, true),
            Field::new("hour", DataType::Int32, true),
        ];
        let partition = ["date".to_owned(), "hour".to_owned()];
        let new = TableLayout::new(
            old.id.clone(),
            "db.logs",
            old.location.clone(),
            &Schema::new(fields),
            &partition,
            TableOptions::default(),
        );
        let new = Arc::new(new.unwrap());
        let read = read_all(&new, &segment).await.unwrap();
        let (_, rows) = &read[0];
        assert_eq!(rows.num_rows(), 300);
        assert_eq!(rows.column(0).null_count(), 300);
        let expected = arrow::compute::cast(many(300, 3).column(3), &DataType::Int64).unwrap();
        assert_eq!(rows.column(1).as_ref(), expected.as_ref());
    });
}

#[test]
fn other_string_types_are_taken_as_they_are() {
    let fields: Vec<Field> = [DataType::Utf8, DataType::LargeUtf8, DataType::Binary, DataType::LargeBinary]
        .into_iter()
        .enumerate()
        .map(|(i, t)| Field::new(format!("c{i}"), t, true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let store = Arc::new(object_store::memory::InMemory::new());
    let location = salamander_hive::TableLocation { store, root: "t".into() };
    let layout = TableLayout::new(
        salamander_types::TableId::from_text("t1"),
        "t",
        location,
        &schema,
        &[],
        TableOptions::default(),
    );
    let layout = Arc::new(layout.unwrap());
    let texts = many(400, 9).column(0).clone();
    let columns = schema.fields().iter().map(|f| arrow::compute::cast(&texts, f.data_type()).unwrap()).collect();
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    block_on(async {
        let segment = write(&layout, vec![batch.clone()]).await.unwrap();
        assert_eq!(read_all(&layout, &segment).await.unwrap()[0].1.columns(), batch.columns());
    });
}

#[test]
fn values_too_long_for_a_folder_go_to_the_null_partition() {
    let layout = layout();
    let mut whole = batch(&vec![(None, 1, None, None, Some(0)); 3]);
    let long = "x".repeat(300);
    let dates = arrow::array::StringViewArray::from_iter_values([long.as_str(), "a", long.as_str()]);
    let mut columns = whole.columns().to_vec();
    columns[11] = Arc::new(dates);
    whole = RecordBatch::try_new(whole.schema(), columns).unwrap();
    let parts = split_by_partition(&whole, &layout).unwrap();
    let values: Vec<_> = parts.iter().map(|p| (p.values[0].clone(), p.batch.num_rows())).collect();
    assert_eq!(values, [(None, 2), (Some("a".into()), 1)]);
}
