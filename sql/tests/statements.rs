//! Statements that parse, and what they become.

use salamander_sql::catalog::relations;
use salamander_sql::options::{Compression, StartPosition};
use salamander_sql::{ColumnType, Insert, Name, Position, Ref, Show, Statement, TableDef, TableName, parse, parse_one};

fn one(sql: &str) -> Statement {
    match parse_one(sql) {
        Ok(spanned) => spanned.statement,
        Err(error) => panic!("{}", error.render()),
    }
}

fn table(sql: &str) -> TableDef {
    match one(sql) {
        Statement::CreateTable(create) => create.table,
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn table_name(text: &str) -> TableName {
    match text.split_once('.') {
        Some((db, table)) => TableName { db: Some(name(db)), name: name(table) },
        None => TableName { db: None, name: name(text) },
    }
}

const DEVELOPMENT: &str = "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";

/// The example of the design, whole.
#[test]
fn the_main_job() {
    let script = r"
-- the users' pipeline
CREATE DATABASE formersalamendars;
CREATE TABLE raw_logs (body STRING)
WITH ('connector' = 'eventhubs', 'connection_string' = '${EVENTHUBS_CONNECTION_STRING}', 'event_hub' = 'logs',
      'consumer_group' = '$Default', 'starting_position' = 'earliest', 'format' = 'text');
CREATE VIEW parsed AS
SELECT to_timestamp(f[0], 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS') AS ts, f[1] AS log_level, regexp_extract(f[11], '(?<=:\s)(.*)', 1) AS response_time
FROM (SELECT split(body, ' \| ') AS f FROM raw_logs);
CREATE EXTERNAL TABLE formersalamendars.formersalamendars_logs (time STRING, log_level STRING, detail STRING)
PARTITIONED BY (date STRING) STORED AS PARQUET LOCATION 'abfss://lake@account.dfs.core.windows.net/logs'
TBLPROPERTIES ('roll_interval' = '5 minutes', 'roll_size' = '128 MB');
CREATE JOB ingest AS INSERT INTO formersalamendars.formersalamendars_logs
  SELECT date_format(ts, 'HH:mm:ss.SSS') AS time, log_level, response_time, date_format(ts, 'yyyy-MM-dd') AS date FROM parsed
";
    let statements = parse(script).expect("the example parses");
    let starts: Vec<_> = statements.iter().map(|s| s.start).collect();
    assert_eq!(starts, [3, 4, 7, 10, 13].map(|line| Position::new(line, 1)));
    let Statement::CreateJob(job) = &statements[4].statement else { panic!() };
    assert_eq!(job.insert.table, table_name("formersalamendars.formersalamendars_logs"));
    assert!(job.insert.text.starts_with("INSERT INTO") && job.insert.text.ends_with("FROM parsed"));
    let Statement::CreateView(view) = &statements[2].statement else { panic!() };
    assert_eq!(relations(&view.query), [table_name("raw_logs")].into());
    assert!(view.query_text.starts_with("SELECT to_timestamp") && view.query_text.ends_with("FROM raw_logs)"));
}

#[test]
fn a_delimited_source_with_a_watermark() {
    let def = table(&format!(
        "CREATE TABLE logs (ts TIMESTAMP, log_level STRING NOT NULL COMMENT 'INFO …', response_time DOUBLE,
           WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
         COMMENT 'it''s logs'
         WITH ('connector' = 'eventhubs', 'connection_string' = '{DEVELOPMENT};EntityPath=logs', 'format' = 'delimited',
               'delimiter' = ' | ', 'strip_labels' = TRUE, 'owner_level' = 3, 'starting_position' = 'time:2026-11-24T00:00:00Z')"
    ));
    let connector = def.connector().expect("a connector's table");
    let watermark = connector.watermark.as_ref().expect("a watermark");
    assert_eq!((watermark.delay_micros, watermark.expression.as_str()), (10_000_000, "ts - INTERVAL '10' SECOND"));
    assert_eq!(def.comment.as_deref(), Some("it's logs"));
    assert!(!def.columns[1].nullable && def.columns[0].nullable);
    let values = connector.resolve(&|_| None).expect("nothing to look up");
    assert_eq!((values.delimiter("delimiter"), values.flag("strip_labels")), (Ok(Some(" | ".into())), Ok(true)));
    assert_eq!((values.text("consumer_group"), values.int("owner_level")), (Some("$Default"), Ok(Some(3))));
    assert_eq!(values.start_position("starting_position"), Ok(Some(StartPosition::Time(1_795_478_400_000_000))));
    assert_eq!(
        (values.choice("on_expired").as_deref(), values.bytes("prefetch_bytes")),
        (Some("fail"), Ok(Some(8 << 20)))
    );
    assert_eq!((values.text("event_hub"), values.text("null_value")), (None, None));
}

#[test]
fn references_are_looked_up_on_the_server_only() {
    let sql = "CREATE TABLE t (body STRING) WITH ('connector' = 'eventhubs', 'connection_string' = '${file:/run/cs}', 'event_hub' = '${HUB}-1',
               'prefetch_bytes' = '${SIZE}', 'format' = 'text')";
    let def = table(sql);
    let connector = def.connector().expect("a connector's table");
    assert_eq!(connector.options.get("connection_string"), Some("${file:/run/cs}"));
    let secret = "Endpoint=sb://h.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=s3cr3t=\n";
    let lookup = |size: &'static str| {
        move |reference: Ref| match reference {
            Ref::File(path) if path == "/run/cs" => Some(secret.to_owned()),
            Ref::Env(name) if name == "HUB" => Some("logs".to_owned()),
            Ref::Env(name) if name == "SIZE" => Some(size.to_owned()),
            _ => None,
        }
    };
    let values = connector.resolve(&lookup("1 MB")).expect("all is found");
    assert!(!format!("{values:?}").contains("s3cr3t"));
    assert_eq!((values.text("event_hub"), values.bytes("prefetch_bytes")), (Some("logs-1"), Ok(Some(1 << 20))));
    let given = connector.resolved_options(&lookup("1 MB")).expect("all is found");
    assert_eq!(given.get("connection_string").map(String::as_str), Some(secret.trim_end()));
    assert_eq!(
        given.keys().collect::<Vec<_>>(),
        ["connection_string", "connector", "event_hub", "format", "prefetch_bytes"]
    );

    let error = connector.resolve(&lookup("s3cr3t")).expect_err("no size");
    assert_eq!(
        error.to_string(),
        "line 2, column 35: option 'prefetch_bytes': the value of ${SIZE} doesn't fit (it takes a size such as `128 MB` or `64 KB`)"
    );
    let error = connector.resolve(&|_| None).expect_err("nothing is found");
    assert!(error.to_string().contains("was not found (the server must be able to read /run/cs)"), "{error}");
}

#[test]
fn entra_and_other_connectors() {
    for options in [
        "'auth' = 'managed_identity'",
        "'auth' = 'Managed_Identity', 'client_id' = 'c'",
        "'auth' = 'cli', 'tenant_id' = 't'",
        "'auth' = 'client_secret', 'tenant_id' = 't', 'client_id' = 'c', 'client_secret' = '${S}'",
    ] {
        let def = table(&format!(
            "CREATE TABLE t (a INT) WITH ('connector' = 'EventHubs', 'format' = 'JSON', 'event_hub' = 'h', 'fully_qualified_namespace' = 'n', {options})"
        ));
        let connector = def.connector().expect("a connector");
        let given = connector.resolved_options(&|_| Some("x".into())).expect("it resolves");
        assert_eq!((given["connector"].as_str(), given["format"].as_str()), ("eventhubs", "json"));
        assert_eq!(given["auth"], given["auth"].to_lowercase());
    }

    let def = table("CREATE TABLE g (body STRING) WITH ('connector' = 'generator', 'rows' = 10, 'damaged' = 0.02)");
    let connector = def.connector().expect("a connector");
    assert_eq!((connector.connector_name(), connector.format_name()), (Some("generator"), Some("text")));
    let values = connector.resolve(&|_| None).expect("it resolves");
    assert_eq!((values.unsigned("rows"), values.float("rows_per_second")), (Ok(Some(10)), Ok(Some(0.0))));
    assert_eq!((values.float("damaged"), values.duration_micros("step")), (Ok(Some(0.02)), Ok(Some(1_000))));

    let def = table(
        "CREATE TABLE f (a INT, b STRING) WITH ('connector' = 'files', 'path' = '/data/*.csv', 'format' = 'csv', 'delimiter' = '\\t')",
    );
    let values = def.connector().expect("a connector").resolve(&|_| None).expect("it resolves");
    assert_eq!((values.delimiter("delimiter"), values.character("quote")), (Ok(Some("\t".into())), Ok(Some('"'))));
}

#[test]
fn external_tables() {
    let def = table(
        "CREATE EXTERNAL TABLE IF NOT EXISTS db.T (a INT, `Region` STRING, date DATE) COMMENT 'x'
         PARTITIONED BY (date, region) STORED AS parquet LOCATION '${LAKE}/t' TBLPROPERTIES (parquet.compression = 'ZSTD', 'roll_size' = '1g')",
    );
    let hive = def.hive().expect("a Hive table");
    assert_eq!(def.all_columns().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "date", "Region"]);
    assert_eq!(hive.partition_columns[0].column_type, ColumnType::Date);
    assert_eq!(def.column(&name("REGION")).map(|c| &c.column_type), Some(&ColumnType::String));
    let config = hive.resolve(&|_| Some("abfss://lake@a".into())).expect("it resolves");
    assert_eq!(config.location, "abfss://lake@a/t");
    assert_eq!(
        (config.roll_interval_micros, config.roll_size_bytes, config.compression),
        (300_000_000, 1 << 30, Compression::Zstd(1))
    );
}

