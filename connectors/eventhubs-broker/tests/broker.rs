//! The broker over real sockets, driven by fe2o3-amqp's client.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fe2o3_amqp::link::{DetachError, LinkStateError, RecvError, SendError};
use salamander_eventhubs_broker::sas::{SharedAccessKey, sign};
use salamander_eventhubs_broker::{Broker, BrokerHandle, BrokerOptions, HubOptions, ManualClock};
use serde_amqp::Value;
use support::{Client, EARLIEST, batch, condition, development_key, field, message, receive, rejection, within};
use tempfile::TempDir;

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn options(dir: &TempDir) -> BrokerOptions {
    BrokerOptions::new(SocketAddr::from(ANY), dir.path())
}

async fn start(options: BrokerOptions) -> BrokerHandle {
    Broker::start(options).await.expect("starts")
}

fn partition(number: u32) -> String {
    format!("logs/ConsumerGroups/$Default/Partitions/{number}")
}

#[tokio::test]
async fn events_arrive_as_they_were_sent_and_numbered() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut producer = client.producer("logs/Partitions/1").await;
    assert!(within(producer.send(message(b"single", Some("key")))).await.unwrap().is_accepted());
    assert!(within(producer.send(batch((0..500).map(|i| vec![i as u8; 40])))).await.unwrap().is_accepted());
    let large = vec![7u8; 900_000];
    assert!(within(producer.send(message(&large, None))).await.unwrap().is_accepted());
    let events = client.read("logs", 1, 502).await;
    assert_eq!((&events[0].body[..], events[0].partition_key.as_deref()), (&b"single"[..], Some("key")));
    assert_eq!(events[300].body, vec![299u16 as u8; 40]);
    assert_eq!(events[501].body, large);
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event.sequence, i as i64);
    }
    assert_eq!(client.partition("logs", "1").await, (0, 501, false));
    assert_eq!(client.partition("logs", "0").await, (0, -1, true));
    broker.shutdown().await;
}

#[tokio::test]
async fn keys_choose_partitions_and_keyless_events_take_turns() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut producer = client.producer("amqps://localhost/logs").await;
    for _ in 0..3 {
        within(producer.send(message(b"keyed", Some("TeamA/user42")))).await.unwrap();
    }
    for _ in 0..4 {
        within(producer.send(message(b"turn", None))).await.unwrap();
    }
    let mut counts = Vec::new();
    for number in ["0", "1", "2", "3"] {
        counts.push(client.partition("logs", number).await.1 + 1);
    }
    assert_eq!(counts, [1, 1, 1, 4], "the key's partition is 3, as in the SDKs");
    broker.shutdown().await;
}

#[tokio::test]
async fn readers_start_where_they_ask_to() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    // Small segments, so that positions lie in several files; old ones are not in memory any more.
    let broker = start(BrokerOptions { clock: clock.clone(), segment_bytes: 200_000, ..options(&dir) }).await;
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut producer = client.producer("logs/Partitions/0").await;
    for group in 0..40u64 {
        within(producer.send(batch((0..50u64).map(|i| (group * 50 + i).to_le_bytes().repeat(500))))).await.unwrap();
        clock.advance(10);
    }
    let all = client.read("logs", 0, 2_000).await;
    assert_eq!(all.last().unwrap().sequence, 1_999);
    assert_eq!(all[55].enqueued_ms, 1_000_010);
    let at = |sequence: usize| all[sequence].offset.clone();
    let cases = [
        (format!("amqp.annotation.x-opt-offset > '{}'", at(777)), 778),
        (format!("amqp.annotation.x-opt-offset >= '{}'", at(777)), 777),
        ("amqp.annotation.x-opt-sequence-number > '1234'".into(), 1_235),
        ("amqp.annotation.x-opt-sequence-number >='1234'".into(), 1_234),
        ("amqp.annotation.x-opt-sequence-number > '-1'".into(), 0),
        ("amqp.annotation.x-opt-enqueued-time > '1000190'".into(), 1_000),
        ("amqp.annotation.x-opt-enqueued-time >= '1000190'".into(), 950),
        ("amqp.annotation.x-opt-enqueued-time > '5'".into(), 0),
    ];
    for (filter, expected) in cases {
        let mut consumer = client.consumer(&partition(0), &filter, None).await;
        assert_eq!(receive(&mut consumer).await.unwrap(), all[expected], "{filter}");
        consumer.close().await.unwrap();
    }
    let mut latest = client.consumer(&partition(0), "amqp.annotation.x-opt-offset > '@latest'", None).await;
    let mut after_last = client.consumer(&partition(0), "amqp.annotation.x-opt-sequence-number > '1999'", None).await;
    within(producer.send(message(b"new", None))).await.unwrap();
    assert_eq!(receive(&mut latest).await.unwrap().sequence, 2_000);
    assert_eq!(receive(&mut after_last).await.unwrap().sequence, 2_000);
    for filter in ["amqp.annotation.x-opt-sequence-number > '9999'", "amqp.annotation.x-opt-offset > '99999999999'"] {
        let mut refused = client.consumer(&partition(0), filter, None).await;
        assert_eq!(detached(receive(&mut refused).await), "com.microsoft:argument-error", "{filter}");
    }
    broker.shutdown().await;
}

