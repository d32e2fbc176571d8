//! The dialect that sqlparser tokenises and parses queries with.
//!
//! Spark's spelling where Spark has one, with two differences: `"x"` is an identifier (as is
//! `` `x` ``), and a backslash in a string is a backslash. `$` is part of identifiers, for `logs$bad_records`.
//! Lambdas (`x -> …`) are not supported by the engine, hence not parsed.

use std::any::TypeId;

use sqlparser::dialect::{DatabricksDialect, Dialect};

/// Salamander's SQL.
#[derive(Debug, Default, Clone, Copy)]
pub struct SalamanderDialect;

impl Dialect for SalamanderDialect {
    // sqlparser knows some Spark habits only by this identity: array(1, 2) and exists(…) are functions.
    fn dialect(&self) -> TypeId {
        TypeId::of::<DatabricksDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        false
    }
}
