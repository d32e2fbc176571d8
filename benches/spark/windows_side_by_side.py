"""Parse, then a 10 s window per url: Spark 4.3 and Salamander on the same lines in one run; results compared row by row.

    python windows_side_by_side.py [--rows 2000000] [--files 8]

Both read the same log lines from files and compute count(*) and avg(response_time) by window(ts, '10 seconds') and url. Spark runs a
structured stream with trigger availableNow in complete mode (in append mode it would never emit the last windows) into memory, warmed up by
a first small stream; two shuffle partitions for two cores; its JVM's start is not counted. Ours is a job into a Parquet table, checkpoints,
state and rolls counted, from its CREATE JOB until it has finished by itself.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "engine/cli/tests/python"))
from processes import TARGET, server, sql, wait_until  # noqa: E402
from side_by_side import generate, report, result  # noqa: E402
from transformation import FIELDS, jvm_usage, session  # noqa: E402

COLUMNS = ", ".join(f"{name} {'DOUBLE' if name == 'response_time' else 'STRING'}" for name in FIELDS[1:])
QUERY = "SELECT window.start AS s, url, count(*) AS n, avg(response_time) AS mean FROM logs GROUP BY window(ts, '10 seconds'), url"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_ours(folder, lines, rows):
    process = server(folder / "data")
    flight = process.start()["flight"]
    sql(flight, f"CREATE TABLE logs (ts TIMESTAMP, {COLUMNS}, WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) WITH ('connector' = 'files', "
        f"'path' = '{lines}', 'format' = 'delimited', 'delimiter' = ' | ', 'strip_labels' = 'true')")
    sql(flight, f"CREATE EXTERNAL TABLE counts (s TIMESTAMP, url STRING, n BIGINT, mean DOUBLE) STORED AS PARQUET LOCATION '{folder}/ours'")
    cpu, begun = cpu_seconds(process.process.pid), time.monotonic()
    sql(flight, f"CREATE JOB counting AS INSERT INTO counts {QUERY}")
    wait_until(lambda: sql(flight, "SHOW JOBS")[0]["state"] == "finished", 600, "the job has read everything")
    seconds, cpu = time.monotonic() - begun, cpu_seconds(process.process.pid) - cpu
    job = sql(flight, "SHOW JOBS")[0]
    peak = process.peak_memory_bytes()
    process.stop()
    counted = job["rows_read"] - job["rows_bad"] - job["rows_late"]
    return result("Salamander", rows, counted, seconds, cpu, peak / 2**20)


def spark_stream(spark, lines, name, checkpoint):
    from pyspark.sql import functions as F

    fields = F.split("value", r" \| ")
    parsed = spark.readStream.format("text").option("maxFilesPerTrigger", 2).load(str(lines)).select(
        F.to_timestamp(fields[0], "yyyy-MM-dd'T'HH:mm:ss.SSSSSS").alias("ts"), fields[7].alias("url"),
        F.regexp_extract(fields[11], r"(?<=:\s)([0-9.]+)", 1).cast("double").alias("response_time"),
    )
    counts = parsed.groupBy(F.window("ts", "10 seconds"), "url").agg(F.count("*").alias("n"), F.avg("response_time").alias("mean"))
    query = (
        counts.writeStream.format("memory").queryName(name).outputMode("complete").option("checkpointLocation", str(checkpoint))
        .trigger(availableNow=True).start()
    )
    query.awaitTermination()


def run_spark(folder, lines, rows):
    spark = session("windows-side-by-side")
    warm = folder / "warm"
    warm.mkdir()
    (warm / "w.log").write_bytes(b"\n".join(sorted(lines.glob("*.log"))[0].read_bytes().split(b"\n")[:50_000]))
    spark_stream(spark, warm, "warm", folder / "warm-check")
    cpu, _ = jvm_usage(spark)
    begun = time.monotonic()
    spark_stream(spark, lines, "counts", folder / "spark-check")
    seconds = time.monotonic() - begun
    after, peak = jvm_usage(spark)
    counted = spark.sql("SELECT sum(n) AS n FROM counts").collect()[0].n
    return spark, result("Spark 4.3", rows, counted, seconds, after - cpu, peak / 2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=8)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="salamander-windows-"))
    lines = folder / "lines"
    rows = generate(lines, arguments.rows, arguments.files, TARGET)
    ours = run_ours(folder, lines, rows)
    spark, theirs = run_spark(folder, lines, rows)
    def key(row):
        return row[0], row[1]
    mine = sorted(spark.read.parquet(str(folder / "ours")).select("s", "url", "n", "mean").collect(), key=key)
    other = sorted(spark.sql("SELECT window.start AS s, url, n, mean FROM counts").collect(), key=key)
    same = len(mine) == len(other) > 0 and all(
        a[:3] == b[:3] and abs(a[3] - b[3]) <= 1e-9 * abs(b[3]) for a, b in zip(mine, other, strict=True)
    )
    spark.stop()
    shutil.rmtree(folder)
    report(ours, theirs, same)


if __name__ == "__main__":
    main()
