//! Unmounting: by system call or, where only the setuid helper may, by that.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::fuse;
use crate::sys::process::{self, Inherited, Stream};
use crate::sys::signal::Messages;
use crate::sys::{Channel, Errno, Namespaces};

/// Unmounts what is mounted at `at`; `lazily` also while it is in use.
pub(super) fn unmount(at: &Path, lazily: bool) -> anyhow::Result<()> {
    match fuse::unmount(at, lazily) {
        Err(Errno::PERM) => {}
        Err(Errno::INVAL) => bail!("nothing is mounted at {}", at.display()),
        other => return other.with_context(|| format!("unmounting {}", at.display())),
    }
    let output = Command::new("fusermount3")
        .arg(if lazily { "-uz" } else { "-u" })
        .arg("--")
        .arg(at)
        .output()
        .with_context(|| format!("unmounting {} needs fusermount3 (Debian: apt install fuse3)", at.display()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("unmounting {}: {}", at.display(), message.trim().trim_start_matches("fusermount3: "));
    }
    Ok(())
}

/// Ends the mount that a process serves, when the process is told to end.
#[derive(Debug)]
pub(super) enum Unmounter {
    Here(PathBuf),
    /// A process that stays where the mount was made, since from inside a user namespace it cannot be unmade.
    /// When this end of the channel closes on a mount that is still there, it unmounts too.
    Outside(Channel),
}

impl Unmounter {
    /// Starts the process outside. To be called before a user namespace is entered.
    pub(super) fn outside(at: PathBuf, inherited: Option<&Inherited>) -> anyhow::Result<Unmounter> {
        let (_, channel) = process::spawn_connected(Namespaces::empty(), |channel| {
            // Who waits for the end of our output does not wait for the end of the mount.
            // And a signal to all of us is for the process that serves, which then asks.
            let (Ok(()), Ok(_signals)) = (detach(), Messages::receive()) else { return 1 };
            inherited.cloned().into_iter().for_each(Inherited::close);
            while let Ok(Some(_)) = channel.receive() {
                let said = unmount(&at, true).err().map_or_else(|| "done".to_owned(), |error| format!("{error:#}"));
                if channel.send(said.as_bytes(), None).is_err() {
                    break;
                }
            }
            let dead =
                fs::metadata(&at).is_err_and(|error| error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()));
            i32::from(dead && unmount(&at, true).is_err())
        })
        .context("starting the process that unmounts")?;
        Ok(Unmounter::Outside(channel))
    }

    /// Unmounts, also while the mount is in use.
    pub(super) fn unmount(&self) -> anyhow::Result<()> {
        match self {
            Unmounter::Here(at) => unmount(at, true),
            Unmounter::Outside(channel) => {
                channel.send(b"unmount", None).context("asking for the unmount")?;
                match channel.receive().context("waiting for the unmount")? {
                    Some((said, _)) if said == b"done" => Ok(()),
                    Some((said, _)) => bail!("{}", String::from_utf8_lossy(&said)),
                    None => bail!("the process that unmounts is gone"),
                }
            }
        }
    }
}

/// Lets go of the standard streams.
pub(super) fn detach() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in [Stream::Input, Stream::Output, Stream::Error] {
        process::replace_standard(stream, &null)?;
    }
    Ok(())
}