#[test]
fn types() {
    let def = table(
        "CREATE TABLE t (a ARRAY<ARRAY<INT>>, b MAP<STRING, STRUCT<x: DECIMAL(10, 2), y ARRAY<LONG>>>, c NUMERIC, d: DOUBLE PRECISION, e TIMESTAMP)
         WITH ('connector' = 'blackhole')",
    );
    let types: Vec<String> = def.columns.iter().map(|c| c.column_type.to_string()).collect();
    assert_eq!(
        types,
        [
            "ARRAY<ARRAY<INT>>",
            "MAP<STRING, STRUCT<x: DECIMAL(10,2), y: ARRAY<BIGINT>>>",
            "DECIMAL(10,0)",
            "DOUBLE",
            "TIMESTAMP"
        ]
    );
}

#[test]
fn intervals_of_watermarks() {
    for (interval, micros) in [
        ("ts", 0),
        ("ts - INTERVAL '10' SECOND", 10_000_000),
        ("TS - INTERVAL 10 SECONDS", 10_000_000),
        ("ts - INTERVAL '1.5' SECOND", 1_500_000),
        ("ts - INTERVAL '1 minute 30 seconds'", 90_000_000),
        ("ts - INTERVAL '2' HOUR", 7_200_000_000),
        ("ts /* event time */ - INTERVAL '0' SECOND", 0),
    ] {
        let def = table(&format!(
            "CREATE TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS {interval}, b INT) WITH ('connector' = 'blackhole')"
        ));
        let watermark = def.connector().and_then(|c| c.watermark.clone()).expect("a watermark");
        assert_eq!((watermark.delay_micros, watermark.expression.as_str()), (micros, interval));
    }
}

