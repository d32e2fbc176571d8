//! What a query reads: the tables and views it names, and through views the tables behind them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectNamePart, Query, TableFactor, Visit, Visitor};

use super::{Catalog, CatalogError, Relation, TableId, ViewId};
use crate::name::{Name, TableName};

/// What a query reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Tables, through views too. A table's bad records count as the table.
    pub tables: BTreeSet<TableId>,
    /// Views, through views too.
    pub views: BTreeSet<ViewId>,
}

impl Catalog {
    /// What a query reads in a session whose database is `session_db`.
    ///
    /// # Errors
    /// If a name is not found.
    pub fn dependencies(&self, query: &Query, session_db: &Name) -> Result<Dependencies, CatalogError> {
        let mut found = Dependencies::default();
        let mut open: Vec<(TableName, Name)> =
            relations(query).into_iter().map(|name| (name, session_db.clone())).collect();
        while let Some((name, db)) = open.pop() {
            match self.resolve(&name, &db)? {
                Relation::Table(table) | Relation::BadRecords(table) | Relation::LateRecords(table) => {
                    found.tables.insert(table.id.clone());
                }
                Relation::View(view) => {
                    if found.views.insert(view.id.clone()) {
                        let query = view.parse()?;
                        open.extend(relations(&query).into_iter().map(|name| (name, view.session_db.clone())));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The names of tables and views in a query's FROM clauses, subqueries included, without those that WITH defines.
pub fn relations(query: &Query) -> BTreeSet<TableName> {
    let mut collector = Collector::default();
    let _ = query.visit(&mut collector);
    collector.found
}

/// Walks a query. sqlparser visits a query's WITH before its body, and the queries of WITH in their order, so a
/// counter a query tells which names are in sight: a query of WITH sees those before it (itself too if recursive).
#[derive(Default)]
struct Collector {
    scopes: Vec<Scope>,
    found: BTreeSet<TableName>,
}

#[derive(Default)]
struct Scope {
    names: Vec<String>,
    recursive: bool,
    finished: usize,
}

impl Scope {
    fn sees(&self, name: &str) -> bool {
        let visible = if self.recursive { self.names.len() } else { self.finished };
        self.names.iter().take(visible).any(|other| other == name)
    }
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let scope = query.with.as_ref().map_or_else(Scope::default, |with| Scope {
            names: with.cte_tables.iter().map(|cte| cte.alias.name.value.to_lowercase()).collect(),
            recursive: with.recursive,
            finished: 0,
        });
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(outer) = self.scopes.last_mut() {
            if outer.finished < outer.names.len() {
                outer.finished += 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // With arguments it is a table function.
        let TableFactor::Table { name, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        let parts: Option<Vec<Name>> = name
            .0
            .iter()
            .map(|part| match part {
                ObjectNamePart::Identifier(ident) => Name::new(ident.value.clone()).ok(),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        match parts.as_deref() {
            Some([name]) if self.scopes.iter().any(|scope| scope.sees(name.key())) => {}
            Some([name]) => {
                self.found.insert(TableName { db: None, name: name.clone() });
            }
            Some([.., db, name]) => {
                self.found.insert(TableName { db: Some(db.clone()), name: name.clone() });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
