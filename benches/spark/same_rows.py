"""Spark's transformation and ours on the same generated lines, some of them damaged: the same rows, or exit code 1.

    python same_rows.py [--rows 200000] [--damaged 0.02] [--odd 0.02]

Two runs of ours: docs/examples/realtime-logs/pipeline.sql with `'format' = 'text'`, whose 25 columns must equal Spark's row by
row, damaged lines included; and `'format' = 'delimited'` with typed columns, where sound lines must have Spark's values and
every damaged line must stand in `$bad_records` with its reason.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "engine/cli/tests/python"))
from processes import ROOT, TARGET, server, sql, wait_until  # noqa: E402

from transformation import COLUMNS, session, transform  # noqa: E402

TYPED = {"response_time": "DOUBLE", "cart_size": "INT", "port_number": "INT"}


def generate(folder, arguments):
    lines, kinds = folder / "lines" / "lines.log", folder / "kinds.txt"
    lines.parent.mkdir()
    subprocess.run(
        [TARGET / "examples/write_lines", "--rows", str(arguments.rows), "--damaged", str(arguments.damaged),
         "--odd", str(arguments.odd), "--seed", str(arguments.seed), "--out", lines, "--kinds", kinds],
        check=True,
    )
    return lines, kinds.read_text().splitlines()


def text_pipeline(lines, table):
    """The users' example, with its source and place exchanged."""
    script = (ROOT / "docs/examples/realtime-logs/pipeline.sql").read_text()
    script = re.sub(r"(CREATE TABLE raw_logs[^;]*?)WITH\s*\(.*?\);", rf"\1WITH ('connector' = 'files', 'path' = '{lines}', 'format' = 'text');", script, flags=re.S)
    return re.sub(r"LOCATION\s+'[^']*'", f"LOCATION '{table}'", script)


def typed_pipeline(lines, table):
    from transformation import FIELDS

    declared = ", ".join(
        "ts TIMESTAMP" if name == "timestamp" else f"{name} {TYPED.get(name, 'STRING')}" for name in FIELDS
    )
    kept = ", ".join(f"{name} {TYPED.get(name, 'STRING')}" for name in FIELDS if name != "timestamp")
    names = ", ".join(name for name in FIELDS if name != "timestamp")
    return f"""
    CREATE TABLE typed ({declared}) WITH ('connector' = 'files', 'path' = '{lines}', 'format' = 'delimited', 'delimiter' = ' | ', 'strip_labels' = 'true');
    CREATE EXTERNAL TABLE typed_logs (line BIGINT, ts TIMESTAMP, {kept}) STORED AS PARQUET LOCATION '{table}';
    CREATE JOB typed_ingest AS INSERT INTO typed_logs SELECT _sequence_number, ts, {names} FROM typed;
    """


def run_jobs(folder, scripts):
    engine = server(folder / "data", log=folder / "engine.log")
    flight = engine.start()["flight"]
    for script in scripts:
        sql(flight, script)

    def finished():
        jobs = sql(flight, "SHOW JOBS")
        failed = [job for job in jobs if job["state"] == "failed"]
        assert not failed, failed
        return all(job["state"] == "finished" for job in jobs) and jobs

    jobs = wait_until(finished, 600, "the jobs have read everything")
    bad = sql(flight, "SELECT _sequence_number AS line, reason FROM typed$bad_records")
    engine.stop()
    return {job["job"]: job for job in jobs}, bad


def differences(ours, theirs, what):
    """Rows that one side has more often than the other."""
    more, fewer = ours.exceptAll(theirs), theirs.exceptAll(ours)
    counts = more.count(), fewer.count()
    if counts != (0, 0):
        print(f"{what}: {counts[0]} rows only here, {counts[1]} rows only in Spark")
        more.show(3, truncate=False, vertical=True)
        fewer.show(3, truncate=False, vertical=True)
    return counts == (0, 0)


def check_typed(spark, table, lines, kinds, bad):
    from pyspark.sql import functions as F

    reasons = {row["line"]: row["reason"] for row in bad}
    damaged = {number for number, kind in enumerate(kinds) if kind.startswith("damaged")}
    good = damaged == set(reasons) and all(reasons.values())
    if not good:
        print(f"damaged lines not in $bad_records: {sorted(damaged - set(reasons))[:5]}; sound ones that are: "
              f"{[(n, kinds[n], reasons[n]) for n in sorted(set(reasons) - damaged)[:5]]}")
    rows = spark.read.parquet(str(table))
    if rows.count() + len(bad) != len(kinds):
        print(f"{rows.count()} rows and {len(bad)} bad ones of {len(kinds)}")
        good = False
    # Spark's values of the sound lines, typed as the table is.
    sound = [number for number, kind in enumerate(kinds) if kind == "sound"]
    texts = lines.read_bytes().split(b"\n")
    numbered = spark.createDataFrame([(n, texts[n].decode()) for n in sound], "line BIGINT, value STRING")
    from transformation import FIELDS
    fields = F.split("value", r" \| ")
    label = lambda c: F.regexp_extract(c, r"^[A-Za-z ]+: (.*)$", 1)  # noqa: E731
    expected = {}
    for i, name in enumerate(FIELDS):
        column = fields[i]
        if name == "timestamp":
            expected["ts"] = F.to_timestamp(column, "yyyy-MM-dd'T'HH:mm:ss.SSSSSS")
            continue
        if name == "referrer_url" or name in __import__("transformation").LABELLED:
            column = label(column)
        if name == "response_time":
            column = F.regexp_replace(column, "s$", "")
        expected[name] = column.cast(TYPED[name].lower()) if name in TYPED else column
    theirs = numbered.select("line", *[c.alias(n) for n, c in expected.items()])
    ours = rows.join(numbered.select("line"), "line").select(*theirs.columns)
    return differences(ours, theirs, "delimited, sound lines") and good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--damaged", type=float, default=0.02)
    parser.add_argument("--odd", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="salamander-same-rows-"))
    lines, kinds = generate(folder, arguments)
    jobs, bad = run_jobs(folder, [text_pipeline(lines, folder / "text"), typed_pipeline(lines, folder / "typed")])
    spark = session("same-rows")
    theirs = transform(spark.read.text(str(lines)))
    ours = spark.read.parquet(str(folder / "text")).select(*COLUMNS)
    # A NULL date is a folder of its own; Spark reads it back as NULL.
    good = differences(ours, theirs, "text, all lines")
    good &= check_typed(spark, folder / "typed", lines, kinds, bad)
    spark.stop()
    shutil.rmtree(folder)
    print(f"{len(kinds)} lines {dict(collections.Counter(k.split()[0] for k in kinds))}: text job wrote {jobs['ingest']['rows_written']}, "
          f"delimited job {jobs['typed_ingest']['rows_written']} and {len(bad)} bad; {'the same rows as Spark' if good else 'DIFFERENT'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
