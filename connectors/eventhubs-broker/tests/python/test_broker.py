"""Unmodified azure-eventhub against the broker."""

import contextlib
import datetime
import itertools
import random
import signal
import threading
import time

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from conftest import Broker, connection_string

PATIENCE = 30


@contextlib.contextmanager
def failing_with(text):
    """The SDK's own error, telling the condition or description that the broker sent."""
    with pytest.raises(EventHubError) as failed:
        yield
    assert text in str(failed.value) + repr(failed.value)


def producer(hub="logs", key=None, **options):
    text = connection_string() if key is None else connection_string(key)
    return EventHubProducerClient.from_connection_string(text, eventhub_name=hub, **options)


def send(bodies, hub="logs", **choice):
    with producer(hub) as client:
        batch = client.create_batch(**choice)
        for body in bodies:
            batch.add(body if isinstance(body, EventData) else EventData(body))
        client.send_batch(batch)


def receive(count, partition="0", hub="logs", group="$Default", position="-1", client=None, **options):
    """Receives `count` events of a partition, and says when it failed."""
    client = client or EventHubConsumerClient.from_connection_string(connection_string(), group, eventhub_name=hub)
    events, errors, done = [], [], threading.Event()

    def on_event_batch(_context, batch):
        events.extend(batch)
        if len(events) >= count:
            done.set()

    def on_error(_context, error):
        errors.append(error)
        done.set()

    def run():
        client.receive_batch(
            on_event_batch,
            partition_id=partition,
            starting_position=position,
            on_error=on_error,
            max_wait_time=0.2,
            **options,
        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    finished = done.wait(PATIENCE)
    client.close()
    thread.join(PATIENCE)
    assert finished, f"{len(events)} of {count} events came"
    if errors:
        raise errors[0]
    return events


def test_properties_of_hubs_and_partitions(broker):
    with producer() as client:
        hub = client.get_eventhub_properties()
        assert hub["eventhub_name"] == "logs"
        assert hub["partition_ids"] == ["0", "1", "2", "3"]
        age = datetime.datetime.now(datetime.timezone.utc) - hub["created_at"]
        assert datetime.timedelta() <= age < datetime.timedelta(minutes=5)
        empty = client.get_partition_properties("1")
        assert (empty["is_empty"], empty["last_enqueued_sequence_number"]) == (True, -1)
        batch = client.create_batch(partition_id="1")
        batch.add(EventData("x"))
        client.send_batch(batch)
        filled = client.get_partition_properties("1")
        assert (filled["is_empty"], filled["beginning_sequence_number"], filled["last_enqueued_sequence_number"]) == (False, 0, 0)
        assert filled["last_enqueued_offset"] == "0"


def test_a_batch_arrives_whole_and_in_order(broker):
    send([f"event {i}" for i in range(3000)], partition_id="0")
    events = receive(3000)
    assert [event.body_as_str() for event in events] == [f"event {i}" for i in range(3000)]
    assert [event.sequence_number for event in events] == list(range(3000))
    offsets = [int(event.offset) for event in events]
    assert offsets == sorted(set(offsets))


def test_single_events_and_everything_they_carry(broker):
    event = EventData(b"\x00\xffbytes")
    event.properties = {"text": "ä", "number": 7, "flag": True}
    event.content_type, event.message_id, event.correlation_id = "application/x", "id-1", "corr-1"
    with producer() as client:
        client.send_event(event, partition_id="2")
    (received,) = receive(1, partition="2")
    assert b"".join(received.body) == b"\x00\xffbytes"
    assert received.properties == {b"text": "ä".encode(), b"number": 7, b"flag": True}
    assert (received.content_type, received.message_id, received.correlation_id) == ("application/x", "id-1", "corr-1")
    assert received.partition_key is None


def test_a_partition_key_keeps_events_together(broker):
    for i in range(5):
        send([f"keyed {i}"], partition_key="TeamA/user42")
    # The hash of the SDKs puts this key into partition 3 of 4.
    events = receive(5, partition="3")
    assert {event.partition_key for event in events} == {b"TeamA/user42"}


def test_events_without_a_choice_use_all_partitions(broker):
    for i in range(8):
        send([str(i)])
    with producer() as client:
        held = [client.get_partition_properties(str(number))["last_enqueued_sequence_number"] + 1 for number in range(4)]
    assert held == [2, 2, 2, 2]


def test_start_positions(broker):
    send([f"old {i}" for i in range(10)], partition_id="0")
    time.sleep(0.05)
    between = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.05)
    send([f"new {i}" for i in range(10)], partition_id="0")
    everything = receive(20)
    assert receive(15, position=everything[4].offset)[0].sequence_number == 5
    assert receive(16, position=everything[4].offset, starting_position_inclusive=True)[0].sequence_number == 4
    assert receive(15, position=4)[0].sequence_number == 5
    assert receive(16, position=4, starting_position_inclusive=True)[0].sequence_number == 4
    assert receive(10, position=between)[0].body_as_str() == "new 0"


def test_latest_sees_only_what_comes(broker):
    send(["before"], partition_id="0")
    sender = threading.Timer(3, send, [["after"]], {"partition_id": "0"})
    sender.start()
    assert receive(1, position="@latest")[0].body_as_str() == "after"
    sender.join()


