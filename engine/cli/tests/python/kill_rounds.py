"""Kills engine and broker with SIGKILL at random moments under load, and checks that nothing is lost or doubled.

    python kill_rounds.py --rounds 10 [--seed N] [--failpoints]

An unmodified azure-eventhub producer sends numbered events all the time. A job writes partition, sequence number and body
into a table that rolls every second. After each kill the process is started again. A plain reader lists the table's
visible files in a loop during the kills, as Hive does, and must never see a row twice. In the end the job is stopped and
Spark reads the files: of each partition every sequence number that the broker gave out is there exactly once, and so is
every acknowledged event (an event whose acknowledgement was lost may have been sent twice: then both are there).
With --failpoints the engine then dies once at each step of the commit protocol as well.
"""

import argparse
import collections
import pathlib
import random
import shutil
import tempfile
import threading
import time

import pyarrow.parquet as pq
from azure.eventhub import EventData, EventHubProducerClient

from processes import DEVELOPMENT, broker, server, sql, wait_until

# Where the engine may die: the steps of the commit protocol (docs/protocol.md), each named in the code by
# `failpoint::hit`. Those with a number die at a later hit, so that not only the start's own writes are met.
FAILPOINTS = [
    "local.temp-created:5", "local.temp-written:6", "local.temp-synced:7", "local.linked:5", "local.folder-synced:6",
    "local.temp-removed:7", "log.before-put:3", "log.after-put:4", "log.after-listing:5", "hive.segment-before-put:2",
    "hive.segment-after-put:2", "hive.roll-before-read", "hive.roll-before-put", "hive.roll-after-put:2",
]


class Producer(threading.Thread):
    """Sends numbered events and notes which are acknowledged."""

    def __init__(self, hub):
        super().__init__(daemon=True)
        self.hub, self.acknowledged, self.number = hub, set(), 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                client = EventHubProducerClient.from_connection_string(DEVELOPMENT, eventhub_name=self.hub, retry_total=0)
                with client:
                    while not self.stopping.is_set():
                        self.send(client)
            except Exception:  # noqa: BLE001 - the broker is being killed: whatever the SDK says, try again
                time.sleep(0.05)

    def send(self, client):
        batch = client.create_batch()
        numbers = range(self.number, self.number + 50)
        self.number += 50
        for number in numbers:
            batch.add(EventData(f"event-{number}"))
        client.send_batch(batch)
        self.acknowledged.update(numbers)
        time.sleep(0.002)


