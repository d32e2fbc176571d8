//! A server process, and commands run against it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// The binary, with nothing of the caller's environment in its way.
pub(crate) fn salamander() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salamander"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SALAMANDER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A running server. Killed when dropped, if it was not stopped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) ready: String,
}

impl Server {
    /// Starts one on a free port without a broker, and waits for its readiness line.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::run_server(salamander(), data_dir, arguments)
    }

    /// Starts one that dies at a fail point.
    pub(crate) fn start_to_die(data_dir: &Path, failpoint: &str) -> Self {
        let mut command = salamander();
        command.env("SALAMANDER_FAILPOINT", failpoint);
        Self::run_server(command, data_dir, &[])
    }

    fn run_server(mut command: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .args(["server", "--listen-flight", "127.0.0.1:0", "--listen-eventhubs", "none", "--data-dir"])
            .arg(data_dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let addr = ready.split_whitespace().find_map(|word| word.strip_prefix("flight="));
        let url = format!("grpc://{}", addr.unwrap_or_else(|| panic!("not ready: {ready:?}")));
        Self { child, url, ready }
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running {STOP:?} after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command against this server.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        salamander().args(args).env("SALAMANDER_SERVER", &self.url).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs SQL that must succeed.
    pub(crate) fn sql(&self, sql: &str, format: &str) -> String {
        self.ok(&["sql", "--format", format, "-e", sql])
    }

    /// Asks until the answer is the expected one.
    pub(crate) fn wait_for(&self, sql: &str, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.sql(sql, "csv");
            if answer == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{sql}\nstill {answer:?}\nnot   {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
