//! Scripts as statements that keep their place, so that the server's errors point into the script.

use salamander_sql::{Piece, Statement};

/// The statement's text, moved to where it stands in its script: line and column of an error are then the script's.
pub(crate) fn in_place(piece: &Piece<'_>) -> String {
    let lines = usize::try_from(piece.start.line.saturating_sub(1)).unwrap_or(0);
    let columns = usize::try_from(piece.start.column.saturating_sub(1)).unwrap_or(0);
    let mut text = "\n".repeat(lines);
    text.push_str(&" ".repeat(columns));
    text.push_str(piece.text);
    text
}

/// The first words of a statement, to say which one it was.
pub(crate) fn headline(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The database of a `USE` statement, which is the client's affair: the server keeps no sessions.
pub(crate) fn used_database(text: &str) -> Option<String> {
    match salamander_sql::parse_one(text).ok()?.statement {
        Statement::Use { db } => Some(db.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_place() {
        let pieces = salamander_sql::split("SELECT 1;\n\n  SELECT 2 ; -- end\n");
        let texts: Vec<String> = pieces.iter().map(in_place).collect();
        assert_eq!(texts, ["SELECT 1", "\n\n  SELECT 2"]);
    }

    #[test]
    fn headlines_are_short_and_use_is_recognised() {
        assert_eq!(headline("SELECT\n  1"), "SELECT 1");
        assert_eq!(headline(&"é".repeat(100)).chars().count(), 61);
        assert_eq!(used_database("USE sales").as_deref(), Some("sales"));
        assert_eq!(used_database("SELECT 1"), None);
    }
}
