//! A chunk of bytes cut into lines.
//!
//! A line ends with `\n` or `\r\n`, neither of which is part of it. A chunk that ends a file has a last line even if
//! nothing ends it.

use arrow::array::make_view;

/// The lines of a chunk, as views into it (as its buffer number 0).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// One view a line.
    pub views: Vec<u128>,
    /// The byte after each line's end, counted from the chunk's beginning.
    pub ends: Vec<u32>,
}

impl Lines {
    /// Bytes of the chunk that belong to whole lines.
    pub fn used(&self) -> usize {
        self.ends.last().map_or(0, |&end| end as usize)
    }
}

/// Cuts a chunk, which must be shorter than 4 GiB. `last` says that the file ends with it.
pub fn cut(chunk: &[u8], last: bool) -> Lines {
    let mut lines = Lines::default();
    let mut start = 0;
    let mut push = |start: usize, end: usize, after: usize| {
        let line = &chunk[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        lines.views.push(make_view(line, 0, start as u32));
        lines.ends.push(after as u32);
    };
    for newline in memchr::memchr_iter(b'\n', chunk) {
        push(start, newline, newline + 1);
        start = newline + 1;
    }
    if last && start < chunk.len() {
        push(start, chunk.len(), chunk.len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::BinaryViewArray;
    use arrow::buffer::Buffer;
    use proptest::prelude::*;

    fn texts(chunk: &[u8], last: bool) -> Vec<Vec<u8>> {
        let lines = cut(chunk, last);
        assert_eq!(lines.views.len(), lines.ends.len());
        let array = BinaryViewArray::try_new(lines.views.into(), vec![Buffer::from(chunk)], None).unwrap();
        array.iter().map(|line| line.unwrap().to_vec()).collect()
    }

    #[test]
    fn line_ends() {
        assert_eq!(texts(b"a\nb\r\n\nc", true), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(texts(b"a\nb\r\n\nc", false), [&b"a"[..], b"b", b""]);
        assert_eq!(texts(b"a\rb\n", true), [&b"a\rb"[..]]);
        assert!(texts(b"", true).is_empty());
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(chunk in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200)) {
            let lines = cut(&chunk, false);
            prop_assert!(lines.ends.is_sorted());
            prop_assert!(!chunk[lines.used()..].contains(&b'\n'));
            let newlines = chunk.iter().filter(|&&byte| byte == b'\n').count();
            prop_assert_eq!(lines.ends.len(), newlines);
            let all = cut(&chunk, true);
            prop_assert_eq!(all.used(), chunk.len());
        }
    }
}
