//! `window(ts, size[, slide[, start]])` and `cumulate_window(ts, size, step[, start])`: the windows of a time.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use salamander_connector_api::timestamp_type;
use salamander_operators::WindowSpec;
use std::sync::Arc;

/// Spark's function.
pub(crate) const WINDOW: &str = "window";
/// Spark's function of sessions.
pub(crate) const SESSION: &str = "session_window";
/// What Flink's CUMULATE becomes.
pub(crate) const CUMULATE: &str = "cumulate_window";

/// Registers the functions in a session.
pub(crate) fn register(context: &SessionContext) {
    for name in [WINDOW, SESSION, CUMULATE] {
        context.register_udf(ScalarUDF::from(WindowOf {
            name,
            signature: Signature::user_defined(Volatility::Immutable),
        }));
    }
}

fn window_fields() -> Fields {
    Fields::from(vec![Field::new("start", timestamp_type(), true), Field::new("end", timestamp_type(), true)])
}

/// The window of a time, as a struct of its start and end.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowOf {
    name: &'static str,
    signature: Signature,
}

/// The windows and the time of a call of one of the functions; none if the expression is something else.
pub(crate) fn window_call(expression: &Expr) -> Result<Option<(WindowSpec, &Expr)>> {
    let Expr::ScalarFunction(call) = expression else { return Ok(None) };
    let Some(function) = call.func.inner().downcast_ref::<WindowOf>() else { return Ok(None) };
    let literals: Vec<_> = call.args.iter().skip(1).map(|arg| literal(arg)).collect();
    match call.args.first() {
        Some(time) => Ok(Some((function.windows(&literals)?, time))),
        None => plan_err!("{}() needs a time", function.name),
    }
}

fn literal(arg: &Expr) -> Option<&ScalarValue> {
    match arg {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

impl WindowOf {
    fn windows(&self, literals: &[Option<&ScalarValue>]) -> Result<WindowSpec> {
        let at = |index: usize, what: &str| -> Result<Option<i64>> {
            match literals.get(index) {
                None => Ok(None),
                Some(Some(value)) => length(value, what).map(Some),
                Some(None) => plan_err!("the {what} of {}() must be a constant, such as '10 seconds'", self.name),
            }
        };
        let (size, second, start) = (at(0, "size")?, at(1, "slide")?, at(2, "start")?.unwrap_or(0));
        if self.name == SESSION && literals.len() != 1 {
            return plan_err!("session_window() takes a time and a gap, such as '5 minutes'");
        }
        let windows = match (self.name, size, second) {
            (SESSION, Some(gap), None) => WindowSpec::session(gap),
            (CUMULATE, Some(size), Some(step)) => WindowSpec::cumulating(size, step, start),
            (WINDOW, Some(size), None) => WindowSpec::tumbling(size, start),
            (WINDOW, Some(size), Some(slide)) => WindowSpec::hopping(size, slide, start),
            _ => Err(format!("{}() needs a time and a size, such as '10 seconds'", self.name)),
        };
        windows.or_else(|message| plan_err!("{message}"))
    }
}

/// A length of time: a text such as `10 seconds`, or an interval.
pub(crate) fn length(value: &ScalarValue, what: &str) -> Result<i64> {
    const DAY: i64 = 86_400_000_000;
    let micros = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            salamander_sql::parse_duration_micros(text)
        }
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            i64::from(interval.days).checked_mul(DAY).and_then(|d| d.checked_add(interval.nanoseconds / 1_000))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => i64::from(interval.days)
            .checked_mul(DAY)
            .and_then(|d| d.checked_add(i64::from(interval.milliseconds) * 1_000)),
        _ => None,
    };
    match micros {
        Some(micros) => Ok(micros),
        None => plan_err!(
            "the {what} of a window must be a fixed length of time such as '10 seconds' or INTERVAL '1' MINUTE, not {value}"
        ),
    }
}

