//! The newest bytes of a partition, kept in memory.
//!
//! A reader that keeps up with the writer gets its events from here, without touching a file. Only synced bytes are put in.

use std::collections::VecDeque;

use bytes::Bytes;

/// Runs of whole records, oldest first, each beginning where the one before ended.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    runs: VecDeque<(u64, Bytes)>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    /// An empty tail that holds at most about `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Adds a run that begins at `offset`, and forgets the oldest ones that exceed the limit (this one too, if it is alone).
    pub(crate) fn push(&mut self, offset: u64, run: Bytes) {
        if self.runs.back().is_some_and(|(start, last)| start + last.len() as u64 != offset) {
            self.clear();
        }
        self.bytes += run.len();
        self.runs.push_back((offset, run));
        while self.bytes > self.limit {
            let Some((_, old)) = self.runs.pop_front() else { break };
            self.bytes -= old.len();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.bytes = 0;
    }

    /// The bytes from `offset` to the end of the run that holds it; `None` when they are not here.
    pub(crate) fn read(&self, offset: u64) -> Option<Bytes> {
        let after = self.runs.partition_point(|(start, _)| *start <= offset);
        let (start, run) = self.runs.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(offset - start).ok()?;
        (skip < run.len()).then(|| run.slice(skip..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_what_it_still_holds() {
        let mut tail = Tail::new(8);
        tail.push(100, Bytes::from_static(b"abcd"));
        tail.push(104, Bytes::from_static(b"efgh"));
        assert_eq!(tail.read(102).as_deref(), Some(&b"cd"[..]));
        assert_eq!(tail.read(104).as_deref(), Some(&b"efgh"[..]));
        assert_eq!(tail.read(108), None);
        tail.push(108, Bytes::from_static(b"i"));
        assert_eq!(tail.read(103), None, "the oldest run was forgotten");
        assert_eq!(tail.read(108).as_deref(), Some(&b"i"[..]));
        tail.push(200, Bytes::from_static(b"z"));
        assert_eq!(tail.read(108), None, "a gap empties the tail");
    }
}
