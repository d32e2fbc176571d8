//! The decisions behind one log number, without IO: what to do after each answer of the store.
//!
//! ```text
//!            Created                      newest = n
//!  ┌─▶ PUT n ──────────────────▶ LIST ──────────────▶ won
//!  │    │ │  Exists      own id  ▲ │ │   newest > n
//!  │    │ └────────▶ READ n ─────┘ │ └─────────────▶ fenced
//!  │    │ unclear     │ │          │ unclear, or n itself isn't shown
//!  └────┴── rest ◀────┘ │          └── rest, LIST again
//!             missing   └─▶ another's id: fenced
//! ```
//!
//! Why each arrow is there (rules 1 to 3 of docs/protocol.md):
//! - "already exists" may be one's own success: stores repeat a create after a server error. The id in the object
//!   tells.
//! - After an unclear answer (a timeout, a server error, a sync that failed) the *same bytes* are put again. Finding
//!   one's own object by reading would not be enough: on a disk it may be visible and not durable.
//! - The number counts only once a listing begun afterwards shows nothing above it. A writer that slept may win a
//!   number that retention has deleted meanwhile; since the newest object is never deleted, the listing shows it.
//! - When patience ends, the outcome is *unknown*, never "failed": a put may still land.

use salamander_types::{Generation, LogNumber, WriterId};
use std::time::Duration;

/// How long to insist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Answers that helped nothing, after which the outcome is unknown.
    pub attempts: u32,
    /// The pause after the first such answer. It doubles each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 10, first_pause: Duration::from_millis(50), longest_pause: Duration::from_secs(5) }
    }
}

impl RetryPolicy {
    /// The pause after so many answers that helped nothing.
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }
}

/// Who is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The number that is taken, or the newest one.
    pub number: LogNumber,
    /// Its generation, if the object could be read.
    pub generation: Option<Generation>,
    /// Its writer, if the object could be read.
    pub writer: Option<WriterId>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The caller wants the number.
    Begin,
    /// The store has answered the put.
    Put(PutAnswer),
    /// The object at the number was read.
    Read(ReadAnswer),
    /// The log was listed.
    Listed(ListAnswer),
    /// The pause is over.
    Rested,
}

/// A store's answer to creating the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutAnswer {
    /// It is written.
    Created,
    /// Something is there already.
    Exists,
    /// This put has surely had no effect, and will have none if it is repeated.
    Refused,
    /// Anything else.
    Unclear,
}

/// What stands at the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadAnswer {
    /// The very object that was to be written.
    Own,
    /// Another's.
    Other(Rival),
    /// Nothing.
    Missing,
    /// It can't be said.
    Unclear,
}

/// What a listing shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListAnswer {
    /// The highest number from the wanted one on.
    Newest(Option<LogNumber>),
    /// It can't be said.
    Unclear,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the object (always with the same bytes).
    Put,
    /// Read what stands at the number.
    Read,
    /// List the log from the number on.
    List,
    /// Wait.
    Rest(Duration),
    /// It is over.
    End(Outcome),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The number is ours, and ours is the newest.
    Won,
    /// Another rules. What was to be committed may stand in the log or not.
    Fenced(Rival),
    /// The store refused, and nothing was written.
    Refused,
    /// It can't be said whether the object is there or will be.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Put,
    Read,
    List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expecting {
    Begin,
    Answer(Request),
    Rested(Request),
    Nothing,
}

/// The pursuit of one log number.
#[derive(Debug, Clone)]
pub struct Pursuit {
    number: LogNumber,
    policy: RetryPolicy,
    failures: u32,
    /// True once an earlier put may have had, or may yet have, an effect.
    may_be_written: bool,
    expecting: Expecting,
}

impl Pursuit {
    /// Before anything has happened.
    pub fn new(number: LogNumber, policy: RetryPolicy) -> Self {
        Self { number, policy, failures: 0, may_be_written: false, expecting: Expecting::Begin }
    }

    /// Answers that helped nothing, so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The next action. An event that wasn't asked for ends the pursuit as unknown, which is always safe.
    pub fn step(&mut self, event: Event) -> Action {
        match (self.expecting, event) {
            (Expecting::Begin, Event::Begin) => self.ask(Request::Put),
            (Expecting::Rested(then), Event::Rested) => self.ask(then),
            (Expecting::Answer(Request::Put), Event::Put(answer)) => self.after_put(&answer),
            (Expecting::Answer(Request::Read), Event::Read(answer)) => self.after_read(answer),
            (Expecting::Answer(Request::List), Event::Listed(answer)) => self.after_listing(&answer),
            _ => self.end(Outcome::Unknown),
        }
    }

