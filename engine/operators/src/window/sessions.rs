//! Session windows: a key's rows without a gap between them that is longer than the session's.
//!
//! Rows of one key whose times lie within one gap's length are in the same session. So rows are aggregated by panes of
//! that length, as tumbling windows are, with the first and last time of each group beside the user's functions. When
//! sessions may have ended, the groups of a key are put in order, those that touch are merged, and what no later row can
//! join is emitted. What is still open goes back, into the pane of its last time.
//!
//! As in Spark a row joins a session up to its very end, a gap after the last row.

use super::aggregation::{Aggregation, WindowKey};
use super::groups::Groups;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, internal_datafusion_err};
use std::collections::BTreeMap;

/// How many functions behind the user's hold a group's first and last time.
pub(super) const TIMES: usize = 2;

/// Sessions, each made of some rows of a state chunk.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Rows of the chunk.
    rows: Vec<u32>,
    /// For each of these the session that it belongs to, from 0.
    sessions: Vec<usize>,
    /// The first row, the start and the last time of each session.
    firsts: Vec<u32>,
    starts: Vec<i64>,
    lasts: Vec<i64>,
}

impl Parts {
    fn add(&mut self, rows: &[u32], start: i64, last: i64) {
        let session = self.starts.len();
        self.rows.extend(rows);
        self.sessions.extend(rows.iter().map(|_| session));
        self.firsts.extend(rows.first());
        self.starts.push(start);
        self.lasts.push(last);
    }

    /// The least last time.
    pub(super) fn first_last(&self) -> Option<i64> {
        self.lasts.iter().copied().min()
    }
}

/// Puts a chunk's groups together to sessions: those that have ended before this watermark, and those that are open.
pub(super) fn sessions(aggregation: &Aggregation, chunk: &RecordBatch, watermark: i64) -> Result<(Parts, Parts)> {
    let keys = aggregation.key_schema().fields().len();
    let micros = |column: &ArrayRef| cast(column, &DataType::Int64);
    let width = chunk.num_columns();
    let (first, last) = (micros(chunk.column(width - 2))?, micros(chunk.column(width - 1))?);
    let (first, last) = (first.as_primitive::<Int64Type>(), last.as_primitive::<Int64Type>());
    let fields = chunk.columns()[..keys].iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    // A converter of no columns counts no rows.
    let rows = (keys > 0).then(|| converter.convert_columns(&chunk.columns()[..keys])).transpose()?;
    let key = |row: u32| rows.as_ref().map(|rows| rows.row(row as usize));
    let mut order: Vec<u32> = (0..u32::try_from(chunk.num_rows()).unwrap_or(u32::MAX)).collect();
    order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then(first.value(*a as usize).cmp(&first.value(*b as usize))));
    let gap = aggregation.windows.size;
    let (mut ended, mut open) = (Parts::default(), Parts::default());
    let mut from = 0;
    while from < order.len() {
        let (mut to, mut end) = (from + 1, last.value(order[from] as usize));
        while let Some(next) = order.get(to)
            && key(*next) == key(order[from])
            && first.value(*next as usize) <= end.saturating_add(gap)
        {
            end = end.max(last.value(*next as usize));
            to += 1;
        }
        let parts = if end.saturating_add(gap) < watermark { &mut ended } else { &mut open };
        parts.add(&order[from..to], first.value(order[from] as usize), end);
        from = to;
    }
    Ok((ended, open))
}

/// The sessions' groups, keyless, and their keys.
fn merged(aggregation: &Aggregation, chunk: &RecordBatch, parts: &Parts) -> Result<(Vec<ArrayRef>, Groups)> {
    let keys = aggregation.key_schema().fields().len();
    let firsts = UInt32Array::from(parts.firsts.clone());
    let key_columns = chunk.columns()[..keys].iter().map(|column| take(column, &firsts, None));
    let key_columns = key_columns.collect::<Result<Vec<_>, _>>()?;
    let rows = UInt32Array::from(parts.rows.clone());
    let states = chunk.columns()[keys..].iter().map(|column| take(column, &rows, None));
    let mut groups = Groups::keyless(&aggregation.functions)?;
    groups.merge_as(&states.collect::<Result<Vec<_>, _>>()?, &parts.sessions, parts.starts.len())?;
    Ok((key_columns, groups))
}

/// The rows of sessions that have ended, in the output's schema.
pub(super) fn emit(aggregation: &Aggregation, chunk: &RecordBatch, parts: &Parts) -> Result<Option<RecordBatch>> {
    if parts.starts.is_empty() {
        return Ok(None);
    }
    let (keys, groups) = merged(aggregation, chunk, parts)?;
    let (_, mut values) = groups.into_values()?;
    values.truncate(values.len().saturating_sub(TIMES));
    let gap = aggregation.windows.size;
    let times = |times: Vec<i64>| super::exec::time_column(Int64Array::from(times));
    let starts = times(parts.starts.clone())?;
    let before =
        |micros: i64| times(parts.lasts.iter().map(|l| l.saturating_add(gap).saturating_sub(micros)).collect());
    let mut keys = keys.into_iter();
    let mut columns = Vec::with_capacity(aggregation.schema.fields().len());
    for key in &aggregation.keys {
        columns.push(match key {
            WindowKey::Window => super::exec::window_struct(starts.clone(), before(0)?),
            WindowKey::Start => starts.clone(),
            WindowKey::BeforeEnd(micros) => before(*micros)?,
            WindowKey::Expression(_) | WindowKey::GroupingId => {
                keys.next().ok_or_else(|| internal_datafusion_err!("a key of a session is missing"))?
            }
        });
    }
    columns.extend(values);
    super::exec::fitted(aggregation, columns, parts.starts.len()).map(Some)
}

/// Sessions that are open as state chunks, by the time whose pane they go to.
pub(super) fn keep(aggregation: &Aggregation, chunk: &RecordBatch, parts: &Parts) -> Result<Vec<(i64, RecordBatch)>> {
    if parts.starts.is_empty() {
        return Ok(Vec::new());
    }
    let (mut columns, groups) = merged(aggregation, chunk, parts)?;
    columns.extend(groups.into_state()?);
    let all = aggregation.state_chunk(columns, parts.starts.len())?;
    let mut panes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, last) in (0u32..).zip(&parts.lasts) {
        panes.entry(aggregation.windows.pane_of(*last)).or_default().push(row);
    }
    let part = |rows: Vec<u32>| {
        let rows = UInt32Array::from(rows);
        let columns = all.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(all.schema(), columns, &options)
    };
    panes.into_iter().map(|(pane, rows)| Ok((pane, part(rows)?))).collect()
}
