//! Privilege: which user this process is, and which user namespace it can enter.
//!
//! ```text
//!   root of the host ─────────────────────────────────────► Root
//!   a user with subordinate ids ──user namespace, id map──► Subordinate   files have the owners of the image
//!   a user without, for a container ──user namespace──────► Single        maps the user to root, and no other id
//!   a user without, for anything else ────────────────────► Ordinary      owners are recorded in xattrs only
//! ```
//!
//! Owns user namespaces, their id maps and the grants in `/etc/subuid` and `/etc/subgid`. A process cannot leave a
//! namespace again, and must have one thread to enter it. The caller finds the programs that set id maps.
//!
//! Knows nothing of stores, mounts or containers.

mod error;
mod modes;
mod subordinate;

pub use error::Error;
pub use modes::{Attempt, Mode, modes};
pub use subordinate::IdPrograms;

use subordinate::Maps;

use crate::sys::namespace;
use crate::sys::process::ProcessId;
use crate::sys::{self, Errno, IdMaps, Namespaces};

/// Which file owners this process can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// All: it was started as root.
    Root,
    /// Those of its user namespace, which maps the user's subordinate ids. It is root there.
    Subordinate,
    /// Only root, the one user of its user namespace.
    Single,
    /// None: it stays an ordinary user. Owners can only be recorded.
    Ordinary,
}

/// For a process that changes a store: enters a user namespace with the user's subordinate ids, if there are any. Its
/// mounts are then invisible to other processes.
///
/// # Errors
/// The kernel or `newuidmap` refuses what the files in `/etc` grant.
pub fn enter_for_store(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    let privilege = take_subordinate_ids(programs, Namespaces::USER.and(Namespaces::MOUNT))?;
    if privilege == Privilege::Subordinate {
        namespace::keep_mounts_inside().map_err(Error::refused)?;
    }
    Ok(privilege)
}

/// For a process that serves a mount: enters a user namespace with the user's subordinate ids, if there are any. It
/// stays in the user's mount namespace, so that the mount ends when the user unmounts it.
///
/// # Errors
/// As [`enter_for_store`].
pub fn enter_to_serve(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    take_subordinate_ids(programs, Namespaces::USER)
}

/// For a process that runs a container: as [`enter_for_store`], but without subordinate ids it enters a user namespace
/// with one user.
///
/// # Errors
/// As [`enter_for_store`]; also where this host refuses user namespaces to ordinary users.
pub fn enter_to_run(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    let privilege = enter_for_store(programs)?;
    if privilege != Privilege::Ordinary {
        return Ok(privilege);
    }
    enter_single()?;
    Ok(Privilege::Single)
}

fn enter_single() -> Result<(), Error> {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    let enter = || -> Result<(), Errno> {
        namespace::enter_new(Namespaces::USER.and(Namespaces::MOUNT))?;
        namespace::map_single(uid, gid)?;
        namespace::keep_mounts_inside()
    };
    enter().map_err(Error::refused)
}

/// For a process that runs a container beside another one, in the user namespace of `process`, so that it has rights over
/// the other's namespaces. The same user must have made that namespace.
///
/// # Errors
/// The process has ended, or belongs to another user.
pub fn enter_users_of(process: ProcessId) -> Result<Privilege, Error> {
    let enter = || -> Result<(), Errno> {
        let process = process.open()?.ok_or(Errno::SRCH)?;
        namespace::join_users(&process)?;
        namespace::enter_new(Namespaces::MOUNT)?;
        namespace::keep_mounts_inside()
    };
    enter().map_err(Error::OtherUsers)?;
    let (users, _) = namespace::mapped_ids().map_err(Error::OtherUsers)?;
    Ok(if users > 1 { Privilege::Subordinate } else { Privilege::Single })
}

/// For root: enters a mount namespace, so that no other process sees what this one mounts from now on.
///
/// # Errors
/// As `unshare(2)`: `EPERM` in a container without the capability SYS_ADMIN.
pub fn separate_mounts() -> Result<(), Error> {
    let separate = namespace::enter_new(Namespaces::MOUNT).and_then(|()| namespace::keep_mounts_inside());
    separate.map_err(Error::MountNamespace)
}

/// The ids of a container that a program outside runs for this user, other than root: an OCI runtime. Subordinate or
/// Single.
pub fn ids_of_container(programs: Option<&IdPrograms>) -> (Privilege, IdMaps) {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    match programs.and_then(|programs| Maps::of_this_host(uid, gid, programs)) {
        Some(maps) => (Privilege::Subordinate, maps.into_ids()),
        None => (Privilege::Single, IdMaps::single(uid, gid)),
    }
}

fn take_subordinate_ids(programs: Option<&IdPrograms>, namespaces: Namespaces) -> Result<Privilege, Error> {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    if uid == 0 {
        return Ok(Privilege::Root);
    }
    match programs.and_then(|programs| Maps::of_this_host(uid, gid, programs)) {
        None => Ok(Privilege::Ordinary),
        Some(maps) => maps.enter(namespaces).map(|()| Privilege::Subordinate),
    }
}
