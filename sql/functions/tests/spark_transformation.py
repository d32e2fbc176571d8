#!/usr/bin/env python3
"""Runs the users' own PySpark transformation (pyspark 4.3, ANSI mode off) over 300 lines, most of them damaged, and writes
golden/transformation.jsonl: one JSON array a line: [line, [25 values, the partition column last]].

usage: python spark_transformation.py            (Java 17, pip install pyspark==4.3.0)
"""
import json, os, random
from pyspark.sql import SparkSession, functions as F

COLS = ["timestamp", "log_level", "request_id", "session_id", "user_id", "action", "http_method", "url", "referrer_url", "ip_address", "user_agent",
        "response_time", "product_id", "cart_size", "checkout_status", "token", "auth_method", "auth_level", "correlation_id", "server_ip",
        "port_number", "protocol", "status", "detail"]
STRIP = ["ip_address", "user_agent", "response_time", "product_id", "cart_size", "checkout_status", "token", "auth_method", "auth_level",
         "correlation_id", "server_ip", "port_number", "protocol", "detail"]
ORDER = ["time"] + COLS[1:8] + ["referrer_domain"] + COLS[9:] + ["date"]

def transform(df):
    df = df.select(F.split(F.col("value"), r" \| ").alias("s")).select(*[F.col("s")[i].alias(c) for i, c in enumerate(COLS)])
    df = df.withColumn("timestamp", F.to_timestamp("timestamp", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"))
    df = df.withColumn("date", F.date_format("timestamp", "yyyy-MM-dd")).withColumn("time", F.date_format("timestamp", "HH:mm:ss.SSS"))
    df = df.withColumn("referrer_domain", F.regexp_extract("referrer_url", "(?<=//)(.*?)(?=/|$)", 1))
    for c in STRIP: df = df.withColumn(c, F.regexp_extract(F.col(c), r"(?<=:\s)(.*)", 1))
    return df.select(ORDER)

def sound(r, i):
    ip = lambda: ".".join(str(r.randrange(256)) for _ in range(4))
    status = r.choice(["500 Internal Server Error | Detail: Server encountered an unexpected condition.", "404 Not Found | Detail: The requested resource was not found.",
                       "200 OK | Detail: Request succeeded."])
    return (f"2023-12-{1 + i % 28:02}T{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}.{r.randrange(10**6):06} | {r.choice(['INFO', 'WARN', 'ERROR'])} | req_{r.randrange(10**5)} | "
            f"session_{r.randrange(10**4)} | user_{r.randrange(1000)} | {r.choice(['login', 'view_page', 'unusual_action'])} | {r.choice(['POST', 'GET'])} | {r.choice(['/home', '/login'])} | "
            f"Referrer: {r.choice(['https://www.google.com', 'https://www.bing.com/a/b', 'Direct Entry'])} | IP: {ip()} | Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) | "
            f"Response Time: {r.randrange(5, 150) / 100 + r.random() / 10**9}s | Product ID: prod_{r.randrange(1000)} | Cart Size: {r.randrange(1000)} | Checkout Status: pending | "
            f"Token: token_{r.randrange(10**5)} | Auth Method: JWT | Auth Level: user | Correlation ID: corr_{r.randrange(10**5)} | Server IP: {ip()} | Port: {r.randrange(65536)} | "
            f"Protocol: HTTPS | {status}")

SPECIAL = ["\n", "\r\n", "\r", "\u0085", "\u2028", "\u2029", "\0", "é", "\U0001f98e", " | ", "//", "\n\n", "\u00a0", "\t", ": ", "/", "|"]

def damaged(r, i):
    s = sound(r, i)
    at = r.randrange(len(s))
    kind = r.randrange(16)
    if kind == 0: return None
    if kind == 1: return ""
    if kind == 2: return s[:at]
    if kind == 3: return s.replace(" | ", "|", 1 + r.randrange(5))
    if kind == 4: return s.replace(" | ", r.choice([" |  | ", " | | ", " || ", "| ", "\t|\t"]))
    if kind == 5: return s.replace(": ", r.choice([":", ":\t", ": : ", ":\u00a0", ":\r\n", ": //", "：", ":\u000b", ":\u001c"]))
    if kind == 6: return s.replace(r.choice(["Referrer", "IP", "Token", "Port", "Detail"]), r.choice(["", "Ünï", "\U0001f98e", "X:"]), 1)
    if kind == 7: return s[:at] + r.choice(SPECIAL) + s[at:]
    if kind == 8: return s + r.choice(SPECIAL)
    if kind == 9: return s[:19] + r.choice(["", ".5", ".1234567", ".", "Z", "+01:00", ".123"]) + s[26:]
    if kind == 10: return r.choice(["2023-13-01", "2023-02-30", "02023-12-01", "23-12-01", "+12023-12-01", "2023-1-01", "٢٠٢٣-12-01", "0000-01-01", "-2023-01-01"]) + s[10:]
    if kind == 11: return s.replace("https://", r.choice(["//", "https:///", "http://a/", "https:", "////", "https://\n", "https://é", "https://a\n", "https://a\r\n/"]))
    if kind == 12: return " | " + s
    if kind == 13: return r.choice([" | ", "|", "a", '{"json": true}', "   ", " | | | | ", "\n"])
    if kind == 14: return s + " | " + s
    return "".join(r.choice(SPECIAL + list("ab:/")) for _ in range(30)).join(s.split(" | ")[:3])

if __name__ == "__main__":
    spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.ansi.enabled", "false")
             .config("spark.sql.session.timeZone", "UTC").config("spark.driver.memory", "1g").getOrCreate())
    spark.sparkContext.setLogLevel("OFF")
    r = random.Random(11)
    lines = [sound(r, i) if i % 6 == 0 else damaged(r, i) for i in range(300)]
    rows = transform(spark.createDataFrame([(x,) for x in lines], "value string").coalesce(1)).collect()
    assert len(rows) == len(lines)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "transformation.jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps([line, list(row)]) + "\n" for line, row in zip(lines, rows))
    print(len(rows), "rows")
