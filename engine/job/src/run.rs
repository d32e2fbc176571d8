//! One generation of a job: the IO shell around [`crate::protocol`].
//!
//! One task owns everything and never waits while there is something to do; slow work (segments, manifests, rolls)
//! runs in tasks of its own that answer through a channel. Backpressure: while more than
//! [`crate::JobOptions::uncommitted_bytes`] of rows are not committed, no epoch takes input, so the readers' buffers
//! fill and the links stop granting credit.

use crate::delivery::{deliver_next, queue_entry};
use crate::encoding::EncodingSink;
use crate::error::JobError;
use crate::inputs::{Inputs, Look, Taken};
use crate::keyed_state::KeyedState;
use crate::pace::Pace;
use crate::peek::Peeks;
use crate::protocol::{Effect, Ending, Event, Protocol};
use crate::spec::{JobEnvironment, JobSpec, SinkTable, Target};
use crate::status::{JobPhase, SharedStatus};
use crate::watermarks::{END, Watermarks};
use salamander_hive::cleanup::SUPERSEDED_FOR;
use salamander_hive::{
    RollRequest, SegmentStamp, SupersededSegments, TableRows, delete_orphans, delete_superseded, execute_roll,
    plan_rolls, write_segment,
};
use salamander_operators::stream_rows::gap_record;
use salamander_operators::{EpochContext, EpochOutput, EpochTime, OutputSink, ReusedPlan, run_epoch};
use salamander_storage::log::RETENTION;
use salamander_storage::{Commit, Head, Loaded, Log, LogContext};
use salamander_types::manifest::{Counters, JobEntry, JobPlan, JobState, LogState, Roll, TableState};
use salamander_types::{Epoch, LogNumber, TableId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

mod once;

pub use once::INSERTED;

/// Why a job that its owner has stopped is at rest.
pub const STOPPED: &str = "stopped";
/// Answers that wait for the job's task: few are ever under way.
const ANSWERS: usize = 64;
/// Manifests from one look for old ones to the next.
const PRUNE_EVERY: u64 = 128;

/// What the tasks of a job answer.
#[derive(Debug)]
enum Answer {
    Event(Event),
    Won { head: Head, state: Box<JobState>, up_to: Epoch },
    NewSplits(Vec<JobEntry>),
    Delivered(LogNumber),
    Deleted(TableId, Vec<String>),
    StateDeleted(Vec<String>),
    Failed(JobError),
}

/// Rows of one epoch and table that are published but not yet in a segment.
#[derive(Debug)]
struct Unwritten {
    epoch: Epoch,
    table: TableId,
    rows: TableRows,
}

struct Tenure {
    spec: Arc<JobSpec>,
    environment: JobEnvironment,
    status: SharedStatus,
    log: Arc<Log<JobState>>,
    head: Head,
    state: JobState,
    protocol: Protocol,
    inputs: Inputs,
    epoch: Epoch,
    counters: Counters,
    watermarks: Watermarks,
    keyed: KeyedState,
    plan: ReusedPlan,
    unwritten: Vec<Unwritten>,
    /// Bytes by epoch that are held and not committed.
    uncommitted: VecDeque<(Epoch, usize)>,
    uncommitted_bytes: usize,
    tasks: JoinSet<()>,
    answers: mpsc::Receiver<Answer>,
    answer: mpsc::Sender<Answer>,
    pace: Pace,
    /// The number whose rows are being delivered, until a commit says that they are.
    delivering: Option<LogNumber>,
    /// The last rolls are planned once everything is delivered.
    last_plan_waits: bool,
    superseded: BTreeMap<TableId, SupersededSegments>,
    /// Objects that are being deleted, until a commit says that they are.
    deleting: BTreeSet<String>,
    done: bool,
}

/// How a generation came to its end without a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By the process's end.
    Paused,
    /// For good.
    Finished(String),
}