    fn after_put(&mut self, answer: &PutAnswer) -> Action {
        match answer {
            PutAnswer::Created => self.ask(Request::List),
            PutAnswer::Exists => self.ask(Request::Read),
            PutAnswer::Refused if !self.may_be_written => self.end(Outcome::Refused),
            PutAnswer::Refused => self.rest_before(Request::Put),
            PutAnswer::Unclear => {
                self.may_be_written = true;
                self.rest_before(Request::Put)
            }
        }
    }

    fn after_read(&mut self, answer: ReadAnswer) -> Action {
        match answer {
            ReadAnswer::Own => self.ask(Request::List),
            ReadAnswer::Other(rival) => self.end(Outcome::Fenced(rival)),
            ReadAnswer::Missing => {
                // It existed a moment ago: perhaps ours, perhaps deleted by retention.
                self.may_be_written = true;
                self.rest_before(Request::Put)
            }
            ReadAnswer::Unclear => self.rest_before(Request::Read),
        }
    }

    fn after_listing(&mut self, answer: &ListAnswer) -> Action {
        match answer {
            ListAnswer::Newest(Some(newest)) if *newest == self.number => self.end(Outcome::Won),
            ListAnswer::Newest(Some(newest)) if *newest > self.number => {
                self.end(Outcome::Fenced(Rival { number: *newest, generation: None, writer: None }))
            }
            ListAnswer::Newest(_) | ListAnswer::Unclear => self.rest_before(Request::List),
        }
    }

    fn ask(&mut self, request: Request) -> Action {
        self.expecting = Expecting::Answer(request);
        match request {
            Request::Put => Action::Put,
            Request::Read => Action::Read,
            Request::List => Action::List,
        }
    }

