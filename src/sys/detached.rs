//! Mounts that are made and changed before anybody can see them, and attached by descriptor, never by path.

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

/// A mount, or a tree of mounts, that stands nowhere yet.
///
/// As a descriptor it is the directory (or file) at the mount's root, and stays so once it is attached.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl From<Detached> for OwnedFd {
    fn from(mount: Detached) -> OwnedFd {
        mount.0
    }
}

/// What a mount refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse(MountAttrFlags);

impl Refuse {
    pub const NOTHING: Refuse = Refuse(MountAttrFlags::empty());
    pub const WRITING: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_RDONLY);
    pub const SET_ID: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NOSUID);
    pub const DEVICES: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NODEV);
    pub const EXECUTION: Refuse = Refuse(MountAttrFlags::MOUNT_ATTR_NOEXEC);

    #[must_use]
    pub const fn and(self, other: Refuse) -> Refuse {
        Refuse(self.0.union(other.0))
    }
}

/// How much of a tree of mounts is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Top,
    /// What is mounted below it as well.
    Tree,
}

/// As `mount_setattr(2)` takes it.
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
    /// A new instance of the file system `kind`. An option with an empty value is a flag.
    ///
    /// # Errors
    /// As `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`; `EPERM` where this user namespace may not.
    pub fn new(kind: &CStr, options: &[(&str, &str)], refuse: Refuse) -> Result<Detached> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        // Shown as the source, in the list of mounts.
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

    /// What is at `path` on this host once more, with all that is mounted below it. Follows symbolic links.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn bind_host(path: &Path) -> Result<Detached> {
        Self::clone_tree(CWD, path, OpenTreeFlags::AT_RECURSIVE)
    }

    /// What `fd` stands for once more, with all that is mounted below it.
    ///
    /// # Errors
    /// As `open_tree(2)`.
    pub fn bind(fd: impl AsFd) -> Result<Detached> {
        Self::clone_tree(fd.as_fd(), Path::new(""), OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH)
    }

    /// The directory at `path` on this host once more, alone, by a way on which reading moves no time of access
    /// and on which nothing is ever mounted. Follows symbolic links.
    ///
    /// # Errors
    /// As `open_tree(2)` and `mount_setattr(2)`; `EPERM` for all but root of the host.
    pub fn quiet_dir(path: &Path) -> Result<Dir> {
        let tree = Self::clone_tree(CWD, path, OpenTreeFlags::empty())?;
        let change = Attributes {
            set: MountAttrFlags::MOUNT_ATTR_NOATIME.bits().into(),
            // All that says when times of access move is one field.
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

    /// Refuses more; nothing that was refused before is allowed again.
    ///
    /// # Errors
    /// As `mount_setattr(2)`.
    pub fn set(&self, refuse: Refuse, reach: Reach) -> Result<()> {
        Self::refuse(&self.0, refuse, reach)
    }

    /// The same for a mount that is attached, of which `root` is the root.
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
        // SAFETY: the path is NUL-terminated, and `change` is as large as is told; both outlive the call.
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

    /// What is at the mount's root.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn kind(&self) -> Result<Kind> {
        rustix::fs::fstat(&self.0).map(|stat| Stat::from(stat).kind)
    }

    /// Mounts this over what `at` stands for: a directory over a directory, a file over a file.
    ///
    /// # Errors
    /// As `move_mount(2)`; `ENOTDIR` when one is a directory and the other is none.
    pub fn attach(&self, at: impl AsFd) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(self.0.as_fd(), c"", at.as_fd(), c"", flags)
    }

    /// The directory at the mount's root.
    pub fn into_dir(self) -> Dir {
        Dir::from(self.0)
    }
}
