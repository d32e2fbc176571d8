//! Names in a query bound to providers: DataFusion's catalog traits over [`Tables`], for one statement.

use crate::duplicates::repeated_name;
use crate::error::PlanError;
use crate::session::Planner;
use crate::tables::{Relation, StreamRelation, Tables};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::{ViewTable, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use salamander_operators::epoch_source::{WATERMARK_COLUMN, watermark_field};
use salamander_operators::{EpochSourceExec, StreamRows, StreamScanExec, WindowSpec};
use std::sync::Arc;

/// The one catalog's name.
pub(crate) const CATALOG: &str = "salamander";

/// How the leaves of a plan read.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    /// A query that ends.
    Batch,
    /// A job: leaves take an epoch's input. The scans are noted as they are planned.
    Continuous { scans: Arc<Mutex<Vec<StreamRelation>>>, partitions: usize },
}

/// One statement's view of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) planner: Planner,
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) reading: Reading,
    /// How many views deep: a view can't contain itself.
    pub(crate) depth: usize,
}

/// A view of a view of a view …: deeper than this, it is a circle.
const DEEPEST: usize = 32;

impl CatalogProviderList for Binding {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        name.eq_ignore_ascii_case(CATALOG).then(|| Arc::new(self.clone()) as _)
    }
}

impl CatalogProvider for Binding {
    fn schema_names(&self) -> Vec<String> {
        vec![]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let database = name.to_lowercase();
        self.tables.has_database(&database).then(|| Arc::new(Database { binding: self.clone(), database }) as _)
    }
}

#[derive(Debug)]
struct Database {
    binding: Binding,
    database: String,
}

#[async_trait]
impl SchemaProvider for Database {
    fn table_names(&self) -> Vec<String> {
        self.binding.tables.table_names(&self.database)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let name = name.to_lowercase();
        let relation = self.binding.tables.relation(&self.database, &name).await.map_err(external)?;
        Ok(match relation {
            None => None,
            Some(Relation::Table(provider)) => Some(provider),
            Some(Relation::Stream(stream)) => {
                Some(Arc::new(StreamTable::new(stream, self.binding.reading.clone())) as _)
            }
            Some(Relation::Plan(plan)) => Some(Arc::new(ViewTable::new(plan, None)) as _),
            Some(Relation::View { database, query, columns }) => {
                let plan = self.binding.view(&name, &database, &query, &columns).await?;
                Some(Arc::new(ViewTable::new(plan, Some(query.to_string()))) as _)
            }
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.binding.tables.has_table(&self.database, &name.to_lowercase())
    }
}

impl Binding {
    /// A view's plan, its columns renamed.
    pub(crate) async fn view(
        &self,
        name: &str,
        database: &str,
        query: &sqlparser::ast::Query,
        columns: &[String],
    ) -> Result<LogicalPlan> {
        let invalid = |message: String| external(PlanError::Invalid(message));
        if self.depth >= DEEPEST {
            return Err(invalid(format!("view {name} contains itself")));
        }
        let inner = Self { depth: self.depth + 1, ..self.clone() };
        let mut plan = Box::pin(inner.plan(database, query)).await?;
        if !columns.is_empty() {
            let fields = plan.schema().columns();
            if fields.len() != columns.len() {
                return Err(invalid(format!(
                    "view {name} names {} columns, its query has {}",
                    columns.len(),
                    fields.len()
                )));
            }
            let renamed = fields.into_iter().zip(columns).map(|(f, c)| Expr::Column(f).alias(c));
            plan = LogicalPlanBuilder::from(plan).project(renamed)?.build()?;
        }
        match repeated_name(&plan) {
            None => Ok(plan),
            Some(column) => Err(invalid(format!(
                "view {name} has two columns named '{column}': name its columns, as in CREATE VIEW {name} (a, b) AS …"
            ))),
        }
    }
}

pub(crate) fn external(error: PlanError) -> DataFusionError {
    match error {
        PlanError::DataFusion(error) => error,
        other => DataFusionError::External(Box::new(other)),
    }
}

/// A stream table as a provider: declared columns, then metadata columns.
#[derive(Debug, Clone)]
pub(crate) struct StreamTable {
    stream: StreamRelation,
    reading: Reading,
    schema: SchemaRef,
    /// Where a job aggregates it by windows: rows that come too late for them are put aside.
    windows: Option<WindowSpec>,
}

impl StreamTable {
    fn new(stream: StreamRelation, reading: Reading) -> Self {
        let schema = Arc::new(StreamRows::full_schema(&stream.decoder.schema()));
        Self { stream, reading, schema, windows: None }
    }

    /// The name of the column that is its event time.
    pub(crate) fn event_time(&self) -> Option<String> {
        let time = self.stream.event_time?;
        self.schema.fields().get(time.column).map(|field| field.name().clone())
    }

    /// The same before windows, with a column more that holds the watermark before each row if that is wanted.
    pub(crate) fn with_windows(mut self, windows: WindowSpec, watermark: bool) -> Self {
        self.windows = Some(windows);
        if watermark {
            let fields = self.schema.fields().iter().map(|field| field.as_ref().clone());
            self.schema = Arc::new(Schema::new(fields.chain([watermark_field()]).collect::<Vec<_>>()));
        }
        self
    }
}

/// The stream that a scan reads; none if it reads something else.
pub(crate) fn stream_of(scan: &TableScan) -> Option<StreamRelation> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<StreamTable>().map(|table| table.stream.clone())
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The watermark is not among what is decoded: the leaf adds it.
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let watermark = wanted.iter().position(|c| self.schema.field(*c).name() == WATERMARK_COLUMN);
        let decoded = wanted.iter().enumerate().filter(|(at, _)| Some(*at) != watermark).map(|(_, c)| *c).collect();
        let rows = StreamRows::try_new(Arc::clone(&self.stream.decoder), Some(&decoded))?;
        let rows = rows.with_event_time(self.stream.event_time);
        let name = self.stream.name.clone();
        match &self.reading {
            Reading::Continuous { scans, partitions } => {
                let mut scans = scans.lock();
                scans.push(self.stream.clone());
                let leaf = EpochSourceExec::new(name, scans.len() - 1, rows, *partitions);
                Ok(Arc::new(match self.windows {
                    Some(windows) => leaf.with_windows(windows, watermark),
                    None => leaf,
                }))
            }
            Reading::Batch => {
                let source = Arc::clone(&self.stream.source);
                let description = source.describe().await.map_err(|e| DataFusionError::External(Box::new(e)))?;
                Ok(Arc::new(StreamScanExec::new(name, source, description, rows)))
            }
        }
    }
}
