//! ADBC and pyarrow, where the environment names a Python that has them: `SALAMANDER_PYTHON=.venv/bin/python`.
//! The same script runs against the real server elsewhere.

use crate::engine::start;
use salamander_serve::{Auth, Credentials, UserPassword};
use std::time::Duration;
use tokio::process::Command;

/// Runs the script against a server of its own.
async fn check(auth: Auth, login: &[(&str, &str)]) {
    let Ok(python) = std::env::var("SALAMANDER_PYTHON") else {
        println!("skipped: SALAMANDER_PYTHON names no Python with tests/python/requirements.txt");
        return;
    };
    let (server, _) = start(auth).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/test_flight.py");
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", script])
        .env("SALAMANDER_FLIGHT", format!("grpc://{}", server.local_addr()))
        .envs(login.iter().copied())
        .output()
        .await
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && log.contains("10 passed") | log.contains("12 passed"), "{log}");
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adbc_and_pyarrow_are_served() {
    check(Auth::default(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adbc_and_pyarrow_log_in() {
    let ada = UserPassword { user: "ada".into(), password: "pass:word".to_owned().into() };
    let auth = Auth::Credentials(Credentials { users: vec![ada], tokens: vec![] });
    check(auth, &[("SALAMANDER_FLIGHT_USER", "ada"), ("SALAMANDER_FLIGHT_PASSWORD", "pass:word")]).await;
}
