//! The program's access to entries of a flow table.

#[path = "../raw/entry.rs"]
mod entry;
#[path = "../raw/words.rs"]
mod words;

pub(crate) use self::entry::Bucket;
