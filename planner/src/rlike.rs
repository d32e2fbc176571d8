//! `text RLIKE pattern` and `text REGEXP pattern` are calls of `rlike`: DataFusion has no such operators.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query,
    UnaryOperator, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// Makes calls of the operators.
pub(crate) fn call_rlike(query: &mut Query) {
    let _ = query.visit(&mut Calls);
}

struct Calls;

impl VisitorMut for Calls {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::RLike { negated, expr: text, pattern, .. } = expr {
            let call = call(text.as_ref().clone(), pattern.as_ref().clone());
            *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(call) } } else { call };
        }
        ControlFlow::Continue(())
    }
}

fn call(text: Expr, pattern: Expr) -> Expr {
    let args = [text, pattern].map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).to_vec();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("rlike")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
