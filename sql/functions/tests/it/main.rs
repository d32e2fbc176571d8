//! The functions through SQL: against a real Spark's results, and fast kernels against general ones.

#[path = "../../benches/log_lines.rs"]
mod log_lines;
mod plans;
mod spark_cases;
mod transformation;

use datafusion::common::config::Dialect;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use salamander_functions::{Kernels, with_spark_kernels};

/// A session that speaks Spark.
pub(crate) fn session(kernels: Kernels) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(512);
    // Salamander's own dialect counts as this one: array(1, 2) is a function.
    config.options_mut().sql_parser.dialect = Dialect::Databricks;
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(with_spark_kernels(builder, kernels).build())
}
