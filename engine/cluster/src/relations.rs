//! What names stand for, by one state of the catalog: the planner's view of the head.

use crate::connectors::{OpenStream, open_stream};
use crate::error::HeadError;
use crate::head::Head;
use crate::tables::TableRegistry;
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use parking_lot::Mutex;
use salamander_hive::{HiveTable, LiveTable};
use salamander_operators::EventTime;
use salamander_planner::{PlanError, Relation, StreamRelation, Tables};
use salamander_sql::catalog::{self, CatalogTable};
use salamander_sql::{Catalog, Name, TableDef, TableName};
use salamander_types::TableId;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Which rows of tables a statement sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    /// All that are published.
    Latest,
    /// Those that are committed: what goes into another table must not be taken back by a crash.
    Committed,
}

/// One statement's catalog: names keep their meaning while it is planned.
#[derive(Debug)]
pub(crate) struct Relations {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) tables: Arc<TableRegistry>,
    pub(crate) pin: Pin,
    /// Who runs the jobs that keep materialized views.
    pub(crate) head: Weak<Head>,
    /// Materialized views that the statement has read.
    pub(crate) views: Mutex<HashMap<TableId, LogicalPlan>>,
}

/// A catalog id as the engine's.
pub(crate) fn table_id(table: &CatalogTable) -> TableId {
    TableId::from_text(table.id.as_str())
}

/// The event time that a table declares.
fn event_time(table: &TableDef, stream: &OpenStream) -> Option<EventTime> {
    let watermark = table.connector()?.watermark.as_ref()?;
    let declared = table.columns.iter().position(|c| c.name == watermark.column);
    let enqueued = watermark.column.key() == "_enqueued_time";
    let column = declared.or_else(|| enqueued.then(|| EventTime::enqueued(table.columns.len())))?;
    let (future_micros, drift_micros) = (stream.future_micros, stream.drift_micros);
    Some(EventTime { column, delay_micros: watermark.delay_micros, future_micros, drift_micros })
}

fn unavailable(error: HeadError) -> PlanError {
    match error {
        HeadError::Plan(error) => error,
        other => PlanError::Unavailable { kind: other.kind(), message: other.to_string() },
    }
}

impl Relations {
    fn find(&self, database: &str, name: &str) -> Option<catalog::Relation<'_>> {
        let (database, name) = (Name::new(database).ok()?, Name::new(name).ok()?);
        let name = TableName { db: Some(database.clone()), name };
        self.catalog.resolve(&name, &database).ok()
    }

    fn files(&self, live: Arc<LiveTable>) -> Relation {
        Relation::Table(Arc::new(match self.pin {
            Pin::Latest => HiveTable::latest(live),
            Pin::Committed => HiveTable::committed(live),
        }))
    }

    async fn table(&self, table: &CatalogTable) -> Result<Relation, HeadError> {
        if table.def.hive().is_some() {
            let open = self.tables.external(&table_id(table), &table.def).await?;
            return Ok(self.files(open.live));
        }
        if table.def.materialized().is_some() {
            return self.materialized(table).await;
        }
        let stream = open_stream(&table.def)?;
        Ok(Relation::Stream(StreamRelation {
            id: table_id(table),
            name: table.def.name.to_string(),
            event_time: event_time(&table.def, &stream),
            source: stream.source,
            decoder: stream.decoder,
        }))
    }

    async fn open(&self, relation: catalog::Relation<'_>) -> Result<Relation, HeadError> {
        match relation {
            catalog::Relation::Table(table) => self.table(table).await,
            catalog::Relation::BadRecords(table) => {
                let open = self.tables.bad_records(&table_id(table), &table.def.name.to_string())?;
                Ok(self.files(open.live))
            }
            catalog::Relation::LateRecords(table) => {
                let open = self.tables.late_records(&table_id(table), &table.def.name.to_string())?;
                Ok(Relation::Table(Arc::new(HiveTable::latest(open.live))))
            }
            catalog::Relation::View(view) => Ok(Relation::View {
                database: view.session_db.key().to_owned(),
                query: view.parse()?,
                columns: view.columns.iter().map(|c| c.key().to_owned()).collect(),
            }),
        }
    }
}

#[async_trait]
impl Tables for Relations {
    fn has_database(&self, database: &str) -> bool {
        Name::new(database).is_ok_and(|name| self.catalog.database(&name).is_ok())
    }

    fn has_table(&self, database: &str, name: &str) -> bool {
        self.find(database, name).is_some()
    }

    async fn relation(&self, database: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        match self.find(database, name) {
            None => Ok(None),
            Some(found) => self.open(found).await.map(Some).map_err(unavailable),
        }
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        let Some(database) = Name::new(database).ok().and_then(|n| self.catalog.database(&n).ok()) else {
            return Vec::new();
        };
        let tables = self.catalog.tables_in(&database.id).into_iter().map(|t| t.def.name.name.key().to_owned());
        let views = self.catalog.views_in(&database.id).into_iter().map(|v| v.name.name.key().to_owned());
        tables.chain(views).collect()
    }
}
