//! The table for DataFusion: rolled files, unrolled segments, memory and foreign files as one, each row once.
//!
//! ```text
//!   HiveTable ──scan: pin, list, prune──▶ UnionExec ┬─ DataSourceExec (Parquet: rolled and foreign files)
//!                                                   ├─ SegmentScanExec (parts that no file holds yet; encoded memory)
//!                                                   └─ DataSourceExec (memory as it came)
//! ```
//!
//! Partition columns come from folders' names and carry the declared type. Filters on them prune files and parts; other
//! filters reach the Parquet files, where statistics and the page index prune. Filters are declared inexact, so
//! DataFusion checks every row again.
//!
//! Files map to the table by column name, not knowing case; columns that a file doesn't have are NULL.

mod files;
mod names;
mod reader;
mod segments;

pub use files::ForeignFiles;
pub use names::NamesIgnoringCase;
pub use segments::SegmentScanExec;

use crate::error::HiveError;
use crate::live::{LiveTable, Snapshot};
use crate::split::as_readers_see;
use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, Statistics, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use std::sync::Arc;

impl From<HiveError> for DataFusionError {
    fn from(error: HiveError) -> Self {
        Self::External(Box::new(error))
    }
}

/// What a scan reads.
#[derive(Debug, Clone)]
enum Pin {
    /// The table at the instant of the scan.
    Latest(Arc<LiveTable>),
    /// The committed part of it.
    Committed(Arc<LiveTable>),
    /// The table at an earlier instant.
    Given(Snapshot),
}

/// A Hive table for queries.
#[derive(Debug, Clone)]
pub struct HiveTable {
    pin: Pin,
    schema: SchemaRef,
    foreign: ForeignFiles,
}

impl HiveTable {
    /// Reads all that has been published, pinned anew at each scan.
    pub fn latest(table: Arc<LiveTable>) -> Self {
        let schema = table.layout().schema().clone();
        Self { pin: Pin::Latest(table), schema, foreign: ForeignFiles::Listed }
    }

    /// Reads what is committed, pinned anew at each scan.
    pub fn committed(table: Arc<LiveTable>) -> Self {
        Self { pin: Pin::Committed(table.clone()), ..Self::latest(table) }
    }

    /// Reads the table as it was pinned.
    pub fn pinned(snapshot: Snapshot) -> Self {
        let schema = snapshot.layout.schema().clone();
        Self { pin: Pin::Given(snapshot), schema, foreign: ForeignFiles::Listed }
    }

    /// Whether to look for files that others have put into the folder. Looking costs a listing a query.
    #[must_use]
    pub fn with_foreign_files(mut self, foreign: ForeignFiles) -> Self {
        self.foreign = foreign;
        self
    }

    fn snapshot(&self) -> Snapshot {
        match &self.pin {
            Pin::Latest(table) => table.pin(),
            Pin::Committed(table) => table.pin().committed(),
            Pin::Given(snapshot) => snapshot.clone(),
        }
    }
}

#[async_trait]
impl TableProvider for HiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The pin comes first: a file that a roll makes after it is known by its name and not taken for a foreign one.
        let snapshot = self.snapshot();
        let pruner = PartitionPruner::new(state, &snapshot, filters)?;
        let projection: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let limit = limit.filter(|_| filters.is_empty());
        let mut inputs = Vec::new();
        let files = files::FilesScan { snapshot: &snapshot, pruner: &pruner, projection: &projection, limit };
        inputs.extend(files.rolled(state)?);
        if matches!(self.foreign, ForeignFiles::Listed) {
            inputs.extend(files.foreign(state).await?);
        }
        inputs.extend(segments::plan(state, &snapshot, &pruner, &projection)?);
        inputs.extend(memory(&snapshot, &projection)?);
        if inputs.is_empty() {
            let schema = Arc::new(self.schema.project(&projection)?);
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        UnionExec::try_new(inputs)
    }

    fn statistics(&self) -> Option<Statistics> {
        // Foreign files are unknown before they are listed.
        let rows = usize::try_from(self.snapshot().rows()).ok()?;
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(rows);
        Some(statistics)
    }
}

fn memory(snapshot: &Snapshot, projection: &[usize]) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut partitions = Vec::new();
    for view in snapshot.jobs.values() {
        let mut batches: Vec<RecordBatch> = Vec::new();
        for batch in view.memory.iter().flat_map(|m| &m.rows.batches) {
            batches.push(as_readers_see(batch, &snapshot.layout)?);
        }
        if !batches.is_empty() {
            partitions.push(batches);
        }
    }
    if partitions.is_empty() {
        return Ok(None);
    }
    let schema = snapshot.layout.schema().clone();
    let plan = MemorySourceConfig::try_new_exec(&partitions, schema, Some(projection.to_vec()))?;
    Ok(Some(plan))
}

/// Decides by the filters on partition columns which Hive partitions a query needs.
struct PartitionPruner {
    schema: SchemaRef,
    filters: Vec<Arc<dyn PhysicalExpr>>,
}

impl PartitionPruner {
    fn new(state: &dyn Session, snapshot: &Snapshot, filters: &[Expr]) -> Result<Self> {
        let layout = &snapshot.layout;
        let schema = Arc::new(Schema::new(layout.partition_fields().to_vec()));
        let df_schema = DFSchema::try_from(schema.clone())?;
        let is_of_partition = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty()
                && !filter.is_volatile()
                && columns.iter().all(|column| schema.index_of(column.name()).is_ok())
        };
        let filters = filters
            .iter()
            .filter(is_of_partition)
            .map(|filter| {
                let unqualified = datafusion::logical_expr::expr_rewriter::unnormalize_col(filter.clone());
                state.create_physical_expr(unqualified, &df_schema)
            })
            .collect::<Result<_>>()?;
        Ok(Self { schema, filters })
    }

    /// For each of some partitions whether it is needed.
    fn needed<'a>(&self, partitions: impl Iterator<Item = &'a Vec<Option<String>>> + Clone) -> Result<Vec<bool>> {
        let count = partitions.clone().count();
        if self.filters.is_empty() || count == 0 {
            return Ok(vec![true; count]);
        }
        let columns = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, field)| {
                let values = partitions.clone().map(|v| v.get(i).and_then(|v| v.as_deref()));
                crate::partition::values_array(values, field.data_type())
            })
            .collect::<crate::error::Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let mut needed = vec![true; count];
        for filter in &self.filters {
            let result = filter.evaluate(&batch)?.into_array(count)?;
            let Some(result) = result.as_any().downcast_ref::<BooleanArray>() else {
                return internal_err!("a filter that is not a condition: {filter}");
            };
            for (needed, keep) in needed.iter_mut().zip(result) {
                *needed &= keep == Some(true);
            }
        }
        Ok(needed)
    }
}
