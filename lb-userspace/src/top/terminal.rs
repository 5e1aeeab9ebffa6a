//! The terminal, which is left as it was found, whatever ends the program.

use std::{io, thread};

use crossterm::{
    execute,
    terminal::{EnterAlternateScreen, enable_raw_mode},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ratatui::{DefaultTerminal, Frame, backend::CrosstermBackend};

/// The terminal in raw mode, with a screen of our own. A panic of any thread gives it back before its
/// message is printed.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    /// True while another program, like the shell, has the terminal.
    is_left: bool,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()?, is_left: false })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !self.is_left {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }

    /// Gives the terminal back and stops the process, until SIGCONT.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.leave()?;
        Ok(kill(Pid::this(), Signal::SIGSTOP)?)
    }

    /// Takes the terminal again, whose modes the shell may have changed meanwhile.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.leave()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.is_left = false;
        // One that knows nothing on the screen: to clear the old one would ask the terminal for its cursor.
        self.terminal = DefaultTerminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        if !self.is_left {
            self.is_left = true;
            ratatui::try_restore()?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !thread::panicking() {
            // It fails if the terminal has gone, which has no modes any more.
            self.leave().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, io};

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    use super::*;

    /// Set in the process that panics.
    const PANICS: &str = "XDPLB_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        if env::var_os(PANICS).is_some() {
            let mut screen = Screen::enter().expect("a terminal");
            screen.draw(|frame| frame.render_widget("drawn", frame.area())).expect("a terminal");
            panic!("as planned");
        }
        let pty = native_pty_system().openpty(PtySize::default()).expect("a terminal");
        let modes = pty.master.get_termios().expect("a terminal");
        let mut command = CommandBuilder::new(env::current_exe().expect("this test"));
        command.env(PANICS, "1");
        let this = "top::terminal::tests::a_panic_gives_the_terminal_back_before_its_message";
        command.args(["--exact", "--nocapture", this]);
        let mut child = pty.slave.spawn_command(command).expect("runs");
        drop(pty.slave);
        let said = read(pty.master.try_clone_reader().expect("a terminal"));
        assert!(!child.wait().expect("ended").success(), "{said:?}");
        let places =
            ["\x1b[?1049h", "drawn", "\x1b[?1049l", "as planned"].map(|one| said.find(one));
        assert!(places.is_sorted() && places[0].is_some(), "{places:?} in {said:?}");
        assert_eq!(
            said.matches("\x1b[?1049l").count(),
            1,
            "the message would be overwritten: {said:?}"
        );
        assert_eq!(pty.master.get_termios().expect("a terminal"), modes);
    }

    /// Reads until the last process has closed the terminal, which is an error of a terminal.
    fn read(mut terminal: impl io::Read) -> String {
        let mut said = Vec::new();
        terminal.read_to_end(&mut said).ok();
        String::from_utf8_lossy(&said).into_owned()
    }
}
