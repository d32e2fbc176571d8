//! Parquet's hybrid of run lengths and bit packing, for dictionary codes and definition levels.
//!
//! A run is `varint(count << 1)` and the value in whole bytes; packed values are `varint(groups of 8 << 1 | 1)` and the
//! values, each `width` bits, least significant bit first.

/// Bits that hold any code below `count`; at least one, since readers differ on zero.
pub(crate) fn code_width(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1)
}

/// A number of 7 bits a byte, least significant first.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `count` times the same value.
pub(crate) fn push_run(value: u16, count: usize, width: u32, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    out.push(value as u8);
    if width > 8 {
        out.push((value >> 8) as u8);
    }
}

/// Appends values of `width` bits (1 to 16), as runs where they repeat for long, else packed.
pub(crate) fn push_codes(codes: &[u16], width: u32, out: &mut Vec<u8>) {
    let changes = codes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes * 16 > codes.len() {
        push_packed(codes, width, out);
    } else {
        push_mixed(codes, width, out);
    }
}

/// Runs of 8 or more become runs; what is between them is packed in whole groups of 8.
fn push_mixed(codes: &[u16], width: u32, out: &mut Vec<u8>) {
    let mut literal = 0; // where the values not written yet begin
    let mut at = 0;
    while at < codes.len() {
        let run = codes[at..].iter().take_while(|c| **c == codes[at]).count();
        // The packed values before a run must fill their last group; the run gives what is missing.
        let pad = (8 - (at - literal) % 8) % 8;
        if run >= 8 + pad {
            if at + pad > literal {
                push_packed(&codes[literal..at + pad], width, out);
            }
            push_run(codes[at], run - pad, width, out);
            literal = at + run;
        }
        at += run;
    }
    if literal < codes.len() {
        push_packed(&codes[literal..], width, out);
    }
}

/// Packs values; the last group is filled with zeros.
fn push_packed(codes: &[u16], width: u32, out: &mut Vec<u8>) {
    let groups = codes.len().div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    let bytes = width as usize;
    let mut at = out.len();
    // Each group is written as 16 bytes, of which the next group overwrites what is too much.
    out.resize(at + groups * bytes + 16, 0);
    let (whole, rest) = codes.as_chunks::<8>();
    for group in whole {
        out[at..at + 16].copy_from_slice(&pack(group, width));
        at += bytes;
    }
    if !rest.is_empty() {
        let mut group = [0; 8];
        group[..rest.len()].copy_from_slice(rest);
        out[at..at + 16].copy_from_slice(&pack(&group, width));
        at += bytes;
    }
    out.truncate(at);
}

/// Eight values of `width` bits (1 to 16), of which the first `width` bytes count.
#[inline]
pub(crate) fn pack(group: &[u16; 8], width: u32) -> [u8; 16] {
    let half = |codes: &[u16]| {
        let mut packed = 0u64;
        for (i, code) in codes.iter().enumerate() {
            packed |= u64::from(*code) << (i as u32 * width);
        }
        packed
    };
    let packed = u128::from(half(&group[..4])) | u128::from(half(&group[4..])) << (4 * width);
    packed.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plain reading of the format's specification.
    fn decode(mut bytes: &[u8], width: u32, count: usize) -> Vec<u16> {
        let mut codes = Vec::new();
        let varint = |bytes: &mut &[u8]| {
            let (mut value, mut shift) = (0u64, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return value;
                }
            }
        };
        while !bytes.is_empty() {
            let header = varint(&mut bytes);
            if header & 1 == 0 {
                let wide = width > 8;
                let value = u16::from(bytes[0]) | if wide { u16::from(bytes[1]) << 8 } else { 0 };
                bytes = &bytes[1 + usize::from(wide)..];
                codes.extend(std::iter::repeat_n(value, (header >> 1) as usize));
            } else {
                let values = (header >> 1) as usize * 8;
                for i in 0..values {
                    let mut value = 0;
                    for bit in 0..width as usize {
                        let place = i * width as usize + bit;
                        value |= u16::from(bytes[place / 8] >> (place % 8) & 1) << bit;
                    }
                    codes.push(value);
                }
                bytes = &bytes[values * width as usize / 8..];
            }
        }
        assert!(codes.len() >= count && codes.len() < count + 8);
        codes.truncate(count);
        codes
    }

    proptest! {
        #[test]
        fn codes_come_back(runs in prop::collection::vec((any::<u16>(), 1usize..40), 1..40), width in 1u32..=16) {
            let mask = ((1u32 << width) - 1) as u16;
            let codes: Vec<u16> =
                runs.iter().flat_map(|(c, n)| std::iter::repeat_n(c & mask, *n)).collect();
            for push in [push_codes, push_mixed, push_packed] {
                let mut out = Vec::new();
                push(&codes, width, &mut out);
                prop_assert_eq!(decode(&out, width, codes.len()), codes.clone());
            }
        }
    }

    #[test]
    fn widths() {
        let widths: Vec<u32> = [0, 1, 2, 3, 4, 5, 256, 257, 65_536].map(code_width).into();
        assert_eq!(widths, [1, 1, 1, 2, 2, 3, 8, 9, 16]);
    }
}
