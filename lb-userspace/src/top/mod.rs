//! `top`: the balancer, live in a terminal.
//!
//! [`state`] is what is looked at and [`view`] draws it, both without any input or output; [`poll`]
//! reads the daemon in the background.

mod cells;
mod columns;
mod figures;
mod keys;
mod place;
mod poll;
mod rates;
mod rows;
#[cfg(test)]
mod samples;
mod signals;
mod state;
mod terminal;
mod view;

use std::{io, time::Duration};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use lb_client::Client;
use tokio::time::sleep;

use self::{
    poll::Poller,
    signals::{Signals, Wish},
    state::{Next, State},
    terminal::Screen,
    view::Style,
};
pub(crate) use self::{
    poll::Reading,
    state::{LONGEST, SHORTEST},
};

/// Time after which the screen is drawn again, as it shows ages.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows the balancer until the user quits or a signal ends it.
pub(crate) async fn run(client: Client, first: Reading, interval: Duration) -> io::Result<()> {
    let style = Style::of_environment();
    let mut signals = Signals::new()?;
    let mut state = State::new(first, interval);
    let mut poller = Poller::start(client, state.wanted());
    let mut screen = Screen::enter()?;
    let mut events = EventStream::new();
    loop {
        screen.draw(|frame| view::draw(frame, &mut state, style))?;
        let next = tokio::select! {
            event = events.next() => match event {
                Some(event) => obey(&mut state, &event?),
                None => Next::Quit,
            },
            reading = poller.next() => {
                state.take(reading);
                Next::GoOn
            }
            wish = signals.next() => match wish {
                Wish::End => Next::Quit,
                Wish::Stop => Next::Stop,
                Wish::Resume => {
                    screen.resume()?;
                    Next::GoOn
                }
            },
            () = sleep(REDRAW) => Next::GoOn,
        };
        match next {
            Next::GoOn => poller.want(state.wanted()),
            Next::Stop => screen.stop()?,
            Next::Quit => return Ok(()),
        }
    }
}

fn obey(state: &mut State, event: &Event) -> Next {
    let key = event.as_key_event();
    let command = key.and_then(|key| keys::command(key, state.is_typing));
    command.map_or(Next::GoOn, |command| state.obey(command))
}
