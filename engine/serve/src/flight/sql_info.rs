//! What the server says about itself in GetSqlInfo.
//!
//! Drivers read each entry with the type that the specification gives it, and some crash on another one: the union
//! child is chosen here by the Rust type of the value (`&str` text, `bool`, `i64` number, `i32` bit mask, list, map).
//! Bit masks have one bit set where drivers compare for equality.

use super::ticket::MAX_STATEMENT_BYTES;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use std::collections::BTreeMap;

/// All entries, by number: FlightSql.proto, `enum SqlInfo`.
pub(crate) fn sql_info() -> Result<SqlInfoData, FlightError> {
    let mut builder = SqlInfoDataBuilder::new();
    for (id, value) in texts() {
        builder.append(id, value);
    }
    for (id, value) in flags() {
        builder.append(id, value);
    }
    for (id, value) in numbers() {
        builder.append(id, value);
    }
    for (id, value) in bit_masks() {
        builder.append(id, value);
    }
    for (id, value) in lists() {
        builder.append(id, value);
    }
    builder.append(517_u32, conversions());
    builder.build()
}

fn texts() -> [(u32, &'static str); 9] {
    [
        (0, "Salamander"),
        (1, env!("CARGO_PKG_VERSION")),
        (2, "59"),
        (504, "\""),     // identifier quote
        (513, "\\"),     // search string escape
        (514, ""),       // extra name characters
        (529, "schema"), // terms
        (530, ""),
        (531, "catalog"),
    ]
}

fn flags() -> [(u32, bool); 32] {
    [
        (3, false),   // read only
        (4, true),    // SQL
        (5, false),   // Substrait
        (9, false),   // cancel action: cancel by ending the stream
        (10, false),  // bulk ingestion
        (11, false),  // ingestion in transactions
        (500, false), // DDL: catalog, schema, table
        (501, true),
        (502, true),
        (506, true),  // all tables are selectable
        (515, true),  // column aliases
        (516, true),  // NULL + NULL is NULL
        (518, true),  // table correlation names, also different ones
        (519, false), // … need not differ from table names
        (520, true),  // expressions in ORDER BY
        (521, true),  // ORDER BY unrelated
        (523, true),  // LIKE … ESCAPE
        (524, true),  // NOT NULL columns
        (527, false), // integrity enhancement
        (532, true),  // catalog at start
        (536, false), // SELECT FOR UPDATE
        (537, false), // stored procedures
        (539, true),  // correlated subqueries
        (556, false), // row size includes blobs
        (563, false), // transactions
        (565, false), // DDL commits
        (566, true),  // DDL in transactions is ignored
        (572, false), // batch updates
        (573, false), // savepoints
        (574, false), // named parameters
        (575, false), // locators
        (576, false), // stored functions with call syntax
    ]
}

fn numbers() -> Vec<(u32, i64)> {
    let mut numbers = vec![
        (503, 3), // unquoted identifiers: lower case
        (505, 0), // quoted identifiers: case sensitive, for which the enum has no value
        (507, 0), // NULL sorts as the highest value
        (562, 0), // no transaction isolation
    ];
    // Limits 541 to 561: none (0), but for the statement's length.
    numbers.extend((541..=561).filter(|id| *id != 556).map(|id| (id, 0_i64)));
    for (id, value) in &mut numbers {
        if *id == 557 {
            *value = i64::try_from(MAX_STATEMENT_BYTES).unwrap_or(i64::MAX);
        }
    }
    numbers
}

fn bit_masks() -> [(u32, i32); 17] {
    [
        (8, 0),    // transactions: none
        (100, 0),  // statement timeout: none
        (101, 0),  // transaction timeout: none
        (522, 1),  // GROUP BY unrelated
        (525, 4),  // ODBC extended grammar
        (526, 4),  // full SQL-92: Power Query makes no derived tables without it
        (528, 4),  // full outer joins
        (533, 0),  // schemas in procedure calls and the like: none
        (534, 0),  // catalogs in the same
        (535, 0),  // positioned commands
        (538, 15), // subqueries in comparisons, EXISTS, IN, quantified
        (540, 3),  // UNION and UNION ALL
        (564, 0),  // isolation levels
        (567, 0),  // result sets: forward only is implied
        (568, 0),
        (569, 0),
        (570, 0),
    ]
}

fn lists() -> [(u32, Vec<String>); 5] {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    [
        (508, list("WATERMARK JOB TBLPROPERTIES STORED LOCATION")), // keywords beyond SQL-92
        (
            509,
            list(
                "ABS ACOS ASIN ATAN ATAN2 CEILING COS COT DEGREES EXP FLOOR LOG LOG10 PI POWER RADIANS ROUND SIGN \
                 SIN SQRT TAN",
            ),
        ),
        (510, list("ASCII CHAR CONCAT LCASE LEFT LENGTH LOCATE LTRIM REPEAT REPLACE RIGHT RTRIM SUBSTRING UCASE")),
        (511, list("CONVERT")),
        (
            512,
            list(
                "YEAR MONTH QUARTER WEEK DAYOFMONTH DAYOFYEAR DAYOFWEEK HOUR MINUTE SECOND CURDATE NOW TIMESTAMPADD \
                 TIMESTAMPDIFF",
            ),
        ),
    ]
}

/// Which types CONVERT turns into which: `SqlSupportsConvert` numbers of FlightSql.proto, any plain type into any other.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    // bigint 0, bit 2, char 3, date 4, decimal 5, float 6, integer 7, longvarchar 11, numeric 12, real 13, smallint 14,
    // time 15, timestamp 16, tinyint 17, varchar 19. Binary and interval types are left out.
    const PLAIN: [i32; 15] = [0, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17, 19];
    PLAIN.iter().map(|from| (*from, PLAIN.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, UInt32Array, UnionArray};

    /// Which union child each number must have (POWERBI: what the ODBC driver casts to without asking).
    fn expected_child(id: u32) -> i8 {
        match id {
            0..=2 | 504 | 513 | 514 | 529..=531 => 0,
            3 | 501 | 502 | 506 | 515 | 516 | 518..=521 | 523 | 524 | 527 | 532 | 537 | 556 => 1,
            563 | 565 | 566 | 572 => 1,
            503 | 505 | 507 | 541..=555 | 557..=562 => 2,
            522 | 525 | 526 | 528 | 533 | 534 | 538 | 540 | 564 => 3,
            508..=512 => 4,
            517 => 5,
            _ => -1,
        }
    }

    #[test]
    fn every_entry_has_the_child_type_that_drivers_cast_to() {
        let data = sql_info().unwrap();
        let all = data.record_batch([]).unwrap();
        let ids = all.column(0).as_any().downcast_ref::<UInt32Array>().unwrap();
        let values = all.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for row in 0..all.num_rows() {
            let id = ids.value(row);
            assert!(seen.insert(id), "{id} twice");
            let expected = expected_child(id);
            assert!(expected < 0 || values.type_id(row) == expected, "{id}");
        }
        let missing: Vec<u32> = (0..600).filter(|id| expected_child(*id) >= 0 && !seen.contains(id)).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        assert_eq!(values.len(), seen.len());
    }

    #[test]
    fn one_entry_can_be_asked_for() {
        let one = sql_info().unwrap().record_batch([526]).unwrap();
        assert_eq!(one.num_rows(), 1);
    }
}
