//! The table of all options: the one place that says what exists, what it takes, and what it means.
//!
//! Checks, defaults, error texts and the tables in docs/sql/statements.md all come from here.

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A single ASCII character.
    Char,
    /// A text that is not empty; `\t` stands for a tab, `\u0001` for a character by its code.
    Delimiter,
    /// A secret: it must be a reference, or in a connection string the development key.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number in a range, both ends included.
    Int(i64, i64),
    /// A number in a range, both ends included.
    Float(f64, f64),
    /// A duration such as `5 minutes`.
    Duration,
    /// A size such as `128 MB`.
    Size,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A place in a partitioned log: see [`crate::StartPosition`].
    StartPosition,
}

impl OptionKind {
    /// What is accepted, for errors and docs.
    pub fn accepts(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Char => r"a single ASCII character".into(),
            Self::Delimiter => {
                r"a text that is not empty (`\t` for a tab, `\u0001` for a character by its code)".into()
            }
            Self::Secret => "a reference such as `${VAR}` or `${file:PATH}`".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Int(low, i64::MAX) => format!("a whole number from {low}"),
            Self::Int(low, high) => format!("a whole number from {low} to {high}"),
            Self::Float(low, high) => format!("a number from {low} to {high}"),
            Self::Duration => "a duration such as `5 minutes` or `500 ms`".into(),
            Self::Size => "a size such as `128 MB` or `64 KB`".into(),
            Self::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or "),
            Self::StartPosition => "`earliest`, `latest`, `sequence:N`, `offset:N` or `time:RFC3339`".into(),
        }
    }
}

/// Whether an option must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must be given.
    Required,
    /// It may be left out, and then means nothing.
    Optional,
    /// It may be left out, and then has this value.
    Default(&'static str),
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// Its key, in lower case.
    pub key: &'static str,
    /// Other keys for it, known from elsewhere.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: OptionKind,
    /// Whether it must be given.
    pub presence: Presence,
    /// What it means: one or two sentences.
    pub doc: &'static str,
}

impl OptionSpec {
    const fn new(key: &'static str, kind: OptionKind, presence: Presence, doc: &'static str) -> Self {
        Self { key, aliases: &[], kind, presence, doc }
    }

    const fn with_aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Whether a value without references is one that this option takes.
    pub fn takes(&self, value: &str) -> bool {
        super::value::fits(self, value)
    }

    /// Whether a key names this option, by its own name or an alias.
    pub fn is_named(&self, key: &str) -> bool {
        self.key == key || self.aliases.contains(&key)
    }
}

/// A connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorSpec {
    /// The value of `'connector'`.
    pub name: &'static str,
    /// What it reads or writes.
    pub doc: &'static str,
    /// Whether a job may read from it.
    pub source: bool,
    /// Whether a job may write to it.
    pub sink: bool,
    /// The formats it takes; the first is the default if `format_required` is false; empty if it has no rows of bytes.
    pub formats: &'static [&'static str],
    /// Whether `'format'` must be given.
    pub format_required: bool,
    /// Its own options.
    pub options: &'static [OptionSpec],
}

/// A format.
#[derive(Debug, Clone, Copy)]
pub struct FormatSpec {
    /// The value of `'format'`.
    pub name: &'static str,
    /// How bytes become rows.
    pub doc: &'static str,
    /// Its own options.
    pub options: &'static [OptionSpec],
}

use OptionKind::{Bool, Char, Choice, Delimiter, Duration, Float, Int, Secret, Size, Text};
use Presence::{Default, Optional, Required};

const ALL_FORMATS: &[&str] = &["text", "delimited", "json", "csv"];

/// All connectors.
pub const CONNECTORS: &[ConnectorSpec] = &[
    ConnectorSpec {
        name: "eventhubs",
        doc: "Azure Event Hubs, or a broker that speaks its protocol: a source, and a sink (at least once; as `json` or `text`).",
        source: true,
        sink: true,
        formats: ALL_FORMATS,
        format_required: true,
        options: EVENTHUBS,
    },
    ConnectorSpec {
        name: "files",
        doc: "Files of lines on the server's disk: a file, a folder, or a pattern.",
        source: true,
        sink: false,
        formats: ALL_FORMATS,
        format_required: true,
        options: FILES,
    },
    ConnectorSpec {
        name: "generator",
        doc: "Made-up log lines, for demos and measurements: the same seed gives the same lines.",
        source: true,
        sink: false,
        formats: &["text", "delimited"],
        format_required: false,
        options: GENERATOR,
    },
    ConnectorSpec {
        name: "blackhole",
        doc: "A sink that counts rows and drops them, for measurements.",
        source: false,
        sink: true,
        formats: &[],
        format_required: false,
        options: &[],
    },
];

