//! Who may ask, and what the engine learns of them.

use crate::engine::{TestEngine, connect, query, start, status, table};
use salamander_serve::{Auth, Credentials, FlightOptions, FlightServer, NamedToken, ServeError, UserPassword};
use std::time::Duration;
use tonic::Code;

fn credentials() -> Auth {
    Auth::Credentials(Credentials {
        users: vec![UserPassword { user: "ada".into(), password: "pass word".to_owned().into() }],
        tokens: vec![NamedToken { principal: "powerbi".into(), token: "token-1".to_owned().into() }],
    })
}

#[tokio::test]
async fn a_handshake_earns_a_token_that_later_calls_repeat() {
    let (server, _) = start(credentials()).await;
    let mut client = connect(&server).await;
    let stranger = status(query(&mut client, "WHOAMI").await.unwrap_err());
    assert_eq!(stranger.code(), Code::Unauthenticated);
    assert!(client.handshake("ada", "wrong").await.is_err());
    client.handshake("ada", "pass word").await.unwrap();
    client.set_header("database", "sales");
    let batches = query(&mut client, "WHOAMI").await.unwrap();
    assert!(table(&batches).contains("ada@sales"), "{}", table(&batches));

    let mut client = connect(&server).await;
    client.set_token("token-1".into());
    let batches = query(&mut client, "WHOAMI").await.unwrap();
    assert!(table(&batches).contains("powerbi@-"), "{}", table(&batches));
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn anonymous_servers_answer_handshakes_and_long_headers() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    client.handshake("anyone", "anything").await.unwrap();
    client.set_header("application", "x".repeat(12_000));
    let batches = query(&mut client, "WHOAMI").await.unwrap();
    assert!(table(&batches).contains("anonymous@-"), "{}", table(&batches));
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn anonymous_access_is_for_loopback_only() {
    let options = FlightOptions::new("0.0.0.0:0".parse().unwrap());
    let error = FlightServer::start(options, TestEngine::new().await).await.unwrap_err();
    assert!(matches!(error, ServeError::AnonymousOutsideLoopback(_)), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (server, engine) = start(Auth::default()).await;
    let options = FlightOptions::new(server.local_addr());
    let error = FlightServer::start(options, engine).await.unwrap_err();
    assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
    server.shutdown(Duration::from_secs(5)).await;
}

async fn session_id(client: &mut crate::engine::Client) -> String {
    use arrow::array::AsArray;
    let batches = query(client, "SESSION").await.unwrap();
    arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Utf8)
        .unwrap()
        .as_string::<i32>()
        .value(0)
        .to_owned()
}

/// The system gives a port to the next client: an address is no identity.
#[tokio::test]
async fn a_connection_is_a_session_of_its_own_whose_end_is_told() {
    let (server, engine) = start(Auth::default()).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut client = connect(&server).await;
        let id = session_id(&mut client).await;
        assert_eq!(session_id(&mut client).await, id);
        assert!(!engine.ended.lock().contains(&id));
        assert!(seen.insert(id.clone()), "{id} again");
        drop(client);
        while !engine.ended.lock().contains(&id) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_login_is_one_session_over_all_its_connections() {
    let (server, _) = start(credentials()).await;
    let mut first = connect(&server).await;
    first.handshake("ada", "pass word").await.unwrap();
    let mut again = connect(&server).await;
    again.set_token(first.token().unwrap().clone());
    let mut other = connect(&server).await;
    other.handshake("ada", "pass word").await.unwrap();
    let id = session_id(&mut first).await;
    assert_eq!(session_id(&mut again).await, id);
    assert_ne!(session_id(&mut other).await, id);
    server.shutdown(Duration::from_secs(5)).await;
}
