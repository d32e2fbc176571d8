"""Event time as hubs give it: clocks that run ahead, and the time when the hub took an event. Two event hubs, an unmodified producer."""

import datetime
import json

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from processes import DEVELOPMENT, server, sql, wait_until

ROWS = 200


def send(hub, events, **target):
    with EventHubProducerClient.from_connection_string(DEVELOPMENT, eventhub_name=hub) as producer:
        batch = producer.create_batch(**target)
        for event in events:
            batch.add(EventData(json.dumps(event)))
        producer.send_batch(batch)


@pytest.fixture
def flight(tmp_path):
    running = server(tmp_path / "data", eventhubs="127.0.0.1:5672")
    yield running.start()["flight"]
    running.stop()


def table(name, hub, watermark, options=""):
    return (
        f"CREATE TABLE {name} (n BIGINT, at TIMESTAMP, WATERMARK FOR {watermark} AS {watermark} - INTERVAL '0' SECOND) WITH "
        f"('connector' = 'eventhubs', 'connection_string' = '{DEVELOPMENT}', 'event_hub' = '{hub}', 'format' = 'json'{options})"
    )


def test_a_clock_that_runs_ahead_closes_no_window(flight, tmp_path):
    sql(flight, table("events", "ahead", "at", ", 'max_time_ahead' = '10 minutes'"))
    place = tmp_path / "counts"
    sql(flight, f"CREATE EXTERNAL TABLE counts (s TIMESTAMP, n BIGINT) STORED AS PARQUET LOCATION '{place}'")
    sql(flight, "CREATE JOB counts AS INSERT INTO counts SELECT window.start, count(*) FROM events GROUP BY window(at, '1 minute')")
    begun = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, second=0, microsecond=0)
    minutes = [begun - datetime.timedelta(minutes=3), begun - datetime.timedelta(minutes=2)]
    send("ahead", [{"n": 1, "at": minutes[0].isoformat()}], partition_id="0")
    # Nearly eleven minutes, and 70 years, ahead.
    for at in (begun + datetime.timedelta(minutes=12), datetime.datetime(2099, 1, 1)):
        send("ahead", [{"n": 2, "at": at.isoformat()}], partition_id="0")
    send("ahead", [{"n": 3, "at": minutes[0].isoformat()}, {"n": 4, "at": minutes[1].isoformat()}], partition_id="0")
    counted = wait_until(lambda: sql(flight, "SELECT * FROM counts"), 30, "the first minute is closed by the second")
    assert [row["n"] for row in counted] == [2], "the third row was still in time"
    bad = sql(flight, 'SELECT reason, CAST(body AS STRING) AS body FROM "events$bad_records" ORDER BY _sequence_number')
    assert [json.loads(row["body"])["n"] for row in bad] == [2, 2]
    assert all("after the time when the source took it" in row["reason"] for row in bad), bad
    assert sql(flight, 'SELECT count(*) AS n FROM "events$late_records"') == [{"n": 0}]


def test_the_time_when_the_hub_took_an_event_is_an_event_time(flight):
    sql(flight, table("events", "taken", "_enqueued_time"))
    sql(
        flight,
        "CREATE MATERIALIZED VIEW arrived AS SELECT window.start AS s, window.end AS e, count(*) AS n, min(_enqueued_time) AS first, "
        "max(_enqueued_time) AS last FROM events GROUP BY window(_enqueued_time, '100 milliseconds')",
    )
    for part in range(4):
        send("taken", [{"n": n} for n in range(part * ROWS // 4, (part + 1) * ROWS // 4)])
    wait_until(lambda: sql(flight, "SELECT sum(n) AS n FROM arrived") == [{"n": ROWS}], 30, "all events are in the view")
    assert sql(flight, "SELECT count(*) AS n FROM arrived WHERE first < s OR last >= e") == [{"n": 0}]
    assert sql(flight, 'SELECT count(*) AS n FROM "events$late_records"') == [{"n": 0}]
