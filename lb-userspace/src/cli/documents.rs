//! Documents generated from the code: references, manual pages, completions.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow};
use clap::{Command, CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;
use clap_mangen::Man;
use lb_config::reference;
use lb_daemon::{api, connection_log, counters, metrics};

use super::{args::Cli, complete, exit::Failure, manual};

const FILE_PAGE: &str = "xdplb.toml";

/// Path and content of a file.
type Document = (String, String);

pub(super) fn print_completions(shell: Shell) -> Result<ExitCode, Failure> {
    io::stdout().write_all(complete::script(shell)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the manual page of a verb, given as words, in a pager on a terminal.
pub(super) fn show_manual(verb: &[String]) -> Result<ExitCode, Failure> {
    let page = match verb {
        [word] if word == FILE_PAGE => reference::manual()?,
        words => manual::page(find(words).map_err(Failure::Usage)?)?,
    };
    manual::show(&page)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn write(directory: &Path) -> Result<ExitCode, Failure> {
    for (path, text) in references()?.into_iter().chain(accessories()?) {
        let path = directory.join(path);
        let parent = path.parent().context("a file is in a directory")?;
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the documents in `docs/`.
fn references() -> Result<Vec<Document>> {
    Ok(vec![
        ("configuration.md".to_owned(), reference::page()?),
        ("counters.md".to_owned(), counters::page()),
        ("doctor.md".to_owned(), lb_doctor::page()),
        ("logs.md".to_owned(), lb_notify::page() + &connection_log::page()),
        ("metrics.md".to_owned(), metrics::page()),
        ("xdplb.schema.json".to_owned(), format!("{:#}\n", reference::schema()?)),
        ("openapi.json".to_owned(), format!("{:#}\n", serde_json::to_value(api::description())?)),
    ])
}

/// Returns the other documents of packages.
fn accessories() -> Result<Vec<Document>> {
    let mut documents = vec![(format!("man/{FILE_PAGE}.5"), reference::manual()?)];
    add_manuals(&commands(), &mut documents)?;
    for shell in Shell::value_variants() {
        documents.push((format!("completions/{shell}"), complete::script(*shell)?));
    }
    Ok(documents)
}

fn add_manuals(command: &Command, documents: &mut Vec<Document>) -> Result<()> {
    let page = Man::new(command.clone()).get_filename();
    documents.push((format!("man/{page}"), manual::page(command.clone())?));
    let mut shown = command.get_subcommands().filter(|verb| complete::is_shown(verb));
    shown.try_for_each(|verb| add_manuals(verb, documents))
}

fn commands() -> Command {
    let mut commands = Cli::command().disable_help_subcommand(true);
    commands.build();
    commands
}

fn find(words: &[String]) -> Result<Command> {
    words.iter().try_fold(commands(), |command, word| {
        let found = command.find_subcommand(word).cloned();
        found.ok_or_else(|| anyhow!("unknown command `{}`: see `xdplb --help`", words.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_are_current() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (path, text) in references().expect("generated") {
            let kept = fs::read_to_string(docs.join(&path)).unwrap_or_default();
            assert!(kept == text, "docs/{path} is stale: run `cargo xtask docs`");
        }
    }

    #[test]
    fn pages_have_the_version_of_xdplb_in_their_footer() {
        for (path, text) in accessories().expect("generated") {
            let Some(page) = path.strip_prefix("man/") else { continue };
            let (name, section) = page.rsplit_once('.').expect("a section");
            let title = text.lines().find(|line| line.starts_with(".TH")).expect("a title");
            let expected = concat!("\"xdplb ", env!("CARGO_PKG_VERSION"), "\"");
            assert!(title.contains(expected), "{path}: {title}");
            assert!(
                title.contains(&format!("{} {section}", name.to_uppercase())),
                "{path}: {title}"
            );
        }
    }

    #[test]
    fn names_fit_into_a_line() {
        for (path, text) in accessories().expect("generated") {
            let mut lines = text.lines().skip_while(|line| *line != ".SH NAME").skip(1);
            if let (true, Some(name)) = (path.starts_with("man/"), lines.next()) {
                assert!(name.len() <= 95 && name.contains("\\-"), "{path}: {name}");
            }
        }
    }

    #[test]
    fn every_command_and_argument_is_described() {
        fn undescribed(command: &Command, found: &mut Vec<String>) {
            let name = command.get_bin_name().unwrap_or_default();
            let arguments = command.get_arguments().filter(|one| one.get_help().is_none());
            found.extend(arguments.map(|one| format!("{name} {}", one.get_id())));
            found.extend(command.get_about().is_none().then(|| name.to_owned()));
            command.get_subcommands().for_each(|verb| undescribed(verb, found));
        }
        let mut found = Vec::new();
        undescribed(&commands(), &mut found);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn every_verb_has_a_page() {
        let pages = accessories().expect("generated");
        for page in ["man/xdplb.1", "man/xdplb-backend-drain.1", "man/xdplb.toml.5"] {
            let (_, text) = pages.iter().find(|(path, _)| path == page).expect(page);
            assert!(text.contains(".SH NAME"), "{page}");
        }
        let (_, first) = pages.iter().find(|(path, _)| path == "man/xdplb.1").expect("a page");
        assert!(first.contains("No daemon at the socket"), "{first}");
        let drain = ["backend", "drain"].map(ToOwned::to_owned);
        let page = manual::page(find(&drain).expect("a verb")).expect("a page");
        assert!(page.contains("xdplb backend drain") && page.contains("deadline"), "{page}");
        assert!(find(&["no".to_owned()]).is_err());
        for section in [".SH EXAMPLES", ".SH FILES", ".SH SIGNALS", ".SH \"EXIT STATUS\""] {
            assert!(first.contains(section), "{section} is not in {first}");
        }
        for (path, text) in pages.iter().filter(|(path, _)| path.ends_with(".1")) {
            assert!(text.contains(".SH \"EXIT STATUS\""), "{path}");
            let has_verbs = text.contains(".SH SUBCOMMANDS");
            assert!(has_verbs || text.contains(".SH EXAMPLES"), "{path} has no example");
        }
    }
}
