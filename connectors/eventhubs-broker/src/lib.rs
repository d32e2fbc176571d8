//! A local Event Hubs broker that unmodified Azure SDK clients can send to and receive from.
//!
//! It speaks AMQP 1.0 in the dialect of Event Hubs: SASL, `$cbs` with real SAS checks, `$management`, batches, partition keys, start positions, consumer groups,
//! epochs, the service's error conditions. Events are durable before they are acknowledged or delivered.
//!
//! ```text
//! broker      listener, shutdown          connection   one task a socket: frames, sessions, links
//! hubs        which hubs there are        log          partitions on disk
//! cbs, sas    who may do what             management   what hubs and partitions there are
//! readers     epochs                      sections     messages as encoded bytes
//! ```
//!
//! What it does not know: Arrow, DataFusion, SQL, TLS, Kafka. The `eventhubs` connector does not know that this broker exists.
//!
//! # On fe2o3-amqp, but not on its acceptor
//!
//! The types, their codec, the SASL frames and the frame decoder are fe2o3-amqp's; sessions and links are ours. Measured
//! on two busy cores with settled events of 120 bytes and three annotations, the sending side on one thread:
//!
//! | sender | events a CPU second |
//! |---|---|
//! | fe2o3-amqp 0.18.4's acceptor (each event passes three tasks and is flushed alone) | 0.16 M |
//! | this crate (`examples/feed_rate.rs`; file reads, on other threads, not counted) | 4.7 M |
//!
//! Besides, the acceptor neither gives out nor takes a delivery as its encoded bytes (its body traits are sealed), so
//! that each event would be decoded and encoded anew, and pyamqp would need a shim around its stream.
//!
//! # Example
//!
//! ```no_run
//! # async fn start() -> Result<(), salamander_eventhubs_broker::BrokerError> {
//! use salamander_eventhubs_broker::{Broker, BrokerOptions};
//!
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 5672));
//! let broker = Broker::start(BrokerOptions::new(address, "/var/lib/salamander/eventhubs")).await?;
//! // Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;EntityPath=logs
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod address;
mod amqp;
mod broker;
mod cbs;
pub mod clock;
mod conditions;
mod connection;
mod faults;
mod hubs;
mod log;
mod management;
mod options;
pub mod partitioning;
pub mod position;
mod readers;
mod request;
pub mod sas;
mod sections;

pub use broker::{Broker, BrokerError, BrokerHandle};
pub use clock::{Clock, ManualClock, SystemClock};
pub use faults::Faults;
pub use hubs::{HubError, MAX_PARTITIONS};
pub use log::LogError;
pub use options::{BrokerOptions, HubOptions, MAX_MESSAGE_SIZE};
