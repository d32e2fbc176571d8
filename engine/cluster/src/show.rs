//! SHOW and DESCRIBE.

use crate::answers::Column;
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use crate::relations::{Pin, Relations, table_id};
use datafusion::physical_plan::ExecutionPlan;
use salamander_hive::partition::folder_path;
use salamander_job::{JobPhase, JobStatus};
use salamander_sql::catalog::{CatalogJob, Relation};
use salamander_sql::{Catalog, Name, Show, TableKind, TableName, like};
use std::sync::Arc;

fn wanted(pattern: Option<&String>, name: &str) -> bool {
    pattern.is_none_or(|p| like(p, name))
}

/// Microseconds since 1970 as people read them.
pub(crate) fn timestamp(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| micros.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

pub(crate) fn count(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

impl Head {
    pub(crate) async fn show(
        &self,
        catalog: &Arc<Catalog>,
        session_db: &Name,
        show: &Show,
    ) -> Result<Vec<Column>, HeadError> {
        match show {
            Show::Jobs => Ok(self.show_jobs(catalog)),
            Show::State { job } => self.show_state(catalog, job.as_ref()),
            Show::Watermarks { job } => self.show_watermarks(catalog, job.as_ref()),
            Show::Plan { job } => self.explain_job(catalog, job),
            Show::Graph { job } => self.graph_of_job(catalog, job),
            Show::Databases { like } => {
                let names = catalog.databases().map(|d| d.name.to_string()).filter(|n| wanted(like.as_ref(), n));
                let mut names: Vec<_> = names.map(Some).collect();
                names.sort();
                Ok(vec![Column::Text("database", names)])
            }
            Show::Tables { db, like } => show_tables(catalog, db.as_ref().unwrap_or(session_db), like.as_ref()),
            Show::Partitions { table } => self.show_partitions(catalog, session_db, table).await,
            Show::CreateTable { table } => {
                let sql = match catalog.resolve(table, session_db)? {
                    Relation::Table(table) => table.def.to_sql(),
                    Relation::View(view) => view.to_sql(),
                    Relation::BadRecords(_) | Relation::LateRecords(_) => {
                        return Err(HeadError::invalid(format!(
                            "{table} is kept by the engine: no statement makes it"
                        )));
                    }
                };
                Ok(vec![Column::Text("statement", vec![Some(sql)])])
            }
        }
    }

    fn show_jobs(&self, catalog: &Catalog) -> Vec<Column> {
        let mut jobs: Vec<_> = catalog.jobs().collect();
        jobs.sort_by(|a, b| a.name.cmp(&b.name));
        let statuses: Vec<_> = jobs.iter().map(|j| self.job_status(&job_id(j))).collect();
        let figure = |pick: fn(&JobStatus) -> Option<i64>| statuses.iter().map(|s| s.as_ref().and_then(pick)).collect();
        let phases =
            jobs.iter().zip(&statuses).map(|(job, status)| self.phase(job, status.as_ref())).collect::<Vec<_>>();
        let target = |j: &&CatalogJob| catalog.table(&j.writes).map(|t| t.def.name.to_string());
        vec![
            Column::Text("job", jobs.iter().map(|j| Some(j.name.to_string())).collect()),
            Column::Text("state", phases.iter().map(|p| Some(p.0.clone())).collect()),
            Column::Text("target", jobs.iter().map(target).collect()),
            Column::Number("rows_read", figure(|s| count(s.counters.rows_read))),
            Column::Number("rows_written", figure(|s| count(s.counters.rows_written))),
            Column::Number("rows_bad", figure(|s| count(s.counters.rows_bad))),
            Column::Number("rows_late", figure(|s| count(s.counters.rows_late))),
            Column::Number("rows_committed", figure(|s| count(s.committed.rows_read))),
            Column::Number("lag_rows", figure(|s| s.lag_rows.and_then(count))),
            Column::Text("watermark", statuses.iter().map(|s| s.as_ref()?.watermark.map(timestamp)).collect()),
            Column::Number("epoch_micros", figure(|s| count(s.epoch_micros))),
            Column::Number("generation", figure(|s| count(s.generation.0))),
            Column::Number("checkpoint", figure(|s| count(s.log_number.0))),
            Column::Number("failures", figure(|s| count(s.failures))),
            Column::Text("detail", phases.into_iter().map(|p| p.1).collect()),
        ]
    }

    /// A job's state in a word, and what is to be said of it.
    fn phase(&self, job: &CatalogJob, status: Option<&JobStatus>) -> (String, Option<String>) {
        use salamander_sql::catalog::JobState;
        if let Some(reason) = self.not_started.lock().get(&job_id(job)) {
            return ("failed".to_owned(), Some(reason.clone()));
        }
        let Some(status) = status.filter(|_| job.is_running()) else {
            return match &job.state {
                JobState::Running => ("starting".to_owned(), None),
                JobState::Stopped => ("stopped".to_owned(), None),
                JobState::Finished { reason } => ("finished".to_owned(), Some(reason.clone())),
                JobState::Failed { reason } => ("failed".to_owned(), Some(reason.clone())),
            };
        };
        match &status.phase {
            JobPhase::Starting => ("starting".to_owned(), status.last_failure.clone()),
            JobPhase::Running => {
                ("running".to_owned(), status.last_failure.clone().map(|f| format!("recovered from: {f}")))
            }
            JobPhase::Stopping => ("stopping".to_owned(), None),
            JobPhase::Paused => ("paused".to_owned(), None),
            JobPhase::Finished(reason) => ("finished".to_owned(), Some(reason.clone())),
            JobPhase::Failed { reason, retrying: true } => ("retrying".to_owned(), Some(reason.clone())),
            JobPhase::Failed { reason, retrying: false } => ("failed".to_owned(), Some(reason.clone())),
        }
    }

    async fn show_partitions(
        &self,
        catalog: &Arc<Catalog>,
        session_db: &Name,
        name: &TableName,
    ) -> Result<Vec<Column>, HeadError> {
        let table = catalog.resolve_table(name, session_db)?;
        let open = self.tables.external(&table_id(table), &table.def).await?;
        // Rows in files, files, bytes in files, rows that are not rolled yet.
        let mut partitions = std::collections::BTreeMap::<String, (u64, u64, u64, u64)>::new();
        let folder = |values: &[Option<String>]| {
            folder_path(open.layout.partition_columns(), values).trim_end_matches('/').to_owned()
        };
        for view in open.live.pin().jobs.values() {
            for file in view.state.files.values() {
                let entry = partitions.entry(folder(&file.values)).or_default();
                (entry.0, entry.1, entry.2) = (entry.0 + file.rows, entry.1 + 1, entry.2 + file.bytes);
            }
            for (_, part) in view.state.live_parts() {
                partitions.entry(folder(&part.values)).or_default().3 += part.rows;
            }
        }
        let figure = |pick: fn(&(u64, u64, u64, u64)) -> u64| partitions.values().map(|v| count(pick(v))).collect();
        Ok(vec![
            Column::Text("partition", partitions.keys().cloned().map(Some).collect()),
            Column::Number("rows", figure(|v| v.0)),
            Column::Number("files", figure(|v| v.1)),
            Column::Number("bytes", figure(|v| v.2)),
            Column::Number("rows_in_segments", figure(|v| v.3)),
        ])
    }

    pub(crate) async fn describe_table(
        &self,
        catalog: &Arc<Catalog>,
        session_db: &Name,
        name: &TableName,
        extended: bool,
    ) -> Result<Vec<Column>, HeadError> {
        let mut rows: Vec<[Option<String>; 3]> = Vec::new();
        match catalog.resolve(name, session_db)? {
            Relation::Table(table) => {
                for column in table.def.all_columns() {
                    rows.push([
                        Some(column.name.to_string()),
                        Some(column.column_type.to_string()),
                        column.comment.clone(),
                    ]);
                }
                if extended {
                    let kind = match &table.def.kind {
                        TableKind::Hive(_) => "external table (Parquet)".to_owned(),
                        TableKind::Materialized(_) => "materialized view".to_owned(),
                        TableKind::Connector(c) => format!("stream ({})", c.connector_name().unwrap_or("?")),
                    };
                    rows.push([Some("# type".into()), Some(kind), None]);
                    rows.push([Some("# id".into()), Some(table.id.to_string()), None]);
                    rows.push([Some("# statement".into()), Some(table.def.to_sql()), None]);
                }
            }
            Relation::View(_) | Relation::BadRecords(_) | Relation::LateRecords(_) => {
                let schema = self.relation_schema(catalog, session_db, name).await?;
                for field in schema.fields() {
                    rows.push([Some(field.name().clone()), Some(sql_type(field.data_type())), None]);
                }
            }
        }
        let mut columns = [Vec::new(), Vec::new(), Vec::new()];
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let [names, types, comments] = columns;
        Ok(vec![Column::Text("col_name", names), Column::Text("data_type", types), Column::Text("comment", comments)])
    }

    pub(crate) async fn relation_schema(
        &self,
        catalog: &Arc<Catalog>,
        session_db: &Name,
        name: &TableName,
    ) -> Result<arrow::datatypes::SchemaRef, HeadError> {
        let sql = format!("SELECT * FROM {}", name.to_sql());
        let query = match salamander_sql::parse_one(&sql)?.statement {
            salamander_sql::Statement::Query(query) => query,
            _ => return Err(HeadError::invalid(format!("{name} can't be described"))),
        };
        let plan = self.planner.query(self.relations(catalog), session_db.key(), &query).await?;
        Ok(Arc::clone(plan.schema().inner()))
    }

    pub(crate) fn relations(&self, catalog: &Arc<Catalog>) -> Arc<Relations> {
        Arc::new(self.relations_at(catalog, Pin::Latest))
    }

    pub(crate) fn relations_at(&self, catalog: &Arc<Catalog>, pin: Pin) -> Relations {
        Relations {
            catalog: Arc::clone(catalog),
            tables: Arc::clone(&self.tables),
            pin,
            head: self.this.clone(),
            views: parking_lot::Mutex::default(),
        }
    }
}

fn show_tables(catalog: &Catalog, db: &Name, pattern: Option<&String>) -> Result<Vec<Column>, HeadError> {
    let database = catalog.database(db)?;
    let tables = catalog.tables_in(&database.id).into_iter().map(|t| {
        let kind = match &t.def.kind {
            TableKind::Hive(_) => "TABLE",
            TableKind::Connector(_) => "STREAM",
            TableKind::Materialized(_) => "MATERIALIZED VIEW",
        };
        (t.def.name.name.to_string(), kind)
    });
    let views = catalog.views_in(&database.id).into_iter().map(|v| (v.name.name.to_string(), "VIEW"));
    let mut all: Vec<_> = tables.chain(views).filter(|(name, _)| wanted(pattern, name)).collect();
    all.sort();
    Ok(vec![
        Column::Text("database", vec![Some(database.name.to_string()); all.len()]),
        Column::Text("table", all.iter().map(|(name, _)| Some(name.clone())).collect()),
        Column::Text("type", all.iter().map(|(_, kind)| Some((*kind).to_owned())).collect()),
    ])
}

/// An Arrow type in Spark's words.
fn sql_type(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "STRING".into(),
        T::Binary | T::LargeBinary | T::BinaryView => "BINARY".into(),
        T::Boolean => "BOOLEAN".into(),
        T::Int8 => "TINYINT".into(),
        T::Int16 => "SMALLINT".into(),
        T::Int32 => "INT".into(),
        T::Int64 => "BIGINT".into(),
        T::Float32 => "FLOAT".into(),
        T::Float64 => "DOUBLE".into(),
        T::Date32 => "DATE".into(),
        T::Timestamp(_, _) => "TIMESTAMP".into(),
        T::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        T::List(item) | T::LargeList(item) => format!("ARRAY<{}>", sql_type(item.data_type())),
        other => other.to_string().to_uppercase(),
    }
}

/// The text of a physical plan, indented.
pub(crate) fn plan_text(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}
