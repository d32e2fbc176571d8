//! What each format makes of payloads, by table; and what holds for all of them, by chance.

use arrow::array::{Array, AsArray, BinaryViewArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;
use salamander_connector_api::{Decoded, Decoder, RawBatch};
use salamander_formats::decoder;
use salamander_generator::{Generator, LineKind};
use salamander_types::{Position, SplitId};
use std::collections::BTreeMap;
use std::sync::Arc;

fn raw(payload: BinaryViewArray) -> RawBatch {
    RawBatch {
        split: SplitId::new("0"),
        first_sequence: 0,
        next: Position::at(payload.len() as u64),
        bytes: payload.iter().flatten().map(<[u8]>::len).sum(),
        payload,
        offsets: None,
        enqueued: None,
        partition_key: None,
        properties: None,
    }
}

fn payloads<B: AsRef<[u8]>>(rows: &[B]) -> RawBatch {
    raw(BinaryViewArray::from_iter_values(rows))
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>(),
    ))
}

fn make(format: &str, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Arc<dyn Decoder> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    decoder(format, schema(columns), &options).unwrap()
}

/// Rows as text, columns parted by commas; NULL as `~`.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("~");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(","))
        .collect()
}

/// Decodes one payload: its row, or why it is bad.
fn one(decoder: &dyn Decoder, payload: impl AsRef<[u8]>) -> String {
    let all: Vec<usize> = (0..decoder.schema().fields().len()).collect();
    let decoded = decoder.decode(&payloads(&[payload]), &all);
    match decoded.bad.as_slice() {
        [] => rows(&decoded.batch).remove(0),
        [bad] => format!("bad: {}", bad.reason),
        more => panic!("{more:?}"),
    }
}

/// What must hold whatever was decoded.
fn check_whole(raw: &RawBatch, decoded: &Decoded) {
    let bad: Vec<u32> = decoded.bad.iter().map(|bad| bad.row).collect();
    let good: Vec<u32> = match &decoded.kept {
        Some(kept) => kept.clone(),
        None => (0..raw.len() as u32).collect(),
    };
    assert_eq!(good.len(), decoded.batch.num_rows());
    assert!(good.is_sorted() && bad.is_sorted());
    assert_eq!(decoded.kept.is_none(), bad.is_empty());
    let mut all: Vec<u32> = good.into_iter().chain(bad).collect();
    all.sort_unstable();
    assert_eq!(all, (0..raw.len() as u32).collect::<Vec<_>>());
    for column in decoded.batch.columns() {
        column.to_data().validate_full().unwrap();
    }
}

#[test]
fn text_is_the_payload_itself() {
    let decoder = make("text", &[("body", DataType::Utf8View)], &[]);
    let raw = payloads(&[&b"short"[..], b"a line of more than twelve bytes", b"", "é".as_bytes()]);
    let decoded = decoder.decode(&raw, &[0]);
    check_whole(&raw, &decoded);
    assert_eq!(rows(&decoded.batch), ["short", "a line of more than twelve bytes", "", "é"]);
    let column = decoded.batch.column(0).as_string_view();
    assert_eq!(column.views().inner().as_ptr(), raw.payload.views().inner().as_ptr());
    assert_eq!(column.data_buffers()[0].as_ptr(), raw.payload.data_buffers()[0].as_ptr());
    assert_eq!(decoder.decode(&raw, &[]).batch.num_rows(), 4);
}

#[test]
fn broken_text_is_repaired_and_the_rest_is_shared() {
    let decoder = make("text", &[("body", DataType::Utf8View)], &[]);
    let long = b"sound, and longer than twelve bytes";
    let raw = raw(BinaryViewArray::from_iter([Some(&long[..]), Some(b"a\xffb"), None, Some(b"\xe2\x82")]));
    let decoded = decoder.decode(&raw, &[0, 0]);
    check_whole(&raw, &decoded);
    let column = decoded.batch.column(1).as_string_view();
    assert_eq!(
        column.iter().collect::<Vec<_>>(),
        [Some("sound, and longer than twelve bytes"), Some("a\u{fffd}b"), None, Some("\u{fffd}")]
    );
    assert_eq!(column.value(0).as_ptr(), raw.payload.value(0).as_ptr());
}

