//! Going to the background when the mount is live, not before.

use std::fs::File;
use std::io;

use super::Error;
use super::error::one_line;
use super::live::Live;
use crate::sys::process::{self, Inherited, Stream};
use crate::sys::{Channel, Namespaces};

const LIVE: &[u8] = b"live";

/// Mounts and serves in a child that begins a session of its own. Returns when the mount is live; the child then has
/// neither the standard streams nor any of `inherited` open.
///
/// # Errors
/// What `mount` answers, as text; [`Error::Ended`] when the child ended without a word.
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
        // After the mount was live, nobody listens any more.
        let _ = parent.send(one_line(&error).as_bytes(), None);
        1
    };
    let (child, channel) = process::spawn_connected(Namespaces::empty(), run).map_err(failed("start"))?;
    match channel.receive().map_err(failed("hear from"))? {
        Some((message, _)) if message == LIVE => Ok(()),
        Some((message, _)) => {
            child.wait().ok();
            Err(Error::InBackground(String::from_utf8_lossy(&message).into_owned()))
        }
        None => Err(Error::Ended(child.wait().map_or(1, |status| status.code()))),
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
