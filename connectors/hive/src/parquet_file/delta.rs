//! Parquet's DELTA_BINARY_PACKED numbers, for the lengths of strings.
//!
//! Blocks of 128 differences in four miniblocks of 32, each packed with as many bits as its largest difference above the
//! block's least one needs.

use super::hybrid::{pack, varint};

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends numbers, which must be below 2^31.
pub(crate) fn push_numbers(numbers: &[u32], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(numbers.len() as u64, out);
    let Some((first, rest)) = numbers.split_first() else {
        varint(0, out);
        return;
    };
    varint(zigzag(i64::from(*first)), out);
    let mut last = *first as i32;
    let mut deltas = [0i32; BLOCK];
    for block in rest.chunks(BLOCK) {
        let deltas = &mut deltas[..block.len()];
        for (delta, number) in deltas.iter_mut().zip(block) {
            *delta = *number as i32 - last;
            last = *number as i32;
        }
        push_block(deltas, out);
    }
}

fn push_block(deltas: &[i32], out: &mut Vec<u8>) {
    let least = deltas.iter().copied().min().unwrap_or_default();
    varint(zigzag(i64::from(least)), out);
    let widths_at = out.len();
    out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
    for (index, mini) in deltas.chunks(MINIBLOCK).enumerate() {
        // Differences above the least one fit 32 bits without a sign.
        let mut above = [0u32; MINIBLOCK];
        let mut greatest = 0;
        for (above, delta) in above.iter_mut().zip(mini) {
            *above = delta.wrapping_sub(least) as u32;
            greatest |= *above;
        }
        let width = u32::BITS - greatest.leading_zeros();
        out[widths_at + index] = width as u8;
        push_miniblock(&above, width, out);
    }
}

fn push_miniblock(numbers: &[u32; MINIBLOCK], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    if width <= 16 {
        for group in numbers.as_chunks::<8>().0 {
            let packed = pack(&group.map(|n| n as u16), width);
            out.extend_from_slice(&packed[..width as usize]);
        }
        return;
    }
    let mut buffer = 0u64;
    let mut bits = 0;
    for number in numbers {
        buffer |= u64::from(*number) << bits;
        bits += width;
        while bits >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            bits -= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plain reading of the format's specification.
    fn decode(mut bytes: &[u8]) -> Vec<u32> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return value;
                }
            }
        }
        let signed = |bytes: &mut &[u8]| {
            let value = varint(bytes);
            (value >> 1) as i64 ^ -((value & 1) as i64)
        };
        let (block, minis, count) = (varint(&mut bytes), varint(&mut bytes), varint(&mut bytes) as usize);
        let per = (block / minis) as usize;
        let mut last = signed(&mut bytes);
        let mut numbers = vec![last as u32; count.min(1)];
        while numbers.len() < count {
            let least = signed(&mut bytes);
            let widths = bytes[..minis as usize].to_vec();
            bytes = &bytes[minis as usize..];
            for width in widths.into_iter().map(usize::from) {
                if numbers.len() >= count {
                    break;
                }
                for i in 0..per {
                    let mut value = 0i64;
                    for bit in 0..width {
                        let place = i * width + bit;
                        value |= i64::from(bytes[place / 8] >> (place % 8) & 1) << bit;
                    }
                    if numbers.len() < count {
                        last += least + value;
                        numbers.push(last as u32);
                    }
                }
                bytes = &bytes[per * width / 8..];
            }
        }
        assert!(bytes.is_empty());
        numbers
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            small in prop::collection::vec(0u32..40, 0..400),
            large in prop::collection::vec(0u32..0x7fff_ffff, 0..200),
        ) {
            for numbers in [&small, &large, &[small.clone(), large.clone()].concat()] {
                let mut out = Vec::new();
                push_numbers(numbers, &mut out);
                prop_assert_eq!(&decode(&out), numbers);
            }
        }
    }
}
