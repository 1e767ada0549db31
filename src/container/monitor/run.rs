//! One run of a container, as its monitor holds it: the first process, its terminal or pipes, and what it printed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::clients::{Client, Clients};
use super::protocol::{ERROR_OUTPUT, Event, OUTPUT, OUTPUT_MAX};
use crate::container::cgroup::OwnedCgroup;
use crate::container::child::{CONSOLE, GO, PROCESS};
use crate::container::error::{Doing, LaunchError};
use crate::container::launch::{First, Streams, end, first_process};
use crate::container::log::{Stream, Writer};
use crate::container::network::Linked;
use crate::container::plan::Plan;
use crate::container::virtual_ids::{LISTENER, VirtualIds};
use crate::mount::Direct;
use crate::sys::process::{self, Child, ProcessId, Status};
use crate::sys::pty::{self, WindowSize};
use crate::sys::{Channel, Errno, Pipe, signal};

type Result<T> = std::result::Result<T, LaunchError>;

/// A container whose first process exists.
#[derive(Debug)]
pub(super) struct Run {
    child: Child,
    /// Removed with this value, after the first process has ended.
    cgroup: OwnedCgroup,
    /// The container's first process, where that is not our child but an OCI runtime's.
    container: Option<OwnedFd>,
    process: Option<ProcessId>,
    /// Open until the command is executed.
    channel: Option<Channel>,
    /// Ends with this value.
    link: Option<Linked>,
    /// Whether the first process makes a terminal, which it sends when it has.
    has_terminal: bool,
    terminal: Option<OwnedFd>,
    /// Where the command's input comes from. With a terminal, this is the terminal.
    input: Option<OwnedFd>,
    outputs: Vec<Output>,
    failure: Option<LaunchError>,
    virtual_ids: Option<VirtualIds>,
    buffer: Vec<u8>,
}

/// Our end of an output of the command.
#[derive(Debug)]
struct Output {
    fd: OwnedFd,
    stream: Stream,
    open: bool,
}

/// What reading an output gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Some,
    Nothing,
}

impl Run {
    /// Makes the first process, which waits for [`Run::go`]. This process must have one thread now.
    pub(super) fn new(plan: Plan, interactive: bool) -> Result<Run> {
        let has_terminal = plan.process.terminal;
        let has_runtime = plan.runtime().is_some();
        let (mut streams, mut input, mut outputs) = (Streams::default(), None, Vec::new());
        if !has_terminal {
            let mut output = |stream| -> std::result::Result<OwnedFd, Errno> {
                let pipe = Pipe::new()?;
                pty::set_nonblocking(&pipe.read)?;
                outputs.push(Output { fd: pipe.read, stream, open: true });
                Ok(pipe.write)
            };
            streams.output = Some(output(Stream::Stdout).doing("make a pipe")?);
            streams.error = Some(output(Stream::Stderr).doing("make a pipe")?);
            if interactive {
                let pipe = Pipe::new().doing("make a pipe")?;
                // Who writes to it must not wait: signals come in between.
                pty::set_nonblocking(&pipe.write).doing("make a pipe")?;
                streams.input = Some(pipe.read);
                input = Some(pipe.write);
            }
        }
        let First { child, channel, cgroup, link, virtual_ids } = first_process(plan, streams)?;
        Ok(Run {
            process: if has_runtime { None } else { ProcessId::of(child.id()) },
            container: None,
            child,
            cgroup,
            channel: Some(channel),
            link,
            has_terminal,
            terminal: None,
            input,
            outputs,
            failure: None,
            virtual_ids,
            buffer: vec![0; 1 + OUTPUT_MAX],
        })
    }

    /// Waits until the container's network can be used.
    pub(super) fn connected(&mut self) -> Result<()> {
        self.link.as_mut().map_or(Ok(()), Linked::ready)
    }

    /// Records in `mount`, the container's root, which owners its processes give to files. To be called before
    /// [`go`](Self::go).
    pub(super) fn record_owners_in(&mut self, mount: &Direct) -> Result<()> {
        self.virtual_ids.as_mut().map_or(Ok(()), |ids| ids.record_in(mount))
    }

    /// Lets the first process continue. The root must be served and the network connected by now.
    pub(super) fn go(&self) {
        // Ignores the error: a child that is already gone reported why on the channel or by its status.
        if let Some(channel) = &self.channel {
            let _ = channel.send(GO, None);
        }
    }

    /// The container's first process, once it exists.
    pub(super) fn process(&self) -> Option<ProcessId> {
        self.process
    }

    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    /// Readable when the first process has something to say; `None` once it is the command.
    pub(super) fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Whether the command is executed: there was no error, and none can come.
    pub(super) fn is_started(&self) -> bool {
        self.channel.is_none() && self.failure.is_none()
    }

