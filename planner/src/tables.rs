//! What a name in a query stands for: asked of the head, which has the catalog.

use crate::error::PlanError;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use salamander_connector_api::{Decoder, Source};
use salamander_operators::EventTime;
use salamander_types::TableId;
use sqlparser::ast::Query;
use std::fmt::Debug;
use std::sync::Arc;

/// The catalog as the planner sees it.
#[async_trait]
pub trait Tables: Send + Sync + Debug {
    /// Whether there is a database of this name (lower case).
    fn has_database(&self, database: &str) -> bool;

    /// Whether there is a table or view of this name (lower case).
    fn has_table(&self, database: &str, name: &str) -> bool;

    /// What the name (lower case) stands for; none if nothing.
    ///
    /// # Errors
    /// When it is there but can't be used: its options don't resolve, its log can't be read.
    async fn relation(&self, database: &str, name: &str) -> Result<Option<Relation>, PlanError>;

    /// Tables of a database that a wrong name is compared with, for the hint.
    fn table_names(&self, database: &str) -> Vec<String>;
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Relation {
    /// A stream: a job reads on, a SELECT reads to its present end.
    Stream(StreamRelation),
    /// A table that a SELECT reads.
    Table(Arc<dyn TableProvider>),
    /// A plan that gives its rows: a materialized view.
    Plan(LogicalPlan),
    /// A view.
    View {
        /// The database that unqualified names in the query belong to.
        database: String,
        /// Its query.
        query: Box<Query>,
        /// New names of its columns; empty to keep the query's.
        columns: Vec<String>,
    },
}

/// A stream table.
#[derive(Debug, Clone)]
pub struct StreamRelation {
    /// The table.
    pub id: TableId,
    /// Its qualified name, for people.
    pub name: String,
    /// Where the rows come from.
    pub source: Arc<dyn Source>,
    /// How they decode.
    pub decoder: Arc<dyn Decoder>,
    /// Its event time, if it has one.
    pub event_time: Option<EventTime>,
}
