"""The users' analyses (docs/examples/realtime-logs/analyses.sql) as jobs over generated lines: what the jobs have written is what the same
query gives as an ordinary SELECT over the stream, and what a few lines of Python count in the lines themselves."""

import collections
import datetime
import re
import subprocess

import pytest
from processes import ROOT, TARGET, server, sql, wait_until

SCRIPT = ROOT / "docs/examples/realtime-logs/analyses.sql"
LINES = 20_000


def statements(folder, lines):
    """The script's statements, reading a file and writing below a folder."""
    script = re.sub(r"--[^\n]*", "", SCRIPT.read_text())
    script = re.sub(r"abfss://lake@account.dfs.core.windows.net", str(folder), script)
    source = f"'connector' = 'files', 'path' = '{lines}', 'format' = 'delimited'"
    script = re.sub(r"'connector' = 'eventhubs'.*?'format' = 'delimited'", source, script, flags=re.S)
    return [statement.strip() for statement in script.split(";") if statement.strip()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyses")
    lines = folder / "lines.log"
    subprocess.run([TARGET / "examples/write_lines", "--rows", str(LINES), "--seed", "7", "--out", lines], check=True)
    running = server(folder / "data")
    address = running.start()["flight"]

    def ask(text):
        return sql(address, text)

    queries = {}
    for statement in statements(folder / "tables", lines):
        ask(statement)
        job = re.match(r"CREATE JOB (\w+) AS\s+INSERT INTO \w+\s+(.*)", statement, re.S)
        if job:
            queries[job[1]] = job[2]
    wait_until(lambda: all(row["state"] == "finished" for row in ask("SHOW JOBS")), 60, "all jobs have read everything")
    yield ask, queries, lines.read_text().splitlines()
    running.stop()


def parsed(lines):
    """(time, fields) of each line, labels cut off."""
    for line in lines:
        fields = line.split(" | ")
        yield datetime.datetime.fromisoformat(fields[0]), fields


def window(time, seconds):
    return time - (time - datetime.datetime(1970, 1, 1)) % datetime.timedelta(seconds=seconds)


def test_every_job_gives_what_the_query_gives(run):
    ask, queries, _ = run
    assert len(queries) == 10
    for name, query in queries.items():
        expected = sorted((tuple(row.values()) for row in ask(query)), key=str)
        found = sorted((tuple(row.values()) for row in ask(f"SELECT * FROM {name}")), key=str)
        assert found, name
        assert len(found) == len(expected), name
        for a, b in zip(found, expected):
            # Percentiles come from sketches, whose result depends a little on the order in which they are merged.
            tolerance = 0.03 if name == "latency_per_url" else 1e-6
            assert all(x == y or x == pytest.approx(y, rel=tolerance) for x, y in zip(a, b)), (name, a, b)
    assert ask('SELECT count(*) AS n FROM "logs$late_records"') == [{"n": 0}]


def test_counts_are_those_of_the_lines(run):
    ask, _, lines = run
    requests, errors, users = collections.Counter(), collections.Counter(), collections.defaultdict(set)
    for at, fields in parsed(lines):
        start = window(at, 10)
        requests[start, fields[7]] += 1
        errors[start, fields[7]] += fields[1] == "ERROR"
        users[start].add(fields[4])
    at = lambda row: datetime.datetime.fromisoformat(row["window_start"]).replace(tzinfo=None)
    rows = ask("SELECT window_start, url, requests, errors FROM anomalies_per_url")
    assert {(at(row), row["url"]): row["requests"] for row in rows} == dict(requests)
    assert {(at(row), row["url"]): row["errors"] for row in rows} == dict(errors)
    rows = ask("SELECT window_start, active_users FROM system_state")
    assert {at(row): row["active_users"] for row in rows} == {start: len(names) for start, names in users.items()}


def test_percentiles_are_near_the_true_ones(run):
    ask, _, lines = run
    times = collections.defaultdict(list)
    for at, fields in parsed(lines):
        times[window(at, 10), fields[7]].append(float(fields[11].removeprefix("Response Time: ").removesuffix("s")))
    rows = ask("SELECT window_start, window_end, url, requests, p50_s, p99_s, slowest_s FROM latency_per_url")
    checked = 0
    for row in rows:
        begin = datetime.datetime.fromisoformat(row["window_start"]).replace(tzinfo=None)
        panes = [begin + datetime.timedelta(seconds=10 * i) for i in range(6)]
        values = sorted(v for pane in panes for v in times.get((pane, row["url"]), []))
        assert row["requests"] == len(values)
        assert row["slowest_s"] == pytest.approx(values[-1])
        if len(values) >= 200:
            low, high = values[int(len(values) * 0.48)], values[int(len(values) * 0.52)]
            assert low <= row["p50_s"] <= high, row
            checked += 1
    assert checked


def test_sessions_are_those_of_the_lines(run):
    ask, _, lines = run
    gap = datetime.timedelta(seconds=30)
    times = collections.defaultdict(list)
    for at, fields in parsed(lines):
        times[fields[4]].append(at)
    expected = collections.Counter()
    for user, at in times.items():
        start = last = None
        for time in sorted(at):
            if last is not None and time > last + gap:
                expected[user, start, last + gap] += 0
                start = None
            start, last = start or time, time
            expected[user, start] += 1
        expected[user, start, last + gap] += 0
    found = ask("SELECT user_id, session_start, session_end, requests FROM user_sessions")
    stamp = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    sessions = {(row["user_id"], stamp(row["session_start"]), stamp(row["session_end"])) for row in found}
    assert sessions == {key for key in expected if len(key) == 3}
    assert all(row["requests"] == expected[row["user_id"], stamp(row["session_start"])] for row in found)


def test_the_dashboards_views_are_what_their_queries_give(run):
    ask, _, lines = run
    script = re.sub(r"--[^\n]*", "", (ROOT / "docs/examples/realtime-logs/dashboard.sql").read_text())
    views = {}
    for statement in filter(None, map(str.strip, script.split(";"))):
        ask(statement)
        views.update([re.match(r"CREATE MATERIALIZED VIEW (\w+) AS\s+(.*)", statement, re.S).groups()])
    assert len(views) == 5
    wait_until(lambda: all(row["state"] == "finished" for row in ask("SHOW JOBS")), 60, "all views have read everything")
    for name, query in views.items():
        expected = sorted((tuple(row.values()) for row in ask(query)), key=str)
        found = sorted((tuple(row.values()) for row in ask(f"SELECT * FROM {name}")), key=str)
        assert found and len(found) == len(expected), name
        for a, b in zip(found, expected):
            tolerance = 0.03 if name == "requests_per_url" else 1e-6
            assert all(x == y or x == pytest.approx(y, rel=tolerance) for x, y in zip(a, b)), (name, a, b)
    # Every sound line is counted once.
    assert ask("SELECT sum(requests) AS n FROM requests_per_url") == [{"n": len(lines)}]
    methods = ask("SELECT requests FROM requests_by_status WHERE http_method IS NULL AND status IS NULL")
    assert methods[0]["requests"] == len(lines)
    errors = collections.Counter(fields[4] for _, fields in parsed(lines) if fields[1] == "ERROR")
    assert {row["user_id"]: row["errors"] for row in ask("SELECT * FROM users_with_errors")} == dict(
        sorted(errors.items(), key=lambda item: (-item[1], item[0]))[:10]
    )