/// Runs one generation: wins it, restores, runs epochs until told to end or something fails.
///
/// # Errors
/// Whatever failed. Dropping the future ends all of the generation's tasks.
pub async fn run_generation(
    spec: Arc<JobSpec>,
    environment: JobEnvironment,
    status: SharedStatus,
    mut ending: watch::Receiver<Option<Ending>>,
    peeks: &Peeks,
) -> Result<Ended, JobError> {
    // Told to end before it begins, a generation reads nothing: it only ends what is committed (the source may be gone).
    let reads = ending.borrow().is_none();
    let mut generation = Tenure::begin(Arc::clone(&spec), environment.clone(), status.clone(), reads).await?;
    if let Some(reason) = generation.state.finished.clone() {
        return Ok(Ended::Finished(reason));
    }
    if reads && spec.plan.runs_once() && !generation.insert_once(&mut ending).await? {
        generation = Tenure::begin(spec, environment, status, false).await?;
    }
    generation.run(&mut ending, peeks).await?;
    match generation.state.finished {
        Some(reason) => Ok(Ended::Finished(reason)),
        None => Ok(Ended::Paused),
    }
}

/// The end of a job that has come to rest before, by its log: it needs no generation and no source. Readers are shown
/// what it wrote. None if it has not, or if its log can't be read now: a generation tells then.
pub async fn at_rest(spec: &JobSpec, environment: &JobEnvironment, status: &SharedStatus) -> Option<Ended> {
    let Loaded { head, state } = open_log(spec, environment).load().await.ok()??;
    let reason = state.finished.clone()?;
    for sink in spec.sinks() {
        let table = Arc::new(state.tables.get(&sink.layout.id).cloned().unwrap_or_default());
        sink.live.reset(&spec.id, head.number, table).ok()?;
    }
    status.update(|s| {
        s.generation = head.generation;
        s.log_number = head.number;
        s.counters = state.counters;
        s.committed = state.counters;
    });
    Some(Ended::Finished(reason))
}

/// Takes a stop back: the log no longer says that the job is at rest. Its positions stay.
///
/// # Errors
/// When the job came to rest by itself, or its log can't be read or written.
pub async fn reopen(spec: &JobSpec, environment: &JobEnvironment) -> Result<(), JobError> {
    let log = open_log(spec, environment);
    match log.load().await?.and_then(|loaded| loaded.state.finished) {
        None => Ok(()),
        Some(reason) if reason == STOPPED => {
            log.open_generation(|_| vec![JobEntry::Plan(spec.entry())]).await?;
            Ok(())
        }
        Some(reason) => Err(JobError::AtRest { job: spec.name.clone(), reason }),
    }
}

/// The job's log.
pub fn open_log(spec: &JobSpec, environment: &JobEnvironment) -> Log<JobState> {
    let context = LogContext {
        writer: environment.writer.clone(),
        clock: Arc::clone(&environment.clock),
        entropy: Arc::clone(&environment.entropy),
    };
    let name = spec.id.as_str().to_owned();
    Log::new(Arc::clone(&environment.store), environment.log_folder.clone(), name, context)
}

impl JobSpec {
    /// All tables that the job writes.
    fn sinks(&self) -> impl Iterator<Item = &SinkTable> {
        let hidden = self.bad_records.values().chain(self.late_records.values());
        self.target.table().into_iter().chain(hidden)
    }

    fn sink(&self, table: &TableId) -> Result<&SinkTable, JobError> {
        self.sinks().find(|s| s.layout.id == *table).ok_or_else(|| {
            JobError::Internal(format!("table {table} stands in the log of job {}, not in its plan", self.id))
        })
    }

