// Unmodified @azure/event-hubs against the broker.
//
// The SDK dials port 5672 in emulator mode, so there is one broker at a time and the tests run one after another.
// The broker's program is found in EVENTHUBS_BROKER, else among cargo's release examples.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  EventHubConsumerClient,
  EventHubProducerClient,
  earliestEventPosition,
  latestEventPosition,
} from "@azure/event-hubs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? path.resolve(HERE, "../../../../target");
const PROGRAM = process.env.EVENTHUBS_BROKER ?? path.join(TARGET, "release/examples/broker");
const PATIENCE = { timeout: 60_000 };
const NO_RETRIES = { retryOptions: { maxRetries: 0, timeoutInMs: 10_000 } };

function connectionString(key = "SAS_KEY_VALUE") {
  const name = "SharedAccessKeyName=RootManageSharedAccessKey";
  return `Endpoint=sb://localhost;${name};SharedAccessKey=${key};UseDevelopmentEmulator=true;`;
}

async function startBroker(dataDir, ...flags) {
  const child = spawn(PROGRAM, ["127.0.0.1:5672", dataDir, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", () => reject(new Error("the broker ended before it was ready")));
  });
  assert.match(line, /^ready eventhubs=/);
  return {
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", resolve);
        child.kill("SIGTERM");
      }),
  };
}

