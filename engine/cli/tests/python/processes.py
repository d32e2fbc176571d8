"""Real processes for tests: the server and the broker, started, killed and asked through the command line."""

import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[4]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
SALAMANDER = TARGET / "salamander"
DEVELOPMENT = (
    "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;"
    "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true"
)


class Process:
    """A process that prints one readiness line. Its log goes to a file that is shown when it fails."""

    def __init__(self, *arguments, log=None, env=None):
        self.arguments = [str(a) for a in arguments]
        self.log = log or tempfile.NamedTemporaryFile(prefix="salamander-", suffix=".log", delete=False).name
        self.env = {**os.environ, **(env or {})}
        self.process = None

    def start(self, timeout=30):
        log = open(self.log, "ab")
        begun = time.monotonic()
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE, stderr=log, env=self.env)
        line = b""
        while time.monotonic() - begun < timeout:
            if select.select([self.process.stdout], [], [], 1)[0]:
                read = os.read(self.process.stdout.fileno(), 4096)
                line += read
                if line.endswith(b"\n"):
                    self.ready_seconds = time.monotonic() - begun
                    return self.parse(line.decode())
                if not read:
                    break
        self.kill()
        raise RuntimeError(f"{self.arguments} was not ready; log:\n{pathlib.Path(self.log).read_text()[-4000:]}")

    @staticmethod
    def parse(line):
        words = line.split()
        assert words and words[0] == "ready", line
        return dict(word.split("=", 1) for word in words[1:])

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self, timeout=60):
        """SIGTERM: a final checkpoint and exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.process.stdout.close()
        self.process = None
        assert code == 0, f"exit code {code}; log:\n{pathlib.Path(self.log).read_text()[-4000:]}"

    def peak_memory_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def server(data_dir, eventhubs="none", flight="127.0.0.1:0", env=None, log=None):
    return Process(
        SALAMANDER, "server", "--data-dir", data_dir, "--listen-flight", flight, "--listen-eventhubs", eventhubs,
        env=env, log=log,
    )


def broker(data_dir, listen="127.0.0.1:5672", log=None):
    return Process(SALAMANDER, "broker", "--data-dir", data_dir, "--listen", listen, log=log)


class SqlError(RuntimeError):
    pass


def sql(flight, text, check=True):
    """Runs SQL through the command line and returns the rows of the last statement as dictionaries."""
    done = subprocess.run(
        [str(SALAMANDER), "sql", "--server", f"grpc://{flight}", "--format", "json", "-e", text],
        capture_output=True, text=True, timeout=300,
    )
    if done.returncode != 0:
        if check:
            raise SqlError(done.stderr)
        return None
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def wait_until(condition, timeout, what):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"timed out after {timeout} s: {what}")
