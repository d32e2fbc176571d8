//! The planner: sessions with Spark's functions, and queries to plans.

use crate::binding::{Binding, CATALOG, Reading};
use crate::error::PlanError;
use crate::tables::Tables;
use crate::wildcard::expand_stars;
use crate::{duplicates, rlike, windows};
use datafusion::common::Result;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as DataFusionStatement;
use sqlparser::ast::{Query, Statement};
use std::fmt;
use std::sync::Arc;

/// Plans queries and jobs. Cheap to clone; holds no catalog.
#[derive(Clone)]
pub struct Planner {
    base: Arc<SessionState>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

impl Planner {
    /// A planner whose plans run in this environment (memory pool, object stores, spill folder), with this many
    /// partitions a query.
    ///
    /// # Errors
    /// When Spark's functions can't be registered.
    pub fn try_new(runtime: Arc<RuntimeEnv>, partitions: usize) -> Result<Self, PlanError> {
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions.max(1))
            .with_default_catalog_and_schema(CATALOG, "default")
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.map_string_types_to_utf8view = true;
        options.execution.time_zone = Some("UTC".to_owned());
        let state =
            SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(runtime).build();
        let context = SessionContext::new_with_state(state);
        salamander_functions::register_all(&context)?;
        windows::register(&context);
        Ok(Self { base: Arc::new(context.state()) })
    }

    /// The environment that plans run in.
    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        self.base.runtime_env()
    }

    /// A query as an optimised plan; [`Planner::state`] makes and runs its physical plan.
    ///
    /// # Errors
    /// When the query doesn't plan.
    pub async fn query(
        &self,
        tables: Arc<dyn Tables>,
        database: &str,
        query: &Query,
    ) -> Result<LogicalPlan, PlanError> {
        let binding = self.binding(tables, Reading::Batch);
        Ok(windows::explode(binding.plan(database, query).await?)?)
    }

    /// Checks a view's query: that it plans, and that its columns can be told apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check_view(
        &self,
        tables: Arc<dyn Tables>,
        database: &str,
        name: &str,
        query: &Query,
        columns: &[String],
    ) -> Result<(), PlanError> {
        self.binding(tables, Reading::Batch).view(name, database, query, columns).await?;
        Ok(())
    }

    /// A session for running a batch plan.
    pub fn state(&self, tables: Arc<dyn Tables>, database: &str) -> SessionState {
        self.binding(tables, Reading::Batch).state(database)
    }

    pub(crate) fn binding(&self, tables: Arc<dyn Tables>, reading: Reading) -> Binding {
        Binding { planner: self.clone(), tables, reading, depth: 0 }
    }
}

impl Binding {
    /// A session whose names are bound here.
    pub(crate) fn state(&self, database: &str) -> SessionState {
        let mut state = self.planner.base.as_ref().clone();
        let options = state.config_mut().options_mut();
        options.catalog.default_schema = database.to_lowercase();
        if let Reading::Continuous { .. } = self.reading {
            // A job's plan runs many times: nothing may be learnt in one epoch and applied in the next, and small
            // epochs must not pay for exchanges.
            options.optimizer.enable_dynamic_filter_pushdown = false;
            options.optimizer.enable_round_robin_repartition = false;
        }
        state.register_catalog_list(Arc::new(self.clone()));
        state
    }

    /// A query, with names bound, as a logical plan that is not yet optimised.
    pub(crate) async fn plan(&self, database: &str, query: &Query) -> Result<LogicalPlan> {
        let mut query = query.clone();
        windows::rewrite_syntax(&mut query).map_err(crate::binding::external)?;
        let state = self.state(database);
        let streams = self.streams(&state, database, &query).await?;
        expand_stars(&mut query, database, &streams);
        rlike::call_rlike(&mut query);
        let error = match state.statement_to_plan(statement(&query)).await {
            Err(error) if duplicates::is_about_names(&error) => error,
            planned => return planned,
        };
        let renamed = duplicates::set_apart(&mut query);
        match state.statement_to_plan(statement(&query)).await {
            Ok(plan) if !renamed.is_empty() => duplicates::restore(plan, &renamed),
            _ => Err(error),
        }
    }

    /// The stream tables among a query's names, as `database.table` in lower case.
    async fn streams(&self, state: &SessionState, database: &str, query: &Query) -> Result<Vec<String>> {
        use crate::tables::Relation;
        let mut streams = Vec::new();
        for reference in state.resolve_table_references(&statement(query))? {
            let resolved = reference.resolve(CATALOG, database);
            let (db, table) = (resolved.schema.to_lowercase(), resolved.table.to_lowercase());
            if !self.tables.has_table(&db, &table) {
                continue;
            }
            let relation = self.tables.relation(&db, &table).await.map_err(crate::binding::external)?;
            if matches!(relation, Some(Relation::Stream(_))) {
                streams.push(format!("{db}.{table}"));
            }
        }
        Ok(streams)
    }
}

fn statement(query: &Query) -> DataFusionStatement {
    DataFusionStatement::Statement(Box::new(Statement::Query(Box::new(query.clone()))))
}

/// A plan with its columns renamed and cast, position by position, to a schema's.
pub(crate) fn project_to(plan: LogicalPlan, expressions: Vec<datafusion::logical_expr::Expr>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).project(expressions)?.build()
}
