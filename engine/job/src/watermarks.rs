//! How far event time has come: per split, and for the job.
//!
//! A split's watermark is the latest event time among its rows less the table's delay. The job's watermark is the least
//! of those of all splits that are not *idle*: attached, at the end of their log, and without rows for a while. A split
//! that has given no row yet and is not idle holds the job's watermark back. Neither ever falls. Watermarks and idle
//! splits stand in the log, so that a restored job goes on with them.

use salamander_planner::JobInput;
use salamander_types::manifest::{JobEntry, JobState};
use salamander_types::{SplitId, TableId};
use std::collections::{BTreeMap, BTreeSet};

/// The watermark once all input has been read.
pub(crate) const END: i64 = i64::MAX;

/// The watermarks of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SourceTime {
    delay_micros: i64,
    drift_micros: Option<i64>,
    splits: BTreeMap<SplitId, i64>,
    idle: BTreeSet<SplitId>,
    /// All splits that are being read.
    attached: BTreeSet<SplitId>,
    /// When each split's watermark last moved, as far as this generation knows; microseconds since 1970.
    moved_at: BTreeMap<SplitId, i64>,
}

/// How far event time has come in one split of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitTime {
    /// The source table.
    pub table: TableId,
    /// The split.
    pub split: SplitId,
    /// Its watermark, in microseconds since 1970; none before its first row.
    pub watermark: Option<i64>,
    /// At its end and silent: it doesn't hold the job's watermark.
    pub idle: bool,
    /// The job's watermark can't move on before this one's does.
    pub holds: bool,
    /// When its watermark last moved, as far as this generation knows; microseconds since 1970.
    pub moved_at: Option<i64>,
}

/// The watermarks of a job. Sources without a `WATERMARK FOR` have none, and don't count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watermarks {
    sources: BTreeMap<TableId, SourceTime>,
    job: Option<i64>,
}

impl Watermarks {
    /// As the log left them.
    pub(crate) fn restore(inputs: &[JobInput], state: &JobState) -> Self {
        let timed = inputs.iter().filter_map(|i| Some((&i.stream.id, i.stream.event_time?)));
        let sources = timed.map(|(table, time)| {
            let known = state.sources.get(table).cloned().unwrap_or_default();
            let source = SourceTime {
                delay_micros: time.delay_micros,
                drift_micros: time.drift_micros,
                splits: known.watermarks,
                idle: known.idle,
                ..SourceTime::default()
            };
            (table.clone(), source)
        });
        Self { sources: sources.collect(), job: state.watermark }
    }

    /// True if any source has an event time.
    pub(crate) fn any(&self) -> bool {
        !self.sources.is_empty()
    }

    /// A split has given rows, the latest of them at this time. `now` is the clock's, for people.
    pub(crate) fn observe(&mut self, table: &TableId, split: &SplitId, latest: i64, now: i64) {
        let Some(source) = self.sources.get_mut(table) else { return };
        let watermark = latest.saturating_sub(source.delay_micros);
        let known = source.splits.get(split).copied();
        if known.is_none_or(|known| known < watermark) {
            source.splits.insert(split.clone(), watermark);
            source.moved_at.insert(split.clone(), now);
        }
        source.idle.remove(split);
    }

    /// The splits that are being read, and which of them hold the job's watermark.
    pub(crate) fn describe(&self) -> Vec<SplitTime> {
        let awake = |source: &SourceTime, split: &SplitId| !source.idle.contains(split);
        let all =
            || self.sources.iter().flat_map(|(table, source)| source.attached.iter().map(move |s| (table, source, s)));
        // None, a split without rows, is less than any watermark.
        let least =
            all().filter(|(_, source, split)| awake(source, split)).map(|(_, s, split)| s.splits.get(split)).min();
        let of = |(table, source, split): (&TableId, &SourceTime, &SplitId)| SplitTime {
            table: table.clone(),
            split: split.clone(),
            watermark: source.splits.get(split).copied(),
            idle: !awake(source, split),
            holds: awake(source, split) && Some(source.splits.get(split)) == least,
            moved_at: source.moved_at.get(split).copied(),
        };
        all().map(of).collect()
    }

    /// Which splits are being read, and which of them are idle. True if the idle ones have changed.
    pub(crate) fn set_splits(&mut self, table: &TableId, splits: &[(SplitId, bool)]) -> bool {
        let Some(source) = self.sources.get_mut(table) else { return false };
        source.attached = splits.iter().map(|(split, _)| split.clone()).collect();
        let idle: BTreeSet<_> = splits.iter().filter(|(_, idle)| *idle).map(|(split, _)| split.clone()).collect();
        let changed = idle != source.idle;
        source.idle = idle;
        changed
    }

    /// The job's watermark now.
    pub(crate) fn advance(&mut self) -> Option<i64> {
        let mut least: Option<i64> = None;
        for source in self.sources.values() {
            for split in source.attached.difference(&source.idle) {
                let Some(watermark) = source.splits.get(split) else { return self.job };
                least = Some(least.map_or(*watermark, |l| l.min(*watermark)));
            }
        }
        self.job = self.job.max(least);
        self.job
    }

