//! One number out of a date or timestamp: `year`, `quarter`, `month`, `day` (`dayofmonth`), `dayofyear`, `dayofweek`
//! (1 = Sunday), `weekofyear` (ISO), as INT, in the session's zone. A string is cast to DATE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::java_time::calendar::{date_from_days, day_of_year, weekday};
use crate::java_time::{MICROS_PER_DAY, lenient};
use crate::time_patterns::{instant_argument, instants, session_zone};
use crate::views;

/// Which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DateField {
    Year,
    Quarter,
    Month,
    Day,
    DayOfYear,
    DayOfWeek,
    WeekOfYear,
}

impl DateField {
    pub(crate) const ALL: [DateField; 7] = [
        DateField::Year,
        DateField::Quarter,
        DateField::Month,
        DateField::Day,
        DateField::DayOfYear,
        DateField::DayOfWeek,
        DateField::WeekOfYear,
    ];

    fn of(self, days: i64) -> i64 {
        let date = date_from_days(days);
        match self {
            DateField::Year => date.year,
            DateField::Quarter => i64::from(date.month - 1) / 3 + 1,
            DateField::Month => i64::from(date.month),
            DateField::Day => i64::from(date.day),
            DateField::DayOfYear => day_of_year(date),
            DateField::DayOfWeek => (weekday(days) as i64 + 1) % 7 + 1,
            // The week belongs to the year that its Thursday lies in.
            DateField::WeekOfYear => (day_of_year(date_from_days(days - weekday(days) as i64 + 3)) - 1) / 7 + 1,
        }
    }
}

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DatePart {
    signature: Signature,
    aliases: Vec<String>,
    field: DateField,
}

impl DatePart {
    pub(crate) fn new(field: DateField) -> Self {
        let aliases = if field == DateField::Day { vec!["dayofmonth".to_string()] } else { Vec::new() };
        DatePart { signature: coercing(), aliases, field }
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        match self.field {
            DateField::Year => "year",
            DateField::Quarter => "quarter",
            DateField::Month => "month",
            DateField::Day => "day",
            DateField::DayOfYear => "dayofyear",
            DateField::DayOfWeek => "dayofweek",
            DateField::WeekOfYear => "weekofyear",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 1, 1)?;
        Ok(vec![instant_argument(&given[0])])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let zone = session_zone(&args.config_options)?;
        let array = args.args[0].to_array(rows)?;
        let numbers: Int32Array = if views::is_string(array.data_type()) {
            let number = |text: Option<&str>| Some(self.field.of(i64::from(lenient::date(text?)?)) as i32);
            views::string_array(&array)?.iter().map(number).collect()
        } else {
            let number = |micros| self.field.of(zone.to_local(micros).div_euclid(MICROS_PER_DAY)) as i32;
            instants(&array, &zone)?.unary::<_, Int32Type>(number)
        };
        let numbers: ArrayRef = Arc::new(numbers);
        views::scalar_if_constant(numbers, &args.args)
    }
}
