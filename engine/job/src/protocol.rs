//! The checkpoint protocol of a job as a pure state machine: events in, effects out, no IO, no clock.
//!
//! One checkpoint is in flight at a time. It goes through two stages while epochs go on:
//!
//! ```text
//!   Idle ──due, new epochs──▶ Writing(up_to) ──Written──▶ Committing(up_to) ──Committed──▶ Idle
//!     └──────due, only facts (rolls, deletions)─────────────────▲
//! ```
//!
//! *Facts* are things that have become true beside the rows (a roll has been planned, a file is there, objects are
//! deleted): they wait for the next commit. The file of a roll is written only after the commit that announced it, and
//! readers take it only after the commit that says it is there.
//!
//! Failures are not events: whatever fails ends the generation, and the next one begins from the log.
//!
//! Invariants (property tests below): every epoch is in exactly one commit, in order; a commit's positions are those
//! of exactly the epochs that it and its forerunners hold; the entries of all commits fold without contradiction; once
//! told to end, the machine ends with nothing uncommitted.

use salamander_types::manifest::{Counters, JobEntry, Roll, Segment};
use salamander_types::state::StateChange;
use salamander_types::{Cursor, Epoch, TableId};
use std::collections::{BTreeMap, BTreeSet};

/// How a job is told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The process ends (SIGTERM): a final checkpoint, and the job goes on when the engine is back.
    Pause,
    /// The job is over: a final checkpoint, all rows rolled, and an entry that says why.
    Finish {
        /// Why, for people.
        reason: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An epoch has succeeded everywhere and is published.
    EpochDone {
        /// Which.
        epoch: Epoch,
        /// Positions that it moved, by source table.
        moved: BTreeMap<TableId, Cursor>,
        /// Totals after it.
        counters: Counters,
        /// How far event time has come after it (`Watermarks`, `JobWatermark`): replaces what the epoch before said.
        event_time: Vec<JobEntry>,
    },
    /// How far event time has come without an epoch (splits that became idle): replaces what was said before.
    EventTime(Vec<JobEntry>),
    /// The checkpoint interval has passed.
    Due,
    /// All rows of the epochs that were to be written are durable.
    Written {
        /// The objects.
        segments: Vec<(TableId, Segment)>,
        /// What has changed in the operators' state up to the same epoch; none if they keep none.
        state: Option<StateChange>,
    },
    /// The manifest is won.
    Committed,
    /// The answer to [`Effect::PlanRolls`].
    RollsPlanned {
        /// What is to become of what; may be empty.
        rolls: Vec<(TableId, Roll)>,
    },
    /// A roll's file is there, whole.
    RollDone {
        /// The table.
        table: TableId,
        /// The file's path.
        path: String,
        /// Its rows.
        rows: u64,
        /// Its size.
        bytes: u64,
    },
    /// Something else that the log should say at the next commit (deleted objects, delivered segments, a new split).
    Fact(JobEntry),
    /// The job is to end.
    End(Ending),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make the rows of all epochs up to this one, not yet written, durable as segments, and what has changed in the
    /// state; answer `Written`. It is the last epoch that was run: the state is taken as it is now.
    Write {
        /// The last epoch.
        up_to: Epoch,
    },
    /// PUT the next manifest; answer `Committed`.
    Commit {
        /// What it says.
        entries: Vec<JobEntry>,
        /// The last epoch whose rows it commits.
        up_to: Epoch,
    },
    /// Look which rolls are due by the committed state; answer `RollsPlanned`.
    PlanRolls {
        /// Roll whatever is there, due or not.
        force: bool,
    },
    /// Write the file of a committed roll; answer `RollDone`.
    Roll {
        /// The table.
        table: TableId,
        /// The roll.
        roll: Roll,
    },
    /// Nothing is left to do.
    Done,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Idle,
    Writing { up_to: Epoch },
    Committing { rolls: Vec<(TableId, Roll)> },
}

/// The machine. One per generation.
#[derive(Debug, Clone)]
pub struct Protocol {
    stage: Stage,
    /// The last epoch that has succeeded.
    done: Epoch,
    /// The last epoch whose rows are written or being written.
    frozen: Epoch,
    /// Positions moved since `frozen`.
    moved: BTreeMap<TableId, Cursor>,
    counters: Counters,
    event_time: Vec<JobEntry>,
    /// Positions, totals and event time as of the epoch that is being written.
    writing: (BTreeMap<TableId, Cursor>, Counters, Vec<JobEntry>),
    facts: Vec<JobEntry>,
    /// Rolls whose files are being written.
    rolling: BTreeSet<(TableId, String)>,
    planning: bool,
    due: bool,
    ending: Option<Ending>,
    last_rolls_planned: bool,
    finish_logged: bool,
    over: bool,
}

impl Protocol {
    /// A machine that begins from a restored state: totals, and rolls that were committed to but are not known to be
    /// done. The effects redo these.
    pub fn begin(counters: Counters, half_done: Vec<(TableId, Roll)>) -> (Self, Vec<Effect>) {
        let rolling = half_done.iter().map(|(t, r)| (t.clone(), r.path.clone())).collect();
        let machine = Self {
            stage: Stage::Idle,
            done: Epoch(0),
            frozen: Epoch(0),
            moved: BTreeMap::new(),
            counters,
            event_time: Vec::new(),
            writing: (BTreeMap::new(), counters, Vec::new()),
            facts: Vec::new(),
            rolling,
            planning: false,
            due: false,
            ending: None,
            last_rolls_planned: false,
            finish_logged: false,
            over: false,
        };
        let effects = half_done.into_iter().map(|(table, roll)| Effect::Roll { table, roll }).collect();
        (machine, effects)
    }

