//! The label before a value, as in `Response Time: 0.83s`.
//!
//! A label is what stands before the first `": "`, if that begins with a letter and holds only letters and spaces:
//! `Detail: a: b` is `a: b`, while `rv:1.0`, `http://x`, `user_1: x` and `2023-12-22T22:07:37` have none.

/// Bytes of the label, its `": "` included; 0 when there is none. `value` is valid UTF-8.
fn label_length(value: &[u8]) -> usize {
    if !value.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte >= 0x80) {
        return 0;
    }
    let letters = value.iter().take_while(|&&byte| byte.is_ascii_alphabetic() || byte == b' ' || byte >= 0x80).count();
    if value.get(letters) != Some(&b':') || value.get(letters + 1) != Some(&b' ') {
        return 0;
    }
    let label = &value[..letters];
    if !label.is_ascii() && !spells_letters(label) {
        return 0;
    }
    letters + 2
}

fn spells_letters(label: &[u8]) -> bool {
    std::str::from_utf8(label)
        .is_ok_and(|text| text.starts_with(char::is_alphabetic) && text.chars().all(|c| c == ' ' || c.is_alphabetic()))
}

/// `value.starts_with(label)` by at most two comparisons of words for labels of up to 16 bytes: most are, and a call to
/// compare memory costs more than they do.
#[inline]
fn begins_with(value: &[u8], label: &[u8]) -> bool {
    let Some(head) = value.get(..label.len()) else {
        return false;
    };
    match label.len() {
        4..=8 => ends_equal::<4>(head, label),
        9..=16 => ends_equal::<8>(head, label),
        _ => head == label,
    }
}

/// True if the first and the last `N` bytes of two texts of equal length are equal.
#[inline]
fn ends_equal<const N: usize>(left: &[u8], right: &[u8]) -> bool {
    left.first_chunk::<N>() == right.first_chunk::<N>() && left.last_chunk::<N>() == right.last_chunk::<N>()
}

/// Finds labels in one column. Rows mostly have the same label, which is recognised without looking at each letter.
#[derive(Default)]
pub(crate) struct LabelFinder<'a> {
    last: &'a [u8],
}

impl<'a> LabelFinder<'a> {
    /// Bytes to skip before the value.
    #[inline]
    pub(crate) fn skip(&mut self, value: &'a [u8]) -> usize {
        // A value that begins with a whole label has just that label: a label holds no other ": ".
        if !self.last.is_empty() && begins_with(value, self.last) {
            return self.last.len();
        }
        let length = label_length(value);
        if length > 0 {
            self.last = &value[..length];
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, value) in [
            ("Response Time: 0.83s", "0.83s"),
            ("IP: 10.0.0.1", "10.0.0.1"),
            ("Detail: a: b", "a: b"),
            ("Token: ", ""),
            ("Durée: 5", "5"),
            ("Direct Entry", "Direct Entry"),
            ("https://www.bing.com", "https://www.bing.com"),
            ("2023-12-22T22:07:37.780123", "2023-12-22T22:07:37.780123"),
            ("user_1: x", "user_1: x"),
            (": x", ": x"),
            (" A: x", " A: x"),
            ("Token:", "Token:"),
            ("a → b: x", "a → b: x"),
            ("", ""),
        ] {
            let mut finder = LabelFinder::default();
            for _ in 0..2 {
                let skip = finder.skip(text.as_bytes());
                assert_eq!(&text[skip..], value, "{text:?}");
            }
        }
    }
}
