//! A mount and the threads that serve it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use crate::sys::{self, Errno, FuseDevice, FuseMount, RingsEnabled};
use crate::union::Union;

use super::idle::IdlePolling;
use super::ops::opens::Opens;
use super::ops::pending_forgets::PendingForgets;
use super::ops::readdir_cache::ReaddirCache;
use super::ops::server::Server;
use super::stats::Counters;
use super::transport::pool::{Bounds, Pool};
use super::transport::{init, ring};
use super::{Idle, IoUring, OptionError, Options};

/// Why a mount did not come about.
#[derive(Debug, thiserror::Error)]
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

/// Why a mount is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RemountError {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error(transparent)]
    Kernel(#[from] Errno),
}

/// The kernel reads ahead in one request what waking this process for costs more than copying: it would ask for
/// 128 KiB at a time. More than this makes no difference.
const READ_AHEAD_KIB: u32 = 512;

/// Where no option says otherwise. The kernel has about as many requests under way that nobody waits for.
const THREADS_MOST: usize = 64;

/// A live mount. Until [`serve`](Session::serve) is called, requests wait; dropping it unmounts.
#[derive(Debug)]
pub struct Session {
    server: Option<Server>,
    threads: Option<usize>,
    at: PathBuf,
    gave_up: AtomicBool,
}

impl Session {
    /// Mounts `union` at directory `at`, itself where this process may, else through fusermount3. On return
    /// the kernel's first request is answered and no thread was started yet.
    ///
    /// # Errors
    /// What the kernel or fusermount3 refused.
    pub fn mount(union: Union, at: &Path, options: &Options) -> Result<Session, MountError> {
        let read_only = options.read_only || union.is_read_only();
        let session = Session::reserve(at, &Options { read_only, ..options.clone() })?;
        Ok(session.attach(union))
    }

    /// As [`mount`](Self::mount), for a union that can be opened only later: after entering a user
    /// namespace in which this process may no longer mount where the user sees it.
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
            // To all but root of the host it is given.
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
        Ok(Session { server: Some(server), threads: options.threads, at, gave_up: AtomicBool::new(false) })
    }

    /// Gives a reserved mount what it shall show.
    pub fn attach(self, union: Union) -> Session {
        if let Some(server) = &self.server {
            // A second union would find the place taken, and is closed again.
            let _ = server.union.set(union);
        }
        self
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Answers requests until somebody unmounts.
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

    /// Ends the mount, and with it all threads. Once: another mount may be in its place afterwards.
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

/// Makes a mount, itself where this process may, else through fusermount3.
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

/// Unmounts what is mounted at `at`; `lazily` also while it is in use.
///
/// # Errors
/// As `umount(2)`; `EPERM` where only fusermount3 may.
pub fn unmount(at: &Path, lazily: bool) -> sys::Result<()> {
    sys::unmount(at, lazily)
}

/// Changes `ro`, `nodev`, `nosuid`, `noexec` and `noatime` of a live mount, each where `options` name it or its opposite.
///
/// # Errors
/// What is wrong with the options, and as `mount(2)`; `EINVAL` where `at` is no root of a FUSE mount.
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
