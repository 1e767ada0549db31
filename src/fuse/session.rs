//! A mount and the threads that serve it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use fuser::{Config, MountOption, Notifier, SessionACL};

use crate::sys::{self, Errno, FuseMount};
use crate::union::Union;

use super::opens::Opens;
use super::server::Server;
use super::stats::Counters;
use super::{Io, OptionError, Options};

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

/// A live mount. Until [`serve`](Session::serve) is called, requests wait; dropping it unmounts.
#[derive(Debug)]
pub struct Session {
    inner: Option<fuser::Session<Server>>,
    union: Arc<OnceLock<Union>>,
    at: PathBuf,
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
        let union = Arc::new(OnceLock::new());
        let notifier = Arc::new(OnceLock::new());
        let server = Server {
            union: union.clone(),
            notifier: notifier.clone(),
            kernel_checks: !options.no_permission_checks,
            no_atime: options.no_atime,
            no_read_ahead: options.no_read_ahead,
            all_root: options.no_permission_checks || options.squash.is_some(),
            writeback: options.io() == Io::Writeback,
            opens: (options.io() == Io::Passthrough).then(Opens::new),
            counters: Counters::default(),
        };
        let source = options.source.clone().unwrap_or_else(|| "overfuse".into());
        let mount = FuseMount {
            source: &source,
            at: &at,
            without: options.without(),
            check_permissions: !options.no_permission_checks,
        };
        let device = match mount.mount() {
            Ok(device) => device,
            Err(sys::FuseMountError::Device(source)) => return Err(MountError::Device { source }),
            Err(sys::FuseMountError::Mount(Errno::PERM)) => {
                let config = config(options, helper_options(options, &source));
                let inner = fuser::Session::new(server, &at, &config).map_err(|e| MountError::Helper {
                    at: at.clone(),
                    message: e.to_string().trim().trim_start_matches("fusermount3: ").to_owned(),
                })?;
                return Ok(Session::of(inner, &notifier, union, at));
            }
            Err(sys::FuseMountError::Mount(source)) => return Err(MountError::Kernel { at, source }),
        };
        match fuser::Session::from_fd(server, device, SessionACL::All, config(options, Vec::new())) {
            Ok(inner) => {
                if !options.no_read_ahead {
                    // To all but root of the host it is given.
                    let _ = sys::set_read_ahead(&at, READ_AHEAD_KIB);
                }
                Ok(Session::of(inner, &notifier, union, at))
            }
            Err(error) => {
                unmount(&at, true).ok();
                Err(MountError::Kernel { at, source: errno(&error) })
            }
        }
    }

    fn of(
        inner: fuser::Session<Server>,
        notifier: &OnceLock<Notifier>,
        union: Arc<OnceLock<Union>>,
        at: PathBuf,
    ) -> Session {
        // This is the only one there is.
        let _ = notifier.set(inner.notifier());
        Session { inner: Some(inner), union, at }
    }

    /// Gives a reserved mount what it shall show.
    pub fn attach(self, union: Union) -> Session {
        // A second union would find the place taken, and is closed again.
        let _ = self.union.set(union);
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
        let Some(inner) = self.inner.take() else { return Ok(()) };
        sys::obey_quotas()?;
        match inner.run() {
            // The mount went while a request was being read: that a file was closed, which nobody waits for. Another may
            // be in its place by now.
            Err(error) if errno(&error) == Errno::CONNABORTED => Ok(()),
            Err(error) => {
                unmount(&self.at, true).ok();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.inner.take().is_some() {
            unmount(&self.at, true).ok();
        }
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

fn config(options: &Options, mount_options: Vec<MountOption>) -> Config {
    let cores = available_parallelism().map_or(2, |n| n.get().max(2));
    let mut config = Config::default();
    config.n_threads = Some(options.threads.unwrap_or(cores).max(1));
    config.clone_fd = true;
    // Whom the kernel lets in is decided by the mount, not by us again.
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.mount_options = mount_options;
    config
}

fn helper_options(options: &Options, source: &str) -> Vec<MountOption> {
    let mut all = vec![MountOption::FSName(source.replace(',', "\\,")), MountOption::Subtype("overfuse".into())];
    let mut set = |when, option| {
        if when {
            all.push(option);
        }
    };
    set(!options.no_permission_checks, MountOption::DefaultPermissions);
    set(options.read_only, MountOption::RO);
    set(options.no_exec, MountOption::NoExec);
    set(options.no_atime, MountOption::NoAtime);
    all
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