/// A number of seconds, up to a week.
const SECONDS: OptionKind = Float(0.05, 604_800.0);

const EVENTHUBS: &[OptionSpec] = &[
    OptionSpec::new(
        "connection_string",
        Secret,
        Optional,
        "The namespace's connection string; needed with `'auth' = 'sas'`. Written inline only with the development key of a local broker.",
    ),
    OptionSpec::new(
        "event_hub",
        Text,
        Optional,
        "The hub; may be left out if the connection string has an `EntityPath`.",
    ),
    OptionSpec::new("consumer_group", Text, Default("$Default"), "The consumer group to read with."),
    OptionSpec::new(
        "auth",
        Choice(&["sas", "managed_identity", "client_secret", "cli"]),
        Default("sas"),
        "How to sign in: by the connection string's key, or with Entra ID.",
    ),
    OptionSpec::new(
        "fully_qualified_namespace",
        Text,
        Optional,
        "The namespace's host, such as `my-hubs.servicebus.windows.net`; needed with Entra ID.",
    ),
    OptionSpec::new("tenant_id", Text, Optional, "The directory; needed with `client_secret`, possible with `cli`."),
    OptionSpec::new(
        "client_id",
        Text,
        Optional,
        "The application; needed with `client_secret`, and for a user-assigned managed identity.",
    ),
    OptionSpec::new("client_secret", Secret, Optional, "The application's secret; needed with `client_secret`."),
    OptionSpec::new(
        "starting_position",
        OptionKind::StartPosition,
        Default("earliest"),
        "Where a new job begins in each partition. A job that has a checkpoint goes on from there.",
    ),
    OptionSpec::new(
        "on_expired",
        Choice(&["fail", "skip"]),
        Default("fail"),
        "What to do when events that should come next have left the hub: stop with an error, or go on at the earliest and record the gap.",
    ),
    OptionSpec::new(
        "owner_level",
        Int(0, i64::MAX),
        Optional,
        "The epoch of exclusive readers: a higher level detaches lower ones. Only for a job alone in its consumer group.",
    ),
    OptionSpec::new(
        "prefetch_bytes",
        Size,
        Default("8 MB"),
        "How much may wait in memory for each partition before the link is held back: 64 KB to 1 GB.",
    ),
    OptionSpec::new("call_timeout", SECONDS, Default("20"), "How many seconds a request to the broker may take."),
    OptionSpec::new("token_lifetime", SECONDS, Default("3600"), "How many seconds a token made from a key is valid."),
    OptionSpec::new(
        "end_refresh",
        SECONDS,
        Default("2"),
        "How often, in seconds, the end of each partition is asked for: what lag and idleness are judged by.",
    ),
    OptionSpec::new(
        "max_time_ahead",
        Duration,
        Default("1 hour"),
        "How far an event's time (`WATERMARK FOR`) may lie after its `_enqueued_time`; beyond it the event is a bad record, so that one wrong clock doesn't close all windows.",
    ),
    OptionSpec::new(
        "max_drift",
        Duration,
        Optional,
        "How far, in event time, a split (a partition, a file) may run ahead of the slowest one that a job with windows reads: it waits, so that the job's state doesn't fill with its rows. Without it none waits.",
    ),
    OptionSpec::new("partition_key", Text, Optional, "As a sink: the column whose value is the events' partition key."),
];

const FILES: &[OptionSpec] = &[
    OptionSpec::new(
        "path",
        Text,
        Required,
        "A file, a folder (its files in the order of their names), or a pattern with `*`.",
    ),
    OptionSpec::new(
        "follow",
        Bool,
        Default("false"),
        "Keep reading as files grow and appear; otherwise the source ends.",
    ),
    OptionSpec::new(
        "max_drift",
        Duration,
        Optional,
        "How far, in event time, a split (a partition, a file) may run ahead of the slowest one that a job with windows reads: it waits, so that the job's state doesn't fill with its rows. Without it none waits.",
    ),
];

