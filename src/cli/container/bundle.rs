//! `overfuse bundle`: makes a bundle for an OCI runtime, with a mounted root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::create::CreateArgs;
use super::network;
use crate::cli::{Exit, Global, ids, root};
use crate::container::bundle::{self, CONFIG, CONTAINER, Configuration, ROOTFS, Runner};
use crate::container::log::LogSettings;
use crate::container::{self, RestartPolicy, Settings};
use crate::fuse;
use crate::mount::{self, Holder, OwnersShown, Source, UnmountError};
use crate::privilege;
use crate::store::{Container, Image, Store, StoreError};
use crate::sys::process::Inherited;
use crate::sys::{self, Errno, IdKind};

/// How long the end of a mount may take until its container can be removed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Make a bundle for an OCI runtime: a configuration, and a root with the image mounted
///
/// DIR is made, or is an empty directory. `runc run --bundle DIR NAME` and `crun run --bundle DIR NAME` start it as it
/// is. A background process serves DIR/rootfs until it is unmounted, and a new container in the store keeps the changes:
/// `overfuse ps -a` lists it, `overfuse diff` and `commit` work on it.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse bundle [OPTIONS] IMAGE DIR [COMMAND [ARG]...]\n       \
    overfuse bundle --remount DIR\n       overfuse bundle --remove DIR")]
#[command(after_help = "\
Examples:
  overfuse bundle alpine box && runc run --bundle box box1
  overfuse bundle -e A=1 --read-only alpine box sh -c 'echo $A'
  overfuse bundle --remove box

For a user other than root, the configuration asks for a user namespace with the user's subordinate ids. The mount is
then the user's own: unless /etc/fuse.conf says user_allow_other, only root of the container may use it.")]
pub(in crate::cli) struct BundleArgs {
    /// Remove the bundle DIR: unmount its root, remove the container with its changes, and remove DIR
    #[arg(long, conflicts_with = "remount")]
    remove: bool,
    /// Mount the root of the bundle DIR again, after a restart of the host or `overfuse umount DIR/rootfs`
    #[arg(long)]
    remount: bool,
    #[command(flatten)]
    create: CreateArgs,
}

pub(in crate::cli) fn run(global: &Global, args: &BundleArgs) -> Result<Exit> {
    let inherited = Inherited::at_start();
    let mut settings = args.create.settings()?;
    if args.remove || args.remount {
        let dir = PathBuf::from(args.create.image());
        if !args.create.command().is_empty() {
            bail!("--remove and --remount take one directory");
        }
        let dir = dir.canonicalize().with_context(|| format!("{}", dir.display()))?;
        return if args.remove { remove(global, &dir) } else { remount(global, &dir, inherited) };
    }
    if settings.runtime.is_some() {
        bail!("--runtime: a bundle is for any runtime");
    }
    let life = &settings.life;
    if life.restart != RestartPolicy::default() || life.stop_timeout.is_some() || life.log != LogSettings::default() {
        bail!("--restart, --stop-timeout, --log-driver, --log-opt: a bundle leaves these to the runtime");
    }
    if settings.auto_remove {
        bail!("--rm: a bundle stays until `overfuse bundle --remove DIR`");
    }
    let dir = match settings.wishes.command.is_empty() {
        false => PathBuf::from(settings.wishes.command.remove(0)),
        true => bail!("no directory for the bundle: overfuse bundle IMAGE DIR"),
    };
    let store = root::open_to_read(global)?;
    let image = store.image(&args.create.image().to_string_lossy())?;
    let whole = bundle::make_dirs(&dir)?;
    let mut container = None;
    let made = || -> Result<()> {
        let dir = dir.canonicalize().with_context(|| format!("{}", dir.display()))?;
        let container = container.insert(args.create.create(&store, &image, &settings)?);
        Bundle { store: &store, image: &image, container, settings: &settings, dir: &dir }.fill(inherited)
    };
    let made = made();
    if made.is_err() {
        undo(&dir, whole, &store, container.as_ref());
    }
    made.map(|()| Exit::Success)
}

/// A bundle that is being made.
struct Bundle<'a> {
    store: &'a Store,
    image: &'a Image,
    container: &'a Container,
    settings: &'a Settings,
    /// Absolute.
    dir: &'a Path,
}

