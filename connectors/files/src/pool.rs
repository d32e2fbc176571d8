//! Buffers that are used again.
//!
//! A buffer of a megabyte that is new costs 256 page faults, more than reading a file into it. The engine lets go of a
//! chunk soon after it was read, on another thread; what it lets go of comes back here.

use arrow::buffer::Buffer;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Buffers that nobody uses now.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Mutex<Vec<Vec<u8>>>,
    /// Most bytes that are kept.
    keep: usize,
}

impl BufferPool {
    /// A pool that keeps at most so many bytes.
    pub fn new(keep: usize) -> Self {
        Self { free: Mutex::default(), keep }
    }

    /// An empty buffer; the capacity is anybody's.
    pub fn take(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_default()
    }

    /// Shares a buffer's bytes; it comes back when the last user drops them.
    pub fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Buffer {
        Buffer::from(Bytes::from_owner(Lent { bytes, pool: Arc::clone(self) }))
    }

    fn put_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut free = self.free.lock();
        let kept: usize = free.iter().map(Vec::capacity).sum();
        if kept + bytes.capacity() <= self.keep {
            free.push(bytes);
        }
    }
}

struct Lent {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.put_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_lent_again_up_to_a_bound() {
        let pool = Arc::new(BufferPool::new(150));
        let lend = |fill: u8| pool.lend(vec![fill; 100]);
        let (first, second) = (lend(1), lend(2));
        let part = first.slice(50);
        drop(first);
        assert!(pool.take().capacity() == 0, "a part is still used");
        assert_eq!(part.as_slice(), [1; 50]);
        drop((part, second));
        assert_eq!(pool.take().capacity(), 100);
        assert_eq!(pool.take().capacity(), 0, "two would be more than it keeps");
    }
}
