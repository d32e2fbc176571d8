//! Errors as users see them: message, place, source line with a caret, hint.
//! `UPDATE_EXPECT=1` writes new expectations.

use expect_test::{Expect, expect};

fn check(sql: &str, expected: Expect) {
    let error = salamander_sql::parse(sql).expect_err("the script is wrong");
    let line = sql.split('\n').nth(error.line() as usize - 1).expect("the line is in the script");
    assert!(error.column() as usize <= line.chars().count() + 1, "{error:?}");
    expected.assert_eq(&error.render());
}

#[test]
fn words_that_are_no_statements() {
    check(
        "SELECT 1;\n  CRATE TABLE t (a INT);",
        expect![[r#"
        error: CRATE is not a statement of this language
         --> line 2, column 3
          |
        2 |   CRATE TABLE t (a INT);
          |   ^
          = hint: did you mean CREATE?"#]],
    );
    check(
        "UPDATE t SET a = 1",
        expect![[r#"
        error: UPDATE is not a statement of this language
         --> line 1, column 1
          |
        1 | UPDATE t SET a = 1
          | ^
          = hint: rows of a table are only appended here"#]],
    );
    check(
        "ALTER TABLE t ADD COLUMN a INT",
        expect![[r#"
        error: ALTER is not a statement of this language
         --> line 1, column 1
          |
        1 | ALTER TABLE t ADD COLUMN a INT
          | ^
          = hint: create the table or view anew"#]],
    );
    check(
        "GRANT SELECT ON t TO x",
        expect![[r#"
        error: GRANT is not a statement of this language
         --> line 1, column 1
          |
        1 | GRANT SELECT ON t TO x
          | ^
          = hint: supported are SELECT, INSERT INTO, EXPLAIN, CREATE DATABASE | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | JOB, DROP DATABASE | TABLE | VIEW | MATERIALIZED VIEW | JOB, SHOW DATABASES | TABLES | PARTITIONS | CREATE TABLE | JOBS | STATE | WATERMARKS, DESCRIBE, START JOB, STOP JOB, USE, SET"#]],
    );
    check(
        "42",
        expect![[r#"
        error: expected a statement, found '42'
         --> line 1, column 1
          |
        1 | 42
          | ^
          = hint: supported are SELECT, INSERT INTO, EXPLAIN, CREATE DATABASE | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | JOB, DROP DATABASE | TABLE | VIEW | MATERIALIZED VIEW | JOB, SHOW DATABASES | TABLES | PARTITIONS | CREATE TABLE | JOBS | STATE | WATERMARKS, DESCRIBE, START JOB, STOP JOB, USE, SET"#]],
    );
}

#[test]
fn lexical_errors() {
    check(
        "SHOW JOBS;\nSELECT 'it's'",
        expect![[r#"
        error: unterminated string literal
         --> line 2, column 13
          |
        2 | SELECT 'it's'
          |             ^
          = hint: a quote inside a string is written twice: 'it''s'"#]],
    );
    check(
        "SELECT 1 /* open",
        expect![[r#"
        error: the comment that begins with /* is not closed
         --> line 1, column 17
          |
        1 | SELECT 1 /* open
          |                 ^"#]],
    );
    check(
        "SELECT \"open",
        expect![[r#"
        error: expected close delimiter '"' before the end of the statement
         --> line 1, column 8
          |
        1 | SELECT "open
          |        ^"#]],
    );
}

#[test]
fn queries() {
    check(
        "SELECT a FROM",
        expect![[r#"
        error: expected identifier, found the end of the statement
         --> line 1, column 14
          |
        1 | SELECT a FROM
          |              ^"#]],
    );
    check(
        "SELECT a,\n       b c d\nFROM t",
        expect![[r#"
        error: expected the end of the statement, found 'd'
         --> line 2, column 12
          |
        2 |        b c d
          |            ^"#]],
    );
    check(
        "SELECT 1;\n\n\tSELECT sum(a FROM t",
        expect![[r#"
        error: expected ), found FROM
         --> line 3, column 15
          |
        3 | 	SELECT sum(a FROM t
          | 	             ^"#]],
    );
    check(
        "SELECT 1 UNION INSERT INTO t SELECT 2",
        expect![[r#"
        error: expected SELECT, VALUES, or a subquery in the query body, found INSERT
         --> line 1, column 16
          |
        1 | SELECT 1 UNION INSERT INTO t SELECT 2
          |                ^"#]],
    );
    check(
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        expect![[r#"
        error: a query can't hold INSERT, UPDATE, DELETE, MERGE or TABLE
         --> line 1, column 1
          |
        1 | WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x
          | ^
          = hint: write INSERT INTO t WITH … SELECT …, and SELECT * FROM t"#]],
    );
    check(
        "SELECT 1 SELECT 2",
        expect![[r#"
        error: expected the end of the statement, found 'SELECT'
         --> line 1, column 10
          |
        1 | SELECT 1 SELECT 2
          |          ^"#]],
    );
}

#[test]
fn long_lines_are_clipped_around_the_caret() {
    let sql = format!("SELECT {} FROM t WHERE", "a, ".repeat(200));
    check(
        &sql,
        expect![[r#"
        error: expected an expression, found FROM
         --> line 1, column 614
          |
        1 | …a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a,  FROM t WHERE
          |                                                                                                                                                           ^"#]],
    );
}

#[test]
fn inserts_and_jobs() {
    check(
        "INSERT OVERWRITE t SELECT 1",
        expect![[r#"
        error: INSERT OVERWRITE is not supported
         --> line 1, column 8
          |
        1 | INSERT OVERWRITE t SELECT 1
          |        ^
          = hint: rows of a table are only appended: write INSERT INTO"#]],
    );
    check(
        "INSERT INTO t PARTITION (date = '2026') SELECT 1",
        expect![[r#"
        error: INSERT … PARTITION (…) is not supported
         --> line 1, column 15
          |
        1 | INSERT INTO t PARTITION (date = '2026') SELECT 1
          |               ^
          = hint: partitions are dynamic: select the partition columns last, or name all columns after the table"#]],
    );
    check(
        "INSERT INTO t (a, b, A) SELECT 1, 2, 3",
        expect![[r#"
        error: column 'A' appears twice
         --> line 1, column 22
          |
        1 | INSERT INTO t (a, b, A) SELECT 1, 2, 3
          |                      ^"#]],
    );
    check(
        "INSERT INTO a.b.c SELECT 1",
        expect![[r#"
        error: a name has at most two parts: database.table
         --> line 1, column 16
          |
        1 | INSERT INTO a.b.c SELECT 1
          |                ^"#]],
    );
    check(
        "CREATE JOB ingest AS SELECT * FROM t",
        expect![[r#"
        error: expected INSERT INTO, found 'SELECT'
         --> line 1, column 22
          |
        1 | CREATE JOB ingest AS SELECT * FROM t
          |                      ^
          = hint: a job writes somewhere: CREATE JOB name AS INSERT INTO table SELECT …"#]],
    );
    check(
        "CREATE JOB AS INSERT INTO t SELECT 1",
        expect![[r#"
        error: expected AS, found 'INSERT'
         --> line 1, column 15
          |
        1 | CREATE JOB AS INSERT INTO t SELECT 1
          |               ^"#]],
    );
    check(
        "STOP ingest",
        expect![[r#"
        error: expected JOB, found 'ingest'
         --> line 1, column 6
          |
        1 | STOP ingest
          |      ^"#]],
    );
    check(
        "SHOW JOB",
        expect![[r#"
        error: expected JOBS, STATE, WATERMARKS, TABLES, DATABASES, PARTITIONS or CREATE TABLE, found 'JOB'
         --> line 1, column 6
          |
        1 | SHOW JOB
          |      ^"#]],
    );
}

#[test]
fn views() {
    check(
        "CREATE OR REPLACE MATERIALIZED VIEW errors AS SELECT count(*) FROM logs",
        expect![[r#"
        error: a materialized view can't be replaced: what it has kept would be lost
         --> line 1, column 8
          |
        1 | CREATE OR REPLACE MATERIALIZED VIEW errors AS SELECT count(*) FROM logs
          |        ^
          = hint: DROP MATERIALIZED VIEW it first"#]],
    );
    check(
        "CREATE OR REPLACE TABLE t (a INT) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: OR REPLACE is for views only
         --> line 1, column 8
          |
        1 | CREATE OR REPLACE TABLE t (a INT) WITH ('connector' = 'blackhole')
          |        ^
          = hint: drop it first, or write IF NOT EXISTS"#]],
    );
    check(
        "CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1",
        expect![[r#"
        error: OR REPLACE and IF NOT EXISTS contradict each other
         --> line 1, column 24
          |
        1 | CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1
          |                        ^"#]],
    );
    check(
        "CREATE TEMPORARY VIEW v AS SELECT 1",
        expect![[r#"
        error: temporary tables and views are not supported
         --> line 1, column 8
          |
        1 | CREATE TEMPORARY VIEW v AS SELECT 1
          |        ^
          = hint: write WITH name AS (…) in the query, or CREATE VIEW"#]],
    );
    check(
        "CREATE VIEW v$bad_records AS SELECT 1",
        expect![[r#"
        error: 'v$bad_records' can't be created: names with $ are for tables that the engine keeps itself
         --> line 1, column 13
          |
        1 | CREATE VIEW v$bad_records AS SELECT 1
          |             ^"#]],
    );
}

#[test]
fn columns() {
    check(
        "CREATE TABLE t (\n  a INT,\n  b VARCHAR(20)\n) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: unknown type VARCHAR
         --> line 3, column 5
          |
        3 |   b VARCHAR(20)
          |     ^
          = hint: write STRING: lengths of strings are not enforced"#]],
    );
    check(
        "CREATE TABLE t (a STRNG) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: unknown type STRNG
         --> line 1, column 19
          |
        1 | CREATE TABLE t (a STRNG) WITH ('connector' = 'blackhole')
          |                   ^
          = hint: did you mean STRING?"#]],
    );
    check(
        "CREATE TABLE t (a ARRAY<INT) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: expected '>', found ')'
         --> line 1, column 28
          |
        1 | CREATE TABLE t (a ARRAY<INT) WITH ('connector' = 'blackhole')
          |                            ^"#]],
    );
    check(
        "CREATE TABLE t (a ARRAY<INT>>) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: the type has one '>' too many
         --> line 1, column 19
          |
        1 | CREATE TABLE t (a ARRAY<INT>>) WITH ('connector' = 'blackhole')
          |                   ^"#]],
    );
    check(
        "CREATE TABLE t (a DECIMAL(39, 2)) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: DECIMAL(39,2) is out of range
         --> line 1, column 27
          |
        1 | CREATE TABLE t (a DECIMAL(39, 2)) WITH ('connector' = 'blackhole')
          |                           ^
          = hint: the precision is 1 to 38, the scale at most the precision"#]],
    );
    check(
        "CREATE TABLE t (a INT, b INT, A INT) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: column 'A' appears twice
         --> line 1, column 31
          |
        1 | CREATE TABLE t (a INT, b INT, A INT) WITH ('connector' = 'blackhole')
          |                               ^"#]],
    );
    check(
        "CREATE TABLE t (a INT b INT) WITH ('connector' = 'blackhole')",
        expect![[r#"
        error: expected ',' or ')' after a column, found 'b'
         --> line 1, column 23
          |
        1 | CREATE TABLE t (a INT b INT) WITH ('connector' = 'blackhole')
          |                       ^"#]],
    );
    check(
        "CREATE TABLE 't' (a INT)",
        expect![[r#"
        error: expected a table, found the string 't'
         --> line 1, column 14
          |
        1 | CREATE TABLE 't' (a INT)
          |              ^
          = hint: names are not in single quotes: write "t""#]],
    );
    check(
        "CREATE TABLE t (a INT",
        expect![[r#"
        error: expected ',' or ')' after a column, found the end of the statement
         --> line 1, column 22
          |
        1 | CREATE TABLE t (a INT
          |                      ^"#]],
    );
    check(
        "CREATE TABLE t (a INT) WITH ('connector' = \"blackhole\")",
        expect![[r#"
        error: expected a value in quotes, found '"blackhole"'
         --> line 1, column 44
          |
        1 | CREATE TABLE t (a INT) WITH ('connector' = "blackhole")
          |                                            ^
          = hint: strings are in single quotes: write 'blackhole'"#]],
    );
}

#[test]
fn watermarks() {
    let table = |watermark: &str| {
        format!(
            "CREATE TABLE t (\n  ts TIMESTAMP, a INT,\n  {watermark}\n) WITH ('connector' = 'files', 'format' = 'json', 'path' = '/x')"
        )
    };
    check(
        &table("WATERMARK FOR tz AS tz - INTERVAL '10' SECOND"),
        expect![[r#"
        error: the watermark's column 'tz' is not in the table
         --> line 3, column 3
          |
        3 |   WATERMARK FOR tz AS tz - INTERVAL '10' SECOND
          |   ^
          = hint: did you mean 'ts'?"#]],
    );
    check(
        &table("WATERMARK FOR a AS a - INTERVAL '10' SECOND"),
        expect![[r#"
        error: the watermark's column 'a' is INT, not TIMESTAMP
         --> line 3, column 3
          |
        3 |   WATERMARK FOR a AS a - INTERVAL '10' SECOND
          |   ^"#]],
    );
    check(
        &table("WATERMARK FOR ts AS ts + INTERVAL '10' SECOND"),
        expect![[r#"
        error: a watermark is its column minus an interval
         --> line 3, column 23
          |
        3 |   WATERMARK FOR ts AS ts + INTERVAL '10' SECOND
          |                       ^
          = hint: write WATERMARK FOR ts AS ts - INTERVAL '10' SECOND"#]],
    );
    check(
        &table("WATERMARK FOR ts AS ts - INTERVAL '1' MONTH"),
        expect![[r#"
        error: the delay of a watermark is a fixed interval that is not negative
         --> line 3, column 23
          |
        3 |   WATERMARK FOR ts AS ts - INTERVAL '1' MONTH
          |                       ^
          = hint: write WATERMARK FOR ts AS ts - INTERVAL '10' SECOND"#]],
    );
    check(
        &table("WATERMARK FOR ts AS ts - INTERVAL '-1' DAY"),
        expect![[r#"
        error: the delay of a watermark is a fixed interval that is not negative
         --> line 3, column 23
          |
        3 |   WATERMARK FOR ts AS ts - INTERVAL '-1' DAY
          |                       ^
          = hint: write WATERMARK FOR ts AS ts - INTERVAL '10' SECOND"#]],
    );
}

#[test]
fn options() {
    let with = |options: &str| format!("CREATE TABLE t (body STRING)\nWITH ({options})");
    check(
        "CREATE TABLE t (body STRING)",
        expect![[r#"
        error: expected WITH ('connector' = '…', …), found the end of the statement
         --> line 1, column 29
          |
        1 | CREATE TABLE t (body STRING)
          |                             ^
          = hint: a table needs a connector, or is an external table: CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…'"#]],
    );
    check(
        &with("'format' = 'text'"),
        expect![[r#"
        error: the table has no 'connector' option
         --> line 2, column 1
          |
        2 | WITH ('format' = 'text')
          | ^
          = hint: connectors are 'eventhubs', 'files', 'generator', 'blackhole'"#]],
    );
    check(
        &with("'conector' = 'files'"),
        expect![[r#"
        error: unknown option 'conector'
         --> line 2, column 7
          |
        2 | WITH ('conector' = 'files')
          |       ^
          = hint: did you mean 'connector'?"#]],
    );
    check(
        &with("'connector' = 'kafka'"),
        expect![[r#"
        error: unknown connector 'kafka'
         --> line 2, column 21
          |
        2 | WITH ('connector' = 'kafka')
          |                     ^
          = hint: it can be 'eventhubs', 'files', 'generator', 'blackhole'"#]],
    );
    check(
        &with("'connector' = 'file', 'path' = '/x'"),
        expect![[r#"
        error: unknown connector 'file'
         --> line 2, column 21
          |
        2 | WITH ('connector' = 'file', 'path' = '/x')
          |                     ^
          = hint: did you mean 'files'? It can be 'eventhubs', 'files', 'generator', 'blackhole'"#]],
    );
    check(
        &with("'connector' = 'files', 'path' = '/x'"),
        expect![[r#"
        error: connector 'files' needs a 'format' option
         --> line 2, column 1
          |
        2 | WITH ('connector' = 'files', 'path' = '/x')
          | ^
          = hint: formats are 'text', 'delimited', 'json', 'csv'"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text'"),
        expect![[r#"
        error: the table needs the option 'path'
         --> line 2, column 1
          |
        2 | WITH ('connector' = 'files', 'format' = 'text')
          | ^
          = hint: A file, a folder (its files in the order of their names), or a pattern with `*`. It takes a text"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text', 'paht' = '/x'"),
        expect![[r#"
        error: unknown option 'paht' for connector 'files' with format 'text'
         --> line 2, column 49
          |
        2 | WITH ('connector' = 'files', 'format' = 'text', 'paht' = '/x')
          |                                                 ^
          = hint: did you mean 'path'?"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text', 'path' = '/x', 'delimiter' = ','"),
        expect![[r#"
        error: unknown option 'delimiter' for connector 'files' with format 'text'
         --> line 2, column 64
          |
        2 | WITH ('connector' = 'files', 'format' = 'text', 'path' = '/x', 'delimiter' = ',')
          |                                                                ^
          = hint: 'delimiter' is an option of format 'delimited' and format 'csv'"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'avro', 'path' = '/x'"),
        expect![[r#"
        error: unknown format 'avro'
         --> line 2, column 41
          |
        2 | WITH ('connector' = 'files', 'format' = 'avro', 'path' = '/x')
          |                                         ^
          = hint: it can be 'text', 'delimited', 'json', 'csv'"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text', 'path' = '/x', 'follow' = 'yes'"),
        expect![[r#"
        error: option 'follow' can't be 'yes'
         --> line 2, column 75
          |
        2 | WITH ('connector' = 'files', 'format' = 'text', 'path' = '/x', 'follow' = 'yes')
          |                                                                           ^
          = hint: it takes `true` or `false`"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text', 'path' = '/x', 'path' = '/y'"),
        expect![[r#"
        error: option 'path' is given twice
         --> line 2, column 64
          |
        2 | WITH ('connector' = 'files', 'format' = 'text', 'path' = '/x', 'path' = '/y')
          |                                                                ^"#]],
    );
    check(
        &with("'connector' = 'files', 'format' = 'text', 'path' = '${A B}'"),
        expect![[r#"
        error: option 'path': a reference is ${VAR} or ${file:PATH}
         --> line 2, column 58
          |
        2 | WITH ('connector' = 'files', 'format' = 'text', 'path' = '${A B}')
          |                                                          ^"#]],
    );
    check(
        &with("'connector' = 'blackhole', 'format' = 'text'"),
        expect![[r#"
        error: connector 'blackhole' takes no format
         --> line 2, column 34
          |
        2 | WITH ('connector' = 'blackhole', 'format' = 'text')
          |                                  ^
          = hint: leave 'format' out"#]],
    );
    check(
        &with("'connector' = 'generator', 'damaged' = '2'"),
        expect![[r#"
        error: option 'damaged' can't be '2'
         --> line 2, column 46
          |
        2 | WITH ('connector' = 'generator', 'damaged' = '2')
          |                                              ^
          = hint: it takes a number from 0 to 1"#]],
    );
    check(
        &with("'connector' = 'generator', 'rows' = -1"),
        expect![[r#"
        error: option 'rows' can't be '-1'
         --> line 2, column 43
          |
        2 | WITH ('connector' = 'generator', 'rows' = -1)
          |                                           ^
          = hint: it takes a whole number from 0"#]],
    );
    check(
        &with("'connector' = 'generator', 'rows' 5"),
        expect![[r#"
        error: expected '=', found '5'
         --> line 2, column 41
          |
        2 | WITH ('connector' = 'generator', 'rows' 5)
          |                                         ^"#]],
    );
    check(
        "CREATE TABLE t (a INT, b INT) WITH ('connector' = 'files', 'format' = 'text', 'path' = '/x')",
        expect![[r#"
            error: a table with 'format' = 'text' has one column, a STRING or BINARY
             --> line 1, column 24
              |
            1 | CREATE TABLE t (a INT, b INT) WITH ('connector' = 'files', 'format' = 'text', 'path' = '/x')
              |                        ^
              = hint: write (body STRING), or another format for typed columns"#]],
    );
}

#[test]
fn event_hubs_options() {
    let with = |options: &str| {
        format!(
            "CREATE TABLE t (body STRING) WITH (\n  'connector' = 'eventhubs', 'format' = 'text', 'event_hub' = 'logs',\n  {options})"
        )
    };
    check(
        &with("'consumer_group' = 'x'"),
        expect![[r#"
        error: 'auth' = 'sas' needs the option 'connection_string'
         --> line 1, column 30
          |
        1 | CREATE TABLE t (body STRING) WITH (
          |                              ^"#]],
    );
    check(
        &with("'connection_string' = '${CS}', 'starting_position' = 'begin'"),
        expect![[r#"
        error: option 'starting_position' can't be 'begin'
         --> line 3, column 56
          |
        3 |   'connection_string' = '${CS}', 'starting_position' = 'begin')
          |                                                        ^
          = hint: it takes `earliest`, `latest`, `sequence:N`, `offset:N` or `time:RFC3339`"#]],
    );
    check(
        &with("'connection_string' = '${CS}', 'on_expired' = 'ignore'"),
        expect![[r#"
        error: option 'on_expired' can't be 'ignore'
         --> line 3, column 49
          |
        3 |   'connection_string' = '${CS}', 'on_expired' = 'ignore')
          |                                                 ^
          = hint: it takes `fail` or `skip`"#]],
    );
    check(
        &with("'auth' = 'client_secret', 'tenant_id' = 't', 'client_id' = 'c', 'client_secret' = '${S}'"),
        expect![[r#"
        error: 'auth' = 'client_secret' needs the option 'fully_qualified_namespace'
         --> line 1, column 30
          |
        1 | CREATE TABLE t (body STRING) WITH (
          |                              ^"#]],
    );
    check(
        &with("'auth' = 'cli', 'fully_qualified_namespace' = 'h', 'connection_string' = '${CS}'"),
        expect![[r#"
        error: option 'connection_string' has no use with 'auth' = 'cli'
         --> line 3, column 54
          |
        3 |   'auth' = 'cli', 'fully_qualified_namespace' = 'h', 'connection_string' = '${CS}')
          |                                                      ^
          = hint: leave it out, or set 'auth'"#]],
    );
    check(
        "CREATE TABLE t (_offset STRING) WITH ('connector' = 'eventhubs', 'format' = 'json', 'connection_string' = '${CS}')",
        expect![[r#"
        error: each Event Hubs table has a column '_offset' already
         --> line 1, column 17
          |
        1 | CREATE TABLE t (_offset STRING) WITH ('connector' = 'eventhubs', 'format' = 'json', 'connection_string' = '${CS}')
          |                 ^
          = hint: leave it out"#]],
    );
}

/// The key must be in no part of an error, whatever the error is about.
#[test]
fn inline_keys_are_refused_and_not_shown() {
    let key = "q1W2e3R4t5Y6u7I8o9P0=";
    let with = |options: &str| {
        format!("CREATE TABLE t (body STRING) WITH ('connector' = 'eventhubs', 'format' = 'text', {options})")
    };
    let inline = format!(
        "'connection_string' = 'Endpoint=sb://h.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey={key};EntityPath=logs'"
    );
    let cases = [
        with(&inline),
        // The error is elsewhere on the line, before and after the key.
        with(&format!("{inline}, 'consumer_grup' = 'x'")),
        with(&format!("'consumer_grup' = 'x', {inline}")),
        with(&format!("{inline} 'x'")),
        with(&format!("'event_hub' {inline}")),
        // Not quite connection strings.
        with(&format!("'connection_string' = '{key}'")),
        with(&format!("'connection_string' = 'SharedAccessKey = {key}'")),
        with(&format!(
            "'connection_string' = 'Endpoint=sb://h;SharedAccessSignature=SharedAccessSignature sr=h&sig={key}'"
        )),
        with(&format!("'auth' = 'client_secret', 'client_secret' = '{key}'")),
        // The emulator's flag doesn't make another key public.
        with(&format!(
            "'connection_string' = 'Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey={key};UseDevelopmentEmulator=true'"
        )),
        // A statement that is none.
        format!("SELECT 'SharedAccessKey={key}' FROM"),
    ];
    for sql in cases {
        let error = salamander_sql::parse(&sql).expect_err("a key inline is refused");
        for text in [error.render(), error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(&key[..8]), "{text}");
        }
    }
    check(
        &with(&inline),
        expect![[r#"
        error: option 'connection_string' holds a secret in the statement itself
         --> line 1, column 104
          |
        1 | …RING) WITH ('connector' = 'eventhubs', 'format' = 'text', 'connection_string' = 'Endpoint=sb://h.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=*…
          |                                                                                  ^
          = hint: write '${EVENTHUBS_CONNECTION_STRING}' or '${file:PATH}', which the server looks up; only the development key (SAS_KEY_VALUE with UseDevelopmentEmulator=true) may stand inline"#]],
    );
    check(
        &with(
            "'event_hub' = 'x', 'connection_string' = 'Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE'",
        ),
        expect![[r#"
            error: option 'connection_string' holds a secret in the statement itself
             --> line 1, column 123
              |
            1 | …H ('connector' = 'eventhubs', 'format' = 'text', 'event_hub' = 'x', 'connection_string' = 'Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE')
              |                                                                                            ^
              = hint: write '${EVENTHUBS_CONNECTION_STRING}' or '${file:PATH}', which the server looks up; only the development key (SAS_KEY_VALUE with UseDevelopmentEmulator=true) may stand inline"#]],
    );
}

#[test]
fn external_tables() {
    let table = |rest: &str| format!("CREATE EXTERNAL TABLE t (a INT, date STRING)\n{rest}");
    check(
        &table("STORED AS PARQUET"),
        expect![[r#"
        error: the external table needs a LOCATION
         --> line 1, column 23
          |
        1 | CREATE EXTERNAL TABLE t (a INT, date STRING)
          |                       ^
          = hint: write LOCATION 'abfss://…', or a folder on the server's disk"#]],
    );
    check(
        &table("STORED AS ORC LOCATION '/x'"),
        expect![[r#"
        error: expected PARQUET, found 'ORC'
         --> line 2, column 11
          |
        2 | STORED AS ORC LOCATION '/x'
          |           ^
          = hint: external tables are stored as Parquet"#]],
    );
    check(
        &table("LOCATION '/x'"),
        expect![[r#"
        error: the external table needs STORED AS PARQUET
         --> line 1, column 23
          |
        1 | CREATE EXTERNAL TABLE t (a INT, date STRING)
          |                       ^"#]],
    );
    check(
        &table("PARTITIONED BY (date STRING) STORED AS PARQUET LOCATION '/x'"),
        expect![[r#"
        error: partition column 'date' is also an ordinary column
         --> line 2, column 17
          |
        2 | PARTITIONED BY (date STRING) STORED AS PARQUET LOCATION '/x'
          |                 ^
          = hint: a partition column stands in PARTITIONED BY only: it is in the folders' names, not in the files"#]],
    );
    check(
        &table("PARTITIONED BY (day) STORED AS PARQUET LOCATION '/x'"),
        expect![[r#"
        error: partition column 'day' has no type
         --> line 2, column 17
          |
        2 | PARTITIONED BY (day) STORED AS PARQUET LOCATION '/x'
          |                 ^
          = hint: write day STRING"#]],
    );
    check(
        &table("PARTITIONED BY (a, date) STORED AS PARQUET LOCATION '/x'"),
        expect![[r#"
        error: the table has no columns besides its partition columns
         --> line 1, column 23
          |
        1 | CREATE EXTERNAL TABLE t (a INT, date STRING)
          |                       ^
          = hint: files need at least one column"#]],
    );
    check(
        &table("STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('roll_siz' = '1 MB')"),
        expect![[r#"
        error: unknown option 'roll_siz' for external tables
         --> line 2, column 48
          |
        2 | STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('roll_siz' = '1 MB')
          |                                                ^
          = hint: did you mean 'roll_size'?"#]],
    );
    check(
        &table("STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('roll_size' = '1 potato')"),
        expect![[r#"
        error: option 'roll_size' can't be '1 potato'
         --> line 2, column 62
          |
        2 | STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('roll_size' = '1 potato')
          |                                                              ^
          = hint: it takes a size such as `128 MB` or `64 KB`"#]],
    );
    check(
        &table(
            "STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('compression' = 'zstd', 'parquet.compression' = 'ZSTD')",
        ),
        expect![[r#"
        error: 'parquet.compression' and 'compression' are the same property
         --> line 2, column 72
          |
        2 | STORED AS PARQUET LOCATION '/x' TBLPROPERTIES ('compression' = 'zstd', 'parquet.compression' = 'ZSTD')
          |                                                                        ^
          = hint: give one of them"#]],
    );
    check(
        &table("STORED AS PARQUET LOCATION '/x' LOCATION '/y'"),
        expect![[r#"
        error: this clause appears twice
         --> line 2, column 33
          |
        2 | STORED AS PARQUET LOCATION '/x' LOCATION '/y'
          |                                 ^"#]],
    );
    check(
        &table("STORED AS PARQUET LOCATION '/x' WITH ('connector' = 'files')"),
        expect![[r#"
        error: WITH is for connectors' tables
         --> line 2, column 33
          |
        2 | STORED AS PARQUET LOCATION '/x' WITH ('connector' = 'files')
          |                                 ^
          = hint: write TBLPROPERTIES (…) for an external table"#]],
    );
    check(
        "CREATE TABLE t (a INT) STORED AS PARQUET LOCATION '/x'",
        expect![[r#"
        error: STORED AS is for external tables
         --> line 1, column 24
          |
        1 | CREATE TABLE t (a INT) STORED AS PARQUET LOCATION '/x'
          |                        ^
          = hint: write CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…' for a table of Parquet files"#]],
    );
    check(
        "CREATE TABLE t (a INT) USING parquet",
        expect![[r#"
        error: expected the end of the statement, found 'USING'
         --> line 1, column 24
          |
        1 | CREATE TABLE t (a INT) USING parquet
          |                        ^
          = hint: write CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…'"#]],
    );
    check(
        "CREATE TABLE t AS SELECT 1",
        expect![[r#"
        error: CREATE TABLE … AS is not supported
         --> line 1, column 16
          |
        1 | CREATE TABLE t AS SELECT 1
          |                ^
          = hint: create the table with its columns, then INSERT INTO it; or CREATE VIEW … AS"#]],
    );
}

#[test]
fn too_long_and_too_deep() {
    check(
        &format!("SELECT 1\nWHERE a = 1{}", " OR a = 1".repeat(100_000)).replace(" OR a", "\nOR a"),
        expect![[r#"
        error: the expression is too long
           --> line 251, column 6
            |
        251 | OR a = 1
            |      ^
            = hint: write IN (…) instead of a chain of OR, or several statements instead of a chain of UNION"#]],
    );
    check(
        &format!("SELECT\n{}1", "(".repeat(100_000)),
        expect![[r#"
        error: parentheses nest too deep
         --> line 2, column 200
          |
        2 | …((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((…
          |                                                                                  ^"#]],
    );
    // Forms that sqlparser tries in two ways: wrong inside, they would take time that doubles with each level.
    for form in
        ["CAST(", "INTERVAL(", "INTERVAL ", "INTERVAL - ", "POSITION(", "ARRAY[", "[", "TRIM(", "EXTRACT(", "CEIL("]
    {
        let start = std::time::Instant::now();
        salamander_sql::parse(&format!("SELECT {}1", form.repeat(100))).expect_err("it is wrong");
        let _ = salamander_sql::parse(&format!("SELECT {}1", form.repeat(12)));
        assert!(start.elapsed().as_secs() < 10, "{form}");
    }
    let sound = format!("SELECT {}1{}", "CAST(".repeat(14), " AS INT)".repeat(14));
    assert!(salamander_sql::parse(&sound).is_ok());
    let nested = format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150));
    assert_eq!(salamander_sql::parse(&nested).expect_err("too deep").message(), "the query nests too deep");
}

#[test]
fn one_statement() {
    assert_eq!(
        salamander_sql::parse_one("SHOW JOBS; SHOW JOBS").expect_err("two").to_string(),
        "line 1, column 12: expected one statement, found more"
    );
    assert_eq!(
        salamander_sql::parse_one(" -- x").expect_err("none").to_string(),
        "line 1, column 1: expected a statement, found nothing"
    );
}
