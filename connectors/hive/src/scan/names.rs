//! Maps a file's columns to the table's by name, not knowing case: Hive's names are lower-case, Spark keeps the case
//! that people wrote.

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// DataFusion's own adapter (missing columns are NULL, types are cast), after renaming.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamesIgnoringCase;

impl PhysicalExprAdapterFactory for NamesIgnoringCase {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let Some(renamed) = rename(&table, &file) else {
            return DefaultPhysicalExprAdapterFactory.create(table, file);
        };
        Ok(Arc::new(Adapter { inner: DefaultPhysicalExprAdapterFactory.create(table, renamed)?, file }))
    }
}

/// The file's columns under the table's names; none if they have them already.
fn rename(table: &Schema, file: &Schema) -> Option<SchemaRef> {
    let mut changed = false;
    let fields: Vec<_> = file
        .fields()
        .iter()
        .map(|field| {
            let exact = table.index_of(field.name()).is_ok();
            let named = table.fields().iter().find(|t| {
                // A file with both `a` and `A` keeps the exact one.
                t.name().eq_ignore_ascii_case(field.name()) && file.index_of(t.name()).is_err()
            });
            match named {
                Some(named) if !exact => {
                    changed = true;
                    Arc::new(field.as_ref().clone().with_name(named.name()))
                }
                _ => field.clone(),
            }
        })
        .collect();
    changed.then(|| Arc::new(Schema::new(fields)))
}

#[derive(Debug)]
struct Adapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rewritten = self.inner.rewrite(expr)?;
        rewritten
            .transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                let index = column.index();
                match self.file.fields().get(index) {
                    Some(field) if field.name() != column.name() => {
                        let named: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
                        Ok(Transformed::yes(named))
                    }
                    _ => Ok(Transformed::no(expr)),
                }
            })
            .data()
    }
}
