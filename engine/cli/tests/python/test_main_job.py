"""The main job as a user runs it: an unmodified producer, one server, SQL by the command line, Spark on the files."""

import subprocess

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from processes import DEVELOPMENT, ROOT, TARGET, SqlError, server, sql, wait_until

LINES = 2_000


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Generated log lines of the reference pipeline, without damage."""
    path = tmp_path_factory.mktemp("lines") / "lines.log"
    subprocess.run([TARGET / "examples/write_lines", "--rows", str(LINES), "--out", path], check=True)
    return path.read_text().splitlines()


def produce(lines, connection_string, hub):
    """What the users' own producer does."""
    producer = EventHubProducerClient.from_connection_string(connection_string, eventhub_name=hub)
    with producer:
        batch = producer.create_batch()
        for line in lines:
            try:
                batch.add(EventData(line))
            except ValueError:
                producer.send_batch(batch)
                batch = producer.create_batch()
                batch.add(EventData(line))
        producer.send_batch(batch)


def count(flight, table):
    return sql(flight, f"SELECT count(*) AS n FROM {table}")[0]["n"]


def job(flight, name):
    return next(row for row in sql(flight, "SHOW JOBS") if row["job"] == name)


def test_producer_to_table_to_spark(tmp_path, lines, monkeypatch):
    table = tmp_path / "lake"
    engine = server(tmp_path / "data", eventhubs="127.0.0.1:5672", env={"EVENTHUBS_CONNECTION_STRING": DEVELOPMENT})
    ready = engine.start()
    flight = ready["flight"]
    assert engine.ready_seconds < 10
    produce(lines[: LINES // 2], DEVELOPMENT, "logs")
    script = (ROOT / "docs/examples/realtime-logs/pipeline.sql").read_text()
    before, rest = script.split("LOCATION", 1)
    script = f"{before}LOCATION '{table}'" + rest[rest.index("'", rest.index("'") + 1) + 1 :]
    sql(flight, script)
    name = "formersalamendars.formersalamendars_logs"
    wait_until(lambda: count(flight, name) == LINES // 2, 30, "the first half in the table")
    # The second half arrives while the engine is down, and while it is killed once more.
    engine.kill()
    flight = engine.start()["flight"]
    produce(lines[LINES // 2 :], DEVELOPMENT, "logs")
    wait_until(lambda: count(flight, name) == LINES, 30, "all lines in the table")
    errors = sql(flight, f"SELECT url, count(*) AS n FROM {name} WHERE log_level = 'ERROR' GROUP BY url ORDER BY url")
    expected = sum(1 for line in lines if line.split(" | ")[1] == "ERROR")
    assert sum(row["n"] for row in errors) == expected
    assert job(flight, "ingest")["rows_read"] == LINES
    sql(flight, "STOP JOB ingest")
    assert count(flight, name) == LINES
    assert [row["rows"] for row in sql(flight, f"SHOW PARTITIONS {name}")] == [LINES]
    engine.stop()
    check_with_spark(table, lines)


def check_with_spark(table, lines):
    import sys

    sys.path.insert(0, str(ROOT / "benches/spark"))
    from transformation import COLUMNS, session, transform

    spark = session("main-job")
    ours = spark.read.parquet(str(table)).select(*COLUMNS)
    theirs = transform(spark.createDataFrame([(line,) for line in lines], "value STRING"))
    assert ours.exceptAll(theirs).count() == 0 and theirs.exceptAll(ours).count() == 0
    spark.stop()


def test_bad_rows_are_kept_and_counted(tmp_path):
    engine = server(tmp_path / "data", eventhubs="127.0.0.1:5672")
    flight = engine.start()["flight"]
    produce(["1|2.5", "x|2.5", "3", "", "4|0.25"], DEVELOPMENT, "numbers")
    sql(flight, f"""
        CREATE TABLE numbers (a INT, b DOUBLE) WITH ('connector' = 'eventhubs', 'connection_string' = '{DEVELOPMENT}',
            'event_hub' = 'numbers', 'format' = 'delimited', 'delimiter' = '|');
        CREATE EXTERNAL TABLE kept (a INT, b DOUBLE) STORED AS PARQUET LOCATION '{tmp_path / "kept"}';
        INSERT INTO kept SELECT * FROM numbers;
    """)
    wait_until(lambda: count(flight, "kept") == 2, 30, "the good rows")
    bad = sql(flight, "SELECT _partition, _sequence_number, reason FROM numbers$bad_records")
    assert len(bad) == 3 and all(row["reason"] for row in bad)
    assert sql(flight, "SELECT sum(a) AS a, sum(b) AS b FROM kept") == [{"a": 5, "b": 2.75}]
    row = job(flight, "insert_kept_1")
    assert (row["rows_read"], row["rows_bad"], row["rows_written"]) == (5, 3, 2)
    # A SELECT on the stream reads it from its start to its present end.
    assert sql(flight, "SELECT sum(a) AS a FROM numbers") == [{"a": 5}]
    engine.stop()
    # What was committed is there after a restart, and the job goes on.
    flight = engine.start()["flight"]
    assert count(flight, "kept") == 2 and count(flight, "numbers$bad_records") == 3
    produce(["10|10"], DEVELOPMENT, "numbers")
    wait_until(lambda: count(flight, "kept") == 3, 30, "the row after the restart")
    engine.stop()


def test_errors_teach(tmp_path):
    engine = server(tmp_path / "data")
    flight = engine.start()["flight"]
    for statement, expected in [
        ("SELEKT 1", "line 1"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("CREATE TABLE t (a INT) WITH ('connector' = 'generator', 'rows_per_secnd' = '5')", "rows_per_second"),
        ("CREATE JOB j AS INSERT INTO nowhere SELECT 1", "nowhere"),
        ("STOP JOB nothing", "nothing"),
    ]:
        with pytest.raises(SqlError) as error:
            sql(flight, statement)
        assert expected in str(error.value), str(error.value)
    sql(flight, f"""
        CREATE TABLE t (body STRING) WITH ('connector' = 'generator', 'rows' = '10');
        CREATE EXTERNAL TABLE o (n BIGINT) STORED AS PARQUET LOCATION '{tmp_path / "o"}';
    """)
    with pytest.raises(SqlError, match="GROUP BY"):
        sql(flight, "CREATE JOB j AS INSERT INTO o SELECT count(*) FROM t")
    with pytest.raises(SqlError, match="key"):
        sql(flight, """CREATE TABLE leak (b STRING) WITH ('connector' = 'eventhubs', 'event_hub' = 'h', 'format' = 'text', 'connection_string' =
            'Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0c2VjcmV0')""")
    engine.stop()


def test_start_is_fast(tmp_path):
    engine = server(tmp_path / "data")
    engine.start()
    first = engine.ready_seconds
    engine.stop()
    engine.start()
    print(f"ready after {first:.3f} s, again after {engine.ready_seconds:.3f} s")
    engine.stop()
