//! The machine against a simulated shell: a world of epochs, segments, rolls and a log, in any order that a real
//! shell could answer in, with crashes at any point.

use super::*;
use proptest::prelude::*;
use salamander_types::manifest::{JobState, LogState, PartRef, SegmentPart};
use salamander_types::{Position, SplitId};

/// What a real shell has in flight.
#[derive(Debug, Clone)]
enum Pending {
    Write(Epoch),
    Commit(Vec<JobEntry>, Epoch),
    Plan(bool),
    Roll(TableId, Roll),
}

#[derive(Debug)]
struct World {
    machine: Protocol,
    pending: Vec<Pending>,
    log: JobState,
    /// Rows by epoch: number of the first row, rows. Not yet written.
    unwritten: Vec<(Epoch, u64)>,
    epoch: Epoch,
    /// The next row to read from the one source.
    next_row: u64,
    committed_rows: u64,
    names: u64,
    done: bool,
    finished_asked: bool,
}

fn table() -> TableId {
    TableId::from_text("t1")
}

fn source() -> TableId {
    TableId::from_text("s1")
}

impl World {
    fn new() -> Self {
        let mut log = JobState::default();
        let entry = JobEntry::Table { table: table(), location: "/x".into(), partition_columns: vec![] };
        log.apply(&entry).unwrap();
        let (machine, effects) = Protocol::begin(Counters::default(), vec![]);
        assert!(effects.is_empty());
        Self {
            machine,
            pending: vec![],
            log,
            unwritten: vec![],
            epoch: Epoch(0),
            next_row: 0,
            committed_rows: 0,
            names: 0,
            done: false,
            finished_asked: false,
        }
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(event) {
            match effect {
                Effect::Write { up_to } => self.pending.push(Pending::Write(up_to)),
                Effect::Commit { entries, up_to } => {
                    assert!(
                        !self.pending.iter().any(|p| matches!(p, Pending::Commit(..) | Pending::Write(_))),
                        "two checkpoints in flight"
                    );
                    self.pending.push(Pending::Commit(entries, up_to));
                }
                Effect::PlanRolls { force } => self.pending.push(Pending::Plan(force)),
                Effect::Roll { table, roll } => self.pending.push(Pending::Roll(table, roll)),
                Effect::Done => {
                    assert!(!self.done, "done twice");
                    self.done = true;
                }
            }
        }
    }

    fn run_epoch(&mut self, rows: u64) {
        if self.machine.is_ending() {
            return;
        }
        self.epoch = self.epoch.next();
        self.next_row += rows;
        self.unwritten.push((self.epoch, rows));
        let cursor = Cursor::from([(SplitId::new("0"), Position::at(self.next_row))]);
        let counters = Counters { rows_read: self.next_row, ..Counters::default() };
        self.step(Event::EpochDone {
            epoch: self.epoch,
            moved: [(source(), cursor)].into(),
            counters,
            event_time: vec![],
        });
    }

