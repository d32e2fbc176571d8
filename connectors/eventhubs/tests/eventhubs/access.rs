//! Who is let in, and what is said to who is not.

use crate::local::{Local, Reading};
use base64::Engine;
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use salamander_eventhubs::{Surroundings, source_with};
use salamander_eventhubs_broker::HubOptions;
use salamander_types::ErrorKind;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_refused_without_being_shown() {
    let local = Local::start().await;
    let mut options = local.options("logs", &[]);
    let text = local.connection_string().replace("SAS_KEY_VALUE", "bm90IHRoZSBrZXk=");
    options.insert("connection_string".to_owned(), text);
    let source = source_with(&options, &Surroundings::default()).unwrap();
    let error = source.describe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
    let text = error.to_string();
    assert!(text.contains("event hub 'logs'") && text.contains("Check the key's name and value"), "{text}");
    assert!(!text.contains("bm90IHRoZSBrZXk"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_hub_or_partition_is_named() {
    let local = Local::start_with(|options| {
        options.create_hubs_on_first_use = false;
        options.hubs = vec![HubOptions { name: "logs".into(), partitions: 2, retention: None, retention_bytes: None }];
    })
    .await;
    let error = local.source("lgos", &[]).describe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("event hub 'lgos'"), "{error}");
    let source = local.source("logs", &[]);
    let error = Reading::open(source.as_ref(), "9", 0).await.err().unwrap();
    assert!(matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound), "{error}");
    assert!(error.to_string().contains("event hub 'logs', partition 9"), "{error}");
    assert_eq!(source.describe().await.unwrap().splits.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_before_they_expire() {
    let local = Local::start_with(|options| options.default_partitions = 2).await;
    let source = local.source("logs", &[("token_lifetime", "3")]);
    let first = Reading::open(source.as_ref(), "0", 0).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(first.reader.status().at_end, "the link stays, and so does its connection");
    }
    // The broker looks at tokens when a link is attached: on a connection that is older than two tokens.
    Reading::open(source.as_ref(), "1", 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_expires_ends_the_reading() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3;
    let signature = sign("sb://127.0.0.1/logs", expires);
    let endpoint = local.broker.local_addr();
    let mut options = local.options("logs", &[]);
    let text = format!("Endpoint=sb://{endpoint};SharedAccessSignature={signature};UseDevelopmentEmulator=true");
    options.insert("connection_string".to_owned(), text);
    let source = source_with(&options, &Surroundings::default()).unwrap();
    local.fill("logs", 2).await;
    let mut reading = Reading::open(source.as_ref(), "0", 0).await.unwrap();
    reading.until(0, 2).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let error = source_with(&options, &Surroundings::default()).unwrap().describe().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(error.to_string().contains("the SharedAccessSignature expired"), "{error}");
    // The link that is attached goes when its connection does, and can't be attached anew.
    local.broker.faults().cut_connections();
    let error = reading.error().await;
    assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
}

/// As Azure's documentation says a signature is made.
fn sign(resource: &str, expires: u64) -> String {
    let resource = utf8_percent_encode(resource, NON_ALPHANUMERIC).to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"SAS_KEY_VALUE").unwrap();
    mac.update(format!("{resource}\n{expires}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let signature = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=RootManageSharedAccessKey")
}
