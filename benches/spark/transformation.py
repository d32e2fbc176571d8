"""The users' transformation in PySpark: one log line to 25 columns. ANSI mode is off: what doesn't parse is NULL."""

import os

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

FIELDS = (
    "timestamp log_level request_id session_id user_id action http_method url referrer_url ip_address user_agent response_time "
    "product_id cart_size checkout_status token auth_method auth_level correlation_id server_ip port_number protocol status detail"
).split()
LABELLED = (
    "ip_address user_agent response_time product_id cart_size checkout_status token auth_method auth_level correlation_id server_ip "
    "port_number protocol detail"
).split()
COLUMNS = ["date", "time"] + [
    {"referrer_url": "referrer_domain"}.get(field, field) for field in FIELDS if field != "timestamp"
]


def session(name: str, memory: str = "4g") -> SparkSession:
    spark = (
        SparkSession.builder.master("local[2]").appName(name)
        .config("spark.driver.memory", memory).config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.ansi.enabled", "false").config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2").config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def transform(lines: DataFrame) -> DataFrame:
    """From a column `value` to the 25 columns, all strings."""
    fields = F.split("value", r" \| ")
    rows = lines.select(*[fields[i].alias(name) for i, name in enumerate(FIELDS)])
    at = F.to_timestamp("timestamp", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS")
    made = {
        "date": F.date_format(at, "yyyy-MM-dd"),
        "time": F.date_format(at, "HH:mm:ss.SSS"),
        "referrer_domain": F.regexp_extract("referrer_url", "(?<=//)(.*?)(?=/|$)", 1),
        **{name: F.regexp_extract(name, r"(?<=:\s)(.*)", 1) for name in LABELLED},
    }
    return rows.select(*[made.get(name, F.col(name)).alias(name) for name in COLUMNS])


def jvm_usage(spark: SparkSession) -> tuple[float, int]:
    """CPU seconds and peak resident bytes of Spark's JVM."""
    pid = spark.sparkContext._gateway.proc.pid  # noqa: SLF001 - there is no public way to the JVM's process
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak * 1024