impl ScalarUDFImpl for WindowOf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given.first() {
            Some(DataType::Timestamp(_, _) | DataType::Date32 | DataType::Null) if given.len() <= 4 => {}
            Some(_) if given.len() > 4 => {
                return plan_err!("{}() takes at most a time, a size, a slide and a start", self.name);
            }
            Some(other) => {
                return plan_err!("{}() takes a TIMESTAMP, not {other}: write to_timestamp(…) around it", self.name);
            }
            None => return plan_err!("{}() needs a time and a size", self.name),
        }
        for length in &given[1..] {
            if !matches!(
                length,
                DataType::Utf8
                    | DataType::Utf8View
                    | DataType::LargeUtf8
                    | DataType::Interval(IntervalUnit::MonthDayNano | IntervalUnit::DayTime)
            ) {
                return plan_err!("{}() takes lengths of time such as '10 seconds', not {length}", self.name);
            }
        }
        Ok(std::iter::once(timestamp_type()).chain(given[1..].iter().cloned()).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(window_fields()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.windows(args.scalar_arguments.get(1..).unwrap_or_default())?;
        Ok(Arc::new(Field::new(self.name, DataType::Struct(window_fields()), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lengths: Vec<_> = args.args[1..]
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let windows = self.windows(&lengths)?;
        if windows.is_session() {
            return exec_err!("session_window() can stand in GROUP BY only: a session is made of several rows");
        }
        if !windows.is_tumbling() {
            return exec_err!(
                "a row is in several of the windows of {}(): it can stand in GROUP BY and in SELECT only",
                self.name
            );
        }
        let times = args.args[0].to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let starts: TimestampMicrosecondArray = times.unary(|time| windows.pane_of(time));
        let ends: TimestampMicrosecondArray = times.unary(|time| windows.last_end(time));
        let columns: Vec<ArrayRef> = vec![Arc::new(starts.with_timezone("UTC")), Arc::new(ends.with_timezone("UTC"))];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(window_fields(), columns, times.nulls().cloned())?)))
    }
}

/// All windows of a time, as a list, by their ends: what a batch query unnests.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowsOf {
    windows: WindowSpec,
    signature: Signature,
}

/// A call that lists the windows of a time.
pub(crate) fn list_windows(windows: WindowSpec, time: Expr) -> Expr {
    let signature = Signature::exact(vec![timestamp_type()], Volatility::Immutable);
    ScalarUDF::from(WindowsOf { windows, signature }).call(vec![time])
}

impl ScalarUDFImpl for WindowsOf {
    fn name(&self) -> &str {
        "windows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Struct(window_fields()), true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            return internal_err!("windows() of {}", times.data_type());
        };
        let (mut starts, mut ends, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(times.len()));
        for time in times {
            let before = starts.len();
            for window in time.into_iter().flat_map(|time| self.windows.windows_of(time)) {
                starts.push(window.start);
                ends.push(window.end);
            }
            lengths.push(starts.len() - before);
        }
        let column =
            |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef;
        let values = StructArray::try_new(window_fields(), vec![column(starts), column(ends)], None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(window_fields()), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(item, offsets, Arc::new(values), times.nulls().cloned())?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

/// The session that begins and has its last row at these times, as a struct.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionOf {
    gap: i64,
    signature: Signature,
}

/// A call that makes a session of its first and last time.
pub(crate) fn session_of(gap: i64, first: Expr, last: Expr) -> Expr {
    let signature = Signature::exact(vec![timestamp_type(), timestamp_type()], Volatility::Immutable);
    ScalarUDF::from(SessionOf { gap, signature }).call(vec![first, last])
}

impl ScalarUDFImpl for SessionOf {
    fn name(&self) -> &str {
        "session_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(window_fields()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (first, last) = (args.args[0].to_array(args.number_rows)?, args.args[1].to_array(args.number_rows)?);
        let Some(last) = last.as_primitive_opt::<TimestampMicrosecondType>() else {
            return internal_err!("session_of() of {}", last.data_type());
        };
        let ends: TimestampMicrosecondArray = last.unary(|time: i64| time.saturating_add(self.gap));
        let columns: Vec<ArrayRef> = vec![first, Arc::new(ends.with_timezone("UTC"))];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(window_fields(), columns, None)?)))
    }
}
