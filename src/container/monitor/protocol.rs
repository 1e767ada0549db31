//! What a monitor and its clients tell each other, in messages over a `SOCK_SEQPACKET` socket.
//!
//! A message of the client is one [`Request`] in JSON. A message of the monitor is one byte that says what it is, and
//! then output of the container, or one [`Event`] in JSON. Both ends are the same program, so there are no versions;
//! after an upgrade, what one does not know it ignores.

use serde::{Deserialize, Serialize};

use crate::sys::pty::WindowSize;

/// The socket's name in the container's directory.
pub(in crate::container) const SOCKET: &str = "socket";

/// The longest message, in bytes.
pub(in crate::container) const MESSAGE_MAX: usize = 1 + OUTPUT_MAX;

/// The most output in one message, in bytes.
pub(super) const OUTPUT_MAX: usize = 64 << 10;

/// The first byte of a message of the monitor.
pub(in crate::container) const OUTPUT: u8 = b'o';
pub(in crate::container) const ERROR_OUTPUT: u8 = b'e';
pub(in crate::container) const EVENT: u8 = b'{';

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::container) enum Request {
    /// To get the container's output from now on, and its end. With `input`, [`Event::Attached`] brings a descriptor
    /// to which the client writes.
    Attach { input: bool },
    /// No more input of this client comes.
    EndInput,
    /// The size of the client's terminal.
    Resize { rows: u16, columns: u16 },
    /// To pass on a signal that the attached client got.
    Pass(i32),
    /// To send a signal to the container's first process.
    Kill(i32),
    /// To end the container: with its stop signal or `signal`, and with SIGKILL after `seconds` or its own timeout. A negative
    /// number waits for ever. With `keep`, a container is not removed although it was run with `--rm`.
    Stop { signal: Option<i32>, seconds: Option<i64>, keep: bool },
    /// To know when the container has ended for good.
    Wait,
    /// To know when the log grows.
    Follow,
}

/// What a monitor tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::container) enum Event {
    /// The command runs.
    Started { id: String },
    /// The container or its command could not start. Nothing follows.
    Failed { reason: String, exit_code: u8 },
    /// The client gets output. With a terminal, all of it is standard output.
    Attached { terminal: bool },
    /// The container has ended, and is removed if it was to be. Nothing follows.
    Ended { exit_code: u8 },
    /// The request is done.
    Done,
    /// The request cannot be done.
    Refused(String),
    /// The log has grown.
    Logged,
}

/// The size of a terminal that has no pixels.
pub(super) fn window(rows: u16, columns: u16) -> WindowSize {
    WindowSize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
