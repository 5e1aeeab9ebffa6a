//! The heap.

#![expect(unsafe_code, reason = "malloc_trim is a plain call of libc")]

/// Returns freed memory to the kernel: glibc keeps the memory of a large document.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes no pointers, is thread-safe, and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
