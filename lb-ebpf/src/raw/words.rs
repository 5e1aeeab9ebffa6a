use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xchg},
    ptr::NonNull,
};

use aya_ebpf::Global;

use crate::variant::IS_DRY;

/// Not relaxed: LLVM's BPF target loses the old value of a relaxed operation.
pub(super) const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;
const LOAD_ORDER: AtomicOrdering = AtomicOrdering::Acquire;

/// Nonzero if this machine may reorder loads and stores. Set by the loader.
#[unsafe(no_mangle)]
pub(super) static WEAKLY_ORDERED: Global<u8> = Global::new(0);

/// Words of a map's value, which other CPUs and the control plane write concurrently. Offsets are in
/// bytes, of words within the value.
#[derive(Clone, Copy)]
pub(super) struct Words(NonNull<u64>);

impl Words {
    #[inline(always)]
    pub(super) fn new<T>(value: *mut T) -> Option<Self> {
        NonNull::new(value.cast()).map(Self)
    }

    /// Returns the words that begin this many bytes later.
    #[inline(always)]
    pub(super) fn after(self, offset: usize) -> Self {
        // SAFETY: the value is that long.
        Self(unsafe { self.0.byte_add(offset) })
    }

    #[inline(always)]
    fn word<T>(self, offset: usize) -> *mut T {
        self.0.as_ptr().wrapping_byte_add(offset).cast()
    }

    #[inline(always)]
    pub(super) fn load<T>(self, offset: usize) -> T {
        // SAFETY: the word is in the value, which stays readable for the program's run.
        unsafe { self.word::<T>(offset).read_volatile() }
    }

    #[inline(always)]
    pub(super) fn store<T>(self, offset: usize, value: T) {
        if IS_DRY {
            return;
        }
        // SAFETY: the word is in the value, which stays writable for the program's run.
        unsafe { self.word::<T>(offset).write_volatile(value) }
    }

    #[inline(always)]
    pub(super) fn load_words<W: AsMut<[u64]> + Default>(self, offset: usize) -> W {
        let mut words = W::default();
        for (index, word) in words.as_mut().iter_mut().enumerate() {
            *word = self.load(offset + index * size_of::<u64>());
        }
        words
    }

    #[inline(always)]
    pub(super) fn store_words(self, offset: usize, words: impl AsRef<[u64]>) {
        for (index, word) in words.as_ref().iter().enumerate() {
            self.store(offset + index * size_of::<u64>(), *word);
        }
    }

    /// Reads the first word. No later read happens before, nor an earlier one after.
    #[inline(always)]
    pub(super) fn load_ordered(self) -> u64 {
        if IS_DRY || WEAKLY_ORDERED.load() == 0 {
            return self.load(0);
        }
        // SAFETY: the word stays writable for the program's run, and is only ever changed atomically.
        unsafe { atomic_or::<u64, u64, ORDER>(self.word(0), 0) }
    }

    /// Compares and swaps the first word, as a full barrier. Returns the former word.
    #[inline(always)]
    pub(super) fn exchange(self, from: u64, to: u64) -> u64 {
        if IS_DRY {
            return self.load(0);
        }
        // SAFETY: as in `load_ordered`.
        let (found, _) = unsafe { atomic_cxchg::<u64, ORDER, LOAD_ORDER>(self.word(0), from, to) };
        found
    }

    /// Sets the first word, after all earlier writes.
    #[inline(always)]
    pub(super) fn publish(self, word: u64) {
        if IS_DRY || WEAKLY_ORDERED.load() == 0 {
            return self.store(0, word);
        }
        // SAFETY: as in `load_ordered`.
        unsafe { atomic_xchg::<u64, ORDER>(self.word(0), word) };
    }
}

/// Masks a way, which is less than this power of two, so that the verifier sees the bound. The compiler
/// omits a mask in Rust where it knows the bound from elsewhere.
#[inline(always)]
pub(super) fn masked<const WAYS: u32>(way: u32) -> usize {
    let mut way = way as usize;
    // SAFETY: touches nothing but the register.
    unsafe {
        asm!("{way} &= {last}", way = inout(reg) way, last = const WAYS - 1,
            options(pure, nomem, nostack));
    }
    way
}
