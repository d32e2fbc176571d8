"""Spark 4.3 and Salamander on the same lines in one run: rows/s, rows per CPU second, peak memory; output checked.

    python side_by_side.py [--rows 2000000] [--files 8]

Both read the same log lines, make the users' 25 columns and write Parquet partitioned by date. Spark runs a structured stream with
trigger availableNow, warmed up by a first small stream; its JVM's start is not counted. Ours counts everything from the first
statement to the last rolled file.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from transformation import jvm_usage, session, transform

ROOT = pathlib.Path(__file__).resolve().parents[2]


def generate(folder, rows, files, target):
    """Lines in several files, so that Spark reads in parallel."""
    folder.mkdir()
    each = rows // files
    for number in range(files):
        subprocess.run(
            [target / "examples/write_lines", "--rows", str(each), "--seed", str(number), "--out", folder / f"lines-{number:03}.log"], check=True
        )
    return each * files


def spark_stream(spark, lines, out, checkpoint):
    stream = spark.readStream.format("text").option("maxFilesPerTrigger", 2).load(str(lines))
    query = (
        transform(stream).writeStream.format("parquet").partitionBy("date").option("path", str(out))
        .option("checkpointLocation", str(checkpoint)).trigger(availableNow=True).start()
    )
    query.awaitTermination()


def run_spark(folder, lines, rows):
    spark = session("side-by-side")
    warm = folder / "warm"
    warm.mkdir()
    first = sorted(lines.glob("*.log"))[0]
    (warm / "w.log").write_bytes(b"\n".join(first.read_bytes().split(b"\n")[:2000]))
    spark_stream(spark, warm, folder / "warm-out", folder / "warm-check")
    cpu, _ = jvm_usage(spark)
    begun = time.monotonic()
    spark_stream(spark, lines, folder / "spark-out", folder / "spark-check")
    seconds = time.monotonic() - begun
    after, peak = jvm_usage(spark)
    written = spark.read.parquet(str(folder / "spark-out")).count()
    return spark, result("Spark 4.3", rows, written, seconds, after - cpu, peak / 2**20)


def run_ours(folder, lines, rows, target):
    done = subprocess.run(
        [target / "ingest", "--file", str(lines), "--out", str(folder / "ours")], check=True, capture_output=True, text=True
    )
    line = json.loads(done.stdout.splitlines()[-1])
    return result("Salamander", rows, line["rows"], line["seconds"], line["cpu_seconds"], line["peak_mib"])


def result(engine, rows, written, seconds, cpu, peak):
    return {
        "engine": engine, "rows": rows, "complete": written == rows, "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / cpu), "peak_mib": round(peak),
    }


def report(ours, theirs, same):
    """Prints both results and their ratios. Fails if one isn't complete, or the rows differ."""
    for line in (ours, theirs):
        print(json.dumps(line))
    print(json.dumps({
        "ratio_rows_per_cpu_second": round(ours["rows_per_cpu_second"] / theirs["rows_per_cpu_second"], 1),
        "ratio_rows_per_second": round(ours["rows_per_second"] / theirs["rows_per_second"], 1), "same_rows": same,
    }))
    assert same and ours["complete"] and theirs["complete"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--target", type=pathlib.Path, default=ROOT / "target/release", help="where cargo has built to")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="salamander-side-by-side-"))
    lines = folder / "lines"
    rows = generate(lines, arguments.rows, arguments.files, arguments.target)
    ours = run_ours(folder, lines, rows, arguments.target)
    spark, theirs = run_spark(folder, lines, rows)
    # The same rows, not only as many.
    read = spark.read.parquet(str(folder / "ours"))
    same = read.count() == rows and read.select("correlation_id").distinct().count() == transform(
        spark.read.text(str(lines))
    ).select("correlation_id").distinct().count()
    spark.stop()
    shutil.rmtree(folder)
    report(ours, theirs, same)


if __name__ == "__main__":
    main()
