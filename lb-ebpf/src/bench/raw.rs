//! The program's access to entries of a flow table.

#[path = "../raw/entry.rs"]
mod entry;
#[path = "../raw/words.rs"]
mod words;

use core::intrinsics::AtomicOrdering;

use aya_ebpf::Global;

pub(crate) use self::entry::Bucket;

/// Not relaxed: LLVM's BPF target loses the old value of a relaxed operation.
const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;
const LOAD_ORDER: AtomicOrdering = AtomicOrdering::Acquire;

/// Nonzero if this machine may reorder loads and stores. Set by the loader.
#[unsafe(no_mangle)]
static WEAKLY_ORDERED: Global<u8> = Global::new(0);
