//! Mounting as an ordinary user: the set-uid program fusermount3 mounts and sends the device back.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Channel, FuseDevice};

/// Mounts at `at`, with `options` in the form that fusermount3 takes.
///
/// # Errors
/// The error message of fusermount3; `NotFound` when it is not installed.
pub fn mount_by_helper(at: &Path, options: &str) -> io::Result<FuseDevice> {
    let (ours, theirs) = Channel::pair()?;
    let mut command = Command::new("fusermount3");
    command.arg("-o").arg(options).arg("--").arg(at);
    // The variable names the descriptor of the socket; fusermount3 does not read standard input otherwise.
    command.env("_FUSE_COMMFD", "0").stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn()?;
    // The command holds the other end of the socket too.
    drop(command);
    let device = ours.receive()?.and_then(|(_, device)| device);
    let output = child.wait_with_output()?;
    match device {
        Some(device) => Ok(device.into()),
        None => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
