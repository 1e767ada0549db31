//! `overfuse mount`: mounts a stack of directories, or an image, at a directory.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::{Exit, Global, ids, root};
use crate::fuse::{self, RemountError};
use crate::mount::{self, Holder, Named, Plan, Source};
use crate::sys::Errno;
use crate::sys::process::Inherited;

/// Mount a stack of directories, or an image, at a directory.
///
/// Returns when the mount is live. A background process serves it until it is unmounted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse mount -o lowerdir=top:middle:bottom DIR
  overfuse mount -o lowerdir=base,upperdir=changes,workdir=scratch DIR
  overfuse mount alpine /mnt/alpine
  overfuse mount --writable work alpine /mnt/work")]
pub(super) struct MountArgs {
    /// Options of overlayfs and mount(8): lowerdir, upperdir, workdir, ro, volatile, noexec, …; also
    /// io=passthrough|cached|writeback, io_uring=on|off, idle=poll, toc=on|off|make, threads=N
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = None)]
    options: Vec<String>,
    /// Stay in the foreground
    #[arg(short, long)]
    foreground: bool,
    /// Keep changes in the store under this name; a later mount with the same name shows them again
    #[arg(long, value_name = "NAME")]
    writable: Option<String>,
    /// An image (with -o lowerdir=…: any word), then the directory to mount at
    #[arg(required = true, num_args = 1..=2, value_names = ["IMAGE", "DIR"])]
    what: Vec<PathBuf>,
}

pub(super) fn run(global: &Global, args: &MountArgs) -> anyhow::Result<Exit> {
    let holder = if args.foreground { Holder::Foreground } else { Holder::Background(Inherited::at_start()) };
    let mut options = mount::options(&args.options)?;
    if options.remount {
        return remount(args);
    }
    for unknown in &options.unknown {
        eprintln!("overfuse: unknown mount option {unknown}, ignored");
    }
    let Some((at, source)) = args.what.split_last() else { bail!("no directory to mount at") };
    let source = source.first().map(|source| source.to_string_lossy());
    options.source = options.source.or_else(|| source.as_ref().map(ToString::to_string));
    let ids = ids::programs();
    if !options.lower.is_empty() {
        Plan::new(Source::Directories, options).hold(at, ids.as_ref(), holder)?;
        return Ok(Exit::Success);
    }
    let Some(image) = source else { bail!("nothing to mount: name an image, or give -o lowerdir=TOP:…:BOTTOM") };
    let store = root::open_to_read(global)?;
    let image = store.image(&image)?;
    let named = args.writable.as_ref().map(|name| mount::named(&store, &image, name)).transpose()?;
    let source = match &named {
        None => Source::Image { store: &store, image: &image },
        Some(Named { container, made_now }) => {
            Source::Container { store: &store, image: &image, container, made_now: *made_now }
        }
    };
    Plan::new(source, options).hold(at, ids.as_ref(), holder)?;
    Ok(Exit::Success)
}

/// Changes the options of a live mount. mount(8) uses this for `-o remount`, and then gives all options of the mount.
fn remount(args: &MountArgs) -> anyhow::Result<Exit> {
    let Some(at) = args.what.last() else { bail!("no directory to remount at") };
    match fuse::remount(at, &args.options) {
        Err(RemountError::Kernel(Errno::INVAL)) => bail!("nothing is mounted at {}", at.display()),
        changed => changed.with_context(|| format!("remounting {}", at.display())).map(|()| Exit::Success),
    }
}
