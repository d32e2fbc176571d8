//! The users' pipeline: docs/examples/realtime-logs/pipeline.sql, with source and place exchanged.

use anyhow::{Context, Result, bail};
use salamander_sql::{Insert, Spanned, Statement, ast::Query};
use std::path::{Path, PathBuf};

/// The example's statements.
pub fn statements() -> Result<Vec<Spanned>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/realtime-logs/pipeline.sql");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(salamander_sql::parse(&text)?)
}

/// The parts of the example that a plan needs.
#[derive(Debug)]
pub struct Parts {
    /// The stream's name in lower case.
    pub stream: String,
    /// Views by name, in lower case.
    pub views: Vec<(String, Box<Query>)>,
    /// The target.
    pub target: salamander_sql::TableDef,
    /// The job's insert.
    pub insert: Insert,
}

/// Takes the example apart.
pub fn parts() -> Result<Parts> {
    let (mut stream, mut views, mut target, mut insert) = (None, Vec::new(), None, None);
    for statement in statements()? {
        match statement.statement {
            Statement::CreateTable(create) if create.table.hive().is_some() => target = Some(create.table),
            Statement::CreateTable(create) => stream = Some(create.table.name.name.key().to_owned()),
            Statement::CreateView(view) => views.push((view.name.name.key().to_owned(), view.query)),
            Statement::CreateJob(job) => insert = Some(job.insert),
            _ => {}
        }
    }
    match (stream, target, insert) {
        (Some(stream), Some(target), Some(insert)) => Ok(Parts { stream, views, target, insert }),
        _ => bail!("the example lacks its stream, its table or its job"),
    }
}

/// The example as a script that reads `source` (the text of a WITH clause) and writes into `folder`.
pub fn script(source: &str, folder: &Path, properties: &str) -> Result<String> {
    let mut script = String::new();
    for statement in statements()? {
        let text = match &statement.statement {
            Statement::CreateTable(create) if create.table.hive().is_some() => {
                let text = &statement.text;
                let location = text.find("LOCATION").context("the table has no LOCATION")?;
                format!("{}LOCATION '{}' TBLPROPERTIES ({properties})", &text[..location], folder.display())
            }
            Statement::CreateTable(create) => {
                format!("CREATE TABLE {} (body STRING) WITH ({source})", create.table.name)
            }
            _ => statement.text.clone(),
        };
        script.push_str(&text);
        script.push_str(";\n");
    }
    Ok(script)
}

/// A file of generated lines, made once: reused if it is there with the right size of rows.
pub fn lines_file(folder: &Path, rows: u64, damaged: f64) -> Result<PathBuf> {
    use std::io::Write;
    let path = folder.join(format!("lines-{rows}-{damaged}.log"));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(folder)?;
    let options = [("damaged".to_owned(), damaged.to_string())].into();
    let generator = salamander_generator::Settings::from_options(&options)?.generator;
    let unfinished = path.with_extension("part");
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&unfinished)?);
    let mut line = Vec::new();
    for row in 0..rows {
        line.clear();
        generator.line(row, &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
    }
    file.flush()?;
    std::fs::rename(unfinished, &path)?;
    Ok(path)
}
