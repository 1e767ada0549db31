//! `overfuse mount`: shows a stack of directories, or an image, at a directory.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, bail};
use clap::Args;

use crate::fuse::{self, Options, Session};
use crate::store::{Container, Store};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::{self, Messages};
use crate::sys::{self, Errno, process};
use crate::union::{Spec, Union, UpperSpec};

use super::daemon::{self, Ready};
use super::{Exit, Global, root, rootless};

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

pub(super) fn run(global: &Global, args: &MountArgs) -> anyhow::Result<Exit> {
    let mut options = Options::default();
    for text in &args.options {
        options.add(text)?;
    }
    for unknown in &options.unknown {
        eprintln!("overfuse: unknown mount option {unknown}, ignored");
    }
    let Some((at, source)) = args.what.split_last() else { bail!("no directory to mount at") };
    let source = source.first();
    options.source = options.source.or_else(|| source.map(|s| s.to_string_lossy().into_owned()));
    if !options.lower.is_empty() {
        return daemon::start(args.foreground, |ready| {
            let union = Union::open(&options.spec()?)?;
            serve(Session::mount(union, at, &options)?, ready)
        });
    }
    let Some(image) = source else { bail!("nothing to mount: name an image, or give -o lowerdir=TOP:…:BOTTOM") };
    let stack = Stack::find(global, &image.to_string_lossy(), args.writable.as_deref())?;
    daemon::start(args.foreground, |ready| stack.serve(at, options, ready))
}

/// An image's layers, with or without a container's changes on top.
struct Stack {
    store: Store,
    lower: Vec<PathBuf>,
    container: Option<Container>,
}

impl Stack {
    /// Finds the image and, where changes shall be kept under a name, the container of that name, or makes it.
    fn find(global: &Global, image: &str, writable: Option<&str>) -> anyhow::Result<Stack> {
        let store = root::open_to_read(global)?;
        let image = store.image(image)?;
        let container = match writable {
            None => None,
            Some(name) => Some(match store.containers()?.into_iter().find(|known| known.name == name) {
                None => store.create_container(&image, Some(name))?,
                Some(known) if known.image == image.id => known,
                Some(known) => bail!(
                    "{name} has changes of image {}, not of {}; choose another name",
                    known.image_name,
                    image.display_name()
                ),
            }),
        };
        Ok(Stack { lower: store.lower_dirs(&image), container, store })
    }

    fn serve(self, at: &Path, options: Options, ready: Ready<'_>) -> anyhow::Result<()> {
        let _in_use = self.container.as_ref().map(Container::lock).transpose()?;
        let ordinary = sys::effective_uid() != 0;
        let read_only = options.read_only || self.container.is_none();
        // To an ordinary user files show the owners that they have in the image. Since the kernel would judge
        // by these, it must leave judging to what the user may do with the files on disk: all of it.
        let options = Options { read_only, no_permission_checks: ordinary, ..options };
        let session = Session::reserve(at, &options)?;
        rootless::enter_to_serve()?;
        let spec = Spec {
            upper: self.container.map(|c| UpperSpec { dir: c.upper(), work: c.work() }),
            owners: self.store.policy()?.owners,
            volatile: options.volatile,
            ..Spec::new(self.lower)
        };
        serve(session.attach(Union::open(&spec)?), ready)
    }
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
