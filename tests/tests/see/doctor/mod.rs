//! `doctor`: each test plants one fault, and expects exactly its finding and its fix.

mod addresses;
mod backends;
mod bed;
mod daemon;
mod files;
mod interfaces;
mod machine;
