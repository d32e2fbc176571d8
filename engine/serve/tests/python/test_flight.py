"""ADBC and pyarrow against a server: one that is started here, or a running one.

pytest engine/serve/tests/python                  starts the built `salamander server`
SALAMANDER_FLIGHT=grpc://127.0.0.1:32010 pytest engine/serve/tests/python
With SALAMANDER_FLIGHT_USER and SALAMANDER_FLIGHT_PASSWORD it logs in, and checks that nobody else gets in.

The statements need nothing but an empty data directory; what is created is dropped again.
"""

import os
import pathlib
import subprocess
import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.flight as flight
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[4]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
USER = os.environ.get("SALAMANDER_FLIGHT_USER")
PASSWORD = os.environ.get("SALAMANDER_FLIGHT_PASSWORD", "")
LOGIN = {"username": USER, "password": PASSWORD} if USER else {}


@pytest.fixture(scope="session")
def uri(tmp_path_factory):
    """Where the server is."""
    given = os.environ.get("SALAMANDER_FLIGHT")
    if given:
        yield given
        return
    command = [TARGET / "salamander", "server", "--data-dir", tmp_path_factory.mktemp("data")]
    command += ["--listen-flight", "127.0.0.1:0", "--listen-eventhubs", "none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            ready = server.stdout.readline().split()
            assert ready and ready[0] == "ready", ready
            yield "grpc://" + dict(word.split("=", 1) for word in ready[1:])["flight"]
        finally:
            server.terminate()
            assert server.wait(60) == 0


@pytest.fixture
def connection(uri):
    with flight_sql.connect(uri, db_kwargs=LOGIN, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def test_a_query_returns_rows_and_types(cursor):
    cursor.execute("SELECT 1 AS n, 'é' AS t, CAST(2.5 AS DOUBLE) AS d, CAST(NULL AS STRING) AS missing")
    table = cursor.fetch_arrow_table()
    assert table.to_pylist() == [{"n": 1, "t": "é", "d": 2.5, "missing": None}]
    assert table.schema.field("t").type == pa.string()
    assert table.schema.field("n").type == pa.int64()
    assert table.schema.field("d").type == pa.float64()


def test_rows_come_one_by_one_too(cursor):
    cursor.execute("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, s) ORDER BY n")
    assert [column[0] for column in cursor.description] == ["n", "s"]
    assert cursor.fetchone() == (1, "a")
    assert cursor.fetchall() == [(2, "b")]


def test_an_empty_result_keeps_its_columns(cursor):
    cursor.execute("SELECT n FROM (VALUES (1)) AS t(n) WHERE n > 1")
    table = cursor.fetch_arrow_table()
    assert table.num_rows == 0 and table.column_names == ["n"]


def test_a_prepared_statement_describes_without_running(cursor):
    schema = cursor.adbc_prepare("SELECT 1 AS n")
    assert schema is None or len(schema) == 0  # no parameters
    cursor.execute("SELECT 1 AS n")
    assert cursor.fetchall() == [(1,)]


def test_parameters_are_refused_clearly(cursor):
    with pytest.raises(Exception, match="(?i)parameter"):
        cursor.execute("SELECT 1 AS n", parameters=[(1,)])
        cursor.fetchall()


def test_errors_keep_their_message(cursor):
    with pytest.raises(Exception, match="nowhere_at_all"):
        cursor.execute("SELECT * FROM nowhere_at_all")
    cursor.execute("SELECT 2 AS still_alive")
    assert cursor.fetchall() == [(2,)]


def test_ddl_and_browsing(connection, cursor):
    cursor.execute("CREATE VIEW python_view AS SELECT 1 AS a, 'x' AS b")
    try:
        cursor.execute("SELECT a, b FROM python_view")
        assert cursor.fetchall() == [(1, "x")]
        objects = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
        assert [catalog["catalog_name"] for catalog in objects] == ["salamander"]
        tables = {
            table["table_name"]: table
            for schema in objects[0]["catalog_db_schemas"]
            for table in schema["db_schema_tables"]
        }
        view = tables["python_view"]
        assert view["table_type"] == "VIEW"
        assert [column["column_name"] for column in view["table_columns"]] == ["a", "b"]
        assert set(connection.adbc_get_table_types()) == {"TABLE", "VIEW"}
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Salamander"
    finally:
        cursor.execute("DROP VIEW python_view")
    with pytest.raises(Exception, match="python_view"):
        cursor.execute("SELECT * FROM python_view")


def test_a_handshake_by_pyarrow_yields_a_token(uri):
    with flight.connect(uri.replace("grpc://", "grpc+tcp://")) as client:
        key, value = client.authenticate_basic_token(USER or "anyone", PASSWORD or "anything")
        assert key == b"authorization" and value.startswith(b"Bearer ")


@pytest.mark.skipif(not USER, reason="the server lets everybody in")
@pytest.mark.parametrize("login", [{}, {"username": USER or "", "password": "wrong"}])
def test_nobody_else_gets_in(uri, login):
    with pytest.raises(Exception, match="(?i)unauth|who you are|wrong user"):
        with flight_sql.connect(uri, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 AS n")


def test_many_connections_at_once(uri):
    failures = []

    def work(number):
        try:
            with flight_sql.connect(uri, db_kwargs=LOGIN, autocommit=True) as connection, connection.cursor() as cursor:
                for _ in range(5):
                    cursor.execute(f"SELECT {number} AS n")
                    assert cursor.fetchall() == [(number,)]
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_result_that_is_left_half_read_does_not_block(connection):
    big = " UNION ALL ".join(["SELECT * FROM (VALUES (1),(2),(3),(4)) AS t(n)"] * 4)
    began = time.monotonic()
    for _ in range(10):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT a.n FROM ({big}) a CROSS JOIN ({big}) b CROSS JOIN ({big}) c CROSS JOIN ({big}) d")
            assert cursor.fetchone() is not None
    assert time.monotonic() - began < 30
