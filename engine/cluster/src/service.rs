//! The head as Flight SQL sees it.

use crate::answers::{Column, done, schema};
use crate::error::HeadError;
use crate::head::Head;
use crate::inserts::inserted;
use crate::statements::Understood;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use salamander_serve::{SchemaInfo, Session, StatementError, StatementService, TableFilter, TableInfo};
use salamander_sql::{Statement, TableName};
use std::sync::Arc;

/// The one catalog's name, as clients see it.
const CATALOG: &str = salamander_serve::CATALOG;

impl Head {
    async fn result_schema(&self, session: &Session, sql: &str) -> Result<SchemaRef, HeadError> {
        let Understood { statement, catalog, database } = self.understand(session, sql)?;
        Ok(match &statement {
            Statement::Query(query) => {
                let plan = self.planner.query(self.relations(&catalog), database.key(), query).await?;
                Arc::clone(plan.schema().inner())
            }
            // These change nothing: their answer is the surest way to its schema.
            Statement::Show(show) => schema(&self.show(&catalog, &database, show).await?),
            Statement::Describe { name, extended } => {
                schema(&self.describe_table(&catalog, &database, name, *extended).await?)
            }
            Statement::Insert(insert) if !self.is_job(&catalog, &database, insert).await? => schema(&inserted(0)),
            Statement::Explain { analyze: true, .. } => Arc::new(Schema::new(vec![
                Field::new("plan_type", DataType::Utf8, false),
                Field::new("plan", DataType::Utf8, false),
            ])),
            Statement::Explain { .. } => schema(&[Column::Text("plan", vec![]), Column::Text("text", vec![])]),
            _ => schema(&done("")),
        })
    }
}

#[async_trait]
impl StatementService for Head {
    async fn describe(&self, session: &Session, sql: &str) -> Result<SchemaRef, StatementError> {
        Ok(self.result_schema(session, sql).await?)
    }

    async fn execute(&self, session: &Session, sql: &str) -> Result<SendableRecordBatchStream, StatementError> {
        Ok(self.run(session, sql).await?)
    }

    fn session_ended(&self, id: &str) {
        self.databases.end(id);
    }

    async fn tables(&self, _: &Session, filter: &TableFilter) -> Result<Vec<TableInfo>, StatementError> {
        let catalog = self.catalog.get();
        let tables = catalog.tables().map(|t| (t.def.name.clone(), "TABLE"));
        let views = catalog.views().map(|v| (v.name.clone(), "VIEW"));
        let mut infos = Vec::new();
        for (name, kind) in tables.chain(views) {
            let TableName { db: Some(db), name } = name else { continue };
            if !filter.matches(db.as_str(), name.as_str(), kind) {
                continue;
            }
            let arrow_schema = if filter.include_schema {
                let name = TableName { db: Some(db.clone()), name: name.clone() };
                self.relation_schema(&catalog, &db, &name).await.ok()
            } else {
                None
            };
            infos.push(TableInfo {
                catalog: CATALOG.to_owned(),
                schema: db.to_string(),
                name: name.to_string(),
                kind: kind.to_owned(),
                arrow_schema,
            });
        }
        Ok(infos)
    }

    async fn schemas(&self, _: &Session) -> Result<Vec<SchemaInfo>, StatementError> {
        let catalog = self.catalog.get();
        let mut schemas: Vec<_> =
            catalog.databases().map(|d| SchemaInfo { catalog: CATALOG.to_owned(), name: d.name.to_string() }).collect();
        schemas.sort();
        Ok(schemas)
    }
}
