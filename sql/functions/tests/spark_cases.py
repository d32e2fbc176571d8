#!/usr/bin/env python3
"""Asks a real Spark (pyspark 4.3, ANSI mode off) what the functions give, and writes golden/spark_cases.json.

usage: python spark_cases.py            (Java 17, pip install pyspark==4.3.0)

Two kinds of cases: expressions of literals, and expressions over the columns of a table of nasty strings (s) and
timestamps (t), so that constants and columns take both ways through the engine. A result is JSON; a timestamp is its
microseconds since 1970-01-01 UTC, a date its text, a double that JSON can't write its name, a query that fails
{"error": "..."}. Backslashes in literals are backslashes, as in Salamander.
"""
import json, math, os
from pyspark.sql import SparkSession, types as T

STRINGS = [
    None, "", " ", "a", "Response Time: 0.83s", "IP: 1.2.3.4", "Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "Referrer: https://www.google.com", "Referrer: https://www.google.com/search?q=a//b", "https://www.bing.com/", "Direct Entry",
    "Referrer: Direct Entry", "//", "///", "////a", "//a\n", "//a\nb", "//a\r\n", "//a\r\nb/", "//a\r", "//\n", "//\r\n", "//\n//x", "//é/ü",
    "//a\u0085", "//a\u2028", "//a\u2029b", "//a\n\n", ":", ": ", ":  ", ":\t", ":\n", ":\nx", ":\r\nx", ": a\nb", ": a\rb", ": a\u0085b", ": a\u2028b",
    "a: b: c", "::: x", ":\u00a0x", ":\u3000x", ":\u000bx", ":\u001cx", "Kelvin: \u212a", "é: ü", "\U0001f98e: \U0001f98e", "Port:8080", "Port: 8080 ",
    "a | b | c", " | ", " |  | ", "| |", "a | ", " | a", "a|b", "a |b| c", " | | | ", "a,b,,c,,", ",", ",,", "a1b22c333", "aaa", "abcABC",
    "a.b.c", "a\\b", "$1", "tab\tsep", "2023-12-22T22:07:37.780123", "2023-12-22T22:07:37", "2023-12-22T22:07:37.78", "2023-12-22T22:07:37.7801234",
    "2023-12-22T22:07:37.", "2023-12-22 22:07:37.780123", "2023-12-22t22:07:37.780123", " 2023-12-22T22:07:37.780123", "2023-12-22T22:07:37.780123 ",
    "2023-12-22T22:07:37.780123Z", "2023-13-22T22:07:37.780123", "2023-02-29T22:07:37.780123", "2024-02-29T22:07:37.780123",
    "2023-12-22T24:00:00.000000", "2023-12-22T23:59:60.000000", "0000-01-01T00:00:00.000000", "0001-01-01T00:00:00.000000", "9999-12-31T23:59:59.999999",
    "12023-12-22T22:07:37.780123", "+12023-12-22T22:07:37.780123", "-2023-12-22T22:07:37.780123", "23-12-22T22:07:37.780123", "2023-1-2", "2023-12-22",
    "2023-12", "2023", "20231222", "22:07:37", "12/31/2023 11:59 PM", "Fri Dec 22 2023", "Sat Dec 22 2023", "1703282857", "2023-12-22T22:07:37+02:00",
    "0", "1", "-1", "+1", "1.5", "-1.9", ".5", "5.", ".", "1e3", "1E-2", "1.5d", "1f", "NaN", "nan", "Infinity", "-inf", "0x10", " 42 ", "\t7\n",
    "127", "128", "32768", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "1_000", "1,000", "true", "T", "yes", "no", "f", "on",
    "٣", "0.8300000000000001s", "1e400", "-0.0", "--1", "1 2",
]
TIMES = [None, 0, -1, 1, 1703282857780123, 1703282857000000, 951782400000000, -62135596800000000, 253402300799999999, -62167219200000000,
         253402300800000000, -1500000, 43200000000, 86399999999]

