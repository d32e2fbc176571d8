//! What is written out reads back the same, and no text makes the parser panic.

use proptest::prelude::*;
use salamander_sql::{
    ColumnDef, ColumnType, ConnectorTable, FileFormat, HiveTable, Name, Options, Statement, StructField, TableDef,
    TableKind, TableName, Watermark, parse, parse_one, split, warnings,
};

/// Names: plain words, words that SQL reserves, and all sorts of characters.
fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        prop::sample::select(vec!["select", "Date", "watermark", "primary", "comment", "AS", "order", "not", "null"])
            .prop_map(str::to_owned),
        "[a-z\"'` .;é\\\\-]{1,6}",
    ]
    .prop_filter_map("a name", |text| Name::new(text).ok())
}

/// Texts with quotes, backslashes, comments and semicolons.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z '\";\\\\é-]{0,10}", Just("/* -- ';".to_owned()), Just("it's\nhere".to_owned())]
}

fn primitive() -> impl Strategy<Value = ColumnType> {
    prop::sample::select(vec![
        ColumnType::Boolean,
        ColumnType::TinyInt,
        ColumnType::SmallInt,
        ColumnType::Int,
        ColumnType::BigInt,
        ColumnType::Float,
        ColumnType::Double,
        ColumnType::Decimal { precision: 12, scale: 2 },
        ColumnType::String,
        ColumnType::Date,
        ColumnType::Timestamp,
    ])
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    primitive().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| ColumnType::Array(Box::new(t))),
            (primitive(), inner.clone()).prop_map(|(k, v)| ColumnType::Map(Box::new(k), Box::new(v))),
            (name(), inner).prop_map(|(name, column_type)| ColumnType::Struct(vec![StructField { name, column_type }])),
        ]
    })
}

fn columns(types: impl Strategy<Value = ColumnType>) -> impl Strategy<Value = Vec<ColumnDef>> {
    prop::collection::btree_map(name(), (types, any::<bool>(), prop::option::of(text())), 1..5).prop_map(|columns| {
        columns
            .into_iter()
            .map(|(name, (column_type, nullable, comment))| ColumnDef { name, column_type, nullable, comment })
            .collect()
    })
}

