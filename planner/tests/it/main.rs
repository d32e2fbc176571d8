//! Plans of jobs and queries over a small catalog: as golden text, what is refused and with which words, and what
//! columns a query has.

mod columns;
mod explain;
mod refusals;
mod small_catalog;
