//! Starts the background process that serves a mount, and waits until the mount is live.

use std::fs::File;
use std::io;

use super::Error;
use super::error::one_line;
use super::live::Live;
use crate::sys::process::{self, Inherited, Stream};
use crate::sys::{Channel, Namespaces};

const LIVE: &[u8] = b"live";

/// Mounts and serves in a child that begins a new session. Returns when the mount is live. By then the child has closed
/// the standard streams and `inherited`.
///
/// # Errors
/// The error of `mount`, as text; [`Error::Ended`] when the child ended without reporting one.
pub(super) fn start(inherited: Inherited, mount: impl FnOnce(&Inherited) -> Result<Live, Error>) -> Result<(), Error> {
    let failed = |doing| move |source| Error::Process { doing, source };
    let run = |parent: Channel| {
        let served = process::new_session()
            .map_err(failed("begin a session for"))
            .and_then(|()| mount(&inherited))
            .and_then(|live| {
                detach().map_err(Error::Detach)?;
                inherited.close();
                parent.send(LIVE, None).map_err(failed("report from"))?;
                live.serve()
            });
        let Err(error) = served else { return 0 };
        // Ignores the error: once the mount was live, the parent no longer receives.
        let _ = parent.send(one_line(&error).as_bytes(), None);
        1
    };
    let (child, channel) = process::spawn_connected(Namespaces::empty(), run).map_err(failed("start"))?;
    match channel.receive().map_err(failed("receive from"))? {
        Some((message, _)) if message == LIVE => Ok(()),
        Some((message, _)) => {
            child.wait().ok();
            Err(Error::InBackground(String::from_utf8_lossy(&message).into_owned()))
        }
        None => Err(Error::Ended(child.wait().map_or(1, |status| status.code()))),
    }
}

/// Replaces the standard streams by `/dev/null`.
pub(super) fn detach() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in [Stream::Input, Stream::Output, Stream::Error] {
        process::replace_standard(stream, &null)?;
    }
    Ok(())
}