const GENERATOR: &[OptionSpec] = &[
    OptionSpec::new(
        "rows_per_second",
        Float(0.0, 1e9),
        Default("0"),
        "The pace of all splits together; 0 is as fast as possible.",
    ),
    OptionSpec::new("rows", Int(0, i64::MAX), Optional, "How many rows in all; without end if left out."),
    OptionSpec::new("seed", Int(0, i64::MAX), Default("0"), "The seed: the same one gives the same lines."),
    OptionSpec::new(
        "damaged",
        Float(0.0, 1.0),
        Default("0"),
        "The share of lines that are damaged: truncated, with wrong fields, not UTF-8, and so on.",
    ),
    OptionSpec::new(
        "odd",
        Float(0.0, 1.0),
        Default("0"),
        "The share of lines that are sound for typed columns but not for `to_timestamp` and `regexp_extract` in every column: a time without its fraction, a value without its label.",
    ),
    OptionSpec::new(
        "splits",
        Int(1, 1_024),
        Default("1"),
        "How many splits, each read on its own, as a hub's partitions.",
    ),
    OptionSpec::new(
        "start",
        Text,
        Optional,
        "When the first event happens, such as `2023-12-22T22:07:37`, or `now` for each event at the time it is made. A fixed time if left out.",
    ),
    OptionSpec::new("step", Duration, Default("1 ms"), "From one event's time to the next, unless `start` is `now`."),
];

/// All formats.
pub const FORMATS: &[FormatSpec] = &[
    FormatSpec {
        name: "text",
        doc: "Each row is a text, in the table's one STRING (or BINARY) column. Nothing fails to decode.",
        options: &[],
    },
    FormatSpec {
        name: "delimited",
        doc: "Fields between a delimiter, decoded straight to typed columns. A row that doesn't fit becomes a bad record.",
        options: &[
            OptionSpec::new("delimiter", Delimiter, Required, "What stands between fields, such as ` | `."),
            OptionSpec::new(
                "strip_labels",
                Bool,
                Default("false"),
                "Strip a label in front of a value (`Port: 80` is 80), and a unit after a number (`0.83s` is 0.83).",
            ),
            OptionSpec::new("null_value", Text, Optional, "The text that stands for NULL."),
        ],
    },
    FormatSpec {
        name: "json",
        doc: "A JSON object a row, its fields matched to columns by name. A row that doesn't fit becomes a bad record.",
        options: &[],
    },
    FormatSpec {
        name: "csv",
        doc: "Comma-separated values with quotes, fields matched to columns by place. A row that doesn't fit becomes a bad record.",
        options: &[
            OptionSpec::new("delimiter", Delimiter, Default(","), "What stands between fields."),
            OptionSpec::new("quote", Char, Default("\""), "What fields that hold a delimiter are quoted with."),
            OptionSpec::new("null_value", Text, Default(""), "The text that stands for NULL."),
        ],
    },
];

/// The properties of Hive tables (`TBLPROPERTIES`).
pub const HIVE_PROPERTIES: &[OptionSpec] = &[
    OptionSpec::new(
        "roll_interval",
        Duration,
        Default("5 minutes"),
        "The longest time until rows appear in a Parquet file that Hive and Spark see.",
    ),
    OptionSpec::new(
        "roll_size",
        Size,
        Default("128 MB"),
        "The compressed size at which a partition's rows are rolled into a file at once.",
    ),
    OptionSpec::new("compression", Choice(&["zstd"]), Default("zstd"), "The compression of Parquet pages.")
        .with_aliases(&["parquet.compression", "parquet.compress"]),
    OptionSpec::new("compression_level", Int(1, 22), Default("1"), "The level of zstd."),
    OptionSpec::new(
        "text_encoding",
        Choice(&["delta", "plain"]),
        Default("delta"),
        "How texts with many values are stored: `delta` is smaller and cheaper, `plain` is for readers before Spark 3.3 and Hive 4.",
    ),
];

/// The connector of that name.
pub fn connector(name: &str) -> Option<&'static ConnectorSpec> {
    CONNECTORS.iter().find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// The format of that name.
pub fn format(name: &str) -> Option<&'static FormatSpec> {
    FORMATS.iter().find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// Whether an option of that key is a secret anywhere.
pub fn is_secret(key: &str) -> bool {
    let connectors = CONNECTORS.iter().flat_map(|c| c.options);
    connectors
        .chain(FORMATS.iter().flat_map(|f| f.options))
        .chain(HIVE_PROPERTIES)
        .any(|spec| spec.kind == Secret && spec.key.eq_ignore_ascii_case(key))
}

/// Who takes an option of that key: `connector 'files'`, `format 'csv'`, … For errors about a misplaced option.
pub(crate) fn owners(key: &str) -> Vec<String> {
    let has = |options: &[OptionSpec]| options.iter().any(|spec| spec.is_named(key));
    let connectors = CONNECTORS.iter().filter(|c| has(c.options)).map(|c| format!("connector '{}'", c.name));
    let formats = FORMATS.iter().filter(|f| has(f.options)).map(|f| format!("format '{}'", f.name));
    let hive = has(HIVE_PROPERTIES).then(|| "external tables (TBLPROPERTIES)".to_owned());
    connectors.chain(formats).chain(hive).collect()
}
