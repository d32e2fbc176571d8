//! docs/sql/statements.md: its option tables are those of the registry, and its examples parse.
//! `UPDATE_DOCS=1` writes the tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use salamander_sql::options::registry::{CONNECTORS, FORMATS, HIVE_PROPERTIES, OptionSpec, Presence};

const BEGIN: &str = "<!-- options: written by `UPDATE_DOCS=1 cargo test --release -p salamander-sql --test docs` -->\n";
const END: &str = "<!-- end of options -->";

/// One test at a time reads or writes the page.
static PAGE: Mutex<()> = Mutex::new(());

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/sql/statements.md")
}

fn table(out: &mut String, options: &[OptionSpec]) {
    out.push_str("| option | takes | default | meaning |\n|---|---|---|---|\n");
    for spec in options {
        let default = match spec.presence {
            Presence::Required => "**required**".to_owned(),
            Presence::Optional => String::new(),
            Presence::Default("") => "the empty text".to_owned(),
            Presence::Default(text) => format!("`{}`", text.replace('|', "\\|")),
        };
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let also = if aliases.is_empty() { String::new() } else { format!(" Also as {}.", aliases.join(", ")) };
        writeln!(
            out,
            "| `{}` | {} | {default} | {}{also} |",
            spec.key,
            spec.kind.accepts(),
            spec.doc.replace('|', "\\|")
        )
        .expect("a string");
    }
    out.push('\n');
}

fn options() -> String {
    let mut out = String::from(
        "\n### Connectors\n\n| connector | source | sink | formats | what it is |\n|---|---|---|---|---|\n",
    );
    for connector in CONNECTORS {
        let yes = |yes: bool| if yes { "yes" } else { "" };
        let formats: Vec<String> = connector.formats.iter().map(|format| format!("`{format}`")).collect();
        let formats = match (formats.is_empty(), connector.format_required) {
            (true, _) => "none".to_owned(),
            (false, true) => formats.join(", "),
            (false, false) => format!("{} (the first if not given)", formats.join(", ")),
        };
        writeln!(
            out,
            "| `{}` | {} | {} | {formats} | {} |",
            connector.name,
            yes(connector.source),
            yes(connector.sink),
            connector.doc
        )
        .expect("a string");
    }
    out.push('\n');
    for connector in CONNECTORS.iter().filter(|connector| !connector.options.is_empty()) {
        writeln!(out, "#### `'connector' = '{}'`\n", connector.name).expect("a string");
        table(&mut out, connector.options);
    }
    out.push_str("### Formats\n\n");
    for format in FORMATS {
        writeln!(out, "#### `'format' = '{}'`\n\n{}\n", format.name, format.doc).expect("a string");
        if !format.options.is_empty() {
            table(&mut out, format.options);
        }
    }
    out.push_str("### Properties of external tables\n\n");
    table(&mut out, HIVE_PROPERTIES);
    out
}

#[test]
fn the_option_tables_are_current() {
    let _guard = PAGE.lock();
    let text = std::fs::read_to_string(page()).expect("the page");
    let (head, rest) = text.split_once(BEGIN).expect("the tables' begin");
    let (tables, tail) = rest.split_once(END).expect("the tables' end");
    let expected = options();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(), format!("{head}{BEGIN}{expected}{END}{tail}")).expect("the page is written");
        return;
    }
    assert!(tables == expected, "docs/sql/statements.md is not current: run this test with UPDATE_DOCS=1");
}

/// Every block of SQL on the page parses.
#[test]
fn the_examples_parse() {
    let _guard = PAGE.lock();
    let text = std::fs::read_to_string(page()).expect("the page");
    let mut blocks = 0;
    for block in text.split("```sql\n").skip(1) {
        let sql = block.split("```").next().expect("the block's end");
        let statements = salamander_sql::parse(sql).unwrap_or_else(|error| panic!("{}", error.render()));
        assert!(!statements.is_empty());
        blocks += 1;
    }
    assert!(blocks >= 8, "{blocks} blocks");
}

#[test]
fn defaults_are_values_that_their_options_take() {
    let all = CONNECTORS.iter().map(|c| c.options).chain(FORMATS.iter().map(|f| f.options)).chain([HIVE_PROPERTIES]);
    let mut defaults = 0;
    for spec in all.flatten() {
        if let Presence::Default(text) = spec.presence {
            defaults += 1;
            assert!(spec.takes(text), "{}: {text}", spec.key);
        }
        assert!(spec.key == spec.key.to_lowercase() && spec.doc.ends_with('.'), "{}", spec.key);
    }
    assert!(defaults > 10);
}
