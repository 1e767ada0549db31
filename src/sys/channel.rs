//! A two-way channel between a process and its child: messages, each with at most one descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};

use super::poll::{self, Interest};
use super::{Errno, Result};

/// The longest message, in bytes.
const MESSAGE_MAX: usize = 16 << 10;

/// One end of the channel. `execve` closes it; the other end then sees the end of the messages.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

impl Channel {
    /// Makes a channel and returns both ends.
    ///
    /// # Errors
    /// As `socketpair(2)`.
    pub fn pair() -> Result<(Channel, Channel)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Channel(a), Channel(b)))
    }

    /// A channel over a connected socket.
    pub(super) fn of(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    /// A second descriptor of this end.
    ///
    /// # Errors
    /// As `fcntl(2)`.
    pub fn duplicate(&self) -> Result<Channel> {
        Ok(Channel(rustix::io::fcntl_dupfd_cloexec(&self.0, 3)?))
    }

    /// Closes the connection, for all descriptors of this end.
    pub fn shut_down(&self) {
        // It fails when the connection is closed already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// From now on, this end's calls return `EAGAIN` instead of waiting.
    ///
    /// # Errors
    /// As `fcntl(2)`.
    pub fn set_nonblocking(&self) -> Result<()> {
        rustix::io::ioctl_fionbio(&self.0, true)
    }

    /// Sends `message` (not empty, at most 16 KiB) and a descriptor with it.
    ///
    /// # Errors
    /// `EPIPE` when the other end is closed; `EAGAIN` when it does not wait and there is no room; else as `sendmsg(2)`.
    pub fn send(&self, message: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        let fds = fd.as_slice();
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::NOBUFS);
        }
        retry_on_intr(|| sendmsg(&self.0, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)).map(drop)
    }

    /// Waits for the next message; `None` when the other end is closed.
    ///
    /// # Errors
    /// `EMSGSIZE` for a message that is too long; `EAGAIN` when it does not wait and there is no message; else as
    /// `recvmsg(2)`.
    pub fn receive(&self) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
        let mut message = vec![0; MESSAGE_MAX];
        let got = self.receive_into(&mut message)?;
        Ok(got.map(|(length, fd)| {
            message.truncate(length);
            (message, fd)
        }))
    }

    /// As [`receive`](Self::receive), into `message`, which decides how long a message may be; returns its length.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_into(&self, message: &mut [u8]) -> Result<Option<(usize, Option<OwnedFd>)>> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let mut receive = || {
            let mut parts = [IoSliceMut::new(message)];
            recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        };
        let mut got = retry_on_intr(&mut receive);
        // Tells once that the other end was closed before it had read all; what it had sent can still be received.
        if matches!(got, Err(Errno::CONNRESET)) {
            got = retry_on_intr(&mut receive);
        }
        let got = match got {
            Ok(got) if got.flags.contains(ReturnFlags::TRUNC) => return Err(Errno::MSGSIZE),
            Ok(got) if got.bytes == 0 => return Ok(None),
            Err(Errno::CONNRESET) => return Ok(None),
            other => other?,
        };
        let fds = ancillary.drain().filter_map(|m| match m {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        Ok(Some((got.bytes, fds.flatten().next())))
    }

    /// Whether the other end is closed, without waiting.
    ///
    /// # Errors
    /// As `poll(2)`.
    pub fn is_closed(&self) -> Result<bool> {
        Ok(poll::now(&[(self.as_fd(), Interest::Hangup)])?.contains(&true))
    }
}
