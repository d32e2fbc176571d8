//! Which partition an event goes to when its sender did not choose one.
//!
//! With a partition key: the hash of Azure's own SDKs (a variant of Jenkins' lookup3 over the key's UTF-8 bytes, folded to 16 signed bits), so that a key lands
//! on the same partition number here and with the SDKs' client-side partitioners. Without one: round robin, one step for each message or batch.

use std::sync::atomic::{AtomicU32, Ordering};

/// The partition of `key` in a hub of `partitions` partitions: |hash % count| with the sign of the hash kept by %, as in the SDKs for .NET and JavaScript.
pub fn partition_of_key(key: &str, partitions: u32) -> u32 {
    (i32::from(hash(key)) % partitions.max(1) as i32).unsigned_abs()
}

fn hash(key: &str) -> i16 {
    let (first, second) = lookup3(key.as_bytes());
    (first ^ second) as i16
}

/// Hands out partitions in turn.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicU32);

impl RoundRobin {
    /// The next partition of `partitions`.
    pub fn next(&self, partitions: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) % partitions.max(1)
    }
}

fn word(data: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |word, i| word | u32::from(data.get(at + i).copied().unwrap_or(0)) << (8 * i))
}

fn lookup3(data: &[u8]) -> (u32, u32) {
    let seed = 0xdead_beef_u32.wrapping_add(data.len() as u32);
    let (mut a, mut b, mut c) = (seed, seed, seed);
    let mut at = 0;
    while data.len() - at > 12 {
        a = a.wrapping_add(word(data, at));
        b = b.wrapping_add(word(data, at + 4));
        c = c.wrapping_add(word(data, at + 8));
        (a, b, c) = mix(a, b, c);
        at += 12;
    }
    if at == data.len() {
        return (c, b);
    }
    // The last one to twelve bytes, as if padded with zeros.
    a = a.wrapping_add(word(data, at));
    b = b.wrapping_add(word(data, at + 4));
    c = c.wrapping_add(word(data, at + 8));
    finish(a, b, c)
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

fn finish(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (c, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_sdks_do() {
        // From azure-eventhub 5.15.1 for Python: _partition_resolver.generate_hash_code.
        let known = [
            ("a", -16220),
            ("alphabet", -23478),
            ("key-0", 27952),
            ("TeamA/user42", -18211),
            ("123456789012", 21621),
            ("1234567890123", 7770),
            ("7149583486996073602", 12977),
            ("abcdefghijklmnopqrstuvwxyz0123456789", 22694),
        ];
        for (key, expected) in known {
            assert_eq!(hash(key), expected, "{key}");
        }
        assert_eq!(partition_of_key("TeamA/user42", 4), 3);
        assert_eq!(partition_of_key("anything", 1), 0);
    }

    #[test]
    fn keys_spread_and_stay_in_range() {
        let mut hits = [0u32; 4];
        for i in 0..4_000 {
            hits[partition_of_key(&format!("device-{i}"), 4) as usize] += 1;
        }
        assert!(hits.iter().all(|hits| (800..1_200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn round_robin_visits_all() {
        let turn = RoundRobin::default();
        let visited: Vec<u32> = (0..6).map(|_| turn.next(3)).collect();
        assert_eq!(visited, [0, 1, 2, 0, 1, 2]);
    }
}