REGEXES = [r"(?<=:\s)(.*)", r"(?<=//)(.*?)(?=/|$)", r":\s(.*)", r":\s([0-9.]+)s", r"(\d+)", r"(\w+)", r"(\W)", r"(\s+)", r"^(.*)$", r"(a)|(b)", r"(?i)(ABC)+",
           r"(a*)", r"(?m)^(.)", r"(?s):(.*)", r"(.)$", r"(\S+)$", r"([^/]*)$", r"\b(\w)", r"([a-c&&[^b]]+)", r"(\p{Upper})", r"(\p{L}+)", r"(?<x>\d)(?<y>\d)?",
           r"(\h)", r"(\R)", r"(\Qa.b\E)", r"(\x61)", r"(é|ü)", r"(?<!a)(b)", r"(a++)", r"(.)\1"]
PATTERNS = ["yyyy-MM-dd'T'HH:mm:ss.SSSSSS", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss.SSS", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd", "yyyy-M-d", "yyyyMMdd", "yyyy",
            "HH:mm:ss", "MM/dd/yyyy hh:mm a", "MMM dd yyyy", "MMMM d yyyy", "yyyy-MM-dd'T'HH:mm:ss[.SSSSSS]", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSX", "yyyy-MM-dd'T'HH:mm:ssXXX",
            "yyyy-MM-dd[ HH:mm:ss]", "y-MM-dd", "yyyy-MM", "yy-MM-dd'T'HH:mm:ss.SSSSSS"]
FORMATS = ["yyyy-MM-dd", "HH:mm:ss.SSS", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS", "yyyy-MM-dd HH:mm:ss", "y", "yy", "yyyyy", "M", "MMM", "MMMM", "L", "d", "D", "DDD", "E", "EEEE", "Q", "QQQ", "QQQQ",
           "F", "a", "h", "hh", "K", "k", "H", "m", "s", "S", "SSSSSSSSS", "G", "GGGG", "X", "XXX", "x", "xxx", "Z", "ZZZZ", "ZZZZZ", "O", "VV", "z", "''''", "'o''clock'", "yyyyMMddHHmmssSSS",
           "dd/MM/yyyy hh:mm a"]
SPLITS = [r" \| ", r"\|", ",", "", r"\s", r"a*", r"(?=b)", r"[|,]", ".", r"\.", r"\d+", "$", "^", "//", r"é"]

def quote(s): return "'" + s.replace("'", "''") + "'"

