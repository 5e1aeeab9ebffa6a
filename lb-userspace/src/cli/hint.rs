//! Tips in usage errors.

use std::ffi::OsString;

use clap::{
    Command, CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::args::Cli;

const FILE: &str = "give the configuration file with '-c FILE'";

/// Adds to the error of a word that nothing takes that a file goes with an option, if the verb has it.
pub(super) fn add(error: &mut clap::Error, mut arguments: impl Iterator<Item = OsString>) {
    let is_word = matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(word)) if !word.starts_with('-')
    );
    if error.kind() != ErrorKind::UnknownArgument || !is_word {
        return;
    }
    let commands = Cli::command();
    let verb = arguments.find_map(|word| commands.find_subcommand(word));
    if verb.is_some_and(takes_file) {
        let tips = vec![FILE.to_owned().into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

fn takes_file(verb: &Command) -> bool {
    verb.get_arguments().any(|argument| argument.get_long() == Some("config"))
}
