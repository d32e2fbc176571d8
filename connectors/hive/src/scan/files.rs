//! Parquet files of a table: rolled ones by the log, foreign ones by listing.

use super::PartitionPruner;
use super::names::NamesIgnoringCase;
use super::reader::Readers;
use crate::live::Snapshot;
use crate::partition::{PartitionValues, parse_folders, values_array};
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use salamander_types::JobId;
use salamander_types::manifest::DataFile;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a query looks for files that others have put into the table's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignFiles {
    /// It lists the folder: Spark's appends are seen.
    #[default]
    Listed,
    /// It doesn't: only our own jobs write there.
    Ignored,
}

/// A query's look at a table's files.
pub(super) struct FilesScan<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) pruner: &'a PartitionPruner,
    pub(super) projection: &'a [usize],
    pub(super) limit: Option<usize>,
}

/// A file to read.
struct Candidate {
    object: ObjectMeta,
    values: PartitionValues,
}

impl FilesScan<'_> {
    /// Reads the files that the log names; their rows are known exactly.
    pub(super) fn rolled(&self, state: &dyn Session) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let files = || self.snapshot.jobs.values().flat_map(|v| v.state.files.values());
        let needed = self.pruner.needed(files().map(|f| &f.values))?;
        let files: Vec<&DataFile> = files().zip(needed).filter(|(f, n)| *n && f.rows > 0).map(|(f, _)| f).collect();
        let rows: u64 = files.iter().map(|f| f.rows).sum();
        let candidates = files
            .into_iter()
            .map(|file| {
                Ok(Candidate {
                    object: ObjectMeta {
                        location: self.snapshot.layout.object(&file.path)?,
                        // A name is never given to other rows, so nothing depends on the time.
                        last_modified: Default::default(),
                        size: file.bytes,
                        e_tag: None,
                        version: None,
                    },
                    values: file.values.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        self.plan(state, candidates, Some(rows))
    }

    /// Reads what others have put into the folder: all visible files but those with the names of our own jobs.
    pub(super) async fn foreign(&self, state: &dyn Session) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let layout = &self.snapshot.layout;
        let root = &layout.location.root;
        let prefix = (!root.as_ref().is_empty()).then_some(root);
        let listed: Vec<ObjectMeta> = layout.location.store.list(prefix).try_collect().await?;
        let jobs = self.snapshot.known_jobs();
        let candidates: Vec<Candidate> = listed
            .into_iter()
            .filter_map(|object| {
                let path = layout.relative(&object.location)?;
                let values = foreign_values(path, layout.partition_columns(), &jobs)?;
                (object.size > 0).then_some(Candidate { object, values })
            })
            .collect();
        let needed = self.pruner.needed(candidates.iter().map(|c| &c.values))?;
        let candidates = candidates.into_iter().zip(needed).filter(|(_, n)| *n).map(|(c, _)| c).collect();
        self.plan(state, candidates, None)
    }

    fn plan(
        &self,
        state: &dyn Session,
        candidates: Vec<Candidate>,
        rows: Option<u64>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if candidates.is_empty() {
            return Ok(None);
        }
        let layout = &self.snapshot.layout;
        let url = ObjectStoreUrl::parse(layout.store_url())?;
        state.runtime_env().register_object_store(url.as_ref(), layout.location.store.clone());
        let schema = TableSchema::builder(layout.file_schema().clone())
            .with_table_partition_cols(layout.partition_fields().to_vec())
            .build();
        let mut options =
            TableParquetOptions { global: state.config().options().execution.parquet.clone(), ..Default::default() };
        // Timestamps of older Sparks.
        options.global.coerce_int96 = Some("us".into());
        options.global.coerce_int96_tz = Some("UTC".into());
        let source = ParquetSource::new(schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(Readers::new(layout.location.store.clone())));
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        if let Some(rows) = rows.and_then(|r| usize::try_from(r).ok()) {
            statistics.num_rows = Precision::Exact(rows);
        }
        let files = self.partitioned(candidates)?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(self.projection.to_vec()))?
            .with_limit(self.limit)
            .with_expr_adapter(Some(Arc::new(NamesIgnoringCase)))
            .build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }

    /// Gives each file the typed values of its partition.
    fn partitioned(&self, candidates: Vec<Candidate>) -> Result<Vec<PartitionedFile>> {
        let fields = self.snapshot.layout.partition_fields();
        let columns = fields
            .iter()
            .enumerate()
            .map(|(i, field)| {
                let values = candidates.iter().map(|c| c.values.get(i).and_then(|v| v.as_deref()));
                values_array(values, field.data_type()).map_err(DataFusionError::from)
            })
            .collect::<Result<Vec<_>>>()?;
        candidates
            .into_iter()
            .enumerate()
            .map(|(row, candidate)| {
                let values = columns
                    .iter()
                    .map(|column| ScalarValue::try_from_array(column, row))
                    .collect::<Result<Vec<_>>>()?;
                Ok(PartitionedFile::new_from_meta(candidate.object).with_partition_values(values))
            })
            .collect()
    }
}

/// The partition values of a foreign visible file, by its path relative to the table's folder; none for a hidden file, a
/// file of our own, or one that is not in a folder of the table's partition columns.
fn foreign_values(path: &str, columns: &[String], jobs: &BTreeSet<JobId>) -> Option<PartitionValues> {
    let names: Vec<&str> = path.split('/').collect();
    let (file, folders) = names.split_last()?;
    let is_hidden = |name: &&str| name.starts_with(['_', '.']);
    // A partition column may itself begin with an underscore.
    if is_hidden(file) || folders.iter().any(|f| is_hidden(f) && !f.contains('=')) || is_ours(file, jobs) {
        return None;
    }
    let values = parse_folders(columns, folders);
    if values.is_none() {
        tracing::debug!("{path} is not in a folder of the partition columns {columns:?}: not read");
    }
    values
}

/// True for `sal-<job>-…` of a job of ours: such files are read through its log only.
fn is_ours(file: &str, jobs: &BTreeSet<JobId>) -> bool {
    file.strip_prefix("sal-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(job, _)| jobs.contains(&JobId::from_text(job)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_foreign_files() {
        let columns = vec!["date".to_owned()];
        let jobs = BTreeSet::from([JobId::from_text("j1")]);
        let values = |path| foreign_values(path, &columns, &jobs);
        let day = Some(vec![Some("2026-11-24".to_owned())]);
        assert_eq!(values("date=2026-11-24/part-0.snappy.parquet"), day);
        assert_eq!(values("DATE=2026-11-24/000000_0"), day);
        assert_eq!(values("date=__HIVE_DEFAULT_PARTITION__/a"), Some(vec![None]));
        assert_eq!(values("date=2026-11-24/sal-j2-1-0.parquet"), day);
        for hidden in [
            "date=2026-11-24/sal-j1-1-0.parquet",
            "date=2026-11-24/_SUCCESS",
            "date=2026-11-24/.part-0.crc",
            "_salamander/j1/1-0.seg",
            "_temporary/date=2026-11-24/a",
            "a.parquet",
            "date=2026-11-24/hour=1/a.parquet",
        ] {
            assert_eq!(values(hidden), None, "{hidden}");
        }
    }
}
