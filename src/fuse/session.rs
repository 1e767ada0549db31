//! A mount and the threads that serve it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use crate::sys::{self, Errno, FuseDevice, FuseMount, IdMaps, RingsEnabled};
use crate::union::Union;

use super::direct::Direct;
use super::idle::IdlePolling;
use super::ops::opens::Opens;
use super::ops::pending_forgets::PendingForgets;
use super::ops::readdir_cache::ReaddirCache;
use super::ops::server::Server;
use super::stats::Counters;
use super::transport::pool::{Bounds, Pool};
use super::transport::{init, ring};
use super::{Idle, IoUring, OptionError, Options};

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum MountError {
    #[error("mount point {at}")]
    At { at: PathBuf, source: Errno },
    #[error("mount point {at} is not a directory")]
    NotADirectory { at: PathBuf },
    #[error("/dev/fuse cannot be opened (load the module fuse, or make the device accessible: chmod 666)")]
    Device { source: Errno },
    #[error("mounting at {at}")]
    Kernel { at: PathBuf, source: Errno },
    #[error("mounting at {at} through fusermount3: {message}")]
    Helper { at: PathBuf, message: String },
}

/// Why a remount failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum RemountError {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error(transparent)]
    Kernel(#[from] Errno),
}

/// How far the kernel reads ahead. With its default of 128 KiB it sends more requests, and waking this process costs
/// more than copying the data. More than this makes no difference.
const READ_AHEAD_KIB: u32 = 512;

/// The default for the most threads. The kernel has at most as many background requests in flight.
const THREADS_MOST: usize = 64;

/// A live mount. Until [`serve`](Session::serve) is called, requests wait; dropping it unmounts.
#[derive(Debug)]
pub struct Session {
    server: Option<Arc<Server>>,
    threads: Option<usize>,
    at: PathBuf,
    gave_up: AtomicBool,
}

impl Session {
    /// Mounts `union` at directory `at`: directly if this process may, else through fusermount3. On return the
    /// handshake with the kernel is done, and no thread was started yet.
    ///
    /// # Errors
    /// When `at` is no directory, or the kernel or fusermount3 refuses.
    pub fn mount(union: Union, at: &Path, options: &Options) -> Result<Session, MountError> {
        let read_only = options.read_only || union.is_read_only();
        let session = Session::reserve(at, &Options { read_only, ..options.clone() })?;
        Ok(session.attach(union))
    }

    /// As [`mount`](Self::mount), for a union that can be opened only later: after this process entered a user
    /// namespace, where its mounts would be invisible to the user.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn reserve(at: &Path, options: &Options) -> Result<Session, MountError> {
        let canonical = at.canonicalize().map_err(|e| MountError::At { at: at.into(), source: errno(&e) })?;
        if !canonical.is_dir() {
            return Err(MountError::NotADirectory { at: at.into() });
        }
        let at = canonical;
        let enabled = (options.io_uring == IoUring::On).then(RingsEnabled::for_now).flatten();
        let device = mount(&at, options)?;
        let agreed = init::shake_hands(&device, options).map_err(|source| {
            unmount(&at, true).ok();
            MountError::Kernel { at: at.clone(), source }
        })?;
        drop(enabled);
        if options.io_uring == IoUring::On && !agreed.rings {
            tracing::warn!("io_uring=on: the kernel offers none to this mount, requests come by /dev/fuse");
        }
        if !options.no_read_ahead {
            // Only the host's root may set this; others keep the default.
            let _ = sys::set_read_ahead(&at, READ_AHEAD_KIB);
        }
        let idle = match options.idle {
            Idle::Sleep => None,
            Idle::Poll => IdlePolling::new()
                .inspect_err(|error| {
                    tracing::warn!("idle=poll: {error}: idle CPUs will sleep, only root of the host can have them poll")
                })
                .ok(),
        };
        let server = Server {
            device,
            union: OnceLock::new(),
            ids: OnceLock::new(),
            rings: agreed.rings,
            no_atime: options.no_atime,
            no_read_ahead: options.no_read_ahead,
            birth_time: options.birth_time,
            all_root: options.no_permission_checks || options.squash.is_some(),
            opens: agreed.passthrough.then(Opens::new),
            counters: Counters::default(),
            pending_forgets: PendingForgets::default(),
            readdir_cache: ReaddirCache::default(),
            idle,
        };
        Ok(Session { server: Some(Arc::new(server)), threads: options.threads, at, gave_up: AtomicBool::new(false) })
    }

    /// Sets the union that a reserved mount shows.
    pub fn attach(self, union: Union) -> Session {
        self.attach_as(union, IdMaps::default())
    }

    /// As [`attach`](Self::attach), for a union whose numbers of users and groups are those inside `ids`. The mount
    /// shows, and takes, the numbers outside.
    pub fn attach_as(self, union: Union, ids: IdMaps) -> Session {
        if let Some(server) = &self.server {
            let _ = server.ids.set(ids);
            // A second union would be dropped.
            let _ = server.union.set(union);
        }
        self
    }

    /// The mount point, canonical.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// A way to change the mount without the kernel.
    pub fn direct(&self) -> Direct {
        Direct::of(self.server.as_ref())
    }

    /// Answers requests until the mount is unmounted.
    ///
    /// # Errors
    /// When a thread fails; the mount is then gone.
    pub fn serve(mut self) -> io::Result<()> {
        sys::obey_quotas()?;
        let Some(server) = self.server.take() else { return Ok(()) };
        let served = match &server.idle {
            Some(idle) => idle.during(|| self.serve_by(&server)),
            None => self.serve_by(&server),
        };
        Ok(served.inspect_err(|_| self.give_up())?)
    }

    fn serve_by(&self, server: &Server) -> sys::Result<()> {
        let most = self.threads.unwrap_or(THREADS_MOST).max(1);
        let cores = available_parallelism().map_or(2, |n| n.get().max(2));
        let bounds = Bounds { least: cores.min(most), most };
        let give_up = || self.give_up();
        match server.rings {
            true => ring::run(server, self.threads, bounds, &give_up),
            false => Pool::run(server, bounds, &give_up),
        }
    }

    /// Unmounts, which ends all threads. Only once, because another mount may be in its place afterwards.
    fn give_up(&self) {
        if !self.gave_up.swap(true, Ordering::AcqRel) {
            unmount(&self.at, true).ok();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.server.take().is_some() {
            self.give_up();
        }
    }
}

