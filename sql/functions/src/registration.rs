//! Putting it all into a session.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::functions;
use datafusion::functions_aggregate::{approx_distinct, approx_percentile_cont, first_last};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;
use datafusion_spark::planner::SparkFunctionPlanner;

use crate::cast::{SparkCast, Target as CastTarget};
use crate::date_fields::{DateField, DatePart};
use crate::date_format::{DateFormat, Source};
use crate::element::{Base, Element};
use crate::kernels::Kernels;
use crate::nonzero::Nonzero;
use crate::planner::{SparkExprPlanner, SparkTypePlanner};
use crate::regexp_extract::RegexpExtract;
use crate::regexp_replace::RegexpReplace;
use crate::rlike::Rlike;
use crate::rules::{SparkCasts, SplitOnce};
use crate::split::Split;
use crate::split_fields::{SplitField, SplitFields, SplitFieldsGet};
use crate::to_timestamp::{ReadTime, Target as TimeTarget};
use crate::words::{Initcap, Locate};

/// Makes an existing session speak Spark; see [`with_spark`].
///
/// # Errors
/// None at present: the signature leaves room.
pub fn register_all(context: &SessionContext) -> Result<()> {
    register_all_with(context, Kernels::Fast)
}

/// [`register_all`] with a choice of implementation.
///
/// # Errors
/// None at present: the signature leaves room.
pub fn register_all_with(context: &SessionContext, kernels: Kernels) -> Result<()> {
    let state = with_spark_kernels(SessionStateBuilder::new_from_existing(context.state()), kernels).build();
    *context.state_ref().write() = state;
    Ok(())
}

/// Registers only the functions, for a worker that decodes plans which were planned elsewhere.
///
/// # Errors
/// If the registry does not take functions.
pub fn register_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    datafusion_spark::register_all(registry)?;
    for function in scalar_functions(Kernels::Fast) {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    Ok(())
}

/// Makes a session speak Spark: the functions, `a[i]` from 0, division, names of types, casts, and the fast kernels.
///
/// Call it after `with_default_features`, whose planners and functions it takes precedence over.
#[must_use]
pub fn with_spark(builder: SessionStateBuilder) -> SessionStateBuilder {
    with_spark_kernels(builder, Kernels::Fast)
}

/// [`with_spark`] with a choice of implementation.
#[must_use]
pub fn with_spark_kernels(mut builder: SessionStateBuilder, kernels: Kernels) -> SessionStateBuilder {
    let planners = builder.expr_planners().get_or_insert_default();
    // The first planner that knows an expression plans it.
    planners.insert(0, Arc::new(SparkFunctionPlanner));
    planners.insert(0, Arc::new(SparkExprPlanner::default()));
    // Of functions with one name the last counts.
    let scalar = builder.scalar_functions().get_or_insert_default();
    scalar.extend(datafusion_spark::all_default_scalar_functions());
    scalar.extend(scalar_functions(kernels));
    let aggregate = builder.aggregate_functions().get_or_insert_default();
    aggregate.extend(datafusion_spark::all_default_aggregate_functions());
    aggregate.extend(aggregate_functions());
    builder.window_functions().get_or_insert_default().extend(datafusion_spark::all_default_window_functions());
    builder
        .with_type_planner(Arc::new(SparkTypePlanner))
        .with_analyzer_rule(Arc::new(SparkCasts::default()))
        .with_optimizer_rule(Arc::new(SplitOnce::default()))
}

/// This crate's scalar functions.
fn scalar_functions(kernels: Kernels) -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![
        ScalarUDF::from(Split::new(kernels)),
        ScalarUDF::from(SplitField::new()),
        ScalarUDF::from(SplitFields::new()),
        ScalarUDF::from(SplitFieldsGet::new()),
        ScalarUDF::from(RegexpExtract::new(kernels)),
        ScalarUDF::from(RegexpReplace::new()),
        ScalarUDF::from(Rlike::new()),
        ScalarUDF::from(ReadTime::new(TimeTarget::Timestamp, kernels)),
        ScalarUDF::from(ReadTime::new(TimeTarget::Date, kernels)),
        ScalarUDF::from(ReadTime::new(TimeTarget::Seconds, kernels)),
        ScalarUDF::from(DateFormat::new(Source::Instant, kernels)),
        ScalarUDF::from(DateFormat::new(Source::Seconds, kernels)),
        ScalarUDF::from(Element::new(Base::Zero)),
        ScalarUDF::from(Element::new(Base::One)),
        ScalarUDF::from(Nonzero::new()),
        ScalarUDF::from(Locate::new()),
        ScalarUDF::from(Initcap::new()),
        // DataFusion's, by Spark's names.
        functions::string::starts_with().as_ref().clone().with_aliases(["startswith"]),
        functions::string::ends_with().as_ref().clone().with_aliases(["endswith"]),
    ];
    functions.extend(CastTarget::ALL.into_iter().map(|target| ScalarUDF::from(SparkCast::new(target))));
    functions.extend(DateField::ALL.into_iter().map(|field| ScalarUDF::from(DatePart::new(field))));
    functions.into_iter().map(Arc::new).collect()
}

/// DataFusion's aggregates that Spark has under another name.
fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let renamed =
        |function: Arc<AggregateUDF>, names: Vec<&'static str>| Arc::new(function.as_ref().clone().with_aliases(names));
    vec![
        renamed(approx_percentile_cont::approx_percentile_cont_udaf(), vec!["approx_percentile", "percentile_approx"]),
        renamed(approx_distinct::approx_distinct_udaf(), vec!["approx_count_distinct"]),
        renamed(first_last::first_value_udaf(), vec!["first", "any_value"]),
        renamed(first_last::last_value_udaf(), vec!["last"]),
    ]
}
