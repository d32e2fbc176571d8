"""Reads a table with Spark and compares it with the rows that were written.

usage: spark_read.py FOLDER EXPECTED [FOLDER EXPECTED …]

EXPECTED holds one JSON list a row: text, word, big, small, ratio, share, flag, at (microseconds since 1970), day (days),
price (hundredths), raw (hex), date, hour. Everything is read twice, by Spark's vectorised reader and by parquet-mr, which
is also what Hive uses. Prints what differs and exits with 1 if anything does.
"""
import json
import struct
import sys

from pyspark.sql import SparkSession

COLUMNS = """text, word, big, small, ratio, share, flag, unix_micros(at), unix_date(day),
             cast(price * 100 AS BIGINT), hex(raw), date, hour"""


def canonical(row):
    """Floats by their bits, so that NaN and -0.0 count."""
    return json.dumps([struct.pack(">d", v).hex() if isinstance(v, float) else v for v in row])


def compare(what, found, expected):
    found, expected = sorted(map(canonical, found)), sorted(map(canonical, expected))
    if found == expected:
        print(f"{what}: {len(found)} rows as written")
        return True
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    print(f"{what}: {len(found)} rows where {len(expected)} were written")
    for name, rows in (("missing", missing), ("not written", extra)):
        print("\n".join(f"  {name}: {row}" for row in sorted(rows)[:5]))
    return False


def main(tables):
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        # Values as the folders say them.
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    # All of them, though one fails.
    same = all([check(spark, folder, expected) for folder, expected in zip(tables[::2], tables[1::2])])
    spark.stop()
    return 0 if same else 1


def check(spark, folder, expected_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    for row in expected:
        row[4], row[5] = (None if v is None else float(v) for v in row[4:6])
    same = True
    texts = sorted({row[0] for row in expected if row[0] is not None})
    for vectorised in ("true", "false"):
        spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorised)
        spark.read.parquet(folder).createOrReplaceTempView("t")
        kinds = dict(spark.table("t").dtypes)
        wanted = {"text": "string", "at": "timestamp", "day": "date", "price": "decimal(12,2)", "raw": "binary",
                  "flag": "boolean", "big": "bigint", "small": "int", "ratio": "double", "share": "float"}
        for column, kind in wanted.items():
            if kinds.get(column) != kind:
                print(f"column {column} is {kinds.get(column)} to Spark, not {kind}")
                same = False
        reader = "vectorised reader" if vectorised == "true" else "parquet-mr"
        found = [list(row) for row in spark.sql(f"SELECT {COLUMNS} FROM t").collect()]
        same &= compare(reader, found, expected)
        # Filters reach statistics and the page index: wrong bounds would lose rows.
        for text in texts[:: max(1, len(texts) // 2)]:
            rows = spark.table("t").where(spark.table("t").text >= text).selectExpr("text", "big").collect()
            ours = [row for row in expected if row[0] is not None and row[0] >= text]
            same &= compare(f"{reader}, text >= {text!r}", [list(r) for r in rows], [[r[0], r[2]] for r in ours])
        for word in sorted({row[1] for row in expected if row[1] is not None})[:1]:
            rows = spark.table("t").where(spark.table("t").word == word).selectExpr("big").collect()
            same &= compare(f"{reader}, word = {word!r}", [list(r) for r in rows], [[r[2]] for r in expected if r[1] == word])
    return same


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
