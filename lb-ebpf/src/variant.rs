//! The variants of the program: one object each. The one for the interfaces has nothing of the others in it.

/// True in the program that `xdplb explain` runs: it does everything but to write to maps.
pub(crate) const IS_DRY: bool = cfg!(feature = "explain");
