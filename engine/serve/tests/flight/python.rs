//! ADBC and pyarrow, where the environment names a Python that has them: `SALAMANDER_PYTHON=.venv/bin/python`.
//! The same script runs against the real server elsewhere.

use crate::engine::start;
use salamander_serve::Auth;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn adbc_and_pyarrow_are_served() {
    let Ok(python) = std::env::var("SALAMANDER_PYTHON") else {
        println!("skipped: SALAMANDER_PYTHON names no Python with tests/python/requirements.txt");
        return;
    };
    let (server, _) = start(Auth::default()).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/test_flight.py");
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", script])
        .env("SALAMANDER_FLIGHT", format!("grpc://{}", server.local_addr()))
        .output()
        .await
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !log.contains("skipped"), "{log}");
    server.shutdown(Duration::from_secs(5)).await;
}
