//! Patterns of paths: `*` and `?` within a name, `[a-z]` and `[!a-z]` for one character, `**` for any folders.

/// True if the text holds anything that a pattern gives a meaning to.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Parts a path into the folder before the first name with a pattern in it, and the rest.
pub fn split_root(path: &str) -> (&str, &str) {
    let first = path.find(['*', '?', '[']).unwrap_or(path.len());
    match path[..first].rfind('/') {
        Some(0) => ("/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => ("", path),
    }
}

/// True if a relative path, names parted by `/`, fits the pattern as a whole.
pub fn fits(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|name| !name.is_empty()).collect();
    let path: Vec<&str> = path.split('/').collect();
    names_fit(&pattern, &path)
}

/// Goes back to the last `**` only: an earlier one can't help when a later one has matched.
fn names_fit(pattern: &[&str], path: &[&str]) -> bool {
    backtrack(
        pattern,
        path,
        |name| *name == "**",
        |pattern, name| {
            let pattern: Vec<Token> = tokens(pattern);
            let name: Vec<char> = name.chars().collect();
            backtrack(&pattern, &name, |token| *token == Token::Any, Token::fits)
        },
    )
}

/// Matches a whole sequence, where some elements of the pattern stand for any number of items.
fn backtrack<P, T>(pattern: &[P], items: &[T], is_any: impl Fn(&P) -> bool, fits: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while i < items.len() {
        match pattern.get(p) {
            Some(element) if is_any(element) => {
                retry = Some((p, i));
                p += 1;
            }
            Some(element) if fits(element, &items[i]) => {
                p += 1;
                i += 1;
            }
            _ => match &mut retry {
                None => return false,
                Some((any, from)) => {
                    *from += 1;
                    p = *any + 1;
                    i = *from;
                }
            },
        }
    }
    pattern[p..].iter().all(is_any)
}

/// An element of a pattern of one name.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
    Class { not: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn fits(&self, c: &char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Char(own) => own == c,
            Self::Class { not, ranges } => ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *not,
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '[' => match rest.split_once(']') {
                Some((class, after)) if !class.is_empty() => {
                    rest = after;
                    class_token(class)
                }
                _ => Token::Char('['),
            },
            c => Token::Char(c),
        });
    }
    tokens
}

fn class_token(class: &str) -> Token {
    let not = class.starts_with(['!', '^']);
    let chars: Vec<char> = class.chars().skip(usize::from(not)).collect();
    let mut ranges = Vec::new();
    let mut rest = chars.as_slice();
    loop {
        rest = match rest {
            [low, '-', high, after @ ..] => {
                ranges.push((*low, *high));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
            [] => return Token::Class { not, ranges },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.gz", false),
            ("*.log", "b/a.log", false),
            ("**/*.log", "b/c/a.log", true),
            ("**/*.log", "a.log", true),
            ("date=*/part-?.csv", "date=2023-12-22/part-1.csv", true),
            ("date=*/part-?.csv", "date=2023-12-22/part-10.csv", false),
            ("a**b", "axxb", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[", "[", true),
            ("**", "a/b", true),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn roots() {
        assert_eq!(split_root("/data/logs/*.log"), ("/data/logs", "*.log"));
        assert_eq!(split_root("/data/d*/a/b"), ("/data", "d*/a/b"));
        assert_eq!(split_root("*.log"), ("", "*.log"));
        assert_eq!(split_root("/*.log"), ("/", "*.log"));
    }
}
