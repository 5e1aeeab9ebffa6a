//! Keys, as users of htop and less expect them.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    Stop,
    Help,
    Pause,
    Slower,
    Faster,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    /// Leave what was begun last: the filter, or this table.
    Cancel,
    Filter,
    NextColumn,
    PreviousColumn,
    Reverse,
    /// A character of the filter.
    Type(char),
    Erase,
    Accept,
    /// Show all warnings, or no longer.
    Warnings,
}

/// Keys and their meaning, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("Up Down j k", "select a row"),
    ("PgUp PgDn Home End g G", "select a row further away"),
    ("Enter Right l", "services > backends > connections"),
    ("Backspace Left h Esc", "go back"),
    ("< >", "sort by another column"),
    ("r", "reverse the order"),
    ("/", "show only rows with a text; Esc shows all again"),
    ("w", "show all warnings in full"),
    ("p Space", "pause, and go on"),
    ("+ -", "update less often, more often"),
    ("Ctrl-Z", "stop; `fg` goes on"),
    ("?", "help"),
    ("q Ctrl-C", "quit"),
];

/// Returns the meaning of a key. Characters are typed while a filter is being written.
pub(super) fn command(key: KeyEvent, is_typing: bool) -> Option<Command> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return of_control(key.code, is_typing);
    }
    if is_typing { of_filter(key.code) } else { of_table(key.code) }
}

fn of_control(code: KeyCode, is_typing: bool) -> Option<Command> {
    match code {
        KeyCode::Char('c') => Some(Command::Quit),
        KeyCode::Char('z') => Some(Command::Stop),
        KeyCode::Char('h') if is_typing => Some(Command::Erase),
        KeyCode::Char('h') => Some(Command::Back),
        KeyCode::Char('b') => Some(Command::PageUp),
        KeyCode::Char('f') => Some(Command::PageDown),
        _ => None,
    }
}

fn of_filter(code: KeyCode) -> Option<Command> {
    match code {
        KeyCode::Char(c) => Some(Command::Type(c)),
        KeyCode::Backspace => Some(Command::Erase),
        KeyCode::Enter => Some(Command::Accept),
        KeyCode::Esc => Some(Command::Cancel),
        KeyCode::Up => Some(Command::Up),
        KeyCode::Down => Some(Command::Down),
        _ => None,
    }
}

fn of_table(code: KeyCode) -> Option<Command> {
    Some(match code {
        KeyCode::Char('q') => Command::Quit,
        KeyCode::Char('?') | KeyCode::F(1) => Command::Help,
        KeyCode::Char('p' | ' ') => Command::Pause,
        KeyCode::Char('+' | '=') => Command::Slower,
        KeyCode::Char('-') => Command::Faster,
        KeyCode::Up | KeyCode::Char('k') => Command::Up,
        KeyCode::Down | KeyCode::Char('j') => Command::Down,
        KeyCode::PageUp => Command::PageUp,
        KeyCode::PageDown => Command::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Command::First,
        KeyCode::End | KeyCode::Char('G') => Command::Last,
        KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => Command::Open,
        KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => Command::Back,
        KeyCode::Esc => Command::Cancel,
        KeyCode::Char('/') => Command::Filter,
        KeyCode::Char('>' | '.') => Command::NextColumn,
        KeyCode::Char('<' | ',') => Command::PreviousColumn,
        KeyCode::Char('r' | 'I') => Command::Reverse,
        KeyCode::Char('w') => Command::Warnings,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_typed_while_a_filter_is_written() {
        let q = KeyEvent::from(KeyCode::Char('q'));
        assert_eq!(command(q, false), Some(Command::Quit));
        assert_eq!(command(q, true), Some(Command::Type('q')));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(
            [false, true].map(|typing| command(interrupt, typing)),
            [Some(Command::Quit); 2]
        );
    }
}
