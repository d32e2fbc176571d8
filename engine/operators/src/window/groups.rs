//! Live accumulators by group: DataFusion's own, fed by whole columns.

use super::aggregation::{Evaluated, WindowFunction};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use std::fmt;
use std::sync::Arc;

/// The groups of one pane or window, and an accumulator for each function.
pub(crate) struct Groups {
    /// None when there are no keys beside the window: then all rows are one group.
    keys: Option<Box<dyn GroupValues>>,
    key_columns: usize,
    accumulators: Vec<Accumulator>,
    /// The group of each row of the batch at hand.
    indices: Vec<usize>,
    any: bool,
}

struct Accumulator {
    accumulator: Box<dyn GroupsAccumulator>,
    /// Columns of its state.
    width: usize,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn accumulator(function: &WindowFunction) -> Result<Accumulator> {
    let function = &function.function;
    let width = function.state_fields()?.len();
    if function.groups_accumulator_supported() {
        return Ok(Accumulator { accumulator: function.create_groups_accumulator()?, width });
    }
    let function = Arc::clone(function);
    let adapter = GroupsAccumulatorAdapter::new(move || function.create_accumulator());
    Ok(Accumulator { accumulator: Box::new(adapter), width })
}

impl Groups {
    pub(crate) fn try_new(keys: &SchemaRef, functions: &[WindowFunction]) -> Result<Self> {
        let key_columns = keys.fields().len();
        let values = || new_group_values(Arc::clone(keys), &GroupOrdering::None);
        Ok(Self {
            keys: if key_columns == 0 { None } else { Some(values()?) },
            key_columns,
            accumulators: functions.iter().map(accumulator).collect::<Result<_>>()?,
            indices: Vec::new(),
            any: false,
        })
    }

    /// Groups that are numbered by whoever merges into them.
    pub(crate) fn keyless(functions: &[WindowFunction]) -> Result<Self> {
        Self::try_new(&Arc::new(arrow::datatypes::Schema::empty()), functions)
    }

    /// Takes the columns of functions' states, each row into the group of this number.
    pub(crate) fn merge_as(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let mut rest = states;
        for function in &mut self.accumulators {
            let Some((state, others)) = rest.split_at_checked(function.width) else {
                return internal_err!("a state chunk lacks columns");
            };
            function.accumulator.merge_batch(state, groups, total)?;
            rest = others;
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.as_ref().map_or(usize::from(self.any), |keys| keys.len())
    }

    /// Finds each row's group; the number of groups.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<usize> {
        self.any |= rows > 0;
        self.indices.clear();
        match &mut self.keys {
            Some(values) => values.intern(keys, &mut self.indices)?,
            None => self.indices.resize(rows, 0),
        }
        Ok(self.len())
    }

    /// Takes rows.
    pub(crate) fn update(&mut self, rows: &Evaluated) -> Result<()> {
        let total = self.intern(&rows.keys, rows.rows)?;
        let inputs = rows.arguments.iter().zip(&rows.filters);
        for (function, (arguments, filter)) in self.accumulators.iter_mut().zip(inputs) {
            function.accumulator.update_batch(arguments, &self.indices, filter.as_ref(), total)?;
        }
        Ok(())
    }

    /// Takes a state chunk: keys, then the columns of each function's state.
    pub(crate) fn merge(&mut self, chunk: &RecordBatch) -> Result<()> {
        let width = self.key_columns + self.accumulators.iter().map(|a| a.width).sum::<usize>();
        if chunk.num_columns() != width {
            return internal_err!("a state chunk has {} columns instead of {width}", chunk.num_columns());
        }
        let (keys, mut rest) = chunk.columns().split_at(self.key_columns);
        let total = self.intern(keys, chunk.num_rows())?;
        for function in &mut self.accumulators {
            let (state, others) = rest.split_at(function.width);
            function.accumulator.merge_batch(state, &self.indices, total)?;
            rest = others;
        }
        Ok(())
    }

    fn emit_keys(&mut self) -> Result<Vec<ArrayRef>> {
        self.keys.as_mut().map_or(Ok(Vec::new()), |keys| keys.emit(EmitTo::All))
    }

    /// The keys, then what each function makes of its rows.
    pub(crate) fn into_values(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = self.emit_keys()?;
        let values = self.accumulators.iter_mut().map(|a| a.accumulator.evaluate(EmitTo::All));
        let values = values.collect::<Result<_>>()?;
        Ok((keys, values))
    }

    /// The columns of a state chunk.
    pub(crate) fn into_state(mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.emit_keys()?;
        for function in &mut self.accumulators {
            columns.extend(function.accumulator.state(EmitTo::All)?);
        }
        Ok(columns)
    }
}
