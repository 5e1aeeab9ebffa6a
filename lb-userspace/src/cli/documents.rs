//! What is generated from the code: references, manual pages, completions.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow};
use clap::{Command, CommandFactory as _, ValueEnum as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::{args::Cli, exit::Failure};
use crate::{api, config::reference, counters};

const FILE_PAGE: &str = "xdplb.toml";

/// A file's path, and what it holds.
type Document = (String, String);

pub(super) fn print_completions(shell: Shell) -> Result<ExitCode, Failure> {
    io::stdout().write_all(completions(shell)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a verb, given as its words.
pub(super) fn print_manual(verb: &[String]) -> Result<ExitCode, Failure> {
    let page = match verb {
        [word] if word == FILE_PAGE => reference::manual()?,
        words => manual(find(words).map_err(Failure::Usage)?)?,
    };
    io::stdout().write_all(page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn write(directory: &Path) -> Result<ExitCode, Failure> {
    for (path, text) in references()?.into_iter().chain(accessories()?) {
        let path = directory.join(path);
        let parent = path.parent().context("a file is in a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is kept in `docs/`.
fn references() -> Result<Vec<Document>> {
    Ok(vec![
        ("configuration.md".to_owned(), reference::page()?),
        ("counters.md".to_owned(), counters::page()),
        ("xdplb.schema.json".to_owned(), format!("{:#}\n", reference::schema()?)),
        ("openapi.json".to_owned(), format!("{:#}\n", serde_json::to_value(api::description())?)),
    ])
}

/// What packages have besides.
fn accessories() -> Result<Vec<Document>> {
    let mut documents = vec![(format!("man/{FILE_PAGE}.5"), reference::manual()?)];
    add_manuals(&commands(), &mut documents)?;
    for shell in Shell::value_variants() {
        documents.push((format!("completions/{shell}"), completions(*shell)?));
    }
    Ok(documents)
}

fn add_manuals(command: &Command, documents: &mut Vec<Document>) -> Result<()> {
    let page = Man::new(command.clone()).get_filename();
    documents.push((format!("man/{page}"), manual(command.clone())?));
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown.into_iter().try_for_each(|verb| add_manuals(verb, documents))
}

fn commands() -> Command {
    let mut commands = Cli::command().disable_help_subcommand(true);
    commands.build();
    commands
}

fn find(words: &[String]) -> Result<Command> {
    words.iter().try_fold(commands(), |command, word| {
        let found = command.find_subcommand(word).cloned();
        found.ok_or_else(|| anyhow!("there is no verb `{}`: see `xdplb --help`", words.join(" ")))
    })
}

fn manual(command: Command) -> Result<String> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

fn completions(shell: Shell) -> Result<String> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "xdplb", &mut script);
    Ok(String::from_utf8(script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_are_what_the_code_says() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (path, text) in references().expect("generated") {
            let kept = fs::read_to_string(docs.join(&path)).unwrap_or_default();
            assert!(kept == text, "docs/{path} is stale: run `cargo xtask docs`");
        }
    }

    #[test]
    fn every_verb_has_a_page() {
        let pages = accessories().expect("generated");
        for page in ["man/xdplb.1", "man/xdplb-backend-drain.1", "man/xdplb.toml.5"] {
            let (_, text) = pages.iter().find(|(path, _)| path == page).expect(page);
            assert!(text.contains(".SH NAME"), "{page}");
        }
        let (_, first) = pages.iter().find(|(path, _)| path == "man/xdplb.1").expect("a page");
        assert!(first.contains("3 no daemon at the socket"), "{first}");
        let drain = ["backend", "drain"].map(ToOwned::to_owned);
        let page = manual(find(&drain).expect("a verb")).expect("a page");
        assert!(page.contains("xdplb backend drain") && page.contains("deadline"), "{page}");
        assert!(find(&["no".to_owned()]).is_err());
    }
}