#[test]
fn only_a_missing_payload_is_no_text_for_a_column_that_is_not_null() {
    let strict = Arc::new(Schema::new(vec![Field::new("body", DataType::Utf8View, false)]));
    let decoder = decoder("text", strict, &BTreeMap::new()).unwrap();
    let raw = raw(BinaryViewArray::from_iter([Some(&b"a"[..]), None, Some(b"\xff")]));
    for projection in [&[0][..], &[]] {
        let decoded = decoder.decode(&raw, projection);
        check_whole(&raw, &decoded);
        assert_eq!(decoded.bad.len(), 1);
        assert_eq!(decoded.kept, Some(vec![0, 2]));
    }
}

#[test]
fn delimited_types() {
    for (data_type, text, value) in [
        (DataType::Utf8View, " a ", " a "),
        (DataType::Utf8View, "", ""),
        (DataType::Int8, "-128", "-128"),
        (DataType::Int8, "128", "bad: field 2 'c': not a TINYINT: '128'"),
        (DataType::Int16, "32767", "32767"),
        (DataType::Int16, "32768", "bad: field 2 'c': not a SMALLINT: '32768'"),
        (DataType::Int32, " 7 ", "7"),
        (DataType::Int32, "99999999999", "bad: field 2 'c': not an INT: '99999999999'"),
        (DataType::Int64, "9223372036854775807", "9223372036854775807"),
        (DataType::Int64, "", "bad: field 2 'c': not a BIGINT: ''"),
        (DataType::Float32, "0.1", "0.1"),
        (DataType::Float64, "0.8300000000000001", "0.8300000000000001"),
        (DataType::Float64, "fast", "bad: field 2 'c': not a number: 'fast'"),
        (DataType::Float64, "0.83s", "bad: field 2 'c': not a number: '0.83s'"),
        (DataType::Boolean, "TRUE", "true"),
        (DataType::Boolean, "maybe", "bad: field 2 'c': not a BOOLEAN: 'maybe'"),
        (DataType::Decimal128(10, 2), "12.345", "12.35"),
        (DataType::Decimal128(4, 2), "123", "bad: field 2 'c': not a DECIMAL(4, 2): '123'"),
        (DataType::Date32, "2023-12-22", "2023-12-22"),
        (DataType::Date32, "22.12.2023", "bad: field 2 'c': not a DATE (yyyy-MM-dd): '22.12.2023'"),
        (timestamp(), "2023-12-22T22:07:37.780123", "2023-12-22T22:07:37.780123Z"),
        (timestamp(), "2023-12-22 22:07:37", "2023-12-22T22:07:37Z"),
        (timestamp(), "now", "bad: field 2 'c': not a TIMESTAMP (ISO 8601): 'now'"),
    ] {
        let decoder = make("delimited", &[("a", DataType::Utf8View), ("c", data_type)], &[("delimiter", "|")]);
        let expected = if value.starts_with("bad") { value.to_owned() } else { format!("x,{value}") };
        assert_eq!(one(decoder.as_ref(), format!("x|{text}")), expected);
    }
}

#[test]
fn delimited_counts_nulls_and_line_ends() {
    let columns = [("a", DataType::Utf8View), ("b", DataType::Int32)];
    let decoder = make("delimited", &columns, &[("delimiter", " | "), ("null_value", "\\N")]);
    for (payload, expected) in [
        (&b"x | 1"[..], "x,1"),
        (b"x | 1\r\n", "x,1"),
        (b"\\N | \\N", "~,~"),
        (b"x", "bad: 1 field where the table has 2 columns"),
        (b"", "bad: 1 field where the table has 2 columns"),
        (b"x | 1 | 2", "bad: 3 fields where the table has 2 columns"),
        (b"x | 1 | ", "bad: 3 fields where the table has 2 columns"),
        (b"x|1", "bad: 1 field where the table has 2 columns"),
        (b"\xff\xfe | 1", "bad: field 1 'a': not UTF-8: '\u{fffd}\u{fffd}'"),
        (b"x | \xff", "bad: field 2 'b': not UTF-8: '\u{fffd}'"),
    ] {
        assert_eq!(one(decoder.as_ref(), payload), expected, "{payload:?}");
    }
    let strict = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, false)]));
    let options = BTreeMap::from([("delimiter".into(), ",".into()), ("null_value".into(), "".into())]);
    let decoder = salamander_formats::decoder("delimited", strict, &options).unwrap();
    assert_eq!(one(decoder.as_ref(), ""), "bad: field 1 'a': NULL in a column that is NOT NULL: ''");
}

