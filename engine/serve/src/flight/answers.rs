//! Answers of statements that change something, kept for whoever fetches them.
//!
//! Such a statement is run within GetFlightInfo; its answer is a line or two for people. A bounded number of them wait
//! here. One that is gone costs its client that line, never the change.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Answers that are kept; with more, the oldest goes.
const MAX_ANSWERS: usize = 1_000;
/// An answer with more rows than this is cut: it is not a result.
const MAX_ROWS: usize = 10_000;

/// What a statement has answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

/// The answers that wait.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The number of the first one.
    first: u64,
    answers: VecDeque<Answer>,
}

impl Answers {
    /// Keeps an answer under a number.
    pub(crate) fn keep(&self, mut answer: Answer) -> u64 {
        let mut rows = 0;
        answer.batches.retain(|batch| {
            rows += batch.num_rows();
            rows <= MAX_ROWS
        });
        let mut kept = self.0.lock();
        kept.answers.push_back(answer);
        if kept.answers.len() > MAX_ANSWERS {
            kept.answers.pop_front();
            kept.first += 1;
        }
        kept.first + kept.answers.len() as u64 - 1
    }

    /// The answer with this number, if it is still there.
    pub(crate) fn get(&self, number: u64) -> Option<Answer> {
        let kept = self.0.lock();
        let place = usize::try_from(number.checked_sub(kept.first)?).ok()?;
        kept.answers.get(place).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    #[test]
    fn the_oldest_answers_go() {
        let answers = Answers::default();
        let answer = Answer { schema: Arc::new(Schema::empty()), batches: vec![] };
        let numbers: Vec<u64> = (0..=MAX_ANSWERS).map(|_| answers.keep(answer.clone())).collect();
        assert!(answers.get(numbers[0]).is_none());
        assert!(answers.get(numbers[1]).is_some() && answers.get(numbers[MAX_ANSWERS]).is_some());
        assert!(answers.get(u64::MAX).is_none());
    }
}