    fn answer(&mut self, at: usize) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(at % self.pending.len()) {
            Pending::Write(up_to) => {
                let (now, later): (Vec<_>, Vec<_>) = self.unwritten.drain(..).partition(|(e, _)| *e <= up_to);
                self.unwritten = later;
                let rows: u64 = now.iter().map(|(_, r)| r).sum();
                let segments = if rows == 0 { vec![] } else { vec![(table(), self.segment(rows, up_to))] };
                self.step(Event::Written { segments, state: None });
            }
            Pending::Commit(entries, _) => {
                for entry in &entries {
                    self.log.apply(entry).expect("the entries fold");
                    if let JobEntry::Segment { segment, .. } = entry {
                        self.committed_rows += segment.parts.iter().map(|p| p.rows).sum::<u64>();
                    }
                }
                self.check_log();
                self.step(Event::Committed);
            }
            Pending::Plan(force) => {
                let rolls = self.plan_rolls(force);
                self.step(Event::RollsPlanned { rolls });
            }
            Pending::Roll(table, roll) => {
                assert!(self.log.tables[&table].rolls.contains_key(&roll.path), "a roll before its commit");
                let state = &self.log.tables[&table];
                let rows = roll.parts.iter().map(|p| state.segments[&p.segment].parts[p.part].rows).sum();
                self.step(Event::RollDone { table, path: roll.path, rows, bytes: 1 });
            }
        }
    }

    fn segment(&mut self, rows: u64, epoch: Epoch) -> Segment {
        self.names += 1;
        let part = SegmentPart { values: vec![], rows, offset: 0, bytes: rows, roll: None };
        Segment {
            path: format!("s{}", self.names),
            bytes: rows,
            checksum: String::new(),
            parts: vec![part],
            committed_at: 0,
            epoch,
        }
    }

    fn plan_rolls(&mut self, force: bool) -> Vec<(TableId, Roll)> {
        let state = &self.log.tables[&table()];
        let parts: Vec<_> = state
            .segments
            .values()
            .filter(|s| s.parts[0].roll.is_none())
            .map(|s| PartRef { segment: s.path.clone(), part: 0 })
            .collect();
        if parts.is_empty() || (parts.len() < 3 && !force) {
            return vec![];
        }
        self.names += 1;
        vec![(table(), Roll { path: format!("f{}", self.names), values: vec![], parts })]
    }

    /// The committed position is the number of committed rows; readers see each committed row exactly once.
    fn check_log(&self) {
        let position = self.log.sources.get(&source()).map_or(0, |s| s.cursor.values().map(|p| p.next).sum::<u64>());
        assert_eq!(position, self.committed_rows);
        assert_eq!(self.log.counters.rows_read, self.committed_rows);
        let state = &self.log.tables[&table()];
        let in_files: u64 = state.files.values().map(|f| f.rows).sum();
        let in_parts: u64 = state.live_parts().map(|(_, p)| p.rows).sum();
        assert_eq!(in_files + in_parts, self.committed_rows);
    }

    /// Everything in flight is lost; a new generation begins from the log.
    fn crash(&mut self) {
        self.pending.clear();
        self.unwritten.clear();
        self.epoch = Epoch(0);
        self.next_row = self.committed_rows;
        self.done = false;
        let half_done =
            self.log.tables.iter().flat_map(|(t, s)| s.rolls.values().map(move |r| (t.clone(), r.clone()))).collect();
        let (machine, effects) = Protocol::begin(self.log.counters, half_done);
        self.machine = machine;
        for effect in effects {
            let Effect::Roll { table, roll } = effect else { panic!("only rolls are redone") };
            self.pending.push(Pending::Roll(table, roll));
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Epoch(u64),
    Due,
    Answer(usize),
    Crash,
    End(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u64..5).prop_map(Act::Epoch),
        3 => Just(Act::Due),
        6 => any::<usize>().prop_map(Act::Answer),
        1 => Just(Act::Crash),
        1 => any::<bool>().prop_map(Act::End),
    ]
}

proptest! {
    #[test]
    fn every_row_once_whatever_happens(acts in prop::collection::vec(act(), 0..200)) {
        let mut world = World::new();
        for act in acts {
            match act {
                Act::Epoch(rows) => world.run_epoch(rows),
                Act::Due => world.step(Event::Due),
                Act::Answer(at) => world.answer(at),
                Act::Crash => world.crash(),
                Act::End(finish) => {
                    world.finished_asked = finish && !world.machine.is_ending();
                    let ending = if finish { Ending::Finish { reason: "r".into() } } else { Ending::Pause };
                    world.step(Event::End(ending));
                }
            }
        }
        // Told to end, it ends, with all rows committed; finished, all rows are in files.
        let finish = !world.machine.is_ending() || world.finished_asked;
        world.step(Event::End(Ending::Finish { reason: "end".into() }));
        for _ in 0..1000 {
            world.answer(0);
        }
        prop_assert!(world.done);
        prop_assert_eq!(world.committed_rows, world.next_row);
        if finish && world.log.finished.is_some() {
            let state = &world.log.tables[&table()];
            prop_assert_eq!(state.files.values().map(|f| f.rows).sum::<u64>(), world.next_row);
        }
    }
}

#[test]
fn epochs_go_on_while_a_checkpoint_is_in_flight() {
    let mut world = World::new();
    world.run_epoch(10);
    world.step(Event::Due);
    world.run_epoch(5);
    world.answer(0);
    world.run_epoch(1);
    assert!(matches!(&world.pending[..], [Pending::Commit(_, Epoch(1))]));
    world.answer(0);
    assert_eq!((world.committed_rows, world.next_row), (10, 16));
}

#[test]
fn nothing_new_is_not_committed() {
    let mut world = World::new();
    world.step(Event::Due);
    assert!(world.pending.is_empty());
}