/// Makes a mount: directly if this process may, else through fusermount3.
fn mount(at: &Path, options: &Options) -> Result<FuseDevice, MountError> {
    let source = options.source.as_deref().unwrap_or("overfuse");
    let check_permissions = !options.no_permission_checks;
    match (FuseMount { source, at, without: options.without(), check_permissions }).mount() {
        Ok(device) => Ok(device),
        Err(sys::FuseMountError::Device(source)) => Err(MountError::Device { source }),
        Err(sys::FuseMountError::Mount(Errno::PERM)) => sys::mount_by_helper(at, &helper_options(options, source))
            .map_err(|error| MountError::Helper {
                at: at.into(),
                message: match error.kind() {
                    io::ErrorKind::NotFound => "there is none (Debian: apt install fuse3)".into(),
                    _ => error.to_string().trim_start_matches("fusermount3: ").to_owned(),
                },
            }),
        Err(sys::FuseMountError::Mount(source)) => Err(MountError::Kernel { at: at.into(), source }),
    }
}

/// Unmounts `at`; with `lazily` also while it is in use.
///
/// # Errors
/// As `umount(2)`; `EPERM` when only fusermount3 may.
pub fn unmount(at: &Path, lazily: bool) -> sys::Result<()> {
    sys::unmount(at, lazily)
}

/// Changes `ro`, `nodev`, `nosuid`, `noexec` and `noatime` of a live mount. A flag that `options` does not name, nor
/// its opposite, stays as it is.
///
/// # Errors
/// A malformed option, and as `mount(2)`; `EINVAL` when `at` is not the root of a FUSE mount.
pub fn remount(at: &Path, options: &[String]) -> Result<(), RemountError> {
    let now = sys::fuse_mounted_without(at)?;
    let mut wanted = Options {
        read_only: now.writing,
        no_dev: now.devices,
        no_suid: now.set_id,
        no_exec: now.execution,
        no_atime: now.access_times,
        ..Options::default()
    };
    options.iter().try_for_each(|text| wanted.add(text))?;
    Ok(sys::remount(at, wanted.without())?)
}

fn helper_options(options: &Options, source: &str) -> String {
    let without = options.without();
    let flags = [
        (!options.no_permission_checks, ",default_permissions"),
        (options.allow_other, ",allow_other"),
        (without.writing, ",ro"),
        (without.execution, ",noexec"),
        (without.access_times, ",noatime"),
    ];
    let fsname = source.replace(',', "\\,");
    let flags = flags.into_iter().filter_map(|(set, flag)| set.then_some(flag));
    format!("fsname={fsname},subtype=overfuse{}", flags.collect::<String>())
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
