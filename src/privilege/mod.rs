//! Privilege: which user this process is, and which it may become.
//!
//! ```text
//!   root of the host ─────────────────────────────────────► Root
//!   a user with subordinate ids ──user namespace, its map──► Subordinate   owners as images have them
//!   a user without, for a container ──user namespace───────► Single        root, and nobody else
//!   a user without, for anything else ────────────────────► Ordinary      owners are recorded, not kept
//! ```
//!
//! Owns user namespaces, their id maps and what `/etc/subuid` and `/etc/subgid` grant. Namespaces are entered for
//! good, and only by a process with one thread. Where the programs are that hand out ids, the caller says.
//!
//! Knows nothing of stores, mounts or containers.

mod error;
mod subordinate;

pub use error::Error;
pub use subordinate::IdPrograms;

use subordinate::Maps;

use crate::sys::namespace;
use crate::sys::{self, Errno, Namespaces};

/// What this process may do about owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// It was root from the start.
    Root,
    /// Root of a namespace that has subordinate ids.
    Subordinate,
    /// Root of a namespace that has nobody else.
    Single,
    /// The user that it was; owners can only be recorded.
    Ordinary,
}

/// For a process that changes a store: takes subordinate ids where there are some. Nothing that it mounts is seen
/// outside.
///
/// # Errors
/// Where the kernel or `newuidmap` refuses what the files in `/etc` promise.
pub fn enter_for_store(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    let privilege = take_subordinate_ids(programs, Namespaces::USER.and(Namespaces::MOUNT))?;
    if privilege == Privilege::Subordinate {
        namespace::keep_mounts_inside().map_err(Error::refused)?;
    }
    Ok(privilege)
}

/// For a process that serves a mount: takes subordinate ids where there are some, and stays among the mounts
/// that its user sees, so that it ends when the user unmounts.
///
/// # Errors
/// As [`enter_for_store`].
pub fn enter_to_serve(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    take_subordinate_ids(programs, Namespaces::USER)
}

/// For a process that runs a container: as [`enter_for_store`], and where there are no subordinate ids, a user
/// namespace with one user.
///
/// # Errors
/// As [`enter_for_store`]; where this host refuses its users namespaces.
pub fn enter_to_run(programs: Option<&IdPrograms>) -> Result<Privilege, Error> {
    let privilege = enter_for_store(programs)?;
    if privilege != Privilege::Ordinary {
        return Ok(privilege);
    }
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    let enter = || -> Result<(), Errno> {
        namespace::enter_new(Namespaces::USER.and(Namespaces::MOUNT))?;
        namespace::map_single(uid, gid)?;
        namespace::keep_mounts_inside()
    };
    enter().map_err(Error::refused)?;
    Ok(Privilege::Single)
}

/// For root: from here on nothing that this process mounts is seen outside.
///
/// # Errors
/// As `unshare(2)`: `EPERM` in a container without the capability SYS_ADMIN.
pub fn separate_mounts() -> Result<(), Error> {
    let separate = namespace::enter_new(Namespaces::MOUNT).and_then(|()| namespace::keep_mounts_inside());
    separate.map_err(Error::MountNamespace)
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