#[test]
fn labels_and_units_are_stripped() {
    let columns = [("t", DataType::Float64), ("n", DataType::Int32), ("s", DataType::Utf8View)];
    let decoder = make("delimited", &columns, &[("delimiter", " | "), ("strip_labels", "true")]);
    for (payload, expected) in [
        ("Response Time: 0.83s | Cart Size: 3 | Detail: a: b", "0.83,3,a: b"),
        ("0.83 | 12 MB | 0.83s", "0.83,12,0.83s"),
        ("Response Time: fast | Cart Size: 3 | x", "bad: field 1 't': not a number: 'fast'"),
        ("Response Time:  | Cart Size: 3 | x", "bad: field 1 't': not a number: ''"),
    ] {
        assert_eq!(one(decoder.as_ref(), payload), expected);
    }
}

#[test]
fn csv_quotes() {
    let columns = [("a", DataType::Utf8View), ("b", DataType::Int32)];
    let decoder = make("csv", &columns, &[]);
    for (payload, expected) in [
        ("x,1", "x,1"),
        ("\"x, y\",1\r\n", "x, y,1"),
        ("\"say \"\"hi\"\", twice or more\",\"1\"", "say \"hi\", twice or more,1"),
        ("\"\"\"\",2", "\",2"),
        ("\"two\nlines\",1", "two\nlines,1"),
        (",", "~,~"),
        ("\"\",", ",~"),
        ("\"\",\"\"", "bad: field 2 'b': not an INT: ''"),
        ("a\"b,1", "a\"b,1"),
        ("\"a\"b,1", "bad: field 1: text after its closing quote"),
        ("\"a,1", "bad: field 1: its quote doesn't close"),
        ("x", "bad: 1 field where the table has 2 columns"),
        ("x,1,", "bad: 3 fields where the table has 2 columns"),
    ] {
        assert_eq!(one(decoder.as_ref(), payload), expected, "{payload:?}");
    }
    let decoder = make("csv", &columns, &[("delimiter", ";"), ("quote", "'"), ("null_value", "-")]);
    assert_eq!(one(decoder.as_ref(), "'a;b';-"), "a;b,~");
    // Rewritten records of several blocks lie in buffers of their own.
    let many: Vec<String> = (0..1_000).map(|n| format!("'it''s number {n} of many';{n}")).collect();
    let raw = payloads(&many);
    let decoded = decoder.decode(&raw, &[1, 0]);
    check_whole(&raw, &decoded);
    assert_eq!(rows(&decoded.batch)[999], "999,it's number 999 of many");
}

