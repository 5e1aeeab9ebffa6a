//! A program on a terminal of its own.

use std::{
    fs,
    io::{self, Read as _, Write},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{Parser, Screen};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

pub struct Console {
    terminal: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Mutex<Parser>>,
    program: Box<dyn Child + Send + Sync>,
    /// The terminal's modes before the program, as text.
    modes: String,
}

impl Console {
    /// Runs a program on a terminal of 80 columns and 24 rows.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn run(command: CommandBuilder) -> Self {
        Self::run_on("xterm-256color", command)
    }

    /// Like [`Self::run`], on a terminal of another kind.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn run_on(kind: &str, mut command: CommandBuilder) -> Self {
        command.env("TERM", kind);
        let pty = native_pty_system().openpty(PtySize::default()).expect("a terminal");
        let modes = modes(&*pty.master);
        let program = pty.slave.spawn_command(command).expect("runs");
        let screen = Arc::new(Mutex::new(Parser::default()));
        let mut output = pty.master.try_clone_reader().expect("a terminal");
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // It fails when the last program has left the terminal.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        let keyboard = pty.master.take_writer().expect("a terminal");
        Self { terminal: pty.master, keyboard, screen, program, modes }
    }

    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .expect("sent");
    }

    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn resize(&self, cols: u16, rows: u16) {
        self.screen().screen_mut().set_size(rows, cols);
        let size = PtySize { cols, rows, ..PtySize::default() };
        self.terminal.resize(size).expect("a terminal");
    }

    /// # Panics
    ///
    /// If the program has ended.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("a living process");
    }

    /// Waits until the screen is as wanted.
    ///
    /// # Panics
    ///
    /// If that does not come soon.
    pub fn wait_for(&self, what: &str, is_wanted: impl Fn(&Screen) -> bool) {
        self.wait(what, || is_wanted(self.screen().screen()));
    }

    /// Waits until the screen has all these texts.
    ///
    /// # Panics
    ///
    /// If they do not come soon.
    pub fn wait_for_texts(&self, texts: &[&str]) {
        self.wait_for(&format!("{texts:?}"), |screen| {
            let shown = screen.contents();
            texts.iter().all(|text| shown.contains(text))
        });
    }

    /// Waits until the program has stopped and given the terminal back.
    ///
    /// # Panics
    ///
    /// If that does not come soon.
    pub fn wait_until_stopped(&self) {
        let file = format!("/proc/{}/stat", self.pid());
        let is_stopped = || fs::read_to_string(&file).is_ok_and(|stat| stat.contains(") T "));
        self.wait("a stopped process", || is_stopped() && self.is_as_before());
    }

    /// Waits until the program has ended and given the terminal back; returns its exit code.
    ///
    /// # Panics
    ///
    /// If that does not come soon.
    #[must_use]
    pub fn ended(mut self) -> u32 {
        self.wait_for_end()
    }

    /// Like [`Self::ended`], if the screen then shows this and nothing else.
    ///
    /// # Panics
    ///
    /// If that does not come soon.
    #[must_use]
    pub fn ended_showing(mut self, text: &str) -> u32 {
        let code = self.wait_for_end();
        self.wait(&format!("{text:?} alone"), || self.shown().trim_end() == text);
        code
    }

    fn wait_for_end(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.program.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it must end soon:\n{}", self.shown());
            sleep(POLL);
        };
        self.wait("the terminal as it was", || self.is_as_before());
        status.exit_code()
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what} must come soon:\n{}", self.shown());
            sleep(POLL);
        }
    }

    fn is_as_before(&self) -> bool {
        let own_screen = self.screen().screen().alternate_screen();
        let hidden_cursor = self.screen().screen().hide_cursor();
        !own_screen && !hidden_cursor && modes(&*self.terminal) == self.modes
    }

    fn screen(&self) -> std::sync::MutexGuard<'_, Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> String {
        self.screen().screen().contents()
    }

    fn pid(&self) -> u32 {
        self.program.process_id().expect("a process")
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let ended: io::Result<()> = self.program.kill();
        drop(ended);
        self.program.wait().ok();
    }
}

fn modes(terminal: &(dyn MasterPty + Send)) -> String {
    format!("{:?}", terminal.get_termios().expect("a terminal"))
}