/// The condition that a receive ended with.
fn detached<T: std::fmt::Debug>(received: Result<T, RecvError>) -> String {
    match received {
        Err(RecvError::LinkStateError(LinkStateError::RemoteClosedWithError(error))) => condition(&error.condition),
        other => panic!("no detach with an error: {other:?}"),
    }
}

#[tokio::test]
async fn epochs_take_partitions_over() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut shared = client.consumer(&partition(0), EARLIEST, None).await;
    let mut first = client.consumer(&partition(0), EARLIEST, Some(1)).await;
    assert_eq!(detached(receive(&mut shared).await), "amqp:link:stolen");
    let mut lower = client.consumer(&partition(0), EARLIEST, Some(0)).await;
    assert_eq!(detached(receive(&mut lower).await), "amqp:link:stolen");
    let mut without = client.consumer("LOGS/consumergroups/$DEFAULT/partitions/0", EARLIEST, None).await;
    assert_eq!(detached(receive(&mut without).await), "amqp:link:stolen");
    let _elsewhere = client.consumer(&partition(1), EARLIEST, None).await;
    let mut second = client.consumer(&partition(0), EARLIEST, Some(2)).await;
    assert_eq!(detached(receive(&mut first).await), "amqp:link:stolen");
    let mut producer = client.producer("logs/Partitions/0").await;
    within(producer.send(message(b"x", None))).await.unwrap();
    assert_eq!(receive(&mut second).await.unwrap().body, b"x");
    second.close().await.unwrap();
    let mut five = Vec::new();
    for _ in 0..5 {
        let mut consumer = client.consumer(&partition(0), EARLIEST, None).await;
        receive(&mut consumer).await.unwrap();
        five.push(consumer);
    }
    let mut sixth = client.consumer(&partition(0), EARLIEST, None).await;
    assert_eq!(detached(receive(&mut sixth).await), "amqp:resource-limit-exceeded");
    broker.shutdown().await;
}

