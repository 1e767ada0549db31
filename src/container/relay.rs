//! The relay between a container and the launcher: forwards signals in, and copies terminal input and output.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::attach::DetachKeys;
use super::child::{CONSOLE, PROCESS};
use super::error::{Doing, LaunchError};
use super::plan::Input;
use super::virtual_ids::{LISTENER, VirtualIds};
use crate::sys::poll::{self, Interest};
use crate::sys::process::Child;
use crate::sys::pty::{self, RawInput};
use crate::sys::signal::{self, Messages};
use crate::sys::{Channel, Errno};

type Result<T> = std::result::Result<T, LaunchError>;

const BUFFER: usize = 16 << 10;

/// Control-D: a terminal reads it as the end of input.
const END_OF_INPUT: u8 = 4;

/// The size of the terminal on standard input, else on standard output; `None` where neither is a terminal.
pub fn host_window() -> Option<pty::WindowSize> {
    pty::window_size(std::io::stdin()).or_else(|_| pty::window_size(std::io::stdout())).ok()
}

#[derive(Debug)]
pub(super) struct Relay<'a> {
    child: &'a Child,
    messages: &'a Messages,
    /// Open until the command runs.
    channel: Option<Channel>,
    input: Input,
    terminal: Option<Terminal>,
    virtual_ids: Option<&'a VirtualIds>,
    /// The keys that detach, for a process that can go on without a client.
    detach: Option<DetachKeys>,
    detached: bool,
    failure: Option<LaunchError>,
}

/// Our end of the container's terminal.
#[derive(Debug)]
struct Terminal {
    master: OwnedFd,
    /// Whether a process in the container can still write to it.
    open: bool,
    /// Whether keys are read from standard input.
    listening: bool,
    /// Keys that are not yet written to the terminal.
    keys: Vec<u8>,
    /// Restores our own terminal when dropped.
    _raw: Option<RawInput>,
}

/// Which descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signal,
    Ended,
    Channel,
    /// The terminal has output.
    Output,
    /// The terminal accepts input.
    Room,
    /// Standard input has keys.
    Keys,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        child: &'a Child,
        messages: &'a Messages,
        channel: Channel,
        input: Input,
        virtual_ids: Option<&'a VirtualIds>,
    ) -> Relay<'a> {
        Relay {
            child,
            messages,
            channel: Some(channel),
            input,
            terminal: None,
            detach: None,
            detached: false,
            virtual_ids,
            failure: None,
        }
    }

    /// For a process that runs the command already, with our end of its terminal. The keys end the relay.
    pub(super) fn of_running(
        child: &'a Child,
        messages: &'a Messages,
        master: Option<OwnedFd>,
        input: Input,
        detach: DetachKeys,
    ) -> std::result::Result<Relay<'a>, Errno> {
        let terminal = master.map(|master| Terminal::new(master, input)).transpose()?;
        let (detach, detached) = (Some(detach), false);
        Ok(Relay {
            child,
            messages,
            channel: None,
            input,
            terminal,
            detach,
            detached,
            virtual_ids: None,
            failure: None,
        })
    }

    /// Relays until the process has ended, or until the keys that detach were typed: returns then our end of the terminal.
    pub(super) fn run_or_detach(mut self) -> Result<Option<OwnedFd>> {
        self.relay()?;
        match (self.detached, self.terminal.take()) {
            (true, Some(terminal)) => Ok(Some(terminal.master)),
            (_, terminal) => {
                self.terminal = terminal;
                self.finish().map(|()| None)
            }
        }
    }

    /// Relays until the first process has ended. The caller must still wait for it.
    pub(super) fn run(mut self) -> Result<()> {
        self.relay()?;
        self.finish()
    }

    fn relay(&mut self) -> Result<()> {
        loop {
            let sources = self.ready().doing("wait for the container")?;
            // Reads everything that the process sent before handling its end.
            for &source in sources.iter().filter(|&&source| source != Source::Ended) {
                self.attend(source)?;
            }
            if sources.contains(&Source::Ended) || self.detached {
                return Ok(());
            }
        }
    }

    /// Receives what the process left.
    fn finish(mut self) -> Result<()> {
        while self.channel.is_some() {
            self.hear()?;
        }
        if let Some(terminal) = &mut self.terminal {
            while terminal.show() == Shown::Some {}
        }
        self.failure.map_or(Ok(()), Err)
    }

    fn ready(&self) -> std::result::Result<Vec<Source>, Errno> {
        let stdin = io::stdin();
        let mut waited: Vec<(Source, BorrowedFd<'_>, Interest)> = vec![
            (Source::Signal, self.messages.as_fd(), Interest::Read),
            (Source::Ended, self.child.as_fd(), Interest::Read),
        ];
        if let Some(channel) = &self.channel {
            waited.push((Source::Channel, channel.as_fd(), Interest::Read));
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|t| t.open) {
            waited.push((Source::Output, terminal.master.as_fd(), Interest::Read));
            if !terminal.keys.is_empty() {
                waited.push((Source::Room, terminal.master.as_fd(), Interest::Write));
            } else if terminal.listening {
                waited.push((Source::Keys, stdin.as_fd(), Interest::Read));
            }
        }
        let interests: Vec<_> = waited.iter().map(|&(_, fd, interest)| (fd, interest)).collect();
        let ready = poll::wait(&interests)?;
        Ok(waited.iter().zip(ready).filter(|(_, ready)| *ready).map(|((source, ..), _)| *source).collect())
    }

    fn attend(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Signal => self.pass_signals(),
            Source::Channel => self.hear(),
            Source::Output | Source::Room | Source::Keys => {
                if let Some(terminal) = &mut self.terminal {
                    match source {
                        Source::Output => drop(terminal.show()),
                        Source::Keys => self.detached = terminal.listen(self.detach.as_mut()),
                        _ => terminal.type_keys(),
                    }
                }
                Ok(())
            }
            Source::Ended => Ok(()),
        }
    }

    fn pass_signals(&mut self) -> Result<()> {
        while let Some(number) = self.messages.next().doing("receive signals")? {
            match (&self.terminal, number) {
                (Some(terminal), signal::WINDOW_CHANGED) => {
                    if let Some(size) = host_window() {
                        // Ignores the error: it means that no program uses the terminal any more.
                        let _ = pty::set_window_size(&terminal.master, size);
                    }
                }
                _ => self.child.signal(number).doing(format!("pass signal {number} on"))?,
            }
        }
        Ok(())
    }

    /// Receives one message of the container's first process. The channel closes when that becomes the command.
    fn hear(&mut self) -> Result<()> {
        let Some(channel) = &self.channel else { return Ok(()) };
        match channel.receive().doing("receive from the container")? {
            None => self.channel = None,
            Some((message, Some(master))) if message == CONSOLE => {
                self.terminal = Some(Terminal::new(master, self.input).doing("use the container's terminal")?);
            }
            Some((message, _)) if message == PROCESS => {}
            Some((message, Some(listener))) if message == LISTENER => {
                self.virtual_ids.map_or(Ok(()), |ids| ids.supervise(&listener)).doing("supervise the container")?;
            }
            Some((message, _)) => {
                let garbled = |_| LaunchError::Garbled(String::from_utf8_lossy(&message).into_owned());
                self.failure = Some(serde_json::from_slice(&message).unwrap_or_else(garbled));
            }
        }
        Ok(())
    }
}

