//! How SQL that is not a function call is planned: `a[i]`, division, and the names of types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr, TypePlanner};
use datafusion::logical_expr::sqlparser::ast::{BinaryOperator, DataType as SqlType, TimezoneInfo};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, GetFieldAccess, Operator, ScalarUDF};

use crate::element::{Base, Element};
use crate::nonzero::Nonzero;
use crate::time_patterns::timestamp_type;

/// Plans `a[i]` for an array `a` as `spark_array_get(a, i)`, which counts from 0, and `/` and `%` so that a division by
/// zero is NULL and the quotient of two whole numbers is a DOUBLE.
///
/// It must come before DataFusion's own planners, which would take `a[i]` as counting from 1.
#[derive(Debug)]
pub struct SparkExprPlanner {
    array_get: Arc<ScalarUDF>,
    nonzero: Arc<ScalarUDF>,
}

impl Default for SparkExprPlanner {
    fn default() -> Self {
        SparkExprPlanner {
            array_get: Arc::new(ScalarUDF::from(Element::new(Base::Zero))),
            nonzero: Arc::new(ScalarUDF::from(Nonzero::new())),
        }
    }
}

impl ExprPlanner for SparkExprPlanner {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let is_array = matches!(
            access.expr.get_type(schema)?,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _)
        );
        match access {
            RawFieldAccessExpr { field_access: GetFieldAccess::ListIndex { key }, expr } if is_array => {
                Ok(PlannerResult::Planned(self.array_get.call(vec![expr, *key])))
            }
            other => Ok(PlannerResult::Original(other)),
        }
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left_type, right_type) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        if !left_type.is_numeric() || !right_type.is_numeric() {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { mut left, mut right, .. } = expr;
        if op == Operator::Divide && left_type.is_integer() && right_type.is_integer() {
            left = left.cast_to(&DataType::Float64, schema)?;
            right = right.cast_to(&DataType::Float64, schema)?;
        }
        if !is_nonzero_literal(&right) {
            right = self.nonzero.call(vec![right]);
        }
        Ok(PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
    }
}

/// Whether an expression is a literal, perhaps cast, that is not zero.
fn is_nonzero_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            matches!(value.cast_to(&DataType::Float64), Ok(datafusion::common::ScalarValue::Float64(Some(v))) if v != 0.0)
        }
        Expr::Cast(cast) => is_nonzero_literal(&cast.expr),
        _ => false,
    }
}

/// Names of types as in Spark: `TIMESTAMP` is an instant in microseconds of UTC, `TIMESTAMP_NTZ` a local time, and `LONG`,
/// `SHORT`, `BYTE`, `BINARY` are there.
#[derive(Debug, Default)]
pub struct SparkTypePlanner;

impl TypePlanner for SparkTypePlanner {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            SqlType::Timestamp(_, TimezoneInfo::WithoutTimeZone) | SqlType::TimestampNtz(_) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            SqlType::Timestamp(_, _) => timestamp_type(),
            SqlType::Binary(_) => DataType::Binary,
            SqlType::Custom(name, _) => match name.to_string().to_ascii_lowercase().as_str() {
                "long" => DataType::Int64,
                "short" => DataType::Int16,
                "byte" => DataType::Int8,
                "timestamp_ltz" => timestamp_type(),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