#[test]
fn small_statements() {
    let drop_table = Statement::DropTable { name: table_name("db.t"), if_exists: true };
    let cases = [
        ("show jobs", Statement::Show(Show::Jobs)),
        ("SHOW TABLES", Statement::Show(Show::Tables { db: None, like: None })),
        (
            "SHOW TABLES IN db LIKE 'a%'",
            Statement::Show(Show::Tables { db: Some(name("db")), like: Some("a%".into()) }),
        ),
        ("SHOW TABLES FROM db 'a*'", Statement::Show(Show::Tables { db: Some(name("db")), like: Some("a*".into()) })),
        ("SHOW SCHEMAS LIKE 'x'", Statement::Show(Show::Databases { like: Some("x".into()) })),
        ("SHOW PARTITIONS db.t", Statement::Show(Show::Partitions { table: table_name("db.t") })),
        ("SHOW CREATE TABLE t", Statement::Show(Show::CreateTable { table: table_name("t") })),
        ("DESCRIBE t", Statement::Describe { name: table_name("t"), extended: false }),
        ("DESC TABLE EXTENDED db.t", Statement::Describe { name: table_name("db.t"), extended: true }),
        ("DESCRIBE FORMATTED t", Statement::Describe { name: table_name("t"), extended: true }),
        ("DESCRIBE extended", Statement::Describe { name: table_name("extended"), extended: false }),
        ("START JOB j", Statement::StartJob { name: name("j") }),
        ("STOP JOB \"my job\"", Statement::StopJob { name: name("my job") }),
        ("DROP JOB IF EXISTS j", Statement::DropJob { name: name("j"), if_exists: true }),
        ("DROP TABLE IF EXISTS DB.T", drop_table),
        ("DROP VIEW v", Statement::DropView { name: table_name("v"), if_exists: false }),
        ("DROP DATABASE d CASCADE", Statement::DropDatabase { name: name("d"), if_exists: false, cascade: true }),
        (
            "DROP SCHEMA IF EXISTS d RESTRICT",
            Statement::DropDatabase { name: name("d"), if_exists: true, cascade: false },
        ),
        ("USE DATABASE d", Statement::Use { db: name("d") }),
        ("USE `d`", Statement::Use { db: name("d") }),
        ("SET Reads = committed", Statement::Set { name: "reads".into(), value: "committed".into() }),
        ("SET a.b TO -5", Statement::Set { name: "a.b".into(), value: "-5".into() }),
        (
            "SET TIME ZONE 'Africa/Casablanca'",
            Statement::Set { name: "time_zone".into(), value: "Africa/Casablanca".into() },
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(one(sql), expected, "{sql}");
    }
    let Statement::Explain { analyze: true, verbose: true, statement } =
        one("EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1")
    else {
        panic!()
    };
    assert!(matches!(*statement, Statement::Insert(Insert { .. })));
    let Statement::CreateDatabase(db) = one("CREATE DATABASE IF NOT EXISTS d LOCATION '/l' COMMENT 'c'") else {
        panic!()
    };
    assert_eq!((db.if_not_exists, db.location.as_deref(), db.comment.as_deref()), (true, Some("/l"), Some("c")));
    let Statement::Insert(insert) = one("INSERT INTO TABLE t (a, b) VALUES (1, 2)") else { panic!() };
    assert_eq!(insert.columns, [name("a"), name("b")]);
    let Statement::Insert(insert) = one("INSERT INTO t (SELECT 1)") else { panic!() };
    assert!(insert.columns.is_empty());
    let Statement::CreateView(view) = one("CREATE OR REPLACE VIEW v (x, y) COMMENT 'c' AS SELECT 1, 2 -- end") else {
        panic!()
    };
    assert_eq!((view.or_replace, view.columns.len(), view.query_text.as_str()), (true, 2, "SELECT 1, 2"));
}

/// What users bring from Spark, Hive and Flink. Only the syntax: the planner decides what it can do.
#[test]
fn queries_parse() {
    for sql in [
        "SELECT window.start AS window_start, url, count(*) AS requests FROM logs GROUP BY window(ts, '10 seconds'), url",
        "SELECT window(ts, '1 minute', '10 seconds') FROM logs",
        "SELECT session_window(ts, '30 seconds') FROM logs",
        "SELECT element_at(f, 1), f[0], m['k'], s.x[1].y FROM t",
        "SELECT array(1, 2, 3), map('a', 1), named_struct('a', 1), struct(1, 2) FROM t",
        r"SELECT split(body, ' \| ')[0] FROM raw_logs",
        "SELECT date, time, timestamp, `date`, \"time\" FROM t",
        "SELECT * FROM raw_logs$bad_records",
        "SELECT * EXCEPT (a) FROM t",
        "SELECT count(*) FILTER (WHERE a > 1), sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT a FROM t WHERE ts > now() - INTERVAL '1' MINUTE AND ts < now() - INTERVAL '5 minutes' AND b <=> 1",
        "SELECT a FROM t WHERE a RLIKE 'x' AND b LIKE 'y%' AND c NOT IN (SELECT d FROM e)",
        "SELECT CAST(a AS STRING), CAST(a AS LONG), TRY_CAST(a AS DECIMAL(10, 2)), a::INT FROM t",
        "SELECT a, count(*) FROM t GROUP BY ROLLUP (a) HAVING count(*) > 1 ORDER BY 2 DESC NULLS LAST LIMIT 10 OFFSET 5",
        "WITH x AS (SELECT 1 AS a), y AS (SELECT * FROM x) SELECT * FROM y JOIN x USING (a) LEFT JOIN z ON z.a = y.a",
        "SELECT CASE WHEN a = 1 THEN 'x' ELSE 'y' END, percentile_approx(a, 0.99), approx_percentile(a, array(0.5, 0.9)) FROM t",
        "VALUES (1, 'a'), (2, 'b')",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT * FROM t WHERE a = ? AND b = $1",
        "SELECT 1 AS données, 'é' FROM t -- commentaire",
        "SELECT date_format(ts, 'yyyy-MM-dd''T''HH') FROM t",
    ] {
        assert!(matches!(one(sql), Statement::Query(_)), "{sql}");
    }
}

#[test]
fn a_backslash_is_a_backslash() {
    // Looked at in the tree: sqlparser's Display doesn't double a quote after a backslash, so a query's text is kept
    // as written and never made from its tree.
    let Statement::Query(query) = one(r"SELECT '\s\\''\' FROM t") else { panic!() };
    assert!(format!("{query:?}").contains(&format!("SingleQuotedString({:?})", r"\s\\'\")), "{query:?}");
}

#[test]
fn relations_of_queries() {
    for (sql, expected) in [
        ("SELECT * FROM a, db.b JOIN (SELECT * FROM c) ON a.x IN (SELECT x FROM d)", vec!["a", "c", "d", "db.b"]),
        ("WITH logs AS (SELECT * FROM logs) SELECT * FROM logs", vec!["logs"]),
        ("WITH x AS (SELECT * FROM a), y AS (SELECT * FROM x, b) SELECT * FROM x, y, c", vec!["a", "b", "c"]),
        ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x", vec!["y"]),
        ("WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT * FROM x) SELECT * FROM x", vec![]),
        ("SELECT * FROM (WITH x AS (SELECT * FROM a) SELECT * FROM x), x", vec!["a", "x"]),
        ("WITH x AS (SELECT 1) SELECT * FROM (SELECT * FROM x WHERE EXISTS (SELECT 1 FROM X)), db.x", vec!["db.x"]),
        ("SELECT * FROM generate_series(1, 5), a", vec!["a"]),
        ("SELECT * FROM a UNION SELECT * FROM b", vec!["a", "b"]),
    ] {
        let Statement::Query(query) = one(sql) else { panic!() };
        assert_eq!(
            relations(&query).iter().map(ToString::to_string).collect::<Vec<_>>(),
            {
                let mut sorted: Vec<TableName> = expected.iter().map(|name| table_name(name)).collect();
                sorted.sort();
                sorted.iter().map(ToString::to_string).collect::<Vec<_>>()
            },
            "{sql}"
        );
    }
}

#[test]
fn show_create_table_masks_what_must_not_be_shown() {
    let def = table(
        "CREATE TABLE t (body STRING) WITH ('connector' = 'eventhubs', 'format' = 'text', 'event_hub' = 'h', 'connection_string' = '${CS}')",
    );
    let mut stored = serde_json::to_value(&def).expect("JSON");
    stored["kind"]["Connector"]["options"]["connection_string"] =
        "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=s3cr3t".into();
    stored["kind"]["Connector"]["options"]["client_secret"] = "s3cr3t".into();
    let other: TableDef = serde_json::from_value(stored).expect("a definition");
    let sql = other.to_sql();
    assert!(
        sql.contains("SharedAccessKey=****") && sql.contains("'client_secret' = '****'") && !sql.contains("s3cr3t"),
        "{sql}"
    );
    assert!(!format!("{other:?}").contains("s3cr3t"));
}
