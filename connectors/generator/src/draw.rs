//! Random draws that depend on nothing but a seed and a row number.

/// SplitMix64's output function (Steele, Lea, Flood, 2014), which spreads neighbouring inputs over all 64 bits.
fn spread(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The draws of one row.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// The draws of a row.
    pub(crate) fn of_row(seed: u64, row: u64) -> Self {
        Self { state: spread(seed ^ spread(row)) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        spread(self.state)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high - low) + 1;
        low + ((u128::from(self.next()) * span) >> 64) as u64
    }

    /// A number from 0 up to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with a probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of some values.
    pub(crate) fn one_of<T: Copy, const N: usize>(&mut self, values: &[T; N]) -> T {
        values[self.between(0, N as u64 - 1) as usize]
    }
}
