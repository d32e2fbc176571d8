//! Where a reader starts, and the filter expression that says so.
//!
//! A consumer's source carries a filter `apache.org:selector-filter:string` with an expression over one annotation of the event:
//!
//! ```text
//! amqp.annotation.x-opt-offset > '-1'              everything            amqp.annotation.x-opt-offset > '@latest'   only what comes from now on
//! amqp.annotation.x-opt-offset >= '4096'           from that offset on   amqp.annotation.x-opt-sequence-number > '7'
//! amqp.annotation.x-opt-enqueued-time > '1796083200000'                  milliseconds since 1970
//! ```

/// Where a reader starts in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPosition {
    /// The first event that is still held.
    Earliest,
    /// After the last event at the moment of attaching.
    Latest,
    /// After the event at this offset, or at it.
    Offset {
        /// The offset.
        value: i64,
        /// Whether an event exactly there is wanted.
        inclusive: bool,
    },
    /// After the event with this sequence number, or at it.
    Sequence {
        /// The sequence number.
        value: i64,
        /// Whether an event exactly there is wanted.
        inclusive: bool,
    },
    /// The first event enqueued after this time, or at it.
    EnqueuedTime {
        /// Milliseconds since 1970-01-01 UTC.
        millis: i64,
        /// Whether an event exactly then is wanted.
        inclusive: bool,
    },
}

/// A filter expression that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the filter expression `{expression}` is not supported: {why}; expected amqp.annotation.x-opt-offset, x-opt-sequence-number or x-opt-enqueued-time, then > or >=, then a value in quotes"
)]
pub struct FilterError {
    expression: String,
    why: &'static str,
}

impl StartPosition {
    /// Reads a filter expression.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        parse(expression.trim()).map_err(|why| FilterError { expression: expression.to_owned(), why })
    }
}

fn parse(expression: &str) -> Result<StartPosition, &'static str> {
    let (annotation, rest) = expression.split_once('>').ok_or("it has no >")?;
    let (inclusive, value) = match rest.strip_prefix('=') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let value = value
        .trim()
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''))
        .ok_or("its value is not in single quotes")?;
    let annotation =
        annotation.trim().strip_prefix("amqp.annotation.").ok_or("it does not begin with amqp.annotation.")?;
    let number = || value.parse::<i64>().map_err(|_| "its value is not a number");
    match annotation {
        "x-opt-offset" => match value {
            "-1" => Ok(StartPosition::Earliest),
            "@latest" => Ok(StartPosition::Latest),
            _ => Ok(StartPosition::Offset { value: number()?, inclusive }),
        },
        "x-opt-sequence-number" => match value {
            "@latest" => Ok(StartPosition::Latest),
            _ => Ok(StartPosition::Sequence { value: number()?, inclusive }),
        },
        "x-opt-enqueued-time" | "x-opt-enqueuedtimeutc" => {
            Ok(StartPosition::EnqueuedTime { millis: number()?, inclusive })
        }
        _ => Err("it names another annotation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_as_the_sdks_write_them() {
        let cases = [
            ("amqp.annotation.x-opt-offset > '-1'", StartPosition::Earliest),
            ("amqp.annotation.x-opt-offset > '@latest'", StartPosition::Latest),
            ("amqp.annotation.x-opt-offset >= '4096'", StartPosition::Offset { value: 4096, inclusive: true }),
            ("amqp.annotation.x-opt-offset >'12'", StartPosition::Offset { value: 12, inclusive: false }),
            ("amqp.annotation.x-opt-sequence-number > '7'", StartPosition::Sequence { value: 7, inclusive: false }),
            ("amqp.annotation.x-opt-sequence-number >='7'", StartPosition::Sequence { value: 7, inclusive: true }),
            (
                "amqp.annotation.x-opt-enqueued-time > '1796083200000'",
                StartPosition::EnqueuedTime { millis: 1_796_083_200_000, inclusive: false },
            ),
        ];
        for (expression, expected) in cases {
            assert_eq!(StartPosition::parse(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (expression, why) in [
            ("x-opt-offset > '1'", "amqp.annotation"),
            ("amqp.annotation.x-opt-offset = '1'", "no >"),
            ("amqp.annotation.x-opt-offset > 1", "quotes"),
            ("amqp.annotation.x-opt-offset > 'one'", "not a number"),
            ("amqp.annotation.x-opt-colour > '1'", "another annotation"),
            ("", "no >"),
        ] {
            let error = StartPosition::parse(expression).unwrap_err().to_string();
            assert!(error.contains(why), "{expression}: {error}");
        }
    }
}
