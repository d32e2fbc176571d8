//! Keeps a job alive: a new generation after each failure, with growing pauses, until it is told to end.

use crate::error::JobError;
use crate::peek::{Peek, Peeks, peek_at_rest};
use crate::protocol::Ending;
use crate::run::{Ended, at_rest, run_generation};
use crate::spec::{JobEnvironment, JobSpec};
use crate::status::{JobPhase, JobStatus, SharedStatus};
use salamander_types::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The first pause after a failure.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause while the job is told to end: somebody waits.
const LONGEST_LAST_BACKOFF: Duration = Duration::from_secs(2);
/// So often a job that is told to end is tried again; then what is committed is all there is.
const LAST_ATTEMPTS: u32 = 8;
/// A generation that has lived this long has recovered: the next pause is the first one again.
const RECOVERED: Duration = Duration::from_secs(30);

/// A running job. Dropping it without [`JobHandle::end`] ends the job as a crash would.
#[derive(Debug)]
pub struct JobHandle {
    spec: Arc<JobSpec>,
    status: SharedStatus,
    environment: JobEnvironment,
    peeks: Peeks,
    ending: watch::Sender<Option<Ending>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    abort: tokio::task::AbortHandle,
}

impl JobHandle {
    /// Starts a job.
    pub fn spawn(spec: Arc<JobSpec>, environment: JobEnvironment) -> Self {
        Self::begin(spec, environment, None)
    }

    /// Only ends what a job has committed: its last rolls and deliveries are done, and no source is read.
    pub fn settle(spec: Arc<JobSpec>, environment: JobEnvironment, how: Ending) -> Self {
        Self::begin(spec, environment, Some(how))
    }

    fn begin(spec: Arc<JobSpec>, environment: JobEnvironment, ending: Option<Ending>) -> Self {
        let status = SharedStatus::default();
        let (ending, asked) = watch::channel(ending);
        let peeks = Peeks::default();
        let job = supervise(Arc::clone(&spec), environment.clone(), status.clone(), asked, peeks.clone());
        let task = tokio::spawn(job);
        let abort = task.abort_handle();
        Self { spec, status, environment, peeks, ending, task: tokio::sync::Mutex::new(Some(task)), abort }
    }

    /// What it runs.
    pub fn spec(&self) -> &Arc<JobSpec> {
        &self.spec
    }

    /// How it stands.
    pub fn status(&self) -> JobStatus {
        self.status.get()
    }

    /// What it has written and what its windows hold at one epoch's end; of a job that doesn't run, at its last
    /// checkpoint.
    ///
    /// # Errors
    /// When the job is being tried again and doesn't answer, or its last checkpoint can't be read.
    pub async fn peek(&self) -> Result<Peek, JobError> {
        match self.peeks.running(&self.status).await? {
            Some(peek) => Ok(peek),
            None => peek_at_rest(&self.spec, &self.environment).await,
        }
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
        self.wait().await
    }

    /// Waits until the job has ended by itself, or somebody has told it to.
    pub async fn wait(&self) -> JobStatus {
        let mut task = self.task.lock().await;
        if let Some(running) = task.as_mut() {
            // A task that was aborted or panicked has ended as well; its status says how far it came.
            let _ = running.await;
        }
        *task = None;
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
    peeks: Peeks,
) {
    if let Some(Ended::Finished(reason)) = at_rest(&spec, &environment, &status).await {
        return status.update(|s| s.phase = JobPhase::Finished(reason));
    }
    let first_backoff = FIRST_BACKOFF.min(spec.options.longest_backoff);
    let mut backoff = first_backoff;
    let mut last_attempts = 0;
    loop {
        let begun = environment.clock.monotonic();
        let error =
            match run_generation(Arc::clone(&spec), environment.clone(), status.clone(), asked.clone(), &peeks).await {
                Ok(Ended::Paused) => return status.update(|s| s.phase = JobPhase::Paused),
                Ok(Ended::Finished(reason)) => return status.update(|s| s.phase = JobPhase::Finished(reason)),
                Err(error) => error,
            };
        if environment.clock.monotonic().saturating_sub(begun) > RECOVERED {
            backoff = first_backoff;
        }
        let retrying = is_worth_retrying(&error);
        tracing::warn!(job = %spec.name, %error, retrying, "generation failed");
        status.update(|s| {
            s.failures += 1;
            s.last_failure = Some(error.to_string());
            s.last_kind = Some(error.kind());
            s.phase = JobPhase::Failed { reason: error.to_string(), retrying };
        });
        if !retrying {
            return;
        }
        // Somebody waits for an insert, too.
        if asked.borrow().is_some() || spec.plan.runs_once() {
            last_attempts += 1;
            if last_attempts == LAST_ATTEMPTS {
                return;
            }
            tokio::time::sleep(backoff.min(LONGEST_LAST_BACKOFF)).await;
        } else if let Ok(Err(_)) = tokio::time::timeout(backoff, asked.wait_for(Option::is_some)).await {
            return;
        }
        backoff = (backoff * 2).min(spec.options.longest_backoff);
    }
}

fn is_worth_retrying(error: &JobError) -> bool {
    // An insert's query is its client's to repeat: nothing has been inserted.
    if matches!(error, JobError::Query(_)) {
        return false;
    }
    // A stolen link is another reader's doing, not another generation's: the log tells, and the pause lets the other be.
    if matches!(error, JobError::Connector(_)) && error.kind() == ErrorKind::Fenced {
        return true;
    }
    match error.kind() {
        ErrorKind::Transient | ErrorKind::Internal | ErrorKind::NotFound | ErrorKind::Unauthorized => true,
        ErrorKind::Invalid | ErrorKind::Fenced | ErrorKind::Corrupt => false,
    }
}