class PlainReader(threading.Thread):
    """Lists and reads the visible files again and again, as Hive would."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.looks, self.problem = pathlib.Path(folder), 0, None
        self.most = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set() and self.problem is None:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a file that can't be read is the problem that is looked for
                self.problem = f"{type(error).__name__}: {error}"
            time.sleep(0.05)

    def look(self):
        seen = collections.Counter()
        for path in sorted(self.folder.glob("**/*.parquet")):
            parts = path.relative_to(self.folder).parts
            if any(part.startswith(("_", ".")) for part in parts):
                continue
            table = pq.read_table(path, columns=["p", "seq"], partitioning=None)
            seen.update(zip(table["p"].to_pylist(), table["seq"].to_pylist()))
        twice = [key for key, count in seen.items() if count > 1]
        if twice:
            self.problem = f"{len(twice)} rows seen twice, such as {twice[:3]}"
        if len(seen) < self.most:
            self.problem = f"{self.most} rows were seen before, now {len(seen)}"
        self.most = len(seen)
        self.looks += 1


SETUP = """
CREATE TABLE events (body STRING) WITH ('connector' = 'eventhubs', 'connection_string' = '{connection}', 'event_hub' = 'kills', 'format' = 'text');
CREATE EXTERNAL TABLE kept (p STRING, seq BIGINT, body STRING) PARTITIONED BY (bucket STRING) STORED AS PARQUET LOCATION '{folder}'
TBLPROPERTIES ('roll_interval' = '1 second');
CREATE JOB keep AS INSERT INTO kept SELECT _partition, _sequence_number, body, 'b' || _partition FROM events;
"""


def report(what, deaths, producer, reader):
    if reader.problem:
        raise AssertionError(f"round {what}: {reader.problem}")
    print(f"round {what}: sent {producer.number}, plain reader: {reader.looks} looks, {reader.most} rows, deaths {sum(deaths.values())}", flush=True)


def committed(flight):
    rows = sql(flight, "SHOW JOBS", check=False)
    return rows[0] if rows else None


def rounds(arguments, folder):
    chance = random.Random(arguments.seed)
    data, table = folder / "data", folder / "table"
    the_broker = broker(folder / "broker", log=folder / "broker.log")
    the_broker.start()
    engine = server(data, log=folder / "engine.log")
    flight = engine.start()["flight"]
    producer, reader = Producer("kills"), PlainReader(table)
    producer.start()
    wait_until(lambda: producer.acknowledged, 30, "the first event")
    sql(flight, SETUP.format(connection=DEVELOPMENT, folder=table))
    reader.start()
    deaths = collections.Counter()
    for number in range(arguments.rounds):
        time.sleep(chance.uniform(0.5, 5.0))
        victim = chance.choice(["engine", "engine", "broker", "both"])
        deaths[victim] += 1
        if victim in ("broker", "both"):
            the_broker.kill()
        if victim in ("engine", "both"):
            engine.kill()
        time.sleep(chance.uniform(0, 0.5))
        if victim in ("broker", "both"):
            the_broker.start()
        if victim in ("engine", "both"):
            flight = engine.start()["flight"]
        report(number + 1, deaths, producer, reader)
    for point in FAILPOINTS if arguments.failpoints else []:
        engine.kill()
        engine.env["SALAMANDER_FAILPOINT"] = point
        try:
            engine.start()
        except RuntimeError:
            pass  # it died before it was ready
        wait_until(lambda: not engine.alive(), 60, f"the engine dies at {point}")
        del engine.env["SALAMANDER_FAILPOINT"]
        engine.kill()
        deaths[point] += 1
        flight = engine.start()["flight"]
        time.sleep(0.5)
        report(point, deaths, producer, reader)
    time.sleep(1)
    producer.stopping.set()
    producer.join()
    sent = wait_until(lambda: stop(flight), 120, "the job has read everything")
    reader.stopping.set()
    reader.join()
    if reader.problem:
        raise AssertionError(reader.problem)
    engine.stop()
    the_broker.stop()
    return producer, table, sent, deaths


def stop(flight):
    """Stops the job once it has read all; returns its number of rows."""
    job = committed(flight)
    if not job or job["state"] != "running" or job["lag_rows"] != 0 or job["rows_committed"] != job["rows_read"]:
        return None
    sql(flight, "STOP JOB keep")
    return sql(flight, "SELECT count(*) AS n FROM kept")[0]["n"]


def check_with_spark(producer, table, rows):
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    kept = spark.read.parquet(str(table)).cache()
    total = kept.count()
    per_partition = kept.groupBy("p").agg(
        F.count("*").alias("n"), F.countDistinct("seq").alias("distinct"), F.min("seq").alias("first"), F.max("seq").alias("last")
    ).collect()
    bodies = {int(row.body.removeprefix("event-")) for row in kept.select("body").distinct().collect()}
    spark.stop()
    for row in per_partition:
        assert row.n == row.distinct == row["last"] - row["first"] + 1 and row["first"] == 0, f"lost or doubled: {row}"
    missing = producer.acknowledged - bodies
    assert not missing, f"{len(missing)} acknowledged events are missing, such as {sorted(missing)[:5]}"
    assert total == rows, f"Spark sees {total} rows, the engine {rows}"
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--failpoints", action="store_true", help="die once at each step of the commit protocol")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="salamander-kills-"))
    try:
        producer, table, rows, deaths = rounds(arguments, folder)
        total = check_with_spark(producer, table, rows)
    except BaseException:
        print(f"what was left behind: {folder}", flush=True)
        raise
    if not arguments.keep:
        shutil.rmtree(folder)
    print(f"{arguments.rounds} rounds, deaths {dict(deaths)}: {total} rows, each sequence number once, "
          f"all {len(producer.acknowledged)} acknowledged events there")


if __name__ == "__main__":
    main()
