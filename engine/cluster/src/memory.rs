//! How the process's allocator treats memory that is free.

use std::ffi::c_int;

/// Larger pieces come from the kernel and go back to it.
const FROM_KERNEL_ABOVE: c_int = 4 << 20;
/// Free memory that an arena keeps. It bounds what the process holds for nothing, once for each arena.
const KEEP: c_int = 64 << 20;

/// Makes the allocator keep what it frees, where it is glibc's; others keep their ways. Call it before there are threads.
///
/// An engine frees and takes the same megabytes again and again, and a page that was given back costs a page fault and its
/// zeroing (on a virtual machine about 2 µs: measured, a fifth of the CPU of an ingest). With as many arenas as threads
/// that use them (half of glibc's default for two cores), what one thread frees another finds.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let arenas = std::thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).clamp(4, 64));
        let arenas = c_int::try_from(arenas).unwrap_or(4);
        for (parameter, value) in
            [(libc::M_MMAP_THRESHOLD, FROM_KERNEL_ABOVE), (libc::M_TRIM_THRESHOLD, KEEP), (libc::M_ARENA_MAX, arenas)]
        {
            // SAFETY: `mallopt` takes two numbers, and changes the allocator's settings under its own lock.
            #[allow(unsafe_code)]
            let taken = unsafe { libc::mallopt(parameter, value) };
            if taken != 1 {
                tracing::debug!(parameter, "the allocator keeps its setting");
            }
        }
    }
}