async function withProducer(hub, work, key) {
  const client = new EventHubProducerClient(connectionString(key), hub, NO_RETRIES);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const send = (events, options) => withProducer("logs", (client) => client.sendBatch(events, options));

/** Receives `count` events of a partition; rejects with the error that the SDK reports. */
async function receive(count, { partition = "0", hub = "logs", position = earliestEventPosition, ...options } = {}) {
  const client = new EventHubConsumerClient("$Default", connectionString(), hub, NO_RETRIES);
  const events = [];
  let subscription;
  try {
    await new Promise((resolve, reject) => {
      const handlers = {
        processEvents: async (batch) => {
          events.push(...batch);
          if (events.length >= count) resolve();
        },
        processError: async (error) => reject(error),
      };
      const subscribeOptions = { startPosition: position, maxBatchSize: 100, maxWaitTimeInSeconds: 1, ...options };
      subscription = client.subscribe(partition, handlers, subscribeOptions);
    });
  } finally {
    await subscription?.close();
    await client.close();
  }
  return events;
}

describe("a broker that creates hubs on first use", PATIENCE, () => {
  let broker, dataDir;
  beforeEach(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), "broker-"));
    broker = await startBroker(dataDir);
  });
  afterEach(async () => {
    await broker.stop();
    await rm(dataDir, { recursive: true });
  });

  test("properties of hubs and partitions", PATIENCE, async () => {
    await withProducer("logs", async (client) => {
      const hub = await client.getEventHubProperties();
      assert.equal(hub.name, "logs");
      assert.deepEqual(hub.partitionIds, ["0", "1", "2", "3"]);
      assert.ok(Math.abs(Date.now() - hub.createdOn.getTime()) < 60_000);
      const empty = await client.getPartitionProperties("1");
      assert.deepEqual([empty.isEmpty, empty.lastEnqueuedSequenceNumber], [true, -1]);
      await client.sendBatch([{ body: "x" }], { partitionId: "1" });
      const filled = await client.getPartitionProperties("1");
      assert.deepEqual([filled.isEmpty, filled.lastEnqueuedSequenceNumber, filled.lastEnqueuedOffset], [false, 0, "0"]);
    });
  });

  test("a batch arrives whole and in order", PATIENCE, async () => {
    await withProducer("logs", async (client) => {
      const batch = await client.createBatch({ partitionId: "0" });
      for (let i = 0; i < 2000; i++) assert.ok(batch.tryAdd({ body: `event ${i}` }));
      await client.sendBatch(batch);
    });
    const events = await receive(2000);
    assert.deepEqual(events.map((event) => event.body), Array.from({ length: 2000 }, (_, i) => `event ${i}`));
    assert.deepEqual(events.map((event) => event.sequenceNumber), Array.from({ length: 2000 }, (_, i) => i));
  });

  test("an event and everything it carries", PATIENCE, async () => {
    const event = {
      body: { nested: [1, "zwei", null] },
      properties: { text: "ä", number: 7, flag: true },
      contentType: "application/json",
      messageId: "id-1",
      correlationId: "corr-1",
    };
    await send([event], { partitionKey: "TeamA/user42" });
    // The hash of the SDKs puts this key into partition 3 of 4.
    const [received] = await receive(1, { partition: "3" });
    assert.deepEqual(received.body, event.body);
    assert.deepEqual(received.properties, event.properties);
    assert.equal(received.partitionKey, "TeamA/user42");
    const carried = [received.contentType, received.messageId, received.correlationId];
    assert.deepEqual(carried, ["application/json", "id-1", "corr-1"]);
    assert.ok(Math.abs(Date.now() - received.enqueuedTimeUtc.getTime()) < 60_000);
  });

  test("start positions", PATIENCE, async () => {
    await send(Array.from({ length: 10 }, (_, i) => ({ body: `old ${i}` })), { partitionId: "0" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const between = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await send(Array.from({ length: 10 }, (_, i) => ({ body: `new ${i}` })), { partitionId: "0" });
    const all = await receive(20);
    const first = async (position, count) => (await receive(count, { position }))[0].sequenceNumber;
    assert.equal(await first({ offset: all[4].offset }, 15), 5);
    assert.equal(await first({ offset: all[4].offset, isInclusive: true }, 16), 4);
    assert.equal(await first({ sequenceNumber: 4 }, 15), 5);
    assert.equal(await first({ sequenceNumber: 4, isInclusive: true }, 16), 4);
    assert.equal(await first({ enqueuedOn: between }, 10), 10);
    const later = setTimeout(() => send([{ body: "latest" }], { partitionId: "0" }), 2000);
    assert.equal((await receive(1, { position: latestEventPosition }))[0].body, "latest");
    clearTimeout(later);
  });

  test("a higher owner level takes the partition, a lower one is refused", PATIENCE, async () => {
    await send([{ body: "x" }], { partitionId: "0" });
    const client = new EventHubConsumerClient("$Default", connectionString(), "logs", NO_RETRIES);
    let began;
    const reading = new Promise((resolve) => (began = resolve));
    let subscription;
    const stolen = new Promise((resolve) => {
      const handlers = {
        processEvents: async (batch) => void (batch.length && began()),
        processError: async (error) => resolve(error),
      };
      const options = { startPosition: earliestEventPosition, ownerLevel: 2, maxWaitTimeInSeconds: 1 };
      subscription = client.subscribe("0", handlers, options);
    });
    await reading;
    await assert.rejects(receive(1, { ownerLevel: 1 }), { code: "ReceiverDisconnectedError" });
    assert.equal((await receive(1, { ownerLevel: 3 })).length, 1);
    assert.equal((await stolen).code, "ReceiverDisconnectedError");
    await subscription.close();
    await client.close();
  });

  test("a wrong key is unauthorized", PATIENCE, async () => {
    const sending = withProducer("logs", (client) => client.sendBatch([{ body: "x" }]), "bm90IHRoZSBrZXk=");
    await assert.rejects(sending, { code: "UnauthorizedError" });
  });

  test("an oversize message is refused", PATIENCE, async () => {
    await assert.rejects(send([{ body: Buffer.alloc(1_100_000) }]), { code: "MessageTooLargeError" });
    await send([{ body: Buffer.alloc(1_000_000) }], { partitionId: "0" });
    assert.equal((await receive(1))[0].body.length, 1_000_000);
  });
});

describe("a broker with one hub that creates no others", PATIENCE, () => {
  let broker, dataDir;
  beforeEach(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), "broker-"));
    broker = await startBroker(dataDir, "--no-create", "--hub", "logs:2");
  });
  afterEach(async () => {
    await broker.stop();
    await rm(dataDir, { recursive: true });
  });

  test("an unknown hub is not found", PATIENCE, async () => {
    const sending = withProducer("unknown", (client) => client.sendBatch([{ body: "x" }]));
    await assert.rejects(sending, { code: "MessagingEntityNotFoundError" });
    const asking = withProducer("unknown", (client) => client.getEventHubProperties());
    await assert.rejects(asking, { code: "MessagingEntityNotFoundError" });
    await assert.rejects(receive(1, { hub: "unknown" }), { code: "MessagingEntityNotFoundError" });
  });

  test("an unknown partition is out of range", PATIENCE, async () => {
    await assert.rejects(send([{ body: "x" }], { partitionId: "7" }), { code: "ArgumentOutOfRangeError" });
    await assert.rejects(receive(1, { partition: "7" }), { code: "ArgumentOutOfRangeError" });
  });
});
