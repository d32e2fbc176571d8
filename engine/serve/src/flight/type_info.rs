//! The SQL types in GetXdbcTypeInfo: without them ODBC clients can't describe any column.

use super::columns::TEXT_LENGTH;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType};

struct SqlType {
    name: &'static str,
    xdbc: XdbcDataType,
    size: i32,
    quote: Option<&'static str>,
    /// Largest scale of an exact number or of a time's fraction.
    scale: Option<i32>,
    numeric: bool,
}

/// All types, under the names that a column's metadata uses.
pub(crate) fn type_info() -> Result<XdbcTypeInfoData, FlightError> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for sql_type in types() {
        builder.append(row(&sql_type));
    }
    builder.build()
}

fn types() -> [SqlType; 12] {
    use XdbcDataType::*;
    let number = |name, xdbc, size, scale| SqlType { name, xdbc, size, quote: None, scale, numeric: true };
    let text = |name, xdbc, size, quote, scale| SqlType { name, xdbc, size, quote: Some(quote), scale, numeric: false };
    [
        SqlType { numeric: false, ..number("BOOLEAN", XdbcBit, 1, None) },
        number("TINYINT", XdbcTinyint, 3, Some(0)),
        number("SMALLINT", XdbcSmallint, 5, Some(0)),
        number("INTEGER", XdbcInteger, 10, Some(0)),
        number("BIGINT", XdbcBigint, 19, Some(0)),
        number("REAL", XdbcReal, 7, None),
        number("DOUBLE", XdbcDouble, 15, None),
        number("DECIMAL", XdbcDecimal, 38, Some(38)),
        text("VARCHAR", XdbcVarchar, TEXT_LENGTH, "'", None),
        text("DATE", XdbcDate, 10, "'", None),
        text("TIMESTAMP", XdbcTimestamp, 26, "'", Some(6)),
        text("VARBINARY", XdbcVarbinary, TEXT_LENGTH, "X'", None),
    ]
}

fn row(sql_type: &SqlType) -> XdbcTypeInfo {
    let quote = sql_type.quote.map(str::to_owned);
    let parameters = match sql_type.xdbc {
        XdbcDataType::XdbcDecimal => Some(vec!["precision".to_owned(), "scale".to_owned()]),
        XdbcDataType::XdbcVarchar => Some(vec!["length".to_owned()]),
        _ => None,
    };
    XdbcTypeInfo {
        type_name: sql_type.name.to_owned(),
        data_type: sql_type.xdbc,
        column_size: Some(sql_type.size),
        literal_suffix: quote.as_ref().map(|_| "'".to_owned()),
        literal_prefix: quote,
        create_params: parameters,
        nullable: Nullable::NullabilityNullable,
        case_sensitive: sql_type.xdbc == XdbcDataType::XdbcVarchar,
        searchable: Searchable::Full,
        unsigned_attribute: sql_type.numeric.then_some(false),
        fixed_prec_scale: false,
        auto_increment: sql_type.numeric.then_some(false),
        local_type_name: Some(sql_type.name.to_owned()),
        minimum_scale: sql_type.scale.map(|_| 0),
        maximum_scale: sql_type.scale,
        sql_data_type: sql_type.xdbc,
        datetime_subcode: None,
        num_prec_radix: sql_type.numeric.then_some(10),
        interval_precision: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_types_or_one_can_be_asked_for() {
        let info = type_info().unwrap();
        let all = info.record_batch(None).unwrap();
        assert_eq!((all.num_rows(), all.num_columns()), (types().len(), 19));
        let one = info.record_batch(XdbcDataType::XdbcBigint as i32).unwrap();
        assert_eq!(one.num_rows(), 1);
    }
}