def test_all_partitions_at_once_and_any_group(broker):
    for number in range(4):
        send([f"{number}"] * 10, partition_id=str(number))
    events = receive(40, partition=None, group="A-Group")
    assert sorted(event.body_as_str() for event in events) == sorted(["0", "1", "2", "3"] * 10)


def test_last_enqueued_event_properties(broker):
    send(["a", "b", "c"], partition_id="0")
    seen = {}
    client = EventHubConsumerClient.from_connection_string(connection_string(), "$Default", eventhub_name="logs")
    done = threading.Event()

    def on_event(context, event):
        if event is not None:
            seen.update(context.last_enqueued_event_properties)
            done.set()

    options = dict(partition_id="0", starting_position="-1", track_last_enqueued_event_properties=True, max_wait_time=0.2)
    threading.Thread(target=lambda: client.receive(on_event, **options), daemon=True).start()
    assert done.wait(PATIENCE)
    client.close()
    assert seen["sequence_number"] == 2


def test_a_higher_owner_level_takes_the_partition(broker):
    send(["x"], partition_id="0")
    errors, received, stolen = [], threading.Event(), threading.Event()
    first = EventHubConsumerClient.from_connection_string(connection_string(), "$Default", eventhub_name="logs", retry_total=0)

    def on_error(_context, error):
        errors.append(error)
        stolen.set()

    def run():
        first.receive(lambda *_: received.set(), partition_id="0", owner_level=1, starting_position="-1", on_error=on_error)

    threading.Thread(target=run, daemon=True).start()
    assert received.wait(PATIENCE)
    assert len(receive(1, owner_level=2)) == 1
    assert stolen.wait(PATIENCE)
    first.close()
    assert isinstance(errors[0], EventHubError) and "amqp:link:stolen" in repr(errors[0])


def test_a_lower_owner_level_is_refused(broker):
    send(["x"], partition_id="0")
    received = threading.Event()
    first = EventHubConsumerClient.from_connection_string(connection_string(), "$Default", eventhub_name="logs")
    options = dict(partition_id="0", owner_level=5, starting_position="-1")
    threading.Thread(target=lambda: first.receive(lambda *_: received.set(), **options), daemon=True).start()
    assert received.wait(PATIENCE)
    second = EventHubConsumerClient.from_connection_string(connection_string(), "$Default", eventhub_name="logs", retry_total=0)
    with failing_with("amqp:link:stolen"):
        receive(1, owner_level=4, client=second)
    first.close()


def test_a_wrong_key_is_an_authentication_error(broker):
    with producer(key="bm90IHRoZSBrZXk=", retry_total=0) as client:
        with pytest.raises(AuthenticationError):
            client.send_event(EventData("x"))


def test_an_unknown_hub_is_not_found(strict_broker):
    with producer(hub="unknown", retry_total=0) as client:
        with failing_with("could not be found"):
            client.send_event(EventData("x"))
        with failing_with("could not be found"):
            client.get_eventhub_properties()
    options = dict(eventhub_name="unknown", retry_total=0)
    client = EventHubConsumerClient.from_connection_string(connection_string(), "$Default", **options)
    with failing_with("could not be found"):
        receive(1, hub="unknown", client=client)


def test_an_unknown_partition_is_out_of_range(strict_broker):
    with producer(retry_total=0) as client:
        with failing_with("Invalid partition 7 for the event hub logs"):
            client.send_event(EventData("x"), partition_id="7")
        with failing_with("specified partition is invalid"):
            client.get_partition_properties("7")
    with pytest.raises(ValueError, match="Wrong partition id:7"):
        receive(1, partition="7")


def test_an_oversize_message_is_refused(broker):
    with producer(retry_total=0) as client:
        batch = client.create_batch()
        with pytest.raises(ValueError):
            batch.add(EventData(b"x" * 1_048_577))
        with failing_with("LinkMessageSizeExceeded"):
            client.send_event(EventData(b"x" * 1_100_000))
        client.send_event(EventData(b"x" * 1_000_000), partition_id="0")
    assert len(b"".join(receive(1)[0].body)) == 1_000_000


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path):
    acknowledged = []
    for number in range(3):
        broker = Broker(tmp_path).start()
        before = len(acknowledged)

        def write():
            with producer(retry_total=0) as client:
                for i in itertools.count():
                    bodies = [f"{number}-{i}-{j}" for j in range(10)]
                    try:
                        batch = client.create_batch(partition_id="0")
                        for body in bodies:
                            batch.add(EventData(body))
                        client.send_batch(batch, timeout=5)
                    except Exception:  # noqa: BLE001 - the broker is gone
                        return
                    acknowledged.extend(bodies)

        writer = threading.Thread(target=write)
        writer.start()
        deadline = time.monotonic() + PATIENCE
        while len(acknowledged) < before + 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.random() / 5)
        broker.stop(signal.SIGKILL)
        writer.join(PATIENCE)
        assert not writer.is_alive()
        assert len(acknowledged) >= before + 100
    broker = Broker(tmp_path).start()
    try:
        with producer() as client:
            last = client.get_partition_properties("0")["last_enqueued_sequence_number"]
        events = receive(last + 1)
    finally:
        broker.stop()
    bodies = [event.body_as_str() for event in events]
    assert [event.sequence_number for event in events] == list(range(last + 1))
    assert len(set(bodies)) == len(bodies)
    assert set(acknowledged) <= set(bodies)