    fn rest_before(&mut self, request: Request) -> Action {
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return self.end(Outcome::Unknown);
        }
        self.expecting = Expecting::Rested(request);
        Action::Rest(self.policy.pause(self.failures))
    }

    fn end(&mut self, outcome: Outcome) -> Action {
        self.expecting = Expecting::Nothing;
        Action::End(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    /// The actions that a sequence of answers leads to.
    fn check(answers: Vec<Event>, expected: Expect) {
        let policy = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
        let mut pursuit = Pursuit::new(LogNumber(7), policy);
        let mut trace = format!("{:?}\n", pursuit.step(Event::Begin));
        for answer in answers {
            trace += &format!("{:?}\n", pursuit.step(answer));
        }
        expected.assert_eq(&trace);
    }

    const CREATED: Event = Event::Put(PutAnswer::Created);
    const EXISTS: Event = Event::Put(PutAnswer::Exists);
    const UNCLEAR: Event = Event::Put(PutAnswer::Unclear);
    const REFUSED: Event = Event::Put(PutAnswer::Refused);

    fn newest(number: u64) -> Event {
        Event::Listed(ListAnswer::Newest(Some(LogNumber(number))))
    }

    fn other(number: u64) -> Event {
        Event::Read(ReadAnswer::Other(Rival {
            number: LogNumber(number),
            generation: Some(Generation(2)),
            writer: None,
        }))
    }

    #[test]
    fn a_created_object_counts_after_the_listing() {
        check(
            vec![CREATED, newest(7)],
            expect![[r#"
                Put
                List
                End(Won)
            "#]],
        );
    }

    #[test]
    fn a_number_below_others_is_not_a_success() {
        check(
            vec![CREATED, newest(9)],
            expect![[r#"
                Put
                List
                End(Fenced(Rival { number: LogNumber(9), generation: None, writer: None }))
            "#]],
        );
    }

    #[test]
    fn ones_own_success_may_come_back_as_already_exists() {
        check(
            vec![EXISTS, Event::Read(ReadAnswer::Own), newest(7)],
            expect![[r#"
                Put
                Read
                List
                End(Won)
            "#]],
        );
    }

    #[test]
    fn anothers_object_fences() {
        check(
            vec![EXISTS, other(7)],
            expect![[r#"
                Put
                Read
                End(Fenced(Rival { number: LogNumber(7), generation: Some(Generation(2)), writer: None }))
            "#]],
        );
    }

    #[test]
    fn after_a_timeout_the_same_is_put_again() {
        check(
            vec![UNCLEAR, Event::Rested, EXISTS, Event::Read(ReadAnswer::Own), newest(7)],
            expect![[r#"
                Put
                Rest(50ms)
                Put
                Read
                List
                End(Won)
            "#]],
        );
    }

    #[test]
    fn a_refusal_is_final_only_while_nothing_can_be_written() {
        check(
            vec![REFUSED],
            expect![[r#"
                Put
                End(Refused)
            "#]],
        );
        check(
            vec![UNCLEAR, Event::Rested, REFUSED, Event::Rested, REFUSED],
            expect![[r#"
                Put
                Rest(50ms)
                Put
                Rest(100ms)
                Put
                End(Unknown)
            "#]],
        );
    }

    #[test]
    fn patience_ends_as_unknown() {
        check(
            vec![CREATED, Event::Listed(ListAnswer::Unclear), Event::Rested, Event::Listed(ListAnswer::Newest(None))],
            expect![[r#"
                Put
                List
                Rest(50ms)
                List
                Rest(100ms)
            "#]],
        );
        check(
            vec![UNCLEAR, Event::Rested, UNCLEAR, Event::Rested, UNCLEAR],
            expect![[r#"
                Put
                Rest(50ms)
                Put
                Rest(100ms)
                Put
                End(Unknown)
            "#]],
        );
    }

    #[test]
    fn an_object_that_vanished_is_put_again() {
        check(
            vec![EXISTS, Event::Read(ReadAnswer::Missing), Event::Rested, CREATED, newest(12)],
            expect![[r#"
                Put
                Read
                Rest(50ms)
                Put
                List
                End(Fenced(Rival { number: LogNumber(12), generation: None, writer: None }))
            "#]],
        );
    }

    #[test]
    fn what_was_not_asked_for_is_no_success() {
        check(
            vec![newest(7), CREATED],
            expect![[r#"
                Put
                End(Unknown)
                End(Unknown)
            "#]],
        );
    }

    fn answers() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..12u8, 0..60)
    }

    /// An answer to what was asked, chosen by a number.
    fn answer(asked: &Action, choice: u8) -> Event {
        let rival = Rival { number: LogNumber(7), generation: None, writer: None };
        match asked {
            Action::Put => Event::Put(match choice % 4 {
                0 => PutAnswer::Created,
                1 => PutAnswer::Exists,
                2 => PutAnswer::Refused,
                _ => PutAnswer::Unclear,
            }),
            Action::Read => Event::Read(match choice % 4 {
                0 => ReadAnswer::Own,
                1 => ReadAnswer::Other(rival),
                2 => ReadAnswer::Missing,
                _ => ReadAnswer::Unclear,
            }),
            Action::List => Event::Listed(match choice % 5 {
                0 => ListAnswer::Newest(Some(LogNumber(7))),
                1 => ListAnswer::Newest(Some(LogNumber(8))),
                2 => ListAnswer::Newest(Some(LogNumber(6))),
                3 => ListAnswer::Newest(None),
                _ => ListAnswer::Unclear,
            }),
            Action::Rest(_) | Action::End(_) => Event::Rested,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn whatever_is_answered(choices in answers()) {
            let policy = RetryPolicy { attempts: 5, ..RetryPolicy::default() };
            let mut pursuit = Pursuit::new(LogNumber(7), policy);
            let mut action = pursuit.step(Event::Begin);
            let mut confirmed = false; // The store has said that our object is there, since the last put.
            let mut unclear = false; // A put may have had an effect unnoticed.
            for choice in choices {
                if matches!(action, Action::End(_)) {
                    break;
                }
                let event = answer(&action, choice);
                match &event {
                    Event::Put(put) => {
                        confirmed = *put == PutAnswer::Created;
                        unclear |= *put == PutAnswer::Unclear;
                    }
                    Event::Read(read) => {
                        confirmed = *read == ReadAnswer::Own;
                        unclear |= *read == ReadAnswer::Missing;
                    }
                    _ => {}
                }
                let shown_newest = event == Event::Listed(ListAnswer::Newest(Some(LogNumber(7))));
                action = pursuit.step(event);
                match &action {
                    Action::End(Outcome::Won) => prop_assert!(confirmed && shown_newest),
                    Action::End(Outcome::Refused) => prop_assert!(!confirmed && !unclear),
                    Action::Rest(pause) => prop_assert!(*pause <= policy.longest_pause),
                    _ => {}
                }
            }
            prop_assert!(pursuit.failures() <= policy.attempts);
        }
    }
}
