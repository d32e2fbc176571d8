//! Decoding the users' lines: `cargo bench -p salamander-formats`. Items are lines.

use arrow::array::{BinaryViewArray, make_view};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use salamander_connector_api::{Decoder, RawBatch};
use salamander_formats::decoder;
use salamander_generator::Generator;
use salamander_types::{Position, SplitId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lines in a batch.
const ROWS: u64 = 8_192;

fn main() {
    divan::main();
}

fn batch(line: impl Fn(u64, &mut Vec<u8>)) -> RawBatch {
    let mut text = Vec::new();
    let mut places = Vec::new();
    for row in 0..ROWS {
        let start = text.len();
        line(row, &mut text);
        places.push(start..text.len());
        text.push(b'\n');
    }
    let views: Vec<u128> = places.iter().map(|place| make_view(&text[place.clone()], 0, place.start as u32)).collect();
    let bytes = text.len();
    RawBatch {
        split: SplitId::new("0"),
        first_sequence: 0,
        payload: BinaryViewArray::new(views.into(), vec![Buffer::from_vec(text)], None),
        offsets: None,
        enqueued: None,
        partition_key: None,
        properties: None,
        next: Position::at(ROWS),
        bytes,
    }
}

fn users_lines(damaged: f64) -> RawBatch {
    let generator = Generator { damaged, ..Generator::default() };
    batch(|row, text| {
        generator.line(row, text);
    })
}

/// The 24 fields of the users' line: a timestamp, a DOUBLE, two INTs, and STRINGs.
fn users_decoder() -> Arc<dyn Decoder> {
    let fields: Vec<Field> = (0..24)
        .map(|column| {
            let data_type = match column {
                0 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                11 => DataType::Float64,
                13 | 20 => DataType::Int32,
                _ => DataType::Utf8View,
            };
            Field::new(format!("c{column}"), data_type, true)
        })
        .collect();
    let options =
        BTreeMap::from([("delimiter".to_owned(), " | ".to_owned()), ("strip_labels".to_owned(), "true".to_owned())]);
    decoder("delimited", Arc::new(Schema::new(fields)), &options).unwrap()
}

fn run(bencher: Bencher<'_, '_>, decoder: &dyn Decoder, raw: &RawBatch, projection: &[usize]) {
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(raw.bytes))
        .bench(|| decoder.decode(black_box(raw), black_box(projection)));
}

#[divan::bench]
fn text(bencher: Bencher<'_, '_>) {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::Utf8View, true)]));
    let decoder = decoder("text", schema, &BTreeMap::new()).unwrap();
    run(bencher, decoder.as_ref(), &users_lines(0.0), &[0]);
}

#[divan::bench(args = [0.0, 0.02])]
fn delimited_all_columns(bencher: Bencher<'_, '_>, damaged: f64) {
    let all: Vec<usize> = (0..24).collect();
    run(bencher, users_decoder().as_ref(), &users_lines(damaged), &all);
}

#[divan::bench]
fn delimited_two_columns(bencher: Bencher<'_, '_>) {
    run(bencher, users_decoder().as_ref(), &users_lines(0.0), &[7, 11]);
}

fn five_columns() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("url", DataType::Utf8View, true),
        Field::new("agent", DataType::Utf8View, true),
        Field::new("seconds", DataType::Float64, true),
        Field::new("ok", DataType::Boolean, true),
    ]))
}

#[divan::bench]
fn csv_five_columns(bencher: Bencher<'_, '_>) {
    let decoder = decoder("csv", five_columns(), &BTreeMap::new()).unwrap();
    let raw = batch(|row, text| {
        text.extend_from_slice(
            format!("{row},/products,\"Mozilla/5.0 (X11, Linux) of \"\"{row}\"\"\",0.{row},true").as_bytes(),
        );
    });
    run(bencher, decoder.as_ref(), &raw, &[0, 1, 2, 3, 4]);
}

#[divan::bench(args = [0, 50])]
fn json_five_columns(bencher: Bencher<'_, '_>, one_bad_in: u64) {
    let decoder = decoder("json", five_columns(), &BTreeMap::new()).unwrap();
    let raw = batch(|row, text| {
        let id = if one_bad_in > 0 && row % one_bad_in == 0 { "\"x\"".to_owned() } else { row.to_string() };
        text.extend_from_slice(
            format!("{{\"id\":{id},\"url\":\"/products\",\"agent\":\"Mozilla/5.0 (X11; Linux)\",\"seconds\":0.{row},\"ok\":true}}")
                .as_bytes(),
        );
    });
    run(bencher, decoder.as_ref(), &raw, &[0, 1, 2, 3, 4]);
}
