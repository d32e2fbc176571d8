//! The demo adds up.

use crate::process::{salamander, stderr};
use std::path::Path;
use std::process::Output;

fn demo(args: &[&str], data_dir: Option<&Path>) -> (String, Output) {
    let mut command = salamander();
    command.args(["demo", "--seconds", "3"]).args(args);
    if let Some(data_dir) = data_dir {
        command.arg("--data-dir").arg(data_dir);
    }
    let output = command.output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output)
}

#[test]
fn rows_sent_are_rows_in_the_table_and_bad_rows() {
    let (out, output) = demo(&["--rate", "2000"], None);
    assert!(output.status.success(), "{out}{}", stderr(&output));
    assert!(out.contains("OK: rows sent = rows in the table + bad rows"), "{out}");
    // Plain lines, since this is no terminal.
    assert!(out.lines().any(|line| line.contains("rows/s, sent ")) && !out.contains('\x1b'), "{out}");
    let bad = out.lines().find_map(|line| line.strip_prefix("bad "));
    let bad: u64 = bad.and_then(|rest| rest.split_whitespace().next()).unwrap().parse().unwrap();
    assert!(bad > 0, "one line in a hundred is damaged: {out}");
}

#[test]
fn a_second_run_goes_on_with_the_data_of_the_first() {
    let data = tempfile::tempdir().unwrap();
    let (out, output) = demo(&[], Some(data.path()));
    assert!(output.status.success(), "{out}{}", stderr(&output));
    let (out, output) = demo(&[], Some(data.path()));
    assert!(output.status.success(), "{out}{}", stderr(&output));
    assert!(out.contains("rows of earlier runs"), "{out}");
}
