//! `SELECT *` over a stream leaves out its metadata columns, as Spark's and Flink's users expect.
//!
//! The metadata columns (`_partition`, `_offset`, …) are columns like others once named. DataFusion expands `*` to
//! all columns of a table, so the star is given an EXCLUDE list here, in the syntax tree, where it stands for a stream.

use salamander_connector_api::metadata_fields;
use sqlparser::ast::{
    ExcludeSelectItem, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use std::ops::ControlFlow;

/// Adds the EXCLUDE lists. `is_stream` says whether a name as written stands for a stream table.
pub(crate) fn hide_metadata(query: &mut Query, is_stream: &dyn Fn(&ObjectName) -> bool) {
    let _ = query.visit(&mut Hide { is_stream });
}

struct Hide<'a> {
    is_stream: &'a dyn Fn(&ObjectName) -> bool,
}

impl VisitorMut for Hide<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let streams = self.streams(select);
        // Over two streams a bare star would be ambiguous to exclude from; it then shows all columns.
        let single = (streams.len() == 1).then(|| streams[0].clone());
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) if single.is_some() => exclude(options),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if streams.iter().any(|s| name.0.last().is_some_and(|n| same(&n.to_string(), s))) =>
                {
                    exclude(options);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Hide<'_> {
    /// The names or aliases by which stream tables stand in FROM.
    fn streams(&self, select: &Select) -> Vec<String> {
        let factors =
            select.from.iter().flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)));
        factors
            .filter_map(|factor| match factor {
                TableFactor::Table { name, alias, .. } if (self.is_stream)(name) => match alias {
                    Some(alias) => Some(alias.name.value.clone()),
                    None => name.0.last().map(ToString::to_string),
                },
                _ => None,
            })
            .collect()
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
