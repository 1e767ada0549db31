//! What the supervisor asks of the process that serves the mount, and how that answers.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::mount::{Direct, NewDevice};
use crate::sys::{Channel, Errno, Kind, Name, Result};

/// One request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    SetOwner { node: u64, uid: Option<u32>, gid: Option<u32> },
    Owner { node: u64 },
    MakeDevice { dir: u64, name: OsString, mode: u32, umask: u32, rdev: u64, owner: (u32, u32) },
}

/// The answer: an owner, which only [`Request::Owner`] asks for, or the number of an error.
type Answer = std::result::Result<(u32, u32), i32>;

impl Request {
    /// Sends the request and waits for its answer.
    ///
    /// # Errors
    /// That of the mount; `EPIPE` when the other process is gone.
    pub(super) fn send(&self, to: &Channel) -> Result<(u32, u32)> {
        to.send(&serde_json::to_vec(self).map_err(|_| Errno::INVAL)?, None)?;
        let (answer, _) = to.receive()?.ok_or(Errno::PIPE)?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| Errno::IO)?;
        answer.map_err(Errno::from_raw_os_error)
    }

    fn perform(self, mount: &Direct) -> Result<(u32, u32)> {
        match self {
            Request::Owner { node } => return mount.owner(node),
            Request::SetOwner { node, uid, gid } => mount.set_owner(node, uid, gid)?,
            Request::MakeDevice { dir, name, mode, umask, rdev, owner } => {
                let (name, kind, perm) = (Name::new(&name)?, Kind::of_mode(mode), mode & 0o7777);
                mount.make_device(&NewDevice { dir, name, kind, rdev, owner, perm, umask })?;
            }
        }
        Ok((0, 0))
    }
}

/// Answers requests until the supervisor is gone.
pub(super) fn answer(requests: &Channel, mount: &Direct) {
    while let Ok(Some((request, _))) = requests.receive() {
        let done = serde_json::from_slice::<Request>(&request).map_err(|_| Errno::INVAL);
        let answer: Answer = done.and_then(|request| request.perform(mount)).map_err(Errno::raw_os_error);
        let sent = serde_json::to_vec(&answer).map_err(|_| Errno::IO).and_then(|answer| requests.send(&answer, None));
        if sent.is_err() {
            break;
        }
    }
}