COLUMN = (
    [f"split(s, {quote(p)})" for p in SPLITS]
    + [f"split(s, {quote(p)}, {n})" for p in SPLITS[:8] for n in (-1, 0, 1, 2, 3)]
    + [f"split(s, ' \\| ')[{i}]" for i in (0, 1, 2, 5, -1)] + ["split(s, ',')[1]", "size(split(s, ','))"]
    + [f"regexp_extract(s, {quote(r)}, {g})" for r in REGEXES for g in (0, 1)]
    + ["regexp_extract(s, '(a)|(b)', 2)", "regexp_extract(s, '(\\d)(\\d)', 2)", "regexp_extract(s, '(\\d)')"]
    + [f"rlike(s, {quote(r)})" for r in REGEXES[:10]] + ["regexp_like(s, 'a')"]
    + [f"regexp_replace(s, {quote(r)}, {quote(x)})" for r, x in [("a", "b"), (r"(\w)(\w)", "$2$1"), ("a*", "-"), (r"\s+", ""), ("b", r"\$"), ("", "."), (r"(?=b)", "|")]]
    + ["regexp_replace(s, 'a', 'X', 2)"]
    + [f"to_timestamp(s, {quote(p)})" for p in PATTERNS] + [f"to_date(s, {quote(p)})" for p in PATTERNS[:6]] + ["to_timestamp(s)", "to_date(s)", "unix_timestamp(s)",
       "unix_timestamp(s, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS')", "date_format(s, 'yyyy-MM-dd HH:mm')"]
    + [f"date_format(t, {quote(f)})" for f in FORMATS] + ["to_date(t)", "to_timestamp(t)", "unix_timestamp(t)"]
    + [f"CAST(s AS {t})" for t in ("INT", "BIGINT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "BOOLEAN", "DATE", "TIMESTAMP")]
    + [f"CAST(t AS {t})" for t in ("BIGINT", "DOUBLE", "STRING", "DATE", "INT")]
    + ["CAST(CAST(s AS DOUBLE) AS STRING)", "CAST(CAST(s AS FLOAT) AS STRING)", "CAST(CAST(s AS DOUBLE) AS INT)", "CAST(CAST(s AS DOUBLE) AS BIGINT)", "CAST(CAST(s AS DOUBLE) AS TINYINT)",
       "CAST(CAST(s AS BIGINT) AS INT)", "CAST(CAST(s AS BIGINT) AS SMALLINT)", "CAST(CAST(s AS INT) AS TIMESTAMP)"]
    + ["year(t)", "quarter(t)", "month(t)", "day(t)", "dayofmonth(t)", "dayofyear(t)", "dayofweek(t)", "weekofyear(t)", "hour(t)", "minute(t)", "second(t)", "year(s)"]
    + ["substring_index(s, ' ', 1)", "substring_index(s, ':', -1)", "substring(s, 2, 3)", "substring(s, -3)", "length(s)", "upper(s)", "lower(s)", "trim(s)", "concat(s, 'x')", "concat_ws('-', s, 'x')",
       "coalesce(s, 'none')", "nullif(s, 'a')", "nvl(s, 'none')", "lpad(s, 3, '*')", "rpad(s, 3, '*')", "reverse(s)", "repeat(s, 2)", "replace(s, 'a', 'b')", "instr(s, ':')", "locate('a', s)",
       "initcap(s)", "translate(s, 'abc', '123')", "s LIKE '%a%'", "s IS NULL", "if(s = 'a', 1, 0)", "ascii(s)", "md5(s)", "sha2(s, 256)", "crc32(s)", "hex(s)", "left(s, 2)", "right(s, 2)",
       "startswith(s, 'a')", "contains(s, 'a')", "endswith(s, 'a')", "element_at(split(s, ','), 1)", "element_at(split(s, ','), -1)", "element_at(split(s, ','), 9)", "array_contains(split(s, ','), 'a')",
       "array_join(split(s, ','), '-')", "CAST(s AS INT) / 2", "CAST(s AS INT) / CAST('0' AS INT)", "CAST(s AS INT) % 2", "1 / CAST(s AS DOUBLE)", "CAST(s AS INT) % CAST(s AS INT)"]
)
LITERAL = [
    "split('hello', '')", "split('hello', '', 3)", "split('', '')", "split(NULL, ',')", "split('a', NULL)", "split('a,b', ',', NULL)", "split('one1two22three', '\\d+', 2)", "split('aXbX', 'X')[1]", "split('a,b', ',')[2]",
    "array(10, 20, 30)[0]", "array(10, 20, 30)[3]", "array(10, 20, 30)[-1]", "array(10, 20, 30)[NULL]", "get(array(10, 20), 1)", "element_at(array(10, 20, 30), 1)", "element_at(array(10, 20, 30), -1)", "element_at(array(10, 20, 30), 4)",
    "element_at(array(1), 0)", "element_at(map_from_arrays(array('a', 'b'), array(1, 2)), 'b')", "element_at(map_from_arrays(array('a'), array(1)), 'z')", "map_from_arrays(array('a'), array(1))['a']", "map_from_arrays(array('a'), array(1))['z']",
    "regexp_extract('100-200', '(\\d+)-(\\d+)', 2)", "regexp_extract('100-200', '(\\d+)-(\\d+)', 3)", "regexp_extract('a', 'a', 1)", "regexp_extract('a', '(', 0)", "regexp_extract(NULL, 'a', 0)", "regexp_extract('a', NULL, 0)",
    "regexp_replace('abc', '(b)', '[$1]')", "regexp_replace('abc', 'b', NULL)", "to_timestamp('2023-12-22', 'YYYY-MM-dd')", "to_timestamp('2023-12-22', NULL)", "to_timestamp(NULL, 'yyyy')", "to_timestamp(1703282857)", "to_timestamp(CAST('1.5' AS DOUBLE))",
    "date_format(DATE '2023-12-22', 'EEEE')", "date_format(TIMESTAMP '2023-12-22 10:00:00', 'yyyy-MM-dd HH')", "date_format(NULL, 'yyyy')", "to_timestamp('Fri', 'EEE')", "to_timestamp('Dec 22 2023', 'MMM dd yyyy')", "to_timestamp('dec 22 2023', 'MMM dd yyyy')",
    "to_timestamp('10 pm', 'h a')", "to_timestamp('13 pm', 'h a')", "to_timestamp('12 AM', 'hh a')", "to_timestamp('24', 'k')", "to_timestamp('366 2024', 'D y')", "to_timestamp('366 2023', 'D y')",
    "to_timestamp('5 BC', 'y G')", "to_timestamp('2023-12-22 10:00+02:30', 'yyyy-MM-dd HH:mmXXX')", "to_timestamp('2023-12-22 10:00 Europe/Madrid', 'yyyy-MM-dd HH:mm VV')", "to_timestamp('02-29', 'MM-dd')", "to_timestamp('10:61', 'HH:mm')",
    "to_timestamp('2023-12-22T10', 'yyyy-MM-dd[''T''HH][ HH]')", "to_timestamp('20231222101112123', 'yyyyMMddHHmmssSSS')", "to_timestamp('2023-12-22 10 AM', 'yyyy-MM-dd HH a')", "to_timestamp('1', 'S')", "to_timestamp('.5', '.SSS')",
    "to_timestamp('99', 'yy')", "to_timestamp('2023', 'yyy')", "to_timestamp('x', 'yyyyyyy')", "to_timestamp('x', 'B')", "regexp_replace('abc', 'b', '$2')", "rlike('a', '(')", "split('a', '(')",
    "regexp_extract('aXb', '(?i)x', 0)", "regexp_extract('a', NULL)", "array(1, 2)[CAST('x' AS INT)]", "CAST('2023-12-22 25:00:00' AS TIMESTAMP)", "CAST('2023-12-22 10:00:00 Europe/Madrid' AS TIMESTAMP)", "CAST('2023-12-22 10:00:00.1234567Z' AS TIMESTAMP)",
    "CAST('2023-12-22 10:00:00UTC+1' AS TIMESTAMP)", "CAST('+2023-12-22' AS DATE)", "CAST('02023-12-22' AS DATE)", "CAST('' AS DOUBLE)", "CAST('1e' AS DOUBLE)", "CAST(CAST('9.5' AS DOUBLE) AS TIMESTAMP)", "CAST(DATE '2023-12-22' AS TIMESTAMP)", "CAST(DATE '2023-12-22' AS STRING)", "CAST(NULL AS INT)", "date_format(TIMESTAMP '2023-12-22 10:00:00', 'w')",
    "from_unixtime(0)", "from_unixtime(1703282857, 'yyyy-MM-dd')", "unix_timestamp('2023-12-22 22:07:37')", "to_unix_timestamp('2023-12-22', 'yyyy-MM-dd')",
    "1 / 2", "1 / 0", "1 % 0", "5 / CAST(2 AS DOUBLE)", "CAST('abc' AS INT)", "CAST('1.9' AS INT)", "CAST(CAST('1e20' AS DOUBLE) AS INT)", "CAST(CAST('1e20' AS DOUBLE) AS BIGINT)", "CAST(CAST('-1.9' AS DOUBLE) AS INT)", "CAST(300 AS TINYINT)", "CAST(CAST('0.1' AS DOUBLE) AS STRING)", "CAST(CAST('1e7' AS DOUBLE) AS STRING)", "CAST(CAST('1.0E-4' AS DOUBLE) AS STRING)",
    "CAST(true AS INT)", "CAST(5 AS BOOLEAN)", "'it''s'", "'a\\b'", "TIMESTAMP '2023-12-22 22:07:37.78'", "CAST('2023-12-22T22:07:37.78' AS TIMESTAMP)", "CAST(CAST('2023-12-22 22:07:37.780' AS TIMESTAMP) AS STRING)", "DATE '2023-12-22'",
    "nullif(1, 1)", "nvl(NULL, 2)", "coalesce(NULL, NULL, 3)", "if(true, 'a', 'b')", "try_to_timestamp('x', 'yyyy')",
]

def plain(v, t):
    if v is None: return None
    if isinstance(v, float): return v if math.isfinite(v) else str(v)
    if isinstance(v, list): return [plain(x, None) for x in v]
    if isinstance(v, (bytes, bytearray)): return v.hex()
    return v

def in_spark(sql):
    """Literals written for Salamander (a backslash is a backslash, '' a quote) as Spark reads them."""
    out, inside, i = "", False, 0
    while i < len(sql):
        c = sql[i]
        if c == "'" and inside and sql[i + 1:i + 2] == "'": out, i = out + "\\'", i + 1
        elif c == "'": out, inside = out + c, not inside
        elif c == "\\": out += "\\\\"
        else: out += c
        i += 1
    return out

def ask(spark, expr, table=None):
    expr = in_spark(expr)
    try:
        frm = f" FROM {table} ORDER BY i" if table else ""
        t = spark.sql(f"SELECT {expr} AS r{frm}").schema["r"].dataType
        if isinstance(t, T.TimestampType): expr = f"unix_micros({expr})"
        if isinstance(t, T.DateType): expr = f"CAST({expr} AS STRING)"
        if isinstance(t, T.DecimalType): expr = f"CAST({expr} AS STRING)"
        rows = [plain(r[0], t) for r in spark.sql(f"SELECT {expr} AS r{frm}").collect()]
        return rows if table else rows[0]
    except Exception as e:
        condition = e.getCondition() if hasattr(e, "getCondition") else None
        return {"error": condition or type(e).__name__}

if __name__ == "__main__":
    spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.ansi.enabled", "false").config("spark.sql.session.timeZone", "UTC")
             .config("spark.sql.shuffle.partitions", "1").config("spark.driver.memory", "1g")
             .config("spark.sql.optimizer.excludedRules", "").getOrCreate())
    spark.sparkContext.setLogLevel("OFF")
    n = max(len(STRINGS), len(TIMES))
    rows = [(i, STRINGS[i] if i < len(STRINGS) else None, TIMES[i] if i < len(TIMES) else None) for i in range(n)]
    spark.createDataFrame(rows, "i int, s string, us bigint").selectExpr("i", "s", "timestamp_micros(us) AS t").coalesce(1).createOrReplaceTempView("nasty")
    spark.sql("CACHE TABLE nasty")
    out = {"spark": spark.version, "strings": STRINGS, "times": TIMES,
           "literal": [[e, ask(spark, e)] for e in LITERAL], "column": [[e, ask(spark, e, "nasty")] for e in COLUMN]}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "spark_cases.json")
    with open(path, "w") as f:
        f.write("{" + ",\n".join(f"{json.dumps(k)}: " + ("[\n" + ",\n".join(json.dumps(x) for x in v) + "\n]" if isinstance(v, list) else json.dumps(v)) for k, v in out.items()) + "}\n")
    print(len(out["literal"]), "literal and", len(out["column"]), "column cases")
