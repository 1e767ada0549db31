//! The thread of an attached client that gives the container keys and signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::{Attach, DetachKeys, Left};
use crate::container::control;
use crate::container::monitor::protocol::Request;
use crate::container::relay::host_window;
use crate::sys::poll::{self, Interest};
use crate::sys::pty;
use crate::sys::signal::{self, Messages};
use crate::sys::{Channel, Errno};

const BUFFER: usize = 64 << 10;

/// With so many signals that ask to end, this process ends itself, as docker's client does.
const PLEAS_MOST: u32 = 3;

pub(super) struct Feed {
    channel: Channel,
    signals: Messages,
    terminal: bool,
    /// Whether standard input is a terminal; one that was closed no longer says so.
    is_typed: bool,
    pass_signals: bool,
    keys: DetachKeys,
    /// The container's input, until it or ours ends.
    input: Option<OwnedFd>,
    /// What is read and not yet written to `input`.
    pending: Vec<u8>,
    pleas: u32,
    left: Arc<OnceLock<Left>>,
}

impl Feed {
    pub(super) fn new(
        attach: Attach,
        channel: Channel,
        signals: Messages,
        terminal: bool,
        input: Option<OwnedFd>,
        left: Arc<OnceLock<Left>>,
    ) -> Feed {
        let Attach { input: wanted, pass_signals, detach_keys: keys } = attach;
        let input = input.filter(|_| wanted);
        let is_typed = pty::is_terminal(io::stdin());
        Feed { channel, signals, terminal, is_typed, pass_signals, keys, input, pending: Vec::new(), pleas: 0, left }
    }

    /// Starts the thread. Nobody joins it: it ends with the process.
    pub(super) fn start(mut self) -> Result<(), Errno> {
        self.resize()?;
        let work = move || {
            match self.run() {
                // Whoever was faster has said why.
                Ok(left) => drop(self.left.set(left)),
                Err(errno) => tracing::debug!(%errno, "cannot feed the container"),
            }
            self.channel.shut_down();
            self.signals.until_exit();
        };
        let started = thread::Builder::new().name("input".into()).spawn(work);
        started.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
    }

    fn run(&mut self) -> Result<Left, Errno> {
        loop {
            let stdin = io::stdin();
            let mut waited: Vec<(BorrowedFd<'_>, Interest)> = vec![(self.signals.as_fd(), Interest::Read)];
            match &self.input {
                Some(input) if !self.pending.is_empty() => waited.push((input.as_fd(), Interest::Write)),
                Some(_) => waited.push((stdin.as_fd(), Interest::Read)),
                None => {}
            }
            let ready = poll::wait(&waited)?;
            if ready[0]
                && let Some(left) = self.pass()?
            {
                return Ok(left);
            }
            if ready.get(1) == Some(&true) {
                if self.pending.is_empty()
                    && let Some(left) = self.read()?
                {
                    return Ok(left);
                }
                self.write()?;
            }
        }
    }

    /// Passes signals on.
    fn pass(&mut self) -> Result<Option<Left>, Errno> {
        while let Some(number) = self.signals.next()? {
            let ends = matches!(number, signal::INTERRUPT | signal::TERMINATE);
            match number {
                signal::WINDOW_CHANGED if self.terminal => self.resize()?,
                _ if self.pass_signals => {
                    self.request(&Request::Pass(number))?;
                    self.pleas += u32::from(ends);
                    if ends && self.pleas >= PLEAS_MOST {
                        return Ok(Some(Left::Signal(number)));
                    }
                }
                signal::HANGUP | signal::INTERRUPT | signal::TERMINATE | signal::QUIT => {
                    return Ok(Some(Left::Signal(number)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn resize(&mut self) -> Result<(), Errno> {
        match host_window().filter(|_| self.terminal) {
            Some(size) => self.request(&Request::Resize { rows: size.ws_row, columns: size.ws_col }),
            None => Ok(()),
        }
    }

    /// Reads what there is on standard input.
    fn read(&mut self) -> Result<Option<Left>, Errno> {
        let mut buffer = vec![0; BUFFER];
        match pty::read(io::stdin().as_fd(), &mut buffer) {
            Ok(Some(got)) => {
                let typed = &buffer[..got];
                if !self.terminal {
                    self.pending.extend_from_slice(typed);
                } else if self.keys.pass(typed, &mut self.pending) {
                    return Ok(Some(Left::Detached));
                }
            }
            Err(Errno::AGAIN) => {}
            // A terminal in raw mode ends only when it is closed.
            Ok(None) | Err(_) if self.terminal && self.is_typed => return Ok(Some(Left::HungUp)),
            Ok(None) | Err(_) => {
                self.input = None;
                self.request(&Request::EndInput)?;
            }
        }
        Ok(None)
    }

    /// Writes to the container what it takes now.
    fn write(&mut self) -> Result<(), Errno> {
        let Some(input) = &self.input else { return Ok(()) };
        match pty::write(input.as_fd(), &self.pending) {
            Ok(written) => drop(self.pending.drain(..written)),
            Err(Errno::AGAIN) => {}
            // The command has closed its input.
            Err(_) => {
                self.pending.clear();
                self.input = None;
                self.request(&Request::EndInput)?;
            }
        }
        Ok(())
    }

    fn request(&self, request: &Request) -> Result<(), Errno> {
        control::send(&self.channel, request)
    }
}
