//! How fast the broker feeds a receiver: events a second by the clock, and a second of its own CPU.
//!
//! The broker runs on one thread, which measures its own CPU time; a bare client on another reads and counts bytes, so that
//! it is no brake. `feed_rate [EVENTS] [BYTES]`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use fe2o3_amqp_types::definitions::{Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::message::__private::Serializable;
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Batch, Data, Message, Source, Target};
use fe2o3_amqp_types::performatives::{Attach, Begin, ChannelMax, Flow, MaxFrameSize, Open, Transfer};
use salamander_eventhubs_broker::sas::{DEVELOPMENT_KEY, DEVELOPMENT_KEY_NAME, SharedAccessKey, sign};
use salamander_eventhubs_broker::{Broker, BrokerOptions};
use serde::Serialize;
use serde_amqp::primitives::Binary;

const ADDRESS: &str = "bench/ConsumerGroups/$Default/Partitions/0";

fn main() {
    let mut args = std::env::args().skip(1);
    let events: usize = args.next().map_or(1_000_000, |text| text.parse().expect("a number of events"));
    let bytes: usize = args.next().map_or(120, |text| text.parse().expect("a number of bytes"));
    let dir = tempfile::tempdir().unwrap();
    let (started, address) = std::sync::mpsc::channel();
    let (finished, done) = tokio::sync::oneshot::channel::<()>();
    let (report, cpu) = std::sync::mpsc::channel();
    let path = dir.path().to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = BrokerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), path);
            let broker = Broker::start(options).await.unwrap();
            started.send(broker.local_addr()).unwrap();
            let ticker = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    if report.send(cpu_nanos()).is_err() {
                        return;
                    }
                }
            });
            let _ = done.await;
            ticker.abort();
            broker.shutdown().await;
        });
    });
    let mut client = Client::open(address.recv().unwrap());
    client.fill(events, bytes);
    for round in 0..3 {
        while cpu.try_recv().is_ok() {}
        let (cpu_before, began) = (cpu.recv().unwrap(), Instant::now());
        client.drain(10 + round, events, bytes);
        let elapsed = began.elapsed();
        while cpu.try_recv().is_ok() {}
        let spent = (cpu.recv().unwrap() - cpu_before) as f64 / 1e9;
        println!(
            "{:.0} events/s, {:.0} events per CPU second of the broker",
            events as f64 / elapsed.as_secs_f64(),
            events as f64 / spent
        );
    }
    let _ = finished.send(());
}

/// CPU time of the calling thread, from the kernel's scheduler.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A client of bare frames.
struct Client {
    stream: TcpStream,
    next_delivery: u32,
}

impl Client {
    fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"AMQP\x00\x01\x00\x00").unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        let mut client = Self { stream, next_delivery: 0 };
        let open = Open {
            container_id: "feed-rate".into(),
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
            incoming_window: u32::MAX / 4,
            outgoing_window: 1_000,
            handle_max: Handle(100),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        client.put(&open, b"");
        client.put(&begin, b"");
        client.put(&attach(0, Role::Sender, "$cbs"), b"");
        client.wait_for(0x13);
        let key = SharedAccessKey { name: DEVELOPMENT_KEY_NAME.into(), key: DEVELOPMENT_KEY.into() };
        let token = sign(&key, "sb://localhost/bench", 4_000_000_000).unwrap();
        let properties =
            ApplicationProperties::builder().insert("operation", "put-token").insert("name", "sb://localhost/bench");
        let request = Message::builder().application_properties(properties.build()).body(AmqpValue(token)).build();
        client.send(0, 0, &serde_amqp::to_vec(&Serializable(request)).unwrap());
        client
    }

    fn put(&mut self, performative: &impl Serialize, payload: &[u8]) {
        let mut body = serde_amqp::to_vec(performative).unwrap();
        body.extend_from_slice(payload);
        self.stream.write_all(&(body.len() as u32 + 8).to_be_bytes()).unwrap();
        self.stream.write_all(&[2, 0, 0, 0]).unwrap();
        self.stream.write_all(&body).unwrap();
    }

    /// Reads frames up to one with this performative.
    fn wait_for(&mut self, code: u8) {
        loop {
            let mut size = [0; 4];
            self.stream.read_exact(&mut size).unwrap();
            let mut body = vec![0; u32::from_be_bytes(size) as usize - 4];
            self.stream.read_exact(&mut body).unwrap();
            assert_ne!(body[6], 0x16, "a link was detached: {}", String::from_utf8_lossy(&body));
            if body[6] == code {
                return;
            }
        }
    }

    fn send(&mut self, handle: u32, format: u32, message: &[u8]) {
        let transfer = Transfer {
            handle: Handle(handle),
            delivery_id: Some(self.next_delivery),
            delivery_tag: Some(self.next_delivery.to_be_bytes().to_vec().into()),
            message_format: Some(format),
            settled: Some(false),
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        };
        self.next_delivery += 1;
        self.put(&transfer, message);
        self.wait_for(0x15);
    }

    fn fill(&mut self, events: usize, bytes: usize) {
        self.put(&attach(1, Role::Sender, "bench/Partitions/0"), b"");
        self.wait_for(0x13);
        let event =
            serde_amqp::to_vec(&Serializable(Message::builder().body(Data(Binary::from(vec![b'x'; bytes]))).build()));
        let event = Data(Binary::from(event.unwrap()));
        let per_batch = (60_000 / (bytes + 20)).max(1);
        let mut left = events;
        while left > 0 {
            let count = left.min(per_batch);
            let batch = Message::builder().body(Batch::new(vec![event.clone(); count])).build();
            self.send(1, 0x8001_3700, &serde_amqp::to_vec(&Serializable(batch)).unwrap());
            left -= count;
        }
    }

    /// Reads the partition from its start on a new link, and counts transfers.
    fn drain(&mut self, handle: u32, events: usize, bytes: usize) {
        self.put(&attach(handle, Role::Receiver, ADDRESS), b"");
        self.wait_for(0x12);
        let flow = Flow {
            next_incoming_id: Some(0),
            incoming_window: u32::MAX / 4,
            next_outgoing_id: self.next_delivery,
            outgoing_window: 1_000,
            handle: Some(Handle(handle)),
            delivery_count: Some(0),
            link_credit: Some(events as u32),
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        self.put(&flow, b"");
        let mut buffer = vec![0; 1 << 20];
        let (mut filled, mut seen) = (0, 0);
        while seen < events {
            let read = self.stream.read(&mut buffer[filled..]).unwrap();
            assert!(read > 0, "the broker ended the connection");
            filled += read;
            let mut at = 0;
            while let Some(size) = buffer[at..filled].first_chunk().map(|size| u32::from_be_bytes(*size) as usize) {
                if filled - at < size {
                    break;
                }
                seen += usize::from(buffer[at + 10] == 0x14 && size > bytes);
                at += size;
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
        }
    }
}

fn attach(handle: u32, role: Role, address: &str) -> Attach {
    let (mut source, mut target) = (Source::default(), Target::default());
    match role {
        Role::Sender => target.address = Some(address.into()),
        Role::Receiver => source.address = Some(address.into()),
    }
    Attach {
        name: format!("link-{handle}"),
        handle: Handle(handle),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        role,
        snd_settle_mode: SenderSettleMode::Settled,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Box::new(source)),
        target: Some(Box::new(target.into())),
        unsettled: None,
        incomplete_unsettled: false,
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}