/// Whether there may be more to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Some,
    Nothing,
}

impl Terminal {
    fn new(master: OwnedFd, input: Input) -> std::result::Result<Terminal, Errno> {
        pty::set_nonblocking(&master)?;
        let listening = input == Input::Attached;
        let raw = if listening && pty::is_terminal(io::stdin()) { Some(RawInput::new()?) } else { None };
        Ok(Terminal { master, open: true, listening, keys: Vec::new(), _raw: raw })
    }

    /// Copies from the container to standard output.
    fn show(&mut self) -> Shown {
        let mut buffer = vec![0; BUFFER];
        let got = match pty::read(self.master.as_fd(), &mut buffer) {
            Ok(Some(got)) => got,
            Err(Errno::AGAIN) => return Shown::Nothing,
            Ok(None) | Err(_) => {
                self.open = false;
                return Shown::Nothing;
            }
        };
        let mut rest = &buffer[..got];
        while !rest.is_empty() {
            match pty::write(io::stdout().as_fd(), rest) {
                Ok(written) => rest = &rest[written..],
                // Another process that shares our standard output made it nonblocking.
                Err(Errno::AGAIN) => drop(poll::wait(&[(io::stdout().as_fd(), Interest::Write)])),
                // The reader of our output is gone. The container continues.
                Err(_) => break,
            }
        }
        Shown::Some
    }

    /// Copies from standard input to `keys`. Returns whether the keys that detach are among them.
    fn listen(&mut self, detach: Option<&mut DetachKeys>) -> bool {
        let mut detaches = false;
        let mut buffer = vec![0; BUFFER];
        match pty::read(io::stdin().as_fd(), &mut buffer) {
            Ok(Some(got)) => {
                let typed = &buffer[..got];
                match detach {
                    Some(detach) => detaches = detach.pass(typed, &mut self.keys),
                    None => self.keys.extend_from_slice(typed),
                }
            }
            Err(Errno::AGAIN) => {}
            Ok(None) | Err(_) => {
                self.listening = false;
                self.keys.push(END_OF_INPUT);
            }
        }
        self.type_keys();
        detaches
    }

    /// Copies from `keys` to the container.
    fn type_keys(&mut self) {
        match pty::write(self.master.as_fd(), &self.keys) {
            Ok(written) => drop(self.keys.drain(..written)),
            Err(Errno::AGAIN) => {}
            Err(_) => self.keys.clear(),
        }
    }
}
