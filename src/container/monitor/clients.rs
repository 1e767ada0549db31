//! The clients of a monitor. None of them can make the monitor wait: what a client does not take is queued, and while a
//! queue is long the monitor reads no output of the container.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::protocol::{EVENT, Event, Request};
use crate::sys::poll::{self, Interest};
use crate::sys::{Channel, Errno};

/// While a client has so many bytes queued, the container's output is not read: 4 of the largest messages.
const QUEUE_LONG: usize = 256 << 10;

/// A process that has connected.
#[derive(Debug)]
pub(super) struct Client {
    channel: Channel,
    queue: VecDeque<Message>,
    queued: usize,
    open: bool,
    /// It has started this monitor.
    pub(super) is_starter: bool,
    /// It gets the container's output.
    pub(super) attached: bool,
    /// It may write the container's input.
    pub(super) input: bool,
    /// It has been told that it is attached.
    pub(super) welcomed: bool,
    /// It wants to know when the container has ended for good.
    pub(super) waits: bool,
    pub(super) follows: bool,
    /// How often it has passed on a signal that asks to end.
    pub(super) pleas: u32,
}

#[derive(Debug)]
struct Message {
    bytes: Box<[u8]>,
    fd: Option<OwnedFd>,
}

impl Client {
    pub(super) fn new(channel: Channel) -> Client {
        Client {
            channel,
            queue: VecDeque::new(),
            queued: 0,
            open: true,
            is_starter: false,
            attached: false,
            input: false,
            welcomed: false,
            waits: false,
            follows: false,
            pleas: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether messages are queued, so that room on the channel is worth waiting for.
    pub(super) fn is_behind(&self) -> bool {
        self.open && !self.queue.is_empty()
    }

    /// Tells the client of an event.
    pub(super) fn tell(&mut self, event: &Event) {
        self.tell_with(event, None);
    }

    /// As [`tell`](Self::tell), with a descriptor.
    pub(super) fn tell_with(&mut self, event: &Event, fd: Option<OwnedFd>) {
        let mut bytes = vec![EVENT];
        // A value of ours that has no map as a key can always be written.
        if serde_json::to_writer(&mut bytes, event).is_ok() {
            self.send(&bytes, fd);
        }
    }

    /// Sends a message, or queues it.
    fn send(&mut self, bytes: &[u8], fd: Option<OwnedFd>) {
        if !self.open {
            return;
        }
        if self.queue.is_empty() {
            match self.channel.send(bytes, fd.as_ref().map(AsFd::as_fd)) {
                Ok(()) => return,
                Err(Errno::AGAIN) => {}
                Err(_) => return self.close(),
            }
        }
        self.queued += bytes.len();
        self.queue.push_back(Message { bytes: bytes.into(), fd });
    }

    /// Sends of the queue what there is room for.
    pub(super) fn catch_up(&mut self) {
        while let Some(Message { bytes, fd }) = self.queue.front() {
            match self.channel.send(bytes, fd.as_ref().map(AsFd::as_fd)) {
                Ok(()) => {
                    self.queued -= bytes.len();
                    self.queue.pop_front();
                }
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close(),
            }
        }
    }

    /// The next request; `None` when there is none now, or the client is gone.
    pub(super) fn request(&mut self) -> Option<Request> {
        while self.open {
            match self.channel.receive() {
                Ok(Some((message, _))) => match serde_json::from_slice(&message) {
                    Ok(request) => return Some(request),
                    Err(error) => tracing::debug!(%error, "a request that this version does not know"),
                },
                Err(Errno::AGAIN) => return None,
                Ok(None) | Err(_) => self.close(),
            }
        }
        None
    }

    fn close(&mut self) {
        self.open = false;
        self.queue.clear();
        self.queued = 0;
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Clients(pub(super) Vec<Client>);

impl Clients {
    /// Sends output to those that are attached. `message` begins with the byte that tells which output it is.
    pub(super) fn show(&mut self, message: &[u8]) {
        self.0.iter_mut().filter(|client| client.attached).for_each(|client| client.send(message, None));
    }

    /// Tells those that follow the log that it has grown. One that has not taken the last message knows already.
    pub(super) fn logged(&mut self) {
        let idle = |client: &&mut Client| client.follows && client.queue.is_empty();
        self.0.iter_mut().filter(idle).for_each(|client| client.tell(&Event::Logged));
    }

    /// Tells those that are attached of the end of a run. They get no more.
    pub(super) fn let_go(&mut self, event: &Event) {
        for client in self.0.iter_mut().filter(|client| client.attached) {
            client.tell(event);
            (client.attached, client.input, client.welcomed) = (false, false, false);
        }
    }

    /// Waits until each has taken what is queued for it, or is gone.
    pub(super) fn flush(&mut self) {
        loop {
            self.0.retain(Client::is_behind);
            let waited: Vec<_> = self.0.iter().map(|client| (client.as_fd(), Interest::Write)).collect();
            if waited.is_empty() || poll::wait(&waited).is_err() {
                return;
            }
            self.0.iter_mut().for_each(Client::catch_up);
        }
    }

    /// Whether one has so much queued that the container has to wait for it.
    pub(super) fn are_slow(&self) -> bool {
        self.0.iter().any(|client| client.queued >= QUEUE_LONG)
    }
}
