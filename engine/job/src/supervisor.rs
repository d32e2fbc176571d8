//! Keeps a job alive: a new generation after each failure, with growing pauses, until it is told to end.

use crate::error::JobError;
use crate::protocol::Ending;
use crate::run::{Ended, run_generation};
use crate::spec::{JobEnvironment, JobSpec};
use crate::status::{JobPhase, JobStatus, SharedStatus};
use salamander_types::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The first pause after a failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// A generation that has lived this long has recovered: the next pause is the first one again.
const RECOVERED: Duration = Duration::from_secs(30);

/// A running job. Dropping it without [`JobHandle::end`] ends the job as a crash would.
#[derive(Debug)]
pub struct JobHandle {
    spec: Arc<JobSpec>,
    status: SharedStatus,
    ending: watch::Sender<Option<Ending>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    abort: tokio::task::AbortHandle,
}

impl JobHandle {
    /// Starts a job.
    pub fn spawn(spec: Arc<JobSpec>, environment: JobEnvironment) -> Self {
        let status = SharedStatus::default();
        let (ending, asked) = watch::channel(None);
        let task = tokio::spawn(supervise(Arc::clone(&spec), environment, status.clone(), asked));
        let abort = task.abort_handle();
        Self { spec, status, ending, task: tokio::sync::Mutex::new(Some(task)), abort }
    }

    /// What it runs.
    pub fn spec(&self) -> &Arc<JobSpec> {
        &self.spec
    }

    /// How it stands.
    pub fn status(&self) -> JobStatus {
        self.status.get()
    }

    /// Tells the job to end and waits until it has.
    pub async fn end(&self, how: Ending) -> JobStatus {
        self.ending.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(how);
            }
            first
        });
        if let Some(task) = self.task.lock().await.take() {
            // A task that was aborted or panicked has ended as well; its status says how far it came.
            let _ = task.await;
        }
        self.status.get()
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

async fn supervise(
    spec: Arc<JobSpec>,
    environment: JobEnvironment,
    status: SharedStatus,
    mut asked: watch::Receiver<Option<Ending>>,
) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let begun = environment.clock.monotonic();
        let error = match run_generation(Arc::clone(&spec), environment.clone(), status.clone(), asked.clone()).await {
            Ok(Ended::Paused) => return status.update(|s| s.phase = JobPhase::Paused),
            Ok(Ended::Finished(reason)) => return status.update(|s| s.phase = JobPhase::Finished(reason)),
            Err(error) => error,
        };
        if environment.clock.monotonic().saturating_sub(begun) > RECOVERED {
            backoff = FIRST_BACKOFF;
        }
        let retrying = is_worth_retrying(&error);
        tracing::warn!(job = %spec.name, %error, retrying, "generation failed");
        status.update(|s| {
            s.failures += 1;
            s.last_failure = Some(error.to_string());
            s.phase = JobPhase::Failed { reason: error.to_string(), retrying };
        });
        if !retrying {
            return;
        }
        // Told to end while nothing runs: what is committed is all there is.
        let wait = tokio::time::timeout(backoff, asked.wait_for(Option::is_some));
        if matches!(wait.await, Ok(Err(_))) || (asked.borrow().is_some() && backoff >= spec.options.longest_backoff) {
            return;
        }
        backoff = (backoff * 2).min(spec.options.longest_backoff);
    }
}

fn is_worth_retrying(error: &JobError) -> bool {
    match error.kind() {
        ErrorKind::Transient | ErrorKind::Internal | ErrorKind::NotFound | ErrorKind::Unauthorized => true,
        ErrorKind::Invalid | ErrorKind::Fenced | ErrorKind::Corrupt => false,
    }
}