    /// The outputs that can still have something to read.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.outputs
            .iter()
            .enumerate()
            .filter(|(_, output)| output.open)
            .map(|(index, output)| (index, output.fd.as_fd()))
    }

    /// Receives one message of the first process. The channel closes when that becomes the command.
    pub(super) fn hear(&mut self) -> Result<()> {
        let Some(channel) = &self.channel else { return Ok(()) };
        match channel.receive().doing("receive from the container")? {
            None => self.channel = None,
            Some((message, Some(master))) if message == CONSOLE => {
                let set_up = || -> std::result::Result<_, Errno> {
                    pty::set_nonblocking(&master)?;
                    Ok((duplicate(&master)?, duplicate(&master)?))
                };
                let (input, output) = set_up().doing("use the container's terminal")?;
                self.input = Some(input);
                self.outputs.push(Output { fd: output, stream: Stream::Stdout, open: true });
                self.terminal = Some(master);
            }
            Some((message, Some(process))) if message == PROCESS => {
                self.process = ProcessId::of_descriptor(&process);
                self.container = Some(process);
            }
            Some((message, Some(listener))) if message == LISTENER => {
                self.virtual_ids
                    .as_ref()
                    .map_or(Ok(()), |ids| ids.supervise(&listener))
                    .doing("supervise the container")?;
            }
            Some((message, _)) => {
                let garbled = |_| LaunchError::Garbled(String::from_utf8_lossy(&message).into_owned());
                self.failure = Some(serde_json::from_slice(&message).unwrap_or_else(garbled));
            }
        }
        Ok(())
    }

    /// Tells the client that it is attached, once its streams exist. With input, that comes with a descriptor.
    pub(super) fn welcome(&self, client: &mut Client) {
        if !client.attached || client.welcomed || (self.has_terminal && self.terminal.is_none()) {
            return;
        }
        client.welcomed = true;
        let input = self.input.as_ref().filter(|_| client.input).and_then(|input| duplicate(input).ok());
        client.tell_with(&Event::Attached { terminal: self.has_terminal }, input);
    }

    /// Reads an output once, and passes what it has on to log and clients.
    pub(super) fn listen(&mut self, index: usize, log: &mut Writer, clients: &mut Clients) -> Heard {
        let Some(output) = self.outputs.get_mut(index) else { return Heard::Nothing };
        let (first, room) = self.buffer.split_at_mut(1);
        match pty::read(output.fd.as_fd(), room) {
            Ok(Some(got)) => {
                first[0] = match output.stream {
                    Stream::Stdout => OUTPUT,
                    Stream::Stderr => ERROR_OUTPUT,
                };
                log.add(output.stream, &room[..got]);
                clients.show(&self.buffer[..=got]);
                clients.logged();
                Heard::Some
            }
            Err(Errno::AGAIN) => Heard::Nothing,
            Ok(None) | Err(_) => {
                output.open = false;
                Heard::Nothing
            }
        }
    }

    /// Ends the command's input. A terminal has no end.
    pub(super) fn end_input(&mut self) {
        if !self.has_terminal {
            self.input = None;
        }
    }

    /// The new size of the terminal.
    pub(super) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            // Ignores the error: it means that no program uses the terminal any more.
            let _ = pty::set_window_size(terminal, size);
        }
    }

    /// Takes all that is left to read, after the first process has ended.
    pub(super) fn drain(&mut self, log: &mut Writer, clients: &mut Clients) -> Result<()> {
        while self.channel.is_some() {
            self.hear()?;
        }
        for index in 0..self.outputs.len() {
            while self.listen(index, log, clients) == Heard::Some {}
        }
        Ok(())
    }

    /// Sends a signal to the first process. A paused container dies of SIGKILL, too.
    pub(super) fn signal(&self, number: i32) -> std::result::Result<(), Errno> {
        match &self.container {
            Some(process) => process::send_signal(process, number)?,
            None => self.child.signal(number)?,
        }
        if number == signal::KILL
            && self.cgroup.is_frozen()
            && let Err(error) = self.cgroup.thaw()
        {
            tracing::warn!(%error, "a paused container cannot be killed");
        }
        Ok(())
    }

    pub(super) fn kill(&self) -> std::result::Result<(), Errno> {
        self.signal(signal::KILL)
    }

    /// Whether the kernel killed a process because the container's memory was used up.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.cgroup.ran_out_of_memory()
    }

    /// Waits for the first process, and returns how it ended.
    pub(super) fn end(self) -> Result<Status> {
        let status = end(self.child);
        self.failure.map_or(status, Err)
    }
}

fn duplicate(fd: &OwnedFd) -> std::result::Result<OwnedFd, Errno> {
    fd.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