#[test]
fn json_by_name() {
    let inner = Fields::from(vec![Field::new("x", DataType::Int64, true)]);
    let columns = [
        ("id", DataType::Int64),
        ("name", DataType::Utf8View),
        ("at", timestamp()),
        ("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))),
        ("point", DataType::Struct(inner)),
    ];
    let decoder = make("json", &columns, &[]);
    for (payload, expected) in [
        (r#"{"id": 1, "name": "a", "more": [1, {}]}"#, "1,a,~,~,~"),
        (
            r#" {"name": 7, "id": "2", "at": "2023-12-22T22:07:37.780123", "tags": ["x", null], "point": {"x": 3}} "#,
            "2,7,2023-12-22T22:07:37.780123Z,[x, ~],{x: 3}",
        ),
        (r#"{"ID": 3, "Name": "b"}"#, "3,b,~,~,~"),
        (r#"{"id": null, "ID": 3}"#, "~,~,~,~,~"),
        ("{}", "~,~,~,~,~"),
    ] {
        assert_eq!(one(decoder.as_ref(), payload), expected, "{payload}");
    }
    for payload in [
        "",
        "7",
        "null",
        "[{}]",
        "{",
        r#"{"id": }"#,
        "{} {}",
        r#"{"id": "x"}"#,
        r#"{"ID": "x"}"#,
        "{}x",
        r#"{"id": 1.5e400}"#,
        r#"{"name": {"a": 1}}"#,
        r#"{"at": "yesterday"}"#,
        r#"{"id": 1"#,
        r#"{"name": "a"#,
    ] {
        let found = one(decoder.as_ref(), payload);
        assert!(found.starts_with("bad: "), "{payload}: {found}");
    }
    assert!(one(decoder.as_ref(), b"{\"name\": \"\xff\"}").contains("UTF-8"));
}

#[test]
fn json_nested_without_end_is_a_row_like_any_other() {
    let decoder = make("json", &[("id", DataType::Int32)], &[]);
    for depth in [10, 200_000] {
        let deep = "[".repeat(depth);
        let raw = payloads(&[
            format!("{{\"id\": 1, \"x\": {deep}{}}}", "]".repeat(depth)),
            format!("{{\"id\": 2, \"x\": {deep}"),
            format!("{{\"id\": {deep}{}}}", "]".repeat(depth)),
            "{\"id\": 4}".to_owned(),
        ]);
        let decoded = decoder.decode(&raw, &[0]);
        check_whole(&raw, &decoded);
        assert!(decoded.bad.iter().all(|bad| bad.row != 3 && bad.reason.len() < 2_000));
    }
}

#[test]
fn one_bad_json_row_loses_no_other() {
    let decoder = make("json", &[("id", DataType::Int32), ("name", DataType::Utf8View)], &[]);
    let lines: Vec<String> = (0..500)
        .map(|n| match n {
            _ if n % 50 == 7 => format!("{{\"id\": \"{n}x\"}}"),
            _ if n % 50 == 9 => format!("{{\"id\": {n}"),
            _ if n % 50 == 11 => format!("{{\"Id\": {n}, \"NAME\": \"n{n}\"}}"),
            _ => format!("{{\"id\": {n}, \"name\": \"n{n}\"}}"),
        })
        .collect();
    let raw = payloads(&lines);
    let decoded = decoder.decode(&raw, &[1, 0]);
    check_whole(&raw, &decoded);
    assert_eq!(decoded.bad.len(), 20);
    let kept = decoded.kept.unwrap();
    for (row, text) in kept.iter().zip(rows(&decoded.batch)) {
        assert_eq!(text, format!("n{row},{row}"));
    }
}

#[test]
fn what_cannot_be_is_refused_when_made() {
    let text = |format: &str, columns: &[(&str, DataType)], options: &[(&str, &str)]| {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        decoder(format, schema(columns), &options).unwrap_err().0
    };
    let string = [("a", DataType::Utf8View)];
    let list = [("a", DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))))];
    assert!(text("xml", &string, &[]).contains("text, delimited, csv, json"));
    assert!(text("text", &[("a", DataType::Int32)], &[]).contains("one STRING column"));
    assert!(text("text", &[], &[]).contains("one STRING column"));
    assert!(text("delimited", &string, &[]).contains("delimiter"));
    assert!(text("delimited", &string, &[("delimiter", "")]).contains("delimiter"));
    assert!(text("delimited", &string, &[("delimiter", ","), ("strip_labels", "maybe")]).contains("strip_labels"));
    assert!(text("delimited", &list, &[("delimiter", ",")]).contains("column 'a'"));
    assert!(text("csv", &string, &[("quote", "''")]).contains("quote"));
    assert!(text("csv", &string, &[("delimiter", "\"")]).contains("delimiter"));
    assert!(text("json", &[], &[]).contains("at least one column"));
}

/// The users' table, typed.
fn users_columns() -> Vec<(&'static str, DataType)> {
    let mut columns = vec![("ts", timestamp())];
    columns.extend(
        [
            "log_level",
            "request_id",
            "session_id",
            "user_id",
            "action",
            "http_method",
            "url",
            "referrer",
            "ip_address",
            "user_agent",
            "response_time",
            "product_id",
            "cart_size",
            "checkout_status",
            "token",
            "auth_method",
            "auth_level",
            "correlation_id",
            "server_ip",
            "port_number",
            "protocol",
            "status",
            "detail",
        ]
        .map(|name| (name, DataType::Utf8View)),
    );
    columns[11].1 = DataType::Float64;
    columns[13].1 = DataType::Int32;
    columns[20].1 = DataType::Int32;
    columns
}

#[test]
fn every_damaged_line_of_the_users_is_bad_and_no_other() {
    let columns = users_columns();
    let decoder = make("delimited", &columns, &[("delimiter", " | "), ("strip_labels", "true")]);
    let generator = Generator { damaged: 0.2, odd: 0.1, ..Generator::default() };
    let lines: Vec<Vec<u8>> = (0..20_000)
        .map(|row| {
            let mut line = Vec::new();
            generator.line(row, &mut line);
            line
        })
        .collect();
    let raw = payloads(&lines);
    let all: Vec<usize> = (0..columns.len()).collect();
    let decoded = decoder.decode(&raw, &all);
    check_whole(&raw, &decoded);
    let damaged: Vec<u32> =
        (0..20_000).filter(|&row| matches!(generator.kind_of(u64::from(row)), LineKind::Damaged(_))).collect();
    let bad: Vec<u32> = decoded.bad.iter().map(|bad| bad.row).collect();
    assert_eq!(bad, damaged);
    for (&row, text) in decoded.kept.as_ref().unwrap().iter().zip(rows(&decoded.batch)) {
        if generator.kind_of(u64::from(row)) == LineKind::Sound {
            assert_eq!(text, expected(&lines[row as usize], &columns));
        }
    }
}

/// A sound line of the users, decoded the slow way.
fn expected(line: &[u8], columns: &[(&str, DataType)]) -> String {
    let line = std::str::from_utf8(line).unwrap();
    let values = line.split(" | ").zip(columns).map(|(field, (name, data_type))| {
        let value = field.split_once(": ").map_or(field, |(_, value)| value);
        match data_type {
            DataType::Float64 => format!("{:?}", value.trim_end_matches('s').parse::<f64>().unwrap()),
            DataType::Timestamp(..) => format!("{value}Z"),
            _ if *name == "detail" || *name == "status" => value.to_owned(),
            _ => value.to_owned(),
        }
    });
    values.collect::<Vec<_>>().join(",")
}

fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "[a1|, \":\\{\\}\\[\\]é\n\r-]{0,40}".prop_map(String::into_bytes),
        "-?[0-9]{1,4},[a-z]{0,20},[0-9.]{1,5}".prop_map(String::into_bytes),
        r#"\{"n": ?(-?[0-9]{1,12}|"x"|null|\{\}), "[sS]": "[a-zé]{0,20}", "d": [0-9.]{1,4}\}"#
            .prop_map(String::into_bytes),
    ]
}

