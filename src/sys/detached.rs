//! Mounts that are created and configured while no path leads to them, then attached by descriptor, never by path.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::process::last_error;
use super::{Dir, Errno, Kind, Result, Stat};

/// A mount, or a tree of mounts, that is not attached anywhere yet.
///
/// Its descriptor is the directory (or file) at the mount's root, also after it is attached.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl From<Detached> for OwnedFd {
    fn from(mount: Detached) -> OwnedFd {
        mount.0
    }
}

/// A set of uses that a mount refuses: `ro`, `nosuid`, `nodev`, `noexec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse(MountAttrFlags);

impl Refuse {
    /// Refuses nothing.
    pub const NOTHING: Refuse = Refuse(MountAttrFlags::empty());
    /// Refuses writing.
    pub const WRITING: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_RDONLY);
    /// Ignores set-user-ID and set-group-ID bits and file capabilities.
    pub const SET_ID: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NOSUID);
    /// Refuses to open device nodes.
    pub const DEVICES: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NODEV);
    /// Refuses to execute programs.
    pub const EXECUTION: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NOEXEC);

    /// Refuses what either refuses.
    #[must_use]
    pub const fn and(self, other: Refuse) -> Refuse {
        Refuse(self.0.union(other.0))
    }
}

/// Which mounts of a tree a change applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This mount alone.
    Top,
    /// The top mount and all mounts below it.
    Tree,
}

/// The kernel's `struct mount_attr`.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Detached {
    /// Creates a file system of type `kind`. An option with an empty value is a flag.
    ///
    /// # Errors
    /// As `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`; `EPERM` when this user namespace may not mount it.
    pub fn new(kind: &CStr, options: &[(&str, &str)], refuse: Refuse) -> Result<Detached> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        // The list of mounts shows this as the source.
        fsconfig_set_string(context.as_fd(), c"source", kind)?;
        for &(key, value) in options {
            if value.is_empty() {
                fsconfig_set_flag(context.as_fd(), key)?;
            } else {
                fsconfig_set_string(context.as_fd(), key, value)?;
            }
        }
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, refuse.0).map(Detached)
    }

    /// A bind mount of the host's `path` with all mounts below it. Follows symbolic links.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn bind_host(path: &Path) -> Result<Detached> {
        Self::clone_tree(CWD, path, OpenTreeFlags::AT_RECURSIVE)
    }

    /// As [`bind_host`](Self::bind_host), without the mounts below.
    ///
    /// # Errors
    /// As `open_tree(2)`; `EINVAL` where mounts hide files that this user namespace may not see.
    pub fn bind_host_alone(path: &Path) -> Result<Detached> {
        Self::clone_tree(CWD, path, OpenTreeFlags::empty())
    }

    /// A bind mount of what `fd` refers to, with all mounts below it.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn bind(fd: impl AsFd) -> Result<Detached> {
        Self::clone_tree(fd.as_fd(), Path::new(""), OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH)
    }

    /// Opens the host's directory `path` through a private bind mount of its own. Reading through it changes no access
    /// times, and later mounts below `path` do not appear in it. Follows symbolic links.
    ///
    /// # Errors
    /// As `open_tree(2)` and `mount_setattr(2)`; `EPERM` unless this process is the host's root.
    pub fn quiet_dir(path: &Path) -> Result<Dir> {
        let tree = Self::clone_tree(CWD, path, OpenTreeFlags::empty())?;
        let change = Attributes {
            set: MountAttrFlags::MOUNT_ATTR_NOATIME.bits().into(),
            // The access-time modes share one field; it must be cleared as a whole.
            clear: MountAttrFlags::MOUNT_ATTR__ATIME.bits().into(),
            propagation: MountPropagationFlags::PRIVATE.bits().into(),
            ..Attributes::default()
        };
        Self::change(&tree, change, Reach::Top)?;
        if tree.kind()? == Kind::Directory { Ok(tree.into_dir()) } else { Err(Errno::NOTDIR) }
    }

    fn clone_tree(dir: BorrowedFd<'_>, path: &Path, flags: OpenTreeFlags) -> Result<Detached> {
        let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(dir, path, flags).map(Detached)
    }

    /// Adds refusals; earlier ones stay.
    ///
    /// # Errors
    /// As `mount_setattr(2)`.
    pub fn set(&self, refuse: Refuse, reach: Reach) -> Result<()> {
        Self::refuse(&self.0, refuse, reach)
    }

    /// Makes the tree private: later mounts and unmounts of the host do not reach it.
    ///
    /// # Errors
    /// As `mount_setattr(2)`.
    pub fn separate(&self) -> Result<()> {
        let propagation = MountPropagationFlags::PRIVATE.bits().into();
        Self::change(&self.0, Attributes { propagation, ..Attributes::default() }, Reach::Tree)
    }

    /// Makes the tree a slave: later mounts and unmounts of the host reach it, and never the other way round.
    ///
    /// # Errors
    /// As `mount_setattr(2)`.
    pub fn follow_host(&self) -> Result<()> {
        let propagation = MountPropagationFlags::DOWNSTREAM.bits().into();
        Self::change(&self.0, Attributes { propagation, ..Attributes::default() }, Reach::Tree)
    }

    /// As [`set`](Self::set), for an attached mount whose root is `root`.
    ///
    /// # Errors
    /// As `mount_setattr(2)`; `EINVAL` when `root` is not the root of a mount.
    pub fn refuse(root: impl AsFd, refuse: Refuse, reach: Reach) -> Result<()> {
        let change = Attributes { set: refuse.0.bits().into(), ..Attributes::default() };
        Self::change(root, change, reach)
    }

    fn change(root: impl AsFd, change: Attributes, reach: Reach) -> Result<()> {
        let recursive = if reach == Reach::Tree { OpenTreeFlags::AT_RECURSIVE.bits() } else { 0 };
        let flags = OpenTreeFlags::AT_EMPTY_PATH.bits() | recursive;
        // SAFETY: the path is NUL-terminated, the call gets the size of `change`, and both outlive the call.
        let status = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                root.as_fd().as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw const change,
                size_of::<Attributes>(),
            )
        };
        if status == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// The kind of file at the mount's root.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn kind(&self) -> Result<Kind> {
        rustix::fs::fstat(&self.0).map(|stat| Stat::from(stat).kind)
    }

    /// Mounts this over the file that `at` refers to: a directory over a directory, a file over a file.
    ///
    /// # Errors
    /// As `move_mount(2)`; `ENOTDIR` when only one of them is a directory.
    pub fn attach(&self, at: impl AsFd) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(self.0.as_fd(), c"", at.as_fd(), c"", flags)
    }

    /// The directory at the mount's root.
    pub fn into_dir(self) -> Dir {
        Dir::from(self.0)
    }
}
