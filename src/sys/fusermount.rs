//! Mounting as an ordinary user: the set-id program fusermount3 does it, and sends the device back.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Channel, FuseDevice};

/// Mounts at `at` with `options` as fusermount3 takes them.
///
/// # Errors
/// What fusermount3 says; `NotFound` where there is none.
pub fn mount_by_helper(at: &Path, options: &str) -> io::Result<FuseDevice> {
    let (ours, theirs) = Channel::pair()?;
    let mut command = Command::new("fusermount3");
    command.arg("-o").arg(options).arg("--").arg(at);
    // It takes the number of the socket from there, and for standard input it has no use.
    command.env("_FUSE_COMMFD", "0").stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn()?;
    // It holds the other end of the socket as well.
    drop(command);
    let device = ours.receive()?.and_then(|(_, device)| device);
    let output = child.wait_with_output()?;
    match device {
        Some(device) => Ok(device.into()),
        None => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
