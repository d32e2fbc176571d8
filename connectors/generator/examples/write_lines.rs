//! Writes generated lines to a file, for tests and comparisons:
//!
//! ```text
//! cargo run --release -p salamander-generator --example write_lines -- --rows 200000 --damaged 0.02 --out lines.log
//! ```
//!
//! Other options: `--odd SHARE`, `--seed N`, `--start TIME`, `--step '1 ms'`. `--kinds FILE` writes what each line is
//! (`sound`, `odd NoFraction`, `damaged Truncated`), one a line.

use salamander_generator::{LineKind, Settings};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.strip_prefix("--").ok_or_else(|| format!("unexpected argument '{argument}'"))?;
        let value = arguments.next().ok_or_else(|| format!("option --{name} needs a value"))?;
        options.insert(name.to_owned(), value);
    }
    let out = options.remove("out").ok_or("give --out FILE")?;
    let mut kinds = options.remove("kinds").map(File::create).transpose()?.map(BufWriter::new);
    if let Some(unknown) = options.keys().find(|name| !salamander_generator::OPTION_NAMES.contains(&name.as_str())) {
        return Err(format!("there is no option --{unknown}").into());
    }
    let settings = Settings::from_options(&options)?;
    let rows = settings.rows.ok_or("give --rows N")?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&out)?);
    let mut line = Vec::new();
    for row in 0..rows {
        line.clear();
        let kind = settings.generator.line(row, &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
        if let Some(kinds) = &mut kinds {
            match kind {
                LineKind::Sound => writeln!(kinds, "sound")?,
                LineKind::Odd(oddity) => writeln!(kinds, "odd {oddity:?}")?,
                LineKind::Damaged(damage) => writeln!(kinds, "damaged {damage:?}")?,
            }
        }
    }
    file.flush()?;
    Ok(())
}
