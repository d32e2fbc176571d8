"""Starts the broker for unmodified SDK clients.

The SDKs dial port 5672 in emulator mode, so there is one broker at a time and the tests run one after another.
The broker's program is found in EVENTHUBS_BROKER, else among cargo's release examples.
"""

import os
import pathlib
import signal
import subprocess

import pytest

ADDRESS = "127.0.0.1:5672"
KEY_NAME, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"


def program() -> str:
    given = os.environ.get("EVENTHUBS_BROKER")
    if given:
        return given
    root = pathlib.Path(__file__).resolve().parents[4]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    return str(target / "release" / "examples" / "broker")


def connection_string(key: str = KEY) -> str:
    return f"Endpoint=sb://localhost;SharedAccessKeyName={KEY_NAME};SharedAccessKey={key};UseDevelopmentEmulator=true;"


class Broker:
    """A broker process that can be killed and started again over the same data."""

    def __init__(self, data_dir, *flags):
        self.data_dir, self.flags, self.process = str(data_dir), flags, None

    def start(self):
        command = [program(), ADDRESS, self.data_dir, *self.flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready eventhubs="), f"the broker did not start: {line!r}"
        return self

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture
def broker(tmp_path):
    """A broker that creates hubs on first use."""
    running = Broker(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture
def strict_broker(tmp_path):
    """A broker with one hub, `logs` with 2 partitions, that creates no others."""
    running = Broker(tmp_path, "--no-create", "--hub", "logs:2").start()
    yield running
    running.stop()