fn options(given: &[(&str, String)]) -> Options {
    given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn connector_table() -> impl Strategy<Value = TableKind> {
    let files = (text(), any::<bool>(), "[|,; ]{1,3}").prop_map(|(path, follow, delimiter)| {
        options(&[
            ("connector", "files".into()),
            ("format", "delimited".into()),
            ("path", path),
            ("follow", follow.to_string()),
            ("delimiter", delimiter),
        ])
    });
    let hubs = (0_i64..1000, text()).prop_map(|(sequence, group)| {
        options(&[
            ("connector", "eventhubs".into()),
            ("format", "json".into()),
            ("connection_string", "${CS}".into()),
            ("event_hub", "${file:/run/hub}".into()),
            ("consumer_group", group),
            ("starting_position", format!("sequence:{sequence}")),
        ])
    });
    prop_oneof![files, hubs].prop_map(|options| TableKind::Connector(ConnectorTable { watermark: None, options }))
}

fn table() -> impl Strategy<Value = TableDef> {
    let def = |(db, name, columns, comment, kind): (Option<Name>, Name, Vec<ColumnDef>, Option<String>, TableKind)| {
        TableDef { name: TableName { db, name }, columns, comment, kind }
    };
    let table_name = || name().prop_filter("no $", |name| !name.key().contains('$'));
    let connector = (
        prop::option::of(name()),
        table_name(),
        columns(column_type()),
        prop::option::of(text()),
        connector_table(),
        any::<bool>(),
    )
        .prop_map(move |(db, name, mut columns, comment, mut kind, timed)| {
            if let (true, TableKind::Connector(table)) = (timed, &mut kind) {
                columns[0].column_type = ColumnType::Timestamp;
                let column = columns[0].name.clone();
                let expression = format!("\"{}\" - INTERVAL '10' SECOND", column.as_str().replace('"', "\"\""));
                table.watermark = Some(Watermark { column, delay_micros: 10_000_000, expression });
            }
            def((db, name, columns, comment, kind))
        });
    let hive = (
        prop::option::of(name()),
        table_name(),
        columns(column_type()),
        prop::option::of(text()),
        columns(primitive()),
        text(),
    )
        .prop_map(move |(db, name, columns, comment, partitions, location)| {
            let free = |column: &ColumnDef| columns.iter().all(|other| other.name != column.name);
            let hive = HiveTable {
                partition_columns: partitions.into_iter().filter(free).collect(),
                format: FileFormat::Parquet,
                location: format!("/lake/{location}"),
                properties: options(&[("roll_size", "64 MB".into()), ("parquet.compression", "ZSTD".into())]),
            };
            def((db, name, columns, comment, TableKind::Hive(hive)))
        });
    prop_oneof![connector, hive]
}

proptest! {
    #[test]
    fn tables_written_as_sql_read_back_the_same(def in table()) {
        let sql = def.to_sql();
        let parsed = match parse_one(&sql) {
            Ok(spanned) => spanned.statement,
            Err(error) => return Err(TestCaseError::fail(format!("{}\n{sql}", error.render()))),
        };
        let Statement::CreateTable(create) = parsed else { return Err(TestCaseError::fail(sql)) };
        prop_assert_eq!(&create.table, &def, "{}", sql);
        // Spellings count too, which equality of names doesn't see.
        prop_assert_eq!(create.table.to_sql(), sql);
    }

    #[test]
    fn tables_written_as_json_read_back_the_same(def in table()) {
        let json = serde_json::to_string(&def).expect("JSON");
        let read: TableDef = serde_json::from_str(&json).expect("a definition");
        prop_assert_eq!(serde_json::to_string(&read).expect("JSON"), json);
        prop_assert_eq!(read, def);
    }

    #[test]
    fn any_text_parses_or_not(sql in any::<String>()) {
        outcome(&sql)?;
    }

    #[test]
    fn any_tokens_parse_or_not(tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..40)) {
        outcome(&tokens.join(" "))?;
    }

    #[test]
    fn damaged_statements_parse_or_not(
        which in 0..STATEMENTS.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[a-z'\"`();,<>\\[\\]{}$=\\\\/*. \n-]{0,3}"), 1..4),
    ) {
        let mut chars: Vec<char> = STATEMENTS[which].chars().collect();
        for (from, length, insert) in cuts {
            let from = from.index(chars.len() + 1);
            let to = (from + length.index(8)).min(chars.len());
            chars.splice(from..to, insert.chars());
        }
        outcome(&chars.into_iter().collect::<String>())?;
    }
}

/// Whatever comes out, it must be consistent: errors point into the script, statements' texts are in it.
fn outcome(sql: &str) -> Result<(), TestCaseError> {
    let _ = warnings(sql);
    match parse(sql) {
        Ok(statements) => {
            let pieces = split(sql);
            prop_assert_eq!(statements.len(), pieces.len());
            for (statement, piece) in statements.iter().zip(pieces) {
                prop_assert_eq!(statement.text.as_str(), piece.text);
                if let Statement::CreateTable(create) = &statement.statement {
                    prop_assert!(parse_one(&create.table.to_sql()).is_ok(), "{}", create.table.to_sql());
                }
            }
        }
        Err(error) => {
            prop_assert!(error.line() >= 1 && error.column() >= 1, "{error:?}");
            let line = sql.split('\n').nth(error.line() as usize - 1);
            let length = line.map(|line| line.chars().count());
            prop_assert!(
                length.is_some_and(|length| error.column() as usize <= length + 1),
                "{}\n{sql}",
                error.render()
            );
            prop_assert!(error.render().contains('^'));
        }
    }
    Ok(())
}

const TOKENS: [&str; 60] = [
    "SELECT",
    "FROM",
    "WHERE",
    "CREATE",
    "TABLE",
    "EXTERNAL",
    "VIEW",
    "JOB",
    "AS",
    "INSERT",
    "INTO",
    "VALUES",
    "WITH",
    "(",
    ")",
    ",",
    ";",
    "'x'",
    "'it''s'",
    "\"q\"",
    "`b`",
    "a",
    "b.c",
    "1",
    "2.5",
    "=",
    "<",
    ">",
    ">>",
    "[",
    "]",
    "{",
    "}",
    ":",
    "::",
    "-",
    "*",
    "NOT",
    "NULL",
    "INTERVAL",
    "SECOND",
    "WATERMARK",
    "FOR",
    "INT",
    "ARRAY",
    "STRUCT",
    "MAP",
    "PARTITIONED",
    "BY",
    "STORED",
    "PARQUET",
    "LOCATION",
    "TBLPROPERTIES",
    "SHOW",
    "DROP",
    "IF",
    "EXISTS",
    "CASE",
    "/*",
    "'connector'",
];

const STATEMENTS: [&str; 9] = [
    "CREATE TABLE logs (ts TIMESTAMP NOT NULL COMMENT 'it''s', a ARRAY<STRUCT<x: DECIMAL(10,2), y MAP<STRING,INT>>>, WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) COMMENT 'c' WITH ('connector' = 'files', 'format' = 'delimited', 'path' = '${DIR}/x', 'delimiter' = ' | ', 'strip_labels' = TRUE)",
    "CREATE TABLE raw (body STRING) WITH ('connector' = 'eventhubs', 'format' = 'text', 'connection_string' = 'Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true', 'event_hub' = 'logs', 'starting_position' = 'sequence:5')",
    "CREATE EXTERNAL TABLE IF NOT EXISTS db.t (`a b` INT, date DATE) PARTITIONED BY (date, region STRING) STORED AS PARQUET LOCATION 'abfss://x@y/z' TBLPROPERTIES ('roll_size' = '128 MB', parquet.compression = 'zstd')",
    "CREATE OR REPLACE VIEW v (x, y) AS WITH q AS (SELECT f[0] AS a FROM (SELECT split(body, ' \\| ') AS f FROM raw)) SELECT a, count(*) FROM q GROUP BY a HAVING count(*) > 1; SHOW JOBS",
    "CREATE JOB ingest AS INSERT INTO db.t (a, b) SELECT CASE WHEN a = 1 THEN 'x' ELSE \"y\" END, CAST(b AS STRING) FROM v WHERE ts > now() - INTERVAL '5 minutes' -- end",
    "EXPLAIN ANALYZE VERBOSE SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t LEFT JOIN u USING (id) ORDER BY 1 DESC LIMIT 5",
    "CREATE DATABASE IF NOT EXISTS d COMMENT 'c' LOCATION '/x'; DROP DATABASE d CASCADE; USE d; SET a.b = -1; SET TIME ZONE 'UTC'",
    "SHOW TABLES IN db LIKE 'a%'; SHOW PARTITIONS t; SHOW CREATE TABLE t; DESCRIBE EXTENDED db.t; STOP JOB \"j\"; START JOB j; DROP JOB IF EXISTS j",
    "SELECT window.start, element_at(m['k'], 1), array(1,2)[0], x.y.z, /* c /* n */ */ 'é' FROM logs$bad_records GROUP BY window(ts, '10 seconds')",
];
