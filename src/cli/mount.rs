//! `overfuse mount`: shows a stack of directories, or an image, at a directory.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, bail};
use clap::Args;

use crate::fuse::{self, Options, Session};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::{self, Messages};
use crate::sys::{Errno, process};
use crate::union::Union;

use super::daemon::{self, Ready};
use super::{Exit, Global};

/// Mount a stack of directories, or an image, at a directory.
///
/// Returns when the mount is live; a process in the background serves it until it is unmounted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse mount -o lowerdir=top:middle:bottom DIR
  overfuse mount -o lowerdir=base,upperdir=changes,workdir=scratch DIR
  overfuse mount alpine /mnt/alpine
  overfuse mount --writable work alpine /mnt/work")]
pub(super) struct MountArgs {
    /// Options as of overlayfs and mount(8): lowerdir, upperdir, workdir, ro, volatile, noexec, …
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = None)]
    options: Vec<String>,
    /// Stay in the foreground
    #[arg(short, long)]
    foreground: bool,
    /// Keep changes under this name in the store, and find them again by it
    #[arg(long, value_name = "NAME")]
    writable: Option<String>,
    /// An image (or, with -o lowerdir=…, any word), then the directory to mount at
    #[arg(required = true, num_args = 1..=2, value_names = ["IMAGE", "DIR"])]
    what: Vec<PathBuf>,
}

pub(super) fn run(_global: &Global, args: &MountArgs) -> anyhow::Result<Exit> {
    let mut options = Options::default();
    for text in &args.options {
        options.add(text)?;
    }
    for unknown in &options.unknown {
        eprintln!("overfuse: unknown mount option {unknown}, ignored");
    }
    let Some((at, source)) = args.what.split_last() else { bail!("no directory to mount at") };
    if options.lower.is_empty() {
        bail!("nothing to mount: give -o lowerdir=…");
    }
    options.source = options.source.or_else(|| source.first().map(|s| s.to_string_lossy().into_owned()));
    daemon::start(args.foreground, |ready| serve_layers(&options, at, ready))
}

fn serve_layers(options: &Options, at: &Path, ready: Ready<'_>) -> anyhow::Result<()> {
    let union = Union::open(&options.spec()?)?;
    let session = Session::mount(union, at, options)?;
    serve(session, ready)
}

/// Serves a mount until somebody unmounts it, or a signal says to end.
pub(super) fn serve(session: Session, ready: Ready<'_>) -> anyhow::Result<()> {
    // What users create gets the mode that they ask for, less their own mask.
    process::set_umask(0);
    let at = session.at().to_path_buf();
    let signals = Messages::receive().context("signals")?;
    // It ends with the process: the session ends when the mount does.
    thread::spawn(move || {
        while poll::wait(&[(signals.as_fd(), Interest::Read)]).is_ok() {
            if let Ok(Some(signal @ (signal::HANGUP | signal::INTERRUPT | signal::TERMINATE))) = signals.next() {
                tracing::debug!(signal, "asked to end");
                if let Err(error) = unmount(&at, true) {
                    tracing::warn!(%error, "unmounting");
                }
            }
        }
    });
    ready.live()?;
    session.serve().context("serving the mount")
}

/// Unmounts by system call or, where only the setuid helper may, by that.
pub(super) fn unmount(at: &Path, lazily: bool) -> anyhow::Result<()> {
    match fuse::unmount(at, lazily) {
        Err(Errno::PERM) => {}
        other => return other.with_context(|| format!("unmounting {}", at.display())),
    }
    let output = std::process::Command::new("fusermount3")
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