#[tokio::test]
async fn only_covering_unexpired_tokens_open_links() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let other = SharedAccessKey { name: "other".into(), key: "another key".into() };
    let keys = vec![(other.name.clone(), other.key.clone())];
    let broker = start(BrokerOptions { clock: clock.clone(), keys, ..options(&dir) }).await;
    let mut client = Client::open(broker.local_addr()).await;
    let mut refused = client.consumer(&partition(0), EARLIEST, None).await;
    assert_eq!(detached(receive(&mut refused).await), "amqp:unauthorized-access");

    let wrong = SharedAccessKey { key: "wrong".into(), ..development_key() };
    let token = sign(&wrong, "sb://localhost/logs", 2_000).unwrap();
    let (status, words) = client.put_token(&token, "sb://localhost/logs").await;
    assert_eq!((status, words.contains("InvalidSignature")), (401, true), "{words}");
    let expired = sign(&other, "sb://localhost/logs", 999).unwrap();
    let (status, words) = client.put_token(&expired, "sb://localhost/logs").await;
    assert_eq!((status, words.contains("ExpiredToken")), (401, true), "{words}");
    let read = [("operation", "READ"), ("type", "com.microsoft:eventhub"), ("name", "logs")];
    assert_eq!(client.request("$management", &read, Value::Null).await.0, 401);

    let token = sign(&other, "sb://localhost/logs", 1_010).unwrap();
    assert_eq!(client.put_token(&token, "sb://localhost/logs").await.0, 202);
    let mut consumer = client.consumer(&partition(0), EARLIEST, None).await;
    let mut elsewhere = client.consumer("metrics/ConsumerGroups/g/Partitions/0", EARLIEST, None).await;
    assert_eq!(detached(receive(&mut elsewhere).await), "amqp:unauthorized-access");
    let mut producer = client.producer("logs/Partitions/0").await;
    within(producer.send(message(b"x", None))).await.unwrap();
    assert_eq!(receive(&mut consumer).await.unwrap().body, b"x");
    clock.advance(11_000);
    assert_eq!(detached(receive(&mut consumer).await), "amqp:unauthorized-access");
    broker.shutdown().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let dir = TempDir::new().unwrap();
    let hubs = vec![HubOptions { name: "Configured".into(), partitions: 2, retention: None, retention_bytes: None }];
    let broker = start(BrokerOptions { hubs, create_hubs_on_first_use: false, ..options(&dir) }).await;
    let mut client = Client::with_token(broker.local_addr(), "").await;
    let mut unknown = client.consumer(&partition(0), EARLIEST, None).await;
    assert_eq!(detached(receive(&mut unknown).await), "amqp:not-found");
    let mut outside = client.consumer("configured/ConsumerGroups/g/Partitions/2", EARLIEST, None).await;
    assert_eq!(detached(receive(&mut outside).await), "com.microsoft:argument-out-of-range");
    let mut odd = client.consumer("configured/ConsumerGroups/g/Partitions/0", "colour = 'red'", None).await;
    assert_eq!(detached(receive(&mut odd).await), "amqp:invalid-field");
    let mut producer = client.producer("configured/Partitions/9").await;
    let error = within(producer.on_detach()).await;
    assert!(
        matches!(&error, DetachError::RemoteClosedWithError(error) if condition(&error.condition) == "com.microsoft:argument-out-of-range"),
        "{error:?}"
    );

    let read = |name| [("operation", "READ"), ("type", "com.microsoft:eventhub"), ("name", name)];
    let (status, _, body) = client.request("$management", &read("configured"), Value::Null).await;
    assert_eq!((status, field(&body, "name")), (200, Value::String("Configured".into())));
    assert_eq!(field(&body, "partition_count"), Value::Int(2));
    let ids = ["0", "1"].map(|id| Value::String(id.into())).to_vec();
    assert_eq!(field(&body, "partition_ids"), Value::Array(ids.into()));
    assert_eq!(client.request("$management", &read("logs"), Value::Null).await.0, 404);
    let outside =
        [("operation", "READ"), ("type", "com.microsoft:partition"), ("name", "configured"), ("partition", "7")];
    assert_eq!(client.request("$management", &outside, Value::Null).await.0, 400);
    broker.shutdown().await;
}

#[tokio::test]
async fn too_large_a_message_is_rejected() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut producer = client.producer("logs").await;
    assert_eq!(producer.max_message_size(), Some(1_048_576));
    let error = within(producer.send(message(&vec![0; 1_048_577], None))).await.unwrap_err();
    assert!(matches!(error, SendError::MessageSizeExceeded(_)), "the client refuses by itself: {error:?}");
    // A client that doesn't look at the limit.
    let condition = raw::send_oversize(broker.local_addr()).await;
    assert_eq!(condition, "amqp:link:message-size-exceeded");
    broker.shutdown().await;
}

/// A client that keeps to no limit: frames by hand, from fe2o3-amqp's types.
mod raw {
    use std::net::SocketAddr;