fn any_decoder() -> impl Strategy<Value = Arc<dyn Decoder>> {
    let columns = [("n", DataType::Int32), ("s", DataType::Utf8View), ("d", DataType::Float64)];
    prop_oneof![
        Just(make("text", &columns[1..2], &[])),
        Just(make("delimited", &columns, &[("delimiter", ","), ("strip_labels", "true")])),
        Just(make("delimited", &columns, &[("delimiter", "é"), ("null_value", "a")])),
        Just(make("csv", &columns, &[])),
        Just(make("json", &columns, &[])),
    ]
}

/// Found by `a_row_does_not_depend_on_its_neighbours`: how far a reader goes on after an object depends on the rows
/// that it has room for.
#[test]
fn what_follows_a_json_object_is_bad_in_any_company() {
    let decoder = make("json", &[("n", DataType::Int32)], &[]);
    for (tail, reason) in [
        (&b"\"\"\""[..], "more than one JSON object"),
        (b"\"", "more than one JSON object"),
        (b"{\"n\": 2", "more than one JSON object"),
        (b"]", "more than one JSON object"),
    ] {
        let payload = [b"{\"n\": 1}", tail].concat();
        assert_eq!(one(decoder.as_ref(), &payload), format!("bad: {reason}"));
        let together = decoder.decode(&payloads(&[&payload[..], b"{}", b" {\"n\": 3}\r\n"]), &[0]);
        assert_eq!(together.bad.iter().map(|bad| (bad.row, bad.reason.as_str())).collect::<Vec<_>>(), [(0, reason)]);
        assert_eq!(rows(&together.batch), ["~", "3"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn good_and_bad_are_all_rows_whatever_the_projection(
        decoder in any_decoder(),
        rows_in in proptest::collection::vec(any_payload(), 0..300),
        projection in proptest::collection::vec(0_usize..3, 0..5),
    ) {
        let raw = payloads(&rows_in);
        let width = decoder.schema().fields().len();
        let all: Vec<usize> = (0..width).collect();
        let whole = decoder.decode(&raw, &all);
        check_whole(&raw, &whole);
        let projection: Vec<usize> = projection.into_iter().filter(|&column| column < width).collect();
        let part = decoder.decode(&raw, &projection);
        check_whole(&raw, &part);
        prop_assert_eq!(&part.bad, &whole.bad);
        prop_assert_eq!(&part.batch, &whole.batch.project(&projection).unwrap());
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours(
        decoder in any_decoder(),
        rows_in in proptest::collection::vec(any_payload(), 1..40),
    ) {
        let all: Vec<usize> = (0..decoder.schema().fields().len()).collect();
        let together = decoder.decode(&payloads(&rows_in), &all);
        let good = rows(&together.batch);
        let mut good = good.iter();
        for (row, payload) in rows_in.iter().enumerate() {
            let alone = one(decoder.as_ref(), payload);
            match together.bad.iter().find(|bad| bad.row == row as u32) {
                Some(bad) => prop_assert_eq!(alone, format!("bad: {}", bad.reason)),
                None => prop_assert_eq!(&alone, good.next().unwrap()),
            }
        }
    }

    #[test]
    fn fields_joined_are_the_fields_again(
        fields in proptest::collection::vec(("[a-zé |]{0,20}", any::<i64>(), -1e12..1e12_f64), 1..200),
    ) {
        let columns = [("s", DataType::Utf8View), ("n", DataType::Int64), ("d", DataType::Float64)];
        let decoder = make("delimited", &columns, &[("delimiter", " ; ")]);
        let lines: Vec<String> = fields.iter().map(|(s, n, d)| format!("{s} ; {n} ; {d:?}")).collect();
        let raw = payloads(&lines);
        let decoded = decoder.decode(&raw, &[0, 1, 2]);
        check_whole(&raw, &decoded);
        prop_assert!(decoded.bad.is_empty());
        let strings = decoded.batch.column(0).as_string_view();
        let numbers = decoded.batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        let doubles = decoded.batch.column(2).as_primitive::<arrow::datatypes::Float64Type>();
        for (row, (s, n, d)) in fields.iter().enumerate() {
            prop_assert_eq!((strings.value(row), numbers.value(row), doubles.value(row)), (s.as_str(), *n, *d));
        }
    }

    #[test]
    fn csv_quoted_is_the_fields_again(fields in proptest::collection::vec("[a\",\n é]{0,20}", 3)) {
        let columns = [("a", DataType::Utf8View), ("b", DataType::Utf8View), ("c", DataType::Utf8View)];
        let decoder = make("csv", &columns, &[]);
        let line = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
        let decoded = decoder.decode(&payloads(&[line]), &[0, 1, 2]);
        prop_assert!(decoded.bad.is_empty());
        for (column, field) in fields.iter().enumerate() {
            prop_assert_eq!(decoded.batch.column(column).as_string_view().value(0), field);
        }
    }
}
