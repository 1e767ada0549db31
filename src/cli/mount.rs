//! `overfuse mount`: shows a stack of directories, or an image, at a directory.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, bail};
use clap::Args;

use crate::fuse::{self, LayerIndex, OptionError, Options, RemountError, Session};
use crate::store::{Container, Image, Store};
use crate::sys::poll::{self, Interest};
use crate::sys::process::Inherited;
use crate::sys::signal::{self, Messages};
use crate::sys::{self, Errno, process};
use crate::union::{Spec, Tables, Union, UpperSpec};

use super::daemon::{self, Ready};
use super::unmount::Unmounter;
use super::{Exit, Global, ids, root};
use crate::privilege;

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
    /// Options as of overlayfs and mount(8): lowerdir, upperdir, workdir, ro, volatile, noexec, …; and
    /// io=passthrough|cached|writeback, io_uring=on|off, idle=poll, threads=N
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
    let inherited = (!args.foreground).then(Inherited::at_start);
    let mut options = args.options_over(Options::default())?;
    if options.lower.is_empty() {
        // What an image brings must not give this host's users rights or devices, unless they are asked for.
        options = args.options_over(Options { no_dev: true, no_suid: true, ..Options::default() })?;
    }
    if options.remount {
        return remount(args);
    }
    for unknown in &options.unknown {
        eprintln!("overfuse: unknown mount option {unknown}, ignored");
    }
    let Some((at, source)) = args.what.split_last() else { bail!("no directory to mount at") };
    let source = source.first();
    options.source = options.source.or_else(|| source.map(|s| s.to_string_lossy().into_owned()));
    if !options.lower.is_empty() {
        return daemon::start(inherited, |ready| {
            let union = Union::open(&options.spec()?)?;
            let session = Session::mount(union, at, &options)?;
            let unmounter = Unmounter::Here(session.at().to_path_buf());
            serve(session, unmounter, ready)
        });
    }
    let Some(image) = source else { bail!("nothing to mount: name an image, or give -o lowerdir=TOP:…:BOTTOM") };
    let stack = Stack::find(global, &image.to_string_lossy(), args.writable.as_deref())?;
    let undo = stack.made_now.then(|| (stack.store.clone(), stack.container.clone()));
    let started = daemon::start(inherited, |ready| stack.serve(at, options, ready));
    if let (Err(_), Some((store, Some(container)))) = (&started, undo) {
        store.remove_container(&container)?;
    }
    started
}

/// mount(8) asks for this too, when it is told to remount: then the options name all that the mount has.
fn remount(args: &MountArgs) -> anyhow::Result<Exit> {
    let Some(at) = args.what.last() else { bail!("no directory to remount at") };
    match fuse::remount(at, &args.options) {
        Err(RemountError::Kernel(Errno::INVAL)) => bail!("nothing is mounted at {}", at.display()),
        changed => changed.with_context(|| format!("remounting {}", at.display())).map(|()| Exit::Success),
    }
}

impl MountArgs {
    fn options_over(&self, base: Options) -> Result<Options, OptionError> {
        self.options.iter().try_fold(base, |mut options, text| options.add(text).map(|()| options))
    }
}

/// An image's layers, with or without a container's changes on top.
struct Stack {
    store: Store,
    image: Image,
    container: Option<Container>,
    /// The container was made for this mount.
    made_now: bool,
}

impl Stack {
    /// Finds the image and, where changes shall be kept under a name, the container of that name, or makes it.
    fn find(global: &Global, image: &str, writable: Option<&str>) -> anyhow::Result<Stack> {
        let store = root::open_to_read(global)?;
        let image = store.image(image)?;
        let Some(name) = writable else { return Ok(Stack { store, image, container: None, made_now: false }) };
        let known = store.containers()?.into_iter().find(|known| known.name == name);
        let made_now = known.is_none();
        let container = match known {
            None => store.create_container(&image, Some(name))?,
            Some(known) if known.image == image.id => known,
            Some(known) => {
                let (theirs, ours) = (known.image_name, image.display_name());
                bail!("{name} has changes of image {theirs}, not of {ours}; choose another name")
            }
        };
        Ok(Stack { store, image, container: Some(container), made_now })
    }

    fn serve(self, at: &Path, options: Options, ready: Ready<'_>) -> anyhow::Result<()> {
        // While this process serves, neither the image nor the changes can be removed.
        let _held = self.store.hold(&self.image)?;
        let _in_use = self.container.as_ref().map(Container::lock).transpose()?;
        let ordinary = sys::effective_uid() != 0;
        let read_only = options.read_only || self.container.is_none();
        // To an ordinary user files show the owners that they have in the image. Since the kernel would judge
        // by these, it must leave judging to what the user may do with the files on disk: all of it.
        let options = Options { read_only, no_permission_checks: ordinary, ..options };
        let session = Session::reserve(at, &options)?;
        let at = session.at().to_path_buf();
        let unmounter = if ordinary { Unmounter::outside(at, ready.inherited())? } else { Unmounter::Here(at) };
        match self.attach(session, &options) {
            Ok(session) => serve(session, unmounter, ready),
            Err(error) => {
                unmounter.unmount()?;
                Err(error)
            }
        }
    }

    /// Opens the union where the owners of the image can be had, and gives it to the mount.
    fn attach(&self, session: Session, options: &Options) -> anyhow::Result<Session> {
        privilege::enter_to_serve(ids::programs().as_ref())?;
        let policy = self.store.policy()?;
        let tables = match options.layer_index {
            LayerIndex::Stored => self.store.tables(&self.image, policy),
            LayerIndex::Make => Tables::Make,
            LayerIndex::Off => Tables::None,
        };
        let spec = Spec {
            tables,
            upper: self.container.as_ref().map(|c| UpperSpec { dir: c.upper(), work: c.work() }),
            owners: policy.owners,
            volatile: options.volatile,
            quiet: self.container.is_none() && options.wants_quiet(),
            ..Spec::new(self.store.lower_dirs(&self.image))
        };
        Ok(session.attach(Union::open(&spec)?))
    }
}

/// Serves a mount until somebody unmounts it, or a signal says to end.
fn serve(session: Session, unmounter: Unmounter, ready: Ready<'_>) -> anyhow::Result<()> {
    // What users create gets the mode that they ask for, less their own mask.
    process::set_umask(0);
    let signals = Messages::receive().context("signals")?;
    // It ends with the process: the session ends when the mount does.
    thread::spawn(move || {
        while poll::wait(&[(signals.as_fd(), Interest::Read)]).is_ok() {
            if let Ok(Some(signal @ (signal::HANGUP | signal::INTERRUPT | signal::TERMINATE))) = signals.next() {
                tracing::debug!(signal, "asked to end");
                if let Err(error) = unmounter.unmount() {
                    tracing::warn!(%error, "unmounting");
                }
            }
        }
    });
    ready.live()?;
    session.serve().context("serving the mount")
}