    /// What it runs, as its log says it.
    fn entry(&self) -> JobPlan {
        JobPlan {
            job: self.id.clone(),
            name: self.name.clone(),
            sql: self.sql.clone(),
            engine: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What a generation's first manifest says beside its number.
    fn opening(&self, loaded: Option<&Loaded<JobState>>) -> Vec<JobEntry> {
        let state = loaded.map(|l| &l.state);
        let plan = self.entry();
        let mut entries = Vec::new();
        if state.is_none_or(|s| s.plan.as_ref() != Some(&plan) && s.finished.is_none()) {
            entries.push(JobEntry::Plan(plan));
        }
        for sink in self.sinks() {
            let layout = &sink.layout;
            if state.is_none_or(|s| !s.tables.contains_key(&layout.id)) {
                entries.push(JobEntry::Table {
                    table: layout.id.clone(),
                    location: layout.location.root.to_string(),
                    partition_columns: layout.partition_columns().to_vec(),
                });
            }
        }
        entries
    }
}

impl Tenure {
    /// Wins a generation, restores from what precedes it, and opens the sources.
    async fn begin(
        spec: Arc<JobSpec>,
        environment: JobEnvironment,
        status: SharedStatus,
        reads: bool,
    ) -> Result<Self, JobError> {
        status.update(|s| s.phase = JobPhase::Starting);
        let look = if reads { Some(Look::at(&spec.plan.inputs).await?) } else { None };
        let log = Arc::new(open_log(&spec, &environment));
        let Loaded { head, state, .. } = log.open_generation(|loaded| spec.opening(loaded)).await?;
        let (mut head, mut state): (Head, JobState) = (head, state);
        for sink in spec.sinks() {
            let table = Arc::new(state.tables.get(&sink.layout.id).cloned().unwrap_or_default());
            sink.live.reset(&spec.id, head.number, table)?;
        }
        let plan = &spec.plan;
        let inputs = match look {
            None => Inputs::none(&plan.inputs, plan.scans),
            Some(look) => {
                look.check(&plan.inputs, &state)?;
                // Start positions are committed before the first epoch.
                let entries = look.entries(&plan.inputs, &state)?;
                if !entries.is_empty() {
                    (head, state) = commit(&log, &spec, &head, &state, entries).await?;
                }
                let now = environment.clock.monotonic();
                Inputs::open(&plan.inputs, plan.scans, &state, &look, now).await?
            }
        };
        let watermarks = Watermarks::restore(&spec.plan.inputs, &state);
        let keyed = KeyedState::restore(&spec, &environment, head.generation, &state, reads).await?;
        let reused = ReusedPlan::new(&spec.plan.physical);
        let half_done =
            state.tables.iter().flat_map(|(t, s)| s.rolls.values().map(|r| (t.clone(), r.clone()))).collect();
        let (protocol, effects) = Protocol::begin(state.counters, half_done);
        let (answer, answers) = mpsc::channel(ANSWERS);
        let counters = state.counters;
        let pace = Pace::new(spec.options.fixed_cost_percent);
        status.update(|s| {
            s.phase = JobPhase::Running;
            s.generation = head.generation;
            s.log_number = head.number;
            s.epoch = Epoch(0);
            s.counters = counters;
            s.committed = counters;
        });
        let mut this = Self {
            spec,
            environment,
            status,
            log,
            head,
            state,
            protocol,
            inputs,
            epoch: Epoch(0),
            counters,
            watermarks,
            keyed,
            plan: reused,
            unwritten: Vec::new(),
            uncommitted: VecDeque::new(),
            uncommitted_bytes: 0,
            tasks: JoinSet::new(),
            answers,
            answer,
            pace,
            delivering: None,
            last_plan_waits: false,
            superseded: BTreeMap::new(),
            deleting: BTreeSet::new(),
            done: false,
        };
        this.clean_orphans().await?;
        this.carry_out(effects)?;
        this.deliver();
        Ok(this)
    }

    /// Removes what earlier generations left half-made.
    async fn clean_orphans(&mut self) -> Result<(), JobError> {
        for sink in self.spec.sinks() {
            let Some(table) = self.state.tables.get(&sink.layout.id) else { continue };
            let removed = delete_orphans(&sink.layout, &self.spec.id, self.head.generation, table).await?;
            if !removed.is_empty() {
                tracing::info!(job = %self.spec.name, table = %sink.layout.name, objects = removed.len(), "removed what an earlier generation left half-made");
            }
        }
        Ok(())
    }

    async fn run(&mut self, ending: &mut watch::Receiver<Option<Ending>>, peeks: &Peeks) -> Result<(), JobError> {
        let notify = self.inputs.notify();
        let options = self.spec.options.clone();
        let mut checkpoint = interval(options.checkpoint_interval);
        let mut discovery = interval(options.discovery_interval);
        while !self.done {
            peeks.answer(&self.spec, self.keyed.states(), self.keyed.closed())?;
            let asked = ending.borrow_and_update().clone();
            if let Some(asked) = asked.filter(|_| !self.protocol.is_ending()) {
                self.end(asked)?;
                continue;
            }
            let now = self.environment.clock.monotonic();
            let may_run = !self.protocol.is_ending() && self.uncommitted_bytes < options.uncommitted_bytes;
            let pause = self.pace.pause(now);
            if may_run && pause.is_zero() && self.run_one().await? {
                // Answers and timers get their turn between epochs without a wait.
                tokio::task::yield_now().await;
                while let Ok(answer) = self.answers.try_recv() {
                    self.take_answer(answer).await?;
                }
                if poll_tick(&mut checkpoint).await {
                    self.due()?;
                }
                continue;
            }
            if may_run && self.inputs.ended() {
                if self.keyed.states().any() && self.watermarks.end() {
                    // What is still open closes in one epoch more.
                    continue;
                }
                if self.keyed.is_due(self.watermarks.job()) {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                self.end(Ending::Finish { reason: "all input has been read".to_owned() })?;
                continue;
            }
            tokio::select! {
                biased;
                answer = self.answers.recv() => match answer {
                    Some(answer) => self.take_answer(answer).await?,
                    None => return Err(JobError::Internal("the job's answers are closed".to_owned())),
                },
                changed = ending.changed(), if !self.protocol.is_ending() => if changed.is_err() {
                    self.end(Ending::Pause)?;
                },
                () = peeks.asked() => {},
                _ = checkpoint.tick() => self.due()?,
                _ = discovery.tick(), if self.inputs.may_grow() && !self.protocol.is_ending() => self.discover(),
                () = tokio::time::sleep(pause), if may_run && !pause.is_zero() => {},
                () = notify.notified(), if may_run && pause.is_zero() => {},
            }
        }
        Ok(())
    }

    fn end(&mut self, how: Ending) -> Result<(), JobError> {
        self.status.update(|s| s.phase = JobPhase::Stopping);
        let effects = self.protocol.step(Event::End(how));
        self.carry_out(effects)
    }

    fn due(&mut self) -> Result<(), JobError> {
        let lag = self.inputs.lag();
        let mut effects = Vec::new();
        let idle_changed = self.watermarks.any() && self.look_for_idle();
        let watermark = self.watermarks.advance();
        if idle_changed {
            effects.extend(self.protocol.step(Event::EventTime(self.watermarks.entries())));
        }
        let (state, splits) = (self.keyed.states().describe(self.keyed.closed()), self.watermarks.describe());
        let nodes = self.plan.figures();
        self.status.update(|s| {
            s.lag_rows = lag;
            s.watermark = watermark.filter(|at| *at != END).or(s.watermark);
            (s.state, s.splits, s.nodes) = (state, splits, nodes);
        });
        effects.extend(self.protocol.step(Event::Due));
        self.carry_out(effects)
    }

    /// Runs an epoch if there is input, or if a window has ended that is to be emitted; false if there is neither.
    async fn run_one(&mut self) -> Result<bool, JobError> {
        let options = &self.spec.options;
        let waiting = if self.keyed.states().any() { self.watermarks.ahead() } else { BTreeSet::new() };
        let mut taken = self.inputs.take(options.epoch_rows, options.epoch_bytes, &waiting)?;
        if taken.is_empty() && !self.keyed.is_due(self.watermarks.job()) {
            return Ok(false);
        }
        let begun = self.environment.clock.monotonic();
        self.epoch = self.epoch.next();
        let scans = std::mem::take(&mut taken.scans);
        let time = self.epoch_time();
        let watermark = time.watermark;
        let table = self.spec.target.table().filter(|_| taken.rows >= options.encode_rows);
        let encoding = table.map(|table| Arc::new(EncodingSink::new(Arc::clone(&table.layout))));
        let context = EpochContext::new(self.spec.id.clone(), self.epoch, scans, self.spec.plan.partitions)
            .with_state(time, Arc::clone(self.keyed.states()))
            .with_sink(encoding.clone().map(|sink| sink as Arc<dyn OutputSink>));
        let mut output = run_epoch(&mut self.plan, &self.spec.plan.task, context).await?;
        self.keyed.emitted(watermark);
        self.inputs.note_active(&taken.moved, begun);
        let event_time = self.take_event_time(&output);
        let mut rows = TableRows::from(std::mem::take(&mut output.batches));
        rows.extend(encoding.map(|sink| sink.take()).unwrap_or_default());
        self.publish(&taken, rows, output)?;
        let took = self.environment.clock.monotonic().saturating_sub(begun);
        self.pace.ran(begun, took, taken.rows);
        let (epoch, counters) = (self.epoch, self.counters);
        self.status.update(|s| {
            s.epoch = epoch;
            s.counters = counters;
            s.epoch_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        });
        let effects = self.protocol.step(Event::EpochDone { epoch, moved: taken.moved, counters, event_time });
        self.carry_out(effects)?;
        Ok(true)
    }

    /// How far event time has come before the next epoch.
    fn epoch_time(&self) -> EpochTime {
        let mut time =
            EpochTime { watermark: self.watermarks.job(), closed: self.keyed.closed(), splits: BTreeMap::new() };
        if self.keyed.states().any() {
            for input in &self.spec.plan.inputs {
                for (split, at) in self.watermarks.splits(&input.stream.id) {
                    time.splits.extend(input.scans.iter().map(|scan| ((*scan, split.clone()), at)));
                }
            }
        }
        time
    }

    /// Brings the watermarks on by what an epoch saw; what the log will say of them.
    fn take_event_time(&mut self, output: &EpochOutput) -> Vec<JobEntry> {
        if !self.watermarks.any() {
            return Vec::new();
        }
        let now = self.environment.clock.now_micros();
        for input in &self.spec.plan.inputs {
            for ((scan, split), latest) in &output.latest {
                if input.scans.contains(scan) {
                    self.watermarks.observe(&input.stream.id, split, *latest, now);
                }
            }
        }
        self.look_for_idle();
        self.watermarks.advance();
        self.watermarks.entries()
    }

    /// True if the idle splits have changed.
    fn look_for_idle(&mut self) -> bool {
        let now = self.environment.clock.monotonic();
        let mut changed = false;
        for input in &self.spec.plan.inputs {
            changed |= self.watermarks.set_splits(&input.stream.id, &self.inputs.idle(&input.stream.id, now));
        }
        changed
    }

    /// Makes an epoch's rows visible to our readers, and keeps them for the next checkpoint.
    fn publish(&mut self, taken: &Taken, rows: TableRows, output: EpochOutput) -> Result<(), JobError> {
        let spec = Arc::clone(&self.spec);
        let written = rows.rows();
        // Rows that are encoded, or aggregated, have let go of their payload.
        let held = match spec.target.table() {
            None => 0,
            Some(_) if spec.plan.keeps_state || !rows.encoded.is_empty() => rows.bytes(),
            Some(_) => taken.bytes,
        };
        if let Some(sink) = spec.target.table() {
            self.show(sink, rows)?;
        }
        let (mut bad_rows, mut late_rows) = (0, 0);
        let (mut bad, mut late) = (output.bad, output.late);
        for input in &spec.plan.inputs {
            // Every scan of a stream sees the same bad rows: the first one's count.
            let mut rows = input.scans.first().and_then(|scan| bad.remove(scan)).unwrap_or_default();
            for gap in taken.gaps.iter().filter(|g| g.table == input.stream.id) {
                rows.push(gap_record(spec.id.as_str(), &gap.split, gap.from, gap.to)?);
            }
            let rows = TableRows::from(rows);
            bad_rows += rows.rows();
            if let Some(sink) = spec.bad_records.get(&input.stream.id) {
                self.show(sink, rows)?;
            }
            // Each scan has windows of its own.
            let rows: Vec<_> = input.scans.iter().filter_map(|scan| late.remove(scan)).flatten().collect();
            let rows = TableRows::from(rows);
            late_rows += rows.rows();
            if let Some(sink) = spec.late_records.get(&input.stream.id) {
                self.show(sink, rows)?;
            }
        }
        self.counters.rows_read += taken.rows as u64;
        self.counters.bytes_read += taken.bytes as u64;
        self.counters.rows_written += written;
        self.counters.rows_bad += bad_rows;
        self.counters.rows_late += late_rows;
        self.uncommitted.push_back((self.epoch, held));
        self.uncommitted_bytes += held;
        Ok(())
    }

    /// Publishes an epoch's rows of one table; an epoch without rows too, since a commit names the last epoch.
    fn show(&mut self, sink: &SinkTable, rows: TableRows) -> Result<(), JobError> {
        if rows.rows() > 0 {
            let unwritten = Unwritten { epoch: self.epoch, table: sink.layout.id.clone(), rows: rows.clone() };
            self.unwritten.push(unwritten);
        }
        Ok(sink.live.publish(&self.spec.id, self.epoch, rows)?)
    }

    async fn take_answer(&mut self, answer: Answer) -> Result<(), JobError> {
        let effects = match answer {
            Answer::Failed(error) => return Err(error),
            Answer::Event(event) => self.protocol.step(event),
            Answer::NewSplits(entries) => {
                let mut effects = Vec::new();
                for entry in self.inputs.announce(entries) {
                    effects.extend(self.protocol.step(Event::Fact(entry)));
                }
                effects
            }
            Answer::Delivered(number) => match self.spec.target.table() {
                Some(outbox) => {
                    let table = outbox.layout.id.clone();
                    self.protocol.step(Event::Fact(JobEntry::Delivered { table, number }))
                }
                None => Vec::new(),
            },
            Answer::Deleted(table, paths) => self.protocol.step(Event::Fact(JobEntry::Deleted { table, paths })),
            Answer::StateDeleted(paths) => self.protocol.step(Event::Fact(JobEntry::StateDeleted { paths })),
            Answer::Won { head, state, up_to } => {
                self.won(head, *state, up_to)?;
                self.after_commit();
                if self.inputs.awaits_splits() {
                    self.inputs.open_new(&self.state, self.environment.clock.monotonic()).await?;
                }
                let mut effects = self.protocol.step(Event::Committed);
                if self.last_plan_waits && !self.has_queued() {
                    self.last_plan_waits = false;
                    let rolls = self.plan_rolls(true);
                    effects.extend(self.protocol.step(Event::RollsPlanned { rolls }));
                }
                effects
            }
        };
        self.carry_out(effects)
    }

    /// A commit is through: readers switch from memory to segments.
    fn won(&mut self, head: Head, state: JobState, up_to: Epoch) -> Result<(), JobError> {
        for (id, table) in &state.tables {
            self.spec.sink(id)?.live.commit(&self.spec.id, head.number, Arc::new(table.clone()), up_to)?;
        }
        while let Some((_, bytes)) = self.uncommitted.front().copied().filter(|(e, _)| *e <= up_to) {
            self.uncommitted_bytes -= bytes;
            self.uncommitted.pop_front();
        }
        self.status.update(|s| {
            s.log_number = head.number;
            s.committed = state.counters;
        });
        self.head = head;
        self.state = state;
        Ok(())
    }

    /// Delivery and deletion follow from what is committed.
    fn after_commit(&mut self) {
        if let (Some(number), Some(state)) = (self.delivering, self.outbox_state())
            && !state.queued.contains_key(&number)
        {
            self.delivering = None;
        }
        self.deliver();
        if self.head.number.0.is_multiple_of(PRUNE_EVERY) {
            self.prune();
        }
        if let Some((folder, paths)) = self.keyed.to_delete(&self.state) {
            self.spawn(async move {
                folder.delete(&paths).await?;
                Ok(Answer::StateDeleted(paths))
            });
        }
        let tables = &self.state.tables;
        self.deleting.retain(|path| tables.values().any(|t| t.segments.contains_key(path)));
        let now = self.environment.clock.monotonic();
        let spec = Arc::clone(&self.spec);
        for sink in spec.sinks() {
            let id = &sink.layout.id;
            let Some(table) = self.state.tables.get(id) else { continue };
            let superseded = self.superseded.entry(id.clone()).or_default();
            let mut paths = superseded.due(table, now, SUPERSEDED_FOR);
            paths.extend(table.delivered.iter().cloned());
            paths.retain(|path| self.deleting.insert(path.clone()));
            if paths.is_empty() {
                continue;
            }
            let (layout, table) = (Arc::clone(&sink.layout), table.clone());
            self.spawn(async move {
                let paths = delete_superseded(&layout, &table, paths).await?;
                Ok(Answer::Deleted(layout.id.clone(), paths))
            });
        }
    }

    /// Deletes manifests that no reader needs. Failing at it harms nothing: the next look finds them again.
    fn prune(&mut self) {
        let (log, job) = (Arc::clone(&self.log), self.spec.name.clone());
        self.tasks.spawn(async move {
            if let Err(error) = log.prune(RETENTION).await {
                tracing::warn!(%job, %error, "old manifests could not be deleted");
            }
        });
    }

    fn outbox_state(&self) -> Option<&TableState> {
        let Target::Delivery { outbox, .. } = &self.spec.target else { return None };
        self.state.tables.get(&outbox.layout.id)
    }

    fn has_queued(&self) -> bool {
        self.outbox_state().is_some_and(|s| !s.queued.is_empty())
    }

    /// Begins the next delivery if none is under way.
    fn deliver(&mut self) {
        let Target::Delivery { outbox, sink } = &self.spec.target else { return };
        let Some(state) = self.state.tables.get(&outbox.layout.id) else { return };
        let Some((number, _)) = state.queued.first_key_value() else { return };
        if self.delivering.is_some() {
            return;
        }
        self.delivering = Some(*number);
        let work = deliver_next(self.spec.id.clone(), Arc::clone(&outbox.layout), Arc::clone(sink), state.clone());
        self.spawn(async move { Ok(Answer::Delivered(work.await?)) });
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), JobError> {
        for effect in effects {
            match effect {
                Effect::Write { up_to } => self.write(up_to)?,
                Effect::Commit { entries, up_to } => self.commit(entries, up_to),
                Effect::PlanRolls { force: true } if self.has_queued() => self.last_plan_waits = true,
                Effect::PlanRolls { force } => {
                    let rolls = self.plan_rolls(force);
                    let effects = self.protocol.step(Event::RollsPlanned { rolls });
                    self.carry_out(effects)?;
                }
                Effect::Roll { table, roll } => self.roll(&table, roll)?,
                Effect::Done => self.done = true,
            }
        }
        Ok(())
    }

    /// Spawns work that answers. A failure ends the generation.
    fn spawn(&mut self, work: impl Future<Output = Result<Answer, JobError>> + Send + 'static) {
        let answer = self.answer.clone();
        self.tasks.spawn(async move {
            let result = work.await.unwrap_or_else(Answer::Failed);
            // Nobody listens any more when the generation has ended.
            let _ = answer.send(result).await;
        });
        while self.tasks.try_join_next().is_some() {}
    }

    fn write(&mut self, up_to: Epoch) -> Result<(), JobError> {
        let state = self.keyed.checkpoint(&self.environment)?;
        let mut tables: BTreeMap<TableId, TableRows> = BTreeMap::new();
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unwritten).into_iter().partition(|u| u.epoch <= up_to);
        self.unwritten = later;
        for unwritten in now {
            tables.entry(unwritten.table).or_default().extend(unwritten.rows);
        }
        let (spec, environment, generation) = (Arc::clone(&self.spec), self.environment.clone(), self.head.generation);
        self.spawn(async move {
            let mut segments = Vec::with_capacity(tables.len());
            for (table, rows) in tables {
                let committed_at = environment.clock.now_micros();
                let stamp = SegmentStamp { job: spec.id.clone(), generation, epoch: up_to, committed_at };
                let layout = &spec.sink(&table)?.layout;
                if let Some(segment) = write_segment(layout, stamp, &environment.entropy, rows).await? {
                    segments.push((table, segment));
                }
            }
            let state = match state {
                Some(pending) => Some(pending.write().await?),
                None => None,
            };
            Ok(Answer::Event(Event::Written { segments, state }))
        });
        Ok(())
    }

    fn commit(&mut self, entries: Vec<JobEntry>, up_to: Epoch) {
        let mut entries = entries;
        if let Target::Delivery { outbox, .. } = &self.spec.target {
            entries.extend(queue_entry(&outbox.layout.id, self.head.number.next(), &entries));
        }
        let (log, spec) = (Arc::clone(&self.log), Arc::clone(&self.spec));
        let (head, state) = (self.head.clone(), self.state.clone());
        self.spawn(async move {
            let (head, state) = commit(&log, &spec, &head, &state, entries).await?;
            Ok(Answer::Won { head, state: Box::new(state), up_to })
        });
    }

    fn plan_rolls(&self, force: bool) -> Vec<(TableId, Roll)> {
        let now = self.environment.clock.now_micros();
        let mut rolls = Vec::new();
        let outbox = matches!(self.spec.target, Target::Delivery { .. }).then(|| self.spec.target.table()).flatten();
        for sink in self.spec.sinks().filter(|s| outbox.is_none_or(|o| o.layout.id != s.layout.id)) {
            let Some(table) = self.state.tables.get(&sink.layout.id) else { continue };
            let request = RollRequest { job: &self.spec.id, generation: self.head.generation, now_micros: now, force };
            let planned = plan_rolls(table, &request, &sink.layout.options, self.environment.entropy.as_ref());
            rolls.extend(planned.into_iter().map(|r| (sink.layout.id.clone(), r)));
        }
        rolls
    }

    fn roll(&mut self, table: &TableId, roll: Roll) -> Result<(), JobError> {
        let layout = Arc::clone(&self.spec.sink(table)?.layout);
        let state: TableState = self.state.tables.get(table).cloned().unwrap_or_default();
        let table = table.clone();
        self.spawn(async move {
            let file = execute_roll(&layout, &state, &roll).await?;
            Ok(Answer::Event(Event::RollDone { table, path: roll.path, rows: file.rows, bytes: file.bytes }))
        });
        Ok(())
    }

    /// Looks for new splits; they are committed with the next checkpoint and opened after it.
    fn discover(&mut self) {
        let (inputs, state) = (self.spec.plan.inputs.clone(), self.state.clone());
        self.spawn(async move {
            let entries = match Look::at(&inputs).await {
                Ok(look) => look.entries(&inputs, &state)?,
                Err(error) => {
                    // The readers have their own reconnects; a look that fails is tried again at the next turn.
                    tracing::debug!(%error, "looking for new splits failed");
                    Vec::new()
                }
            };
            Ok(Answer::NewSplits(entries))
        });
    }
}

/// Applies entries and wins the next number with them.
async fn commit(
    log: &Log<JobState>,
    spec: &JobSpec,
    head: &Head,
    state: &JobState,
    entries: Vec<JobEntry>,
) -> Result<(Head, JobState), JobError> {
    let mut state = state.clone();
    for entry in &entries {
        state.apply(entry).map_err(|e| JobError::Internal(format!("job {}: {e}", spec.id)))?;
    }
    match log.commit(head, &state, entries).await? {
        Commit::Won(head) => Ok((head, state)),
        Commit::Fenced { .. } => Err(JobError::Fenced(spec.name.clone())),
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// True if the interval is due; doesn't wait.
async fn poll_tick(interval: &mut tokio::time::Interval) -> bool {
    futures::future::poll_fn(|context| std::task::Poll::Ready(interval.poll_tick(context).is_ready())).await
}