impl Bundle<'_> {
    fn fill(&self, inherited: Inherited) -> Result<()> {
        let Bundle { image, container, settings, .. } = *self;
        let process = settings.process(image.config.config().as_ref(), &container.id)?;
        let mut plan = settings.plan(container, process, &network::programs())?;
        plan.root = self.dir.join(ROOTFS);
        let runner = runner();
        self.mount(inherited)?;
        let mut annotations = bundle::annotations(&image.config);
        annotations.extend(settings.labels.clone());
        if let Some(signal) = settings.life.stop_signal {
            annotations.insert("org.opencontainers.image.stopSignal".into(), signal.to_string());
        }
        annotations.insert(CONTAINER.into(), container.id.clone());
        let user = plan.process.user.to_string();
        let Configuration { spec, groups_left_out } =
            bundle::configuration(plan, &runner, Path::new(ROOTFS), annotations)?;
        let is_root = spec.process().as_ref().is_none_or(|process| process.user().uid() == 0);
        if let (Runner::User(ids), false) = (&runner, sys::others_may_use(&self.dir.join(ROOTFS))?) {
            const REASON: &str = "/etc/fuse.conf does not say user_allow_other";
            if !is_root {
                bail!("user {user} of the container may not use the files: {REASON}");
            }
            if ids.count(IdKind::User) > 1 {
                eprintln!("overfuse: only root of the container may use the files: {REASON}");
            }
        }
        if !groups_left_out.is_empty() {
            let groups = groups_left_out.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            eprintln!("overfuse: without root, runtimes set no supplementary groups: {groups} left out");
        }
        Ok(bundle::write(&spec, self.dir)?)
    }

    fn mount(&self, inherited: Inherited) -> Result<()> {
        let Bundle { store, image, container, settings, .. } = *self;
        let options = fuse::Options {
            source: Some(container.name.clone()),
            no_dev: !settings.security.privileged,
            ..fuse::Options::default()
        };
        let source = Source::Container { store, image, container, made_now: false };
        let plan = mount::Plan {
            lowest: Some(container::skeleton(container.dir())?),
            owners: OwnersShown::Host,
            ..mount::Plan::new(source, options)
        };
        Ok(plan.hold(&self.dir.join(ROOTFS), ids::programs().as_ref(), Holder::Background(inherited))?)
    }
}

/// Who will start the runtime: this user.
fn runner() -> Runner {
    match sys::effective_uid() {
        0 => Runner::Root,
        _ => {
            let (_, ids) = privilege::ids_of_container(ids::programs().as_ref());
            Runner::User(ids)
        }
    }
}

/// Removes what was made of a bundle. `whole` says whether its directory was made too.
fn undo(dir: &Path, whole: bool, store: &Store, container: Option<&Container>) {
    let undone = unmount(dir).and_then(|()| container.map_or(Ok(()), |container| discard(store, container)));
    if let Err(error) = undone {
        tracing::warn!("cannot remove an unfinished bundle: {error:#}");
    }
    // What else is left was not made here.
    let _ = fs::remove_dir(dir.join(ROOTFS));
    if whole {
        let _ = fs::remove_dir(dir);
    }
}

/// Unmounts the root of a bundle, if it is mounted.
fn unmount(dir: &Path) -> Result<()> {
    match mount::unmount(&dir.join(ROOTFS), true) {
        Ok(()) | Err(UnmountError::NotMounted { .. }) => Ok(()),
        Err(error) if !is_mounted(dir) => {
            tracing::debug!(%error, "the root of the bundle is not mounted");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether another file system than the bundle's is at its root. False when it cannot be told.
fn is_mounted(dir: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).map(|found| found.dev());
    match (device(dir), device(&dir.join(ROOTFS))) {
        (Ok(own), Ok(root)) => own != root,
        (_, Err(error)) => error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()),
        (Err(_), _) => false,
    }
}

/// Removes a container once the process that served it has ended.
fn discard(store: &Store, container: &Container) -> Result<()> {
    let begun = Instant::now();
    loop {
        match store.remove_container(container) {
            Err(StoreError::ContainerInUse { .. }) if begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            removed => return Ok(removed?),
        }
    }
}

/// `overfuse bundle --remove DIR`.
fn remove(global: &Global, dir: &Path) -> Result<Exit> {
    let id = bundle::container_of(dir)?;
    // In a user namespace this process could not unmount.
    unmount(dir)?;
    let store = root::open(global)?;
    match store.container(&id) {
        Ok(container) => discard(&store, &container).context("does a container still run from the bundle?")?,
        // Already removed by itself.
        Err(StoreError::UnknownContainer { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    for (path, removed) in [
        (dir.join(ROOTFS), fs::remove_dir(dir.join(ROOTFS))),
        (dir.join(CONFIG), fs::remove_file(dir.join(CONFIG))),
        (dir.to_owned(), fs::remove_dir(dir)),
    ] {
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(Exit::Success)
}

/// `overfuse bundle --remount DIR`.
fn remount(global: &Global, dir: &Path, inherited: Inherited) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let container = store.container(&bundle::container_of(dir)?)?;
    let image = store.image(&container.image.to_string())?;
    let settings = Settings::of(&container)?;
    if is_mounted(dir) {
        bail!("{} is mounted already", dir.join(ROOTFS).display());
    }
    let bundle = Bundle { store: &store, image: &image, container: &container, settings: &settings, dir };
    bundle.mount(inherited)?;
    Ok(Exit::Success)
}
