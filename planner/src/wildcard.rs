//! What stars stand for, where DataFusion would have it otherwise.
//!
//! `SELECT *` over a stream leaves out its metadata columns, as Spark's and Flink's users expect. They (`_partition`,
//! `_offset`, …) are columns like others once named. DataFusion expands `*` to all columns of a table, so the star is
//! given an EXCLUDE list here, in the syntax tree, where it stands for a stream.
//!
//! `events.*` and `db.events.*` mean the same table however FROM names it; DataFusion wants the very words of FROM.

use salamander_connector_api::metadata_fields;
use sqlparser::ast::{
    ExcludeSelectItem, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use std::ops::ControlFlow;

/// Adds the EXCLUDE lists and completes the names before stars. `streams` are the stream tables among the query's names,
/// as `database.table` in lower case.
pub(crate) fn expand_stars(query: &mut Query, database: &str, streams: &[String]) {
    let _ = query.visit(&mut Stars { database, streams });
}

/// A name as written, as `database.table` in lower case.
fn key(name: &ObjectName, database: &str) -> String {
    match parts(name).as_slice() {
        [table] => format!("{}.{table}", database.to_lowercase()),
        [.., db, table] => format!("{db}.{table}"),
        [] => String::new(),
    }
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|p| p.as_ident().map_or_else(|| p.to_string(), |i| i.value.clone()).to_lowercase()).collect()
}

struct Stars<'a> {
    database: &'a str,
    streams: &'a [String],
}

impl VisitorMut for Stars<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let tables: Vec<ObjectName> = factors(select).filter_map(without_alias).cloned().collect();
        let streams = self.streams(select);
        // Over two streams a bare star would be ambiguous to exclude from; it then shows all columns.
        let is_single = streams.len() == 1;
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) if is_single => exclude(options),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    if let Some(table) = self.meant(name, &tables) {
                        *name = table.clone();
                    }
                    if streams.iter().any(|s| name.0.last().is_some_and(|n| same(&n.to_string(), s))) {
                        exclude(options);
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn factors(select: &Select) -> impl Iterator<Item = &TableFactor> {
    select.from.iter().flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)))
}

fn without_alias(factor: &TableFactor) -> Option<&ObjectName> {
    match factor {
        TableFactor::Table { name, alias: None, .. } => Some(name),
        _ => None,
    }
}

impl Stars<'_> {
    /// The one table of FROM that a name before a star means, in FROM's words.
    fn meant<'t>(&self, name: &ObjectName, tables: &'t [ObjectName]) -> Option<&'t ObjectName> {
        let named = parts(name);
        let mut found =
            tables.iter().filter(|t| parts(t).ends_with(&named) || key(t, self.database) == key(name, self.database));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The names or aliases by which stream tables stand in FROM.
    fn streams(&self, select: &Select) -> Vec<String> {
        let named = factors(select).filter_map(|factor| match factor {
            TableFactor::Table { name, alias, .. } if self.streams.contains(&key(name, self.database)) => match alias {
                Some(alias) => Some(alias.name.value.clone()),
                None => name.0.last().map(ToString::to_string),
            },
            _ => None,
        });
        named.collect()
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim_matches('"').eq_ignore_ascii_case(b.trim_matches('"'))
}

fn exclude(options: &mut WildcardAdditionalOptions) {
    if options.opt_exclude.is_none() && options.opt_except.is_none() {
        let names = metadata_fields().iter().map(|f| ObjectName::from(vec![Ident::new(f.name())])).collect();
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
}