    /// True once the job has been told to end: no further epoch may begin.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Takes an event and returns what is to be done, in order.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::EpochDone { epoch, moved, counters, event_time } => {
                debug_assert!(epoch > self.done && self.ending.is_none());
                self.done = epoch;
                for (table, cursor) in moved {
                    self.moved.entry(table).or_default().extend(cursor);
                }
                self.counters = counters;
                self.event_time = event_time;
            }
            Event::EventTime(entries) => self.event_time = entries,
            Event::Due => self.due = true,
            Event::Written { segments, state } => self.written(segments, state, &mut effects),
            Event::Committed => self.committed(&mut effects),
            Event::RollsPlanned { rolls } => {
                self.planning = false;
                self.facts.extend(rolls.into_iter().map(|(table, roll)| JobEntry::Roll { table, roll }));
            }
            Event::RollDone { table, path, rows, bytes } => {
                self.rolling.remove(&(table.clone(), path.clone()));
                self.facts.push(JobEntry::Rolled { table, path, rows, bytes });
            }
            Event::Fact(entry) => self.facts.push(entry),
            Event::End(ending) => {
                // A finish is not taken back by a pause that comes later, nor the other way round: first come.
                self.ending.get_or_insert(ending);
            }
        }
        self.drive(&mut effects);
        effects
    }

    /// Begins the next stage if the machine is idle and there is a reason to.
    fn drive(&mut self, effects: &mut Vec<Effect>) {
        if self.stage != Stage::Idle || self.over {
            return;
        }
        let Some(ending) = self.ending.clone() else {
            if std::mem::take(&mut self.due) {
                self.checkpoint(effects);
            }
            return;
        };
        if self.checkpoint(effects) {
            return;
        }
        if let Ending::Finish { reason } = ending {
            if self.planning || !self.rolling.is_empty() {
                return;
            }
            if !self.last_rolls_planned {
                self.last_rolls_planned = true;
                self.planning = true;
                effects.push(Effect::PlanRolls { force: true });
                return;
            }
            if !self.finish_logged {
                self.finish_logged = true;
                self.facts.push(JobEntry::Finished { reason });
                self.checkpoint(effects);
                return;
            }
        }
        self.over = true;
        effects.push(Effect::Done);
    }

    /// Begins a checkpoint if anything is uncommitted.
    fn checkpoint(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.done > self.frozen {
            self.frozen = self.done;
            self.writing = (std::mem::take(&mut self.moved), self.counters, std::mem::take(&mut self.event_time));
            self.stage = Stage::Writing { up_to: self.done };
            effects.push(Effect::Write { up_to: self.done });
            true
        } else if self.facts.is_empty() && self.event_time.is_empty() {
            false
        } else {
            let mut facts = std::mem::take(&mut self.event_time);
            facts.append(&mut self.facts);
            self.commit(facts, self.frozen, effects);
            true
        }
    }

    fn written(&mut self, segments: Vec<(TableId, Segment)>, state: Option<StateChange>, effects: &mut Vec<Effect>) {
        let Stage::Writing { up_to } = self.stage else {
            debug_assert!(false, "Written out of turn");
            return;
        };
        let (moved, counters, event_time) = std::mem::take(&mut self.writing);
        let advance = moved.into_iter().map(|(table, cursor)| JobEntry::Advance { table, cursor });
        let segments = segments.into_iter().map(|(table, segment)| JobEntry::Segment { table, segment });
        let mut entries: Vec<_> = advance.chain(segments).collect();
        entries.extend(state.map(JobEntry::State));
        entries.extend(event_time);
        entries.push(JobEntry::Counters(counters));
        entries.append(&mut self.facts);
        self.commit(entries, up_to, effects);
    }

    fn commit(&mut self, entries: Vec<JobEntry>, up_to: Epoch, effects: &mut Vec<Effect>) {
        let rolls = entries.iter().filter_map(|e| match e {
            JobEntry::Roll { table, roll } => Some((table.clone(), roll.clone())),
            _ => None,
        });
        self.stage = Stage::Committing { rolls: rolls.collect() };
        effects.push(Effect::Commit { entries, up_to });
    }

    fn committed(&mut self, effects: &mut Vec<Effect>) {
        let Stage::Committing { rolls } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            debug_assert!(false, "Committed out of turn");
            return;
        };
        for (table, roll) in rolls {
            self.rolling.insert((table.clone(), roll.path.clone()));
            effects.push(Effect::Roll { table, roll });
        }
        let announced = self.facts.iter().any(|f| matches!(f, JobEntry::Roll { .. }));
        if self.ending.is_none() && !self.planning && self.rolling.is_empty() && !announced {
            self.planning = true;
            effects.push(Effect::PlanRolls { force: false });
        }
    }
}

#[cfg(test)]
mod tests;
