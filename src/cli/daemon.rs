//! Going to the background when what was asked for is live, not before.

use anyhow::{Context, bail};

use crate::sys::process::Inherited;
use crate::sys::{Channel, Namespaces, process};

use super::Exit;
use super::unmount::detach;

/// Says that the mount is live: the command that started it may return.
#[derive(Debug)]
pub(super) struct Ready<'a>(Option<(&'a Channel, Inherited)>);

const LIVE: &[u8] = b"live";

impl Ready<'_> {
    /// What the process that serves, and those that it starts to stay with it, are to let go of.
    pub(super) fn inherited(&self) -> Option<&Inherited> {
        self.0.as_ref().map(|(_, inherited)| inherited)
    }

    pub(super) fn live(self) -> anyhow::Result<()> {
        let Some((parent, inherited)) = self.0 else { return Ok(()) };
        detach().context("/dev/null")?;
        inherited.close();
        parent.send(LIVE, None).context("telling that the mount is live")
    }
}

/// Runs `serve` in the background, and returns when it is live or has failed; what is live keeps nothing of
/// `inherited` open. Without, runs it here.
pub(super) fn start(
    inherited: Option<Inherited>,
    serve: impl FnOnce(Ready<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let Some(inherited) = inherited else {
        serve(Ready(None))?;
        return Ok(Exit::Success);
    };
    let (here, there) = Channel::pair().context("pipe")?;
    let child = process::spawn(Namespaces::empty(), || {
        let served =
            process::new_session().map_err(anyhow::Error::from).and_then(|()| serve(Ready(Some((&there, inherited)))));
        let Err(error) = served else { return 0 };
        // Behind the word that it is live, nobody listens any more.
        let _ = there.send(format!("{error:#}").as_bytes(), None);
        1
    })
    .context("starting the process that serves the mount")?;
    drop(there);
    match here.receive().context("waiting for the mount")? {
        Some((message, _)) if message == LIVE => Ok(Exit::Success),
        Some((message, _)) => {
            child.wait().ok();
            bail!("{}", String::from_utf8_lossy(&message))
        }
        None => {
            let status = child.wait().map_or(1, |status| status.code());
            bail!("the process that was to serve the mount ended with status {status}")
        }
    }
}
