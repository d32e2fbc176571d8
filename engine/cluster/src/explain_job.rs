//! EXPLAIN ANALYZE JOB and EXPLAIN GRAPH JOB: a running job's plan with what each of its nodes has done.

use crate::answers::Column;
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use crate::show::count;
use salamander_job::JobStatus;
use salamander_operators::{NodeFigures, OperatorState};
use salamander_sql::{Catalog, Name};
use std::fmt::Write;

impl Head {
    fn plan_of(&self, catalog: &Catalog, job: &Name) -> Result<JobStatus, HeadError> {
        let job = catalog.resolve_job(job)?;
        let status = self.job_status(&job_id(job)).filter(|status| !status.nodes.is_empty());
        status.ok_or_else(|| {
            let name = &job.name;
            HeadError::invalid(format!(
                "job {name} has not run in this process, or not yet to its first checkpoint: EXPLAIN CREATE JOB shows the \
                 plan of a statement, SHOW JOBS how a job stands"
            ))
        })
    }

    /// A row for each node, those that it reads below it and indented.
    pub(crate) fn explain_job(&self, catalog: &Catalog, job: &Name) -> Result<Vec<Column>, HeadError> {
        let JobStatus { nodes, state, .. } = self.plan_of(catalog, job)?;
        let kept = |node: &NodeFigures| state_of(node, &state).cloned();
        Ok(vec![
            Column::Text("node", nodes.iter().map(|n| Some(format!("{}{}", "  ".repeat(n.depth), n.text))).collect()),
            Column::Number("rows", nodes.iter().map(|n| count(n.rows)).collect()),
            Column::Number("busy_micros", nodes.iter().map(|n| count(n.nanos / 1_000)).collect()),
            Column::Number("groups", nodes.iter().map(|n| kept(n).and_then(|s| count(s.groups))).collect()),
            Column::Number("state_bytes", nodes.iter().map(|n| kept(n).and_then(|s| count(s.bytes as u64))).collect()),
        ])
    }

    /// The plan as a graph in DOT, which Graphviz draws: rows flow from the sources to the sink.
    pub(crate) fn graph_of_job(&self, catalog: &Catalog, job: &Name) -> Result<Vec<Column>, HeadError> {
        let JobStatus { nodes, state, .. } = self.plan_of(catalog, job)?;
        Ok(vec![Column::Text("dot", vec![Some(dot(job.as_str(), &nodes, &state))])])
    }
}

fn state_of<'a>(node: &NodeFigures, state: &'a [OperatorState]) -> Option<&'a OperatorState> {
    state.iter().find(|s| Some(&s.operator) == node.operator.as_ref())
}

fn dot(job: &str, nodes: &[NodeFigures], state: &[OperatorState]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut graph =
        format!("digraph \"{}\" {{\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n", escaped(job));
    let mut above: Vec<usize> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let (name, detail) = node.text.split_once(": ").unwrap_or((&node.text, ""));
        let kept =
            state_of(node, state).map_or_else(String::new, |s| format!("\\n{} groups, {} bytes", s.groups, s.bytes));
        let (name, detail) = (escaped(name), escaped(detail));
        let _ = writeln!(
            graph,
            "  n{index} [label=\"{name}\\n{} rows, {} ms{kept}\", tooltip=\"{detail}\"];",
            node.rows,
            node.nanos / 1_000_000
        );
        above.truncate(node.depth);
        if let Some(reader) = above.last() {
            let _ = writeln!(graph, "  n{index} -> n{reader};");
        }
        above.push(index);
    }
    graph.push_str("}\n");
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_graph() {
        let node =
            |depth, text: &str, rows| NodeFigures { depth, text: text.to_owned(), rows, ..NodeFigures::default() };
        let nodes = [node(0, "Sink: \"t\"", 3), node(1, "Union", 3), node(2, "A", 1), node(2, "B", 2)];
        let graph = dot("j", &nodes, &[]);
        assert!(graph.starts_with("digraph \"j\" {"), "{graph}");
        for line in ["n1 -> n0;", "n2 -> n1;", "n3 -> n1;", "label=\"Sink\\n3 rows, 0 ms\", tooltip=\"\\\"t\\\"\""] {
            assert!(graph.contains(line), "{line}: {graph}");
        }
    }
}
