//! The interactive client: history, completion, statements over several lines until `;`.

mod completion;

use crate::client::Client;
use crate::commands::sql::run_piece;
use crate::output::Format;
use anyhow::Context;
use clap::ValueEnum;
use completion::{Assistant, Names};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use std::path::PathBuf;
use tokio::runtime::Runtime;

const HISTORY_LINES: usize = 10_000;
const HELP: &str = "\
End a statement with ; to run it. Ctrl-C stops a running statement or drops the line, Ctrl-D leaves.
  \\d            tables and views           \\j            jobs
  \\f FORMAT     table, csv or json         \\q            leave (also exit, quit)
  USE name;     another database           EXPLAIN …;    how a query or job would run";

/// Runs the interactive client until its user leaves.
pub(crate) fn run(runtime: &Runtime, client: Client, format: Format) -> anyhow::Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES)?
        .history_ignore_space(true)
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Assistant, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant::default()));
    let history = history_file();
    if let Some(path) = &history {
        // A missing or foreign history is no reason not to start.
        let _ = editor.load_history(path);
    }
    let mut shell = Shell { client, format };
    shell.refresh_names(runtime, &mut editor);
    eprintln!("salamander {}; \\? for help", env!("CARGO_PKG_VERSION"));
    loop {
        match editor.readline("salamander> ") {
            Ok(input) => {
                let input = input.trim();
                if input.is_empty() {
                    continue;
                }
                editor.add_history_entry(input)?;
                if !shell.take(runtime, input) {
                    break;
                }
                shell.refresh_names(runtime, &mut editor);
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(path) = &history {
        save_history(&mut editor, path);
    }
    Ok(())
}

struct Shell {
    client: Client,
    format: Format,
}

impl Shell {
    /// Does what was typed; false to leave. Errors are shown, the session goes on.
    fn take(&mut self, runtime: &Runtime, input: &str) -> bool {
        let word = input.trim_end_matches(';').trim();
        if matches!(word.to_ascii_lowercase().as_str(), "exit" | "quit" | "\\q") {
            return false;
        }
        let outcome = match word.split_once(char::is_whitespace).unwrap_or((word, "")) {
            ("\\?" | "help", _) => {
                eprintln!("{HELP}");
                Ok(())
            }
            ("\\f", name) => self.set_format(name.trim()),
            ("\\d", _) => self.run_script(runtime, "SHOW TABLES"),
            ("\\j", _) => self.run_script(runtime, "SHOW JOBS"),
            (command, _) if command.starts_with('\\') => {
                Err(anyhow::anyhow!("there is no {command}; \\? lists what there is"))
            }
            _ => self.run_script(runtime, input),
        };
        if let Err(error) = outcome {
            eprintln!("error: {error:#}");
        }
        true
    }

    fn set_format(&mut self, name: &str) -> anyhow::Result<()> {
        self.format = Format::from_str(name, true)
            .map_err(|_| anyhow::anyhow!("{name:?} is not a format; there are table, csv and json"))?;
        Ok(())
    }

    fn run_script(&mut self, runtime: &Runtime, script: &str) -> anyhow::Result<()> {
        for piece in salamander_sql::split(script) {
            let began = std::time::Instant::now();
            let rows = runtime.block_on(async {
                tokio::select! {
                    rows = run_piece(&mut self.client, &piece, self.format) => rows.map(Some),
                    _ = tokio::signal::ctrl_c() => Ok(None),
                }
            })?;
            let took = began.elapsed().as_secs_f64();
            match rows {
                Some(rows) => eprintln!("{rows} {}, {took:.3} s", if rows == 1 { "row" } else { "rows" }),
                None => {
                    eprintln!("stopped after {took:.3} s");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Completion knows the tables of the moment; if they can't be had, it goes on with what it knows.
    fn refresh_names(&mut self, runtime: &Runtime, editor: &mut Editor<Assistant, DefaultHistory>) {
        let names = runtime.block_on(async {
            let databases = self.client.databases().await?;
            let tables = self.client.tables().await?;
            anyhow::Ok(Names::new(databases, tables))
        });
        if let (Ok(names), Some(helper)) = (names, editor.helper_mut()) {
            helper.names = names;
        }
    }
}

/// `SALAMANDER_HISTORY`, or the usual place for such state; none without a home.
fn history_file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("SALAMANDER_HISTORY").or_else(|| {
        let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
        Some(state.join("salamander").join("history"))
    })
}

fn save_history(editor: &mut Editor<Assistant, DefaultHistory>, path: &std::path::Path) {
    let saved = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(anyhow::Error::from)
        .and_then(|()| editor.save_history(path).map_err(Into::into))
        .with_context(|| format!("the history can't be kept in {}", path.display()));
    if let Err(error) = saved {
        eprintln!("warning: {error:#}");
    }
}