    use fe2o3_amqp::types::definitions::{Handle, ReceiverSettleMode, Role, SenderSettleMode};
    use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, DeliveryState, Message, Source, Target};
    use fe2o3_amqp::types::performatives::{
        Attach, Begin, ChannelMax, Disposition, MaxFrameSize, Open, Performative, Transfer,
    };
    use serde::Serialize;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::support::{condition, development_key, within};

    async fn put(stream: &mut TcpStream, performative: &impl Serialize, payload: &[u8]) {
        let mut body = serde_amqp::to_vec(performative).unwrap();
        body.extend_from_slice(payload);
        let mut frame = (body.len() as u32 + 8).to_be_bytes().to_vec();
        frame.extend_from_slice(&[2, 0, 0, 0]);
        frame.extend_from_slice(&body);
        stream.write_all(&frame).await.unwrap();
    }

    async fn take(stream: &mut TcpStream) -> Performative {
        let size = stream.read_u32().await.unwrap();
        let mut body = vec![0; size as usize - 4];
        stream.read_exact(&mut body).await.unwrap();
        serde_amqp::from_slice(&body[4..]).unwrap()
    }

    fn attach(handle: u32, address: &str) -> Attach {
        Attach {
            name: format!("raw-{handle}"),
            handle: Handle(handle),
            role: Role::Sender,
            snd_settle_mode: SenderSettleMode::Mixed,
            rcv_settle_mode: ReceiverSettleMode::First,
            source: Some(Box::new(Source::default())),
            target: Some(Box::new(Target { address: Some(address.into()), ..Target::default() }.into())),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: Some(0),
            max_message_size: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }

    fn transfer(handle: u32, id: Option<u32>, more: bool) -> Transfer {
        Transfer {
            handle: Handle(handle),
            delivery_id: id,
            delivery_tag: id.map(|id| id.to_be_bytes().to_vec().into()),
            message_format: id.map(|_| 0),
            settled: None,
            more,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    /// Sends a message beyond the limit, and returns the condition of its rejection.
    pub(super) async fn send_oversize(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.unwrap();
        let open = Open {
            container_id: "raw".into(),
            hostname: None,
            max_frame_size: MaxFrameSize(65_536),
            channel_max: ChannelMax(0),
            idle_time_out: None,
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 100,
            outgoing_window: 100,
            handle_max: Handle(9),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        // All of it at once: the broker has to take pipelined frames.
        put(&mut stream, &open, b"").await;
        put(&mut stream, &begin, b"").await;
        put(&mut stream, &attach(0, "$cbs"), b"").await;
        let wait_for_credit = |stream: TcpStream| async move {
            let mut stream = stream;
            while !matches!(within(take(&mut stream)).await, Performative::Flow(_)) {}
            stream
        };
        stream = wait_for_credit(stream).await;
        let token = salamander_eventhubs_broker::sas::sign(&development_key(), "sb://h/logs", 4_000_000_000).unwrap();
        let properties =
            ApplicationProperties::builder().insert("operation", "put-token").insert("name", "sb://h/logs");
        let request = Message::builder().application_properties(properties.build()).body(AmqpValue(token)).build();
        let request = fe2o3_amqp::types::messaging::message::__private::Serializable(request);
        put(&mut stream, &transfer(0, Some(0), false), &serde_amqp::to_vec(&request).unwrap()).await;
        put(&mut stream, &attach(1, "logs"), b"").await;
        loop {
            match within(take(&mut stream)).await {
                Performative::Flow(flow) if flow.handle == Some(Handle(1)) => break,
                Performative::Detach(detach) => panic!("{detach:?}"),
                _ => {}
            }
        }
        let chunk = vec![0u8; 60_000];
        for i in 0..18u32 {
            put(&mut stream, &transfer(1, (i == 0).then_some(1), i < 17), &chunk).await;
        }
        loop {
            match within(take(&mut stream)).await {
                Performative::Disposition(Disposition {
                    first: 1,
                    state: Some(DeliveryState::Rejected(rejected)),
                    ..
                }) => {
                    return condition(&rejected.error.unwrap().condition);
                }
                Performative::Detach(detach) => panic!("{detach:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn faults_come_when_they_are_switched_on() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let faults = broker.faults();
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let mut producer = client.producer("logs/Partitions/0").await;
    faults.server_busy(2);
    for _ in 0..2 {
        let outcome = within(producer.send(message(b"busy", None))).await.unwrap();
        assert_eq!(rejection(&outcome).as_deref(), Some("com.microsoft:server-busy"));
    }
    assert!(within(producer.send(message(b"first", None))).await.unwrap().is_accepted());

    faults.delay(Duration::from_millis(150));
    let began = Instant::now();
    within(producer.send(message(b"second", None))).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(150));
    faults.clear();

    let mut consumer = client.consumer(&partition(0), EARLIEST, None).await;
    assert_eq!(receive(&mut consumer).await.unwrap().body, b"first");
    assert_eq!(receive(&mut consumer).await.unwrap().body, b"second");
    faults.detach_links(Some("LOGS"), "amqp:link:detach-forced");
    assert_eq!(detached(receive(&mut consumer).await), "amqp:link:detach-forced");
    within(producer.on_detach()).await;

    let mut producer = client.producer("logs/Partitions/0").await;
    faults.lose_acknowledgements(1);
    // The connection is cut instead. (fe2o3-amqp's sender then waits for ever, so the test doesn't.)
    let outcome = tokio::time::timeout(Duration::from_secs(1), producer.send(message(b"third", None))).await;
    assert!(!matches!(outcome, Ok(Ok(_))), "{outcome:?}");
    let mut client = Client::with_token(broker.local_addr(), "logs").await;
    let bodies: Vec<Vec<u8>> = client.read("logs", 0, 3).await.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [b"first".to_vec(), b"second".to_vec(), b"third".to_vec()]);

    let mut consumer = client.consumer(&partition(1), EARLIEST, None).await;
    faults.cut_connections();
    assert!(receive(&mut consumer).await.is_err());
    faults.refuse_connections(true);
    assert!(Client::try_open(broker.local_addr()).await.is_err());
    faults.clear();
    Client::with_token(broker.local_addr(), "logs").await;
    broker.shutdown().await;
}

#[tokio::test]
async fn a_restarted_broker_goes_on_where_it_was() {
    let dir = TempDir::new().unwrap();
    let mut expected = 0;
    for round in 0..3u8 {
        let broker =
            start(BrokerOptions { segment_bytes: 5_000, default_partitions: 1 + u32::from(round), ..options(&dir) })
                .await;
        let mut client = Client::with_token(broker.local_addr(), "logs").await;
        let mut producer = client.producer("logs/Partitions/0").await;
        for _ in 0..20 {
            within(producer.send(batch((0..10).map(|_| vec![round; 30])))).await.unwrap();
        }
        expected += 200;
        let events = client.read("logs", 0, expected).await;
        for (i, event) in events.iter().enumerate() {
            assert_eq!((event.sequence, &event.body), (i as i64, &vec![(i / 200) as u8; 30]));
        }
        let read = [("operation", "READ"), ("type", "com.microsoft:eventhub"), ("name", "logs")];
        let (_, _, hub) = client.request("$management", &read, Value::Null).await;
        assert_eq!(field(&hub, "partition_count"), Value::Int(1), "as it was created");
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn retention_deletes_whole_segments() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let by_bytes = HubOptions { name: "bytes".into(), partitions: 1, retention: None, retention_bytes: Some(30_000) };
    let by_time = HubOptions {
        name: "time".into(),
        partitions: 1,
        retention: Some(Duration::from_secs(60)),
        retention_bytes: None,
    };
    let options =
        BrokerOptions { segment_bytes: 10_000, clock: clock.clone(), hubs: vec![by_bytes, by_time], ..options(&dir) };
    let broker = start(options.clone()).await;
    let mut client = Client::with_token(broker.local_addr(), "").await;
    for hub in ["bytes", "time"] {
        let mut producer = client.producer(&format!("{hub}/Partitions/0")).await;
        for _ in 0..100 {
            within(producer.send(message(&[1; 900], None))).await.unwrap();
        }
    }
    assert!(broker.enforce_retention().await.unwrap() >= 6);
    let (begin, last, empty) = client.partition("bytes", "0").await;
    assert!((60..=85).contains(&begin) && last == 99 && !empty, "{begin}");
    let held = client.read("bytes", 0, (100 - begin) as usize).await;
    assert_eq!(held[0].sequence, begin, "the earliest position is the first event that is held");
    assert_eq!(client.partition("time", "0").await, (0, 99, false));

    clock.advance(61_000);
    broker.enforce_retention().await.unwrap();
    assert_eq!(client.partition("time", "0").await, (100, 99, true), "also the segment that was written to is gone");
    let mut producer = client.producer("time/Partitions/0").await;
    within(producer.send(message(b"new", None))).await.unwrap();
    assert_eq!(client.read("time", 0, 1).await[0].sequence, 100);
    broker.shutdown().await;

    let broker = start(options).await;
    let mut client = Client::with_token(broker.local_addr(), "").await;
    assert_eq!(client.partition("time", "0").await, (100, 100, false));
    assert_eq!(client.partition("bytes", "0").await.0, begin);
    broker.shutdown().await;
}

#[tokio::test]
async fn many_readers_and_writers_share_the_broker() {
    let dir = TempDir::new().unwrap();
    let broker = start(options(&dir)).await;
    let address = broker.local_addr();
    let writers = (0..4u32).map(|number| {
        tokio::spawn(async move {
            let mut client = Client::with_token(address, "logs").await;
            let mut producer = client.producer(&format!("logs/Partitions/{number}")).await;
            for i in 0..100u32 {
                let bodies = (0..20u32).map(move |j| (i * 20 + j).to_le_bytes().to_vec());
                assert!(within(producer.send(batch(bodies))).await.unwrap().is_accepted());
            }
        })
    });
    // One connection reads all partitions while they are written.
    let reader = tokio::spawn(async move {
        let mut client = Client::with_token(address, "logs").await;
        let mut consumers = Vec::new();
        for number in 0..4 {
            consumers.push(client.consumer(&partition(number), EARLIEST, Some(0)).await);
        }
        for consumer in &mut consumers {
            for i in 0..2_000u32 {
                assert_eq!(receive(consumer).await.unwrap().body, i.to_le_bytes());
            }
        }
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    reader.await.unwrap();
    broker.shutdown().await;
}

mod kill {
    //! kill -9 at any moment: what was acknowledged is there, in order, and nothing twice.

    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::Mutex;

    use super::*;

    const DIR: &str = "SALAMANDER_TEST_BROKER_DIR";
    const ROUNDS: u64 = 6;

    /// Not a test by itself: the broker process that the test below starts and kills.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn broker_process() {
        let Ok(dir) = std::env::var(DIR) else { return };
        let options = BrokerOptions { segment_bytes: 100_000, ..BrokerOptions::new(SocketAddr::from(ANY), dir) };
        let broker = start(options).await;
        println!("\nready {}", broker.local_addr());
        std::future::pending::<()>().await;
    }

    fn spawn(dir: &TempDir) -> (Child, SocketAddr) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "kill::broker_process", "--nocapture"]).env(DIR, dir.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("ready ") {
                return (child, address.parse().unwrap());
            }
        }
        panic!("the broker process ended");
    }

    /// Sends for as long as it is let, and takes note of what was acknowledged.
    async fn write(address: SocketAddr, number: u32, first: u64, acknowledged: Arc<Mutex<Vec<u64>>>) {
        let mut client = Client::with_token(address, "logs").await;
        let mut producer = client.producer(&format!("logs/Partitions/{number}")).await;
        for next in (first..).step_by(3) {
            let bodies = (next..next + 3).map(|i| i.to_le_bytes().repeat(20));
            match producer.send(batch(bodies)).await {
                Ok(outcome) if outcome.is_accepted() => acknowledged.lock().unwrap().extend(next..next + 3),
                _ => break,
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_acknowledged_is_lost() {
        let dir = TempDir::new().unwrap();
        let acknowledged = [Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new()))];
        for round in 0..ROUNDS {
            let (mut child, address) = spawn(&dir);
            let writers = acknowledged
                .iter()
                .zip(0..)
                .map(|(held, number)| tokio::spawn(write(address, number, round * 1_000_000, Arc::clone(held))));
            let writers: Vec<_> = writers.collect();
            tokio::time::sleep(Duration::from_millis(150 + 83 * round)).await;
            child.kill().unwrap();
            child.wait().unwrap();
            // fe2o3-amqp's sender waits for ever for an acknowledgement when its connection is lost.
            tokio::time::sleep(Duration::from_millis(50)).await;
            for writer in writers {
                writer.abort();
                let _ = writer.await;
            }
        }
        let (mut child, address) = spawn(&dir);
        let mut client = Client::with_token(address, "logs").await;
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let acknowledged = acknowledged.lock().unwrap().clone();
            let (begin, last, _) = client.partition("logs", &number.to_string()).await;
            assert_eq!(begin, 0);
            let events = client.read("logs", number as u32, (last + 1) as usize).await;
            let mut numbers = Vec::new();
            for (i, event) in events.iter().enumerate() {
                assert_eq!(event.sequence, i as i64, "sequence numbers have no gaps");
                numbers.push(u64::from_le_bytes(event.body[..8].try_into().unwrap()));
            }
            assert!(numbers.is_sorted_by(|a, b| a < b), "in order, nothing twice");
            assert!(acknowledged.len() > 20 * ROUNDS as usize, "the rounds wrote something: {}", acknowledged.len());
            let missing = acknowledged.iter().filter(|number| numbers.binary_search(number).is_err()).count();
            assert_eq!(missing, 0, "of {} acknowledged events", acknowledged.len());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