    /// The splits that are further ahead of the least watermark than their source allows. None while a split that
    /// isn't idle has given no row: there is nothing to be measured by.
    pub(crate) fn ahead(&self) -> BTreeSet<(TableId, SplitId)> {
        if self.sources.values().all(|source| source.drift_micros.is_none()) {
            return BTreeSet::new();
        }
        let awake = |(table, source): (_, _)| {
            let source: &SourceTime = source;
            source.attached.difference(&source.idle).map(move |split| (table, source, split))
        };
        let all = || self.sources.iter().flat_map(awake);
        let Some(Some(least)) = all().map(|(_, source, split)| source.splits.get(split)).min() else {
            return BTreeSet::new();
        };
        let is_ahead = |source: &SourceTime, split: &SplitId| {
            let drift = source.drift_micros.zip(source.splits.get(split));
            drift.is_some_and(|(drift, at)| at.saturating_sub(*least) > drift)
        };
        let ahead = all().filter(|(_, source, split)| is_ahead(source, split));
        ahead.map(|(table, _, split): (&TableId, _, _)| (table.clone(), split.clone())).collect()
    }

    /// The job's watermark as it was last worked out.
    pub(crate) fn job(&self) -> Option<i64> {
        self.job
    }

    /// All input has been read: nothing can come that is earlier than anything. False if that was known.
    pub(crate) fn end(&mut self) -> bool {
        let known = self.job == Some(END);
        self.job = Some(END);
        !known
    }

    /// The watermarks of a source's splits.
    pub(crate) fn splits(&self, table: &TableId) -> impl Iterator<Item = (&SplitId, i64)> {
        self.sources.get(table).into_iter().flat_map(|source| source.splits.iter().map(|(split, at)| (split, *at)))
    }

    /// What the log says of them.
    pub(crate) fn entries(&self) -> Vec<JobEntry> {
        let sources = self.sources.iter().map(|(table, source)| JobEntry::Watermarks {
            table: table.clone(),
            splits: source.splits.clone(),
            idle: source.idle.clone(),
        });
        sources.chain(self.job.map(|micros| JobEntry::JobWatermark { micros })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> SplitId {
        SplitId::new(name)
    }

    fn two_splits() -> (TableId, Watermarks) {
        let table = TableId::from_text("t1");
        let source = SourceTime { delay_micros: 10, ..SourceTime::default() };
        (table.clone(), Watermarks { sources: [(table, source)].into(), job: None })
    }

    #[test]
    fn the_least_split_holds_the_job_unless_it_is_idle() {
        let (table, mut marks) = two_splits();
        marks.set_splits(&table, &[(split("0"), false), (split("1"), false)]);
        marks.observe(&table, &split("0"), 100, 1);
        assert_eq!(marks.advance(), None, "a split without rows that is not idle holds the watermark");
        marks.observe(&table, &split("1"), 50, 2);
        assert_eq!(marks.advance(), Some(40));
        assert!(marks.set_splits(&table, &[(split("0"), false), (split("1"), true)]));
        assert_eq!(marks.advance(), Some(90));
        // A waking split doesn't take it back.
        marks.observe(&table, &split("1"), 60, 3);
        assert_eq!(marks.advance(), Some(90));
        marks.observe(&table, &split("0"), 20, 4);
        assert_eq!(marks.advance(), Some(90), "late rows change nothing");
    }

    #[test]
    fn who_holds_the_watermark() {
        let (table, mut marks) = two_splits();
        marks.set_splits(&table, &[(split("0"), false), (split("1"), false)]);
        marks.observe(&table, &split("0"), 100, 7);
        let shown = |marks: &Watermarks| -> Vec<_> {
            marks.describe().into_iter().map(|s| (s.watermark, s.idle, s.holds, s.moved_at)).collect()
        };
        assert_eq!(shown(&marks), [(Some(90), false, false, Some(7)), (None, false, true, None)]);
        marks.observe(&table, &split("1"), 50, 8);
        marks.observe(&table, &split("1"), 45, 9);
        assert_eq!(shown(&marks), [(Some(90), false, false, Some(7)), (Some(40), false, true, Some(8))]);
        marks.set_splits(&table, &[(split("0"), false), (split("1"), true)]);
        assert_eq!(shown(&marks), [(Some(90), false, true, Some(7)), (Some(40), true, false, Some(8))]);
    }

    #[test]
    fn entries_restore() {
        use salamander_types::manifest::LogState;
        let (table, mut marks) = two_splits();
        marks.set_splits(&table, &[(split("0"), false), (split("1"), true)]);
        marks.observe(&table, &split("0"), 100, 1);
        marks.advance();
        let mut state = JobState::default();
        for entry in marks.entries() {
            state.apply(&entry).unwrap();
        }
        assert_eq!(state.watermark, Some(90));
        assert_eq!(state.sources[&table].watermarks, [(split("0"), 90)].into());
        assert_eq!(state.sources[&table].idle, [split("1")].into());
    }
}
