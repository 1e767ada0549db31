//! Whiteouts: entries that say a name is gone.
//!
//! | format | says that `NAME` is gone | says that a directory hides what is below |
//! |---|---|---|
//! | kernel overlayfs | character device 0/0 called `NAME` | attribute `opaque` = `y` |
//! | … without devices | empty file `NAME` with the attribute `whiteout`, in a directory with `opaque` = `x` | |
//! | OCI layers, AUFS, fuse-overlayfs without devices | empty file `.wh.NAME` | empty file `.wh..wh..opq` in it |
//!
//! All formats are read; the first is written. If a layer has both an entry and its whiteout, both count, as in an
//! archive: a file hides what is below anyway, and a directory becomes opaque. AUFS's own `.wh..wh.aufs`,
//! `.wh..wh.plnk` and `.wh..wh.orph` are not shown.
//!
//! # Names that look like whiteouts
//!
//! A program in a mount may call a file `.wh.x`: it may unpack a layer, or be a union file system itself. The kernel's
//! overlayfs allows it. fuse-overlayfs 1.10 refuses some ways to make such a file, and 1.10 and 2.0 hide `x` after a
//! remount. Here such a name is an ordinary name and stays one: a file that could be taken for a whiteout gets
//! [`Mark::Plain`] when it is made. The kernel does not show this mark, so both show the same tree. Only files and the
//! directories that AUFS uses need the mark, because nothing but an empty file is a whiteout.
//!
//! # Devices that look like whiteouts
//!
//! A union file system whose upper directory is in the mount makes character devices 0/0. On disk these would be
//! whiteouts of this layer. The kernel's overlayfs refuses to make them, so it cannot hold the upper directory of
//! another union. Here an empty file with the sticky bit and [`Mark::Device`] stands for such a device, and users of
//! the mount see the device. (If the kernel mounts the layer, it shows the empty file.) [`Mark::Devices`] on the
//! layer's root says that the layer may have such files, so that listings of other layers need not check every file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::RwLock;

use crate::sys::xattr::Of;
use crate::sys::{Dir, DirEntry, Errno, Kind, Name, NameBuf, Rename, Result, SetTime, Stat};

use super::marks::{Mark, Marks, Namespace};

/// The prefix of whiteout names.
const PREFIX: &[u8] = b".wh.";
/// The file that makes its directory opaque.
const OPAQUE: &str = ".wh..wh..opq";
/// What AUFS keeps in a layer's root for itself.
const OF_AUFS: [&[u8]; 3] = [b".wh..wh.aufs", b".wh..wh.plnk", b".wh..wh.orph"];
/// How many names are probed one by one before the directory is read as a whole.
const PROBES: u8 = 8;
/// The temporary name of a new whiteout device.
const DEVICE: &str = ".wh..wh.overfuse";

/// Makes `name` in `dir` a whiteout, the character device 0/0 that the kernel's overlayfs knows.
///
/// # Errors
/// As `mknodat(2)`; `EEXIST` when the name is taken.
pub fn create(dir: &Dir, name: Name<'_>) -> Result<()> {
    dir.make_node(name, Kind::CharDevice, 0, 0)
}

/// The sticky bit, which has no meaning on a file, is set on files that stand for a device. Files without it need no
/// check of the mark.
const STANDS_FOR_DEVICE: u32 = 0o1000;

/// Makes an empty file stand for the character device 0/0 with the permissions `perm`. A real device would be a
/// whiteout of this layer.
///
/// # Errors
/// As `setxattr(2)` and `chmod(2)`.
pub fn stand_for_device(dir: &Dir, name: Name<'_>, perm: u32, namespace: Namespace) -> Result<()> {
    namespace.set(Of::Name(dir, name), Mark::Device, b"y")?;
    dir.set_perm(name, device_perm(perm))
}

/// The mode on disk of a file that stands for a device with mode `perm`.
pub fn device_perm(perm: u32) -> u32 {
    perm | STANDS_FOR_DEVICE
}

/// The attributes that users see: a file that stands for a device is shown as that device.
///
/// # Errors
/// As `getxattr(2)`.
pub(super) fn shown(of: Of<'_>, stat: Stat) -> Result<Stat> {
    let candidate = stat.kind == Kind::Regular && stat.size == 0 && stat.perm & STANDS_FOR_DEVICE != 0;
    // Either namespace counts: a user gains nothing if his own file looks like this device.
    if !candidate || !(Namespace::Trusted.has(of, Mark::Device)? || Namespace::User.has(of, Mark::Device)?) {
        return Ok(stat);
    }
    Ok(Stat { kind: Kind::CharDevice, rdev: 0, perm: stat.perm & !STANDS_FOR_DEVICE, ..stat })
}

/// Whether a file with this name could be taken for a whiteout of some format.
pub fn looks_like_one(name: Name<'_>) -> bool {
    name.as_bytes().starts_with(PREFIX)
}

/// Marks a file that will be called `name` so that it is never taken for a whiteout. Does nothing for other names.
///
/// # Errors
/// As `setxattr(2)`.
pub fn keep_plain(of: Of<'_>, name: Name<'_>, namespace: Namespace) -> Result<()> {
    if !looks_like_one(name) {
        return Ok(());
    }
    match namespace.set(of, Mark::Plain, b"y") {
        // Symbolic links and devices take no user.* attribute and need none.
        Err(Errno::PERM | Errno::OPNOTSUPP) if namespace == Namespace::User => Ok(()),
        other => other,
    }
}

/// What is known so far about whiteouts in one directory that are not in the kernel's format.
///
/// For the first [`PROBES`] missing names, a lookup checks for the `.wh.` file of that name. Then the directory is read
/// once as a whole; most hold no such files, so that later lookups cost no system call.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    probed: AtomicU8,
    /// The names that `.wh.` files say are gone; `None` until the directory was read as a whole.
    gone: RwLock<Option<BTreeSet<NameBuf>>>,
    /// Whether files with [`Mark::Whiteout`] are whiteouts here.
    marked: OnceLock<bool>,
    /// Nothing in another format is left.
    adopted: AtomicBool,
}

impl Foreign {
    /// For a directory that can hold nothing in another format.
    pub(super) fn nothing() -> Foreign {
        Foreign {
            gone: RwLock::new(Some(BTreeSet::new())),
            marked: OnceLock::from(false),
            adopted: AtomicBool::new(true),
            ..Foreign::default()
        }
    }

    /// Whether a `.wh.` file says that `name` is gone. `list` reads the directory.
    pub(super) fn hides(
        &self,
        (dir, namespace): (&Dir, Namespace),
        name: Name<'_>,
        list: impl FnOnce() -> Result<Vec<DirEntry>>,
    ) -> Result<bool> {
        if let Some(gone) = &*self.gone.read() {
            return Ok(!gone.is_empty() && gone.contains(&name.to_owned()));
        }
        if self.probed.load(Ordering::Relaxed) < PROBES {
            self.probed.fetch_add(1, Ordering::Relaxed);
            return probe(dir, namespace, name);
        }
        let entries = match list() {
            // The directory may be searched but not read.
            Err(Errno::ACCESS) => return probe(dir, namespace, name),
            other => other?,
        };
        let gone = gone_of(dir, namespace, &entries)?;
        Ok(self.gone.write().get_or_insert(gone).contains(&name.to_owned()))
    }

    /// See [`LayerDir::is_adopted`](super::LayerDir::is_adopted).
    pub(super) fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    /// Whether the empty file `name` is a whiteout.
    pub(super) fn is_marked(&self, dir: &Dir, namespace: Namespace, name: Name<'_>) -> Result<bool> {
        Ok(self.may_be_marked(dir, namespace)? && namespace.has(Of::Name(dir, name), Mark::Whiteout)?)
    }

    fn may_be_marked(&self, dir: &Dir, namespace: Namespace) -> Result<bool> {
        match self.marked.get() {
            Some(known) => Ok(*known),
            None => {
                let marks = Marks::read(Of::Dir(dir), namespace)?;
                Ok(*self.marked.get_or_init(|| marks.may_hold_whiteouts()))
            }
        }
    }

    /// See [`LayerDir::list`](super::LayerDir::list).
    pub(super) fn list(&self, dir: &Dir, namespace: Namespace, all: Vec<DirEntry>, devices: bool) -> Result<Listed> {
        let gone = match &*self.gone.read() {
            Some(known) => known.clone(),
            None => gone_of(dir, namespace, &all)?,
        };
        let marked = self.may_be_marked(dir, namespace)?;
        let mut listed = Listed { entries: Vec::with_capacity(all.len()), gone: gone.iter().cloned().collect() };
        self.gone.write().get_or_insert(gone);
        // Whiteouts are mostly links to one shared device, so the last one found saves system calls.
        let mut device = None;
        for mut entry in all {
            let name = entry.name.as_name();
            let is_whiteout = match entry.kind {
                Kind::CharDevice if device == Some(entry.ino) => Ok(true),
                Kind::CharDevice => dir.stat(name).map(|stat| {
                    // On some file systems the inode number in a listing differs from that in `stat`.
                    if stat.is_whiteout_device() && stat.nlink > 1 && stat.ino == entry.ino {
                        device = Some(stat.ino);
                    }
                    stat.is_whiteout_device()
                }),
                Kind::Regular if marked => is_marked_whiteout(dir, namespace, name),
                _ => Ok(false),
            };
            match is_whiteout {
                Ok(_) if is_private(dir, namespace, name, entry.kind)? => {}
                Ok(true) => listed.gone.push(entry.name),
                Ok(false) => {
                    if devices && entry.kind == Kind::Regular {
                        entry.kind = dir.stat(name).and_then(|stat| shown(Of::Name(dir, name), stat))?.kind;
                    }
                    listed.entries.push(entry);
                }
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(listed)
    }

    /// See [`LayerDir::adopt`](super::LayerDir::adopt).
    pub(super) fn adopt(&self, dir: &Dir, namespace: Namespace) -> Result<()> {
        if self.is_adopted() {
            return Ok(());
        }
        let mut known = self.gone.write();
        let entries = dir.entries_quietly()?;
        let files = gone_of(dir, namespace, &entries)?;
        let opaque_file = Name::new(OPAQUE)?;
        let opaque_by_file = is_file_of(dir, namespace, opaque_file)?;
        let devices =
            if self.may_be_marked(dir, namespace)? { marked_of(dir, namespace, &entries)? } else { Vec::new() };
        let marks = Marks::read(Of::Dir(dir), namespace)?;
        if !files.is_empty() || !devices.is_empty() || opaque_by_file || marks.is_opaque() {
            let before = dir.stat_self()?;
            for name in devices {
                make_device(dir, name.as_name())?;
            }
            let opaque = opaque_by_file || marks.is_opaque();
            if opaque {
                namespace.set(Of::fd(dir), Mark::Opaque, b"y")?;
            }
            // Shorter names first: the whiteout of `.wh.x` can only be made after the file `.wh.x` itself is removed.
            let mut files: Vec<_> = files.into_iter().collect();
            files.sort_by_key(|name| name.as_os_str().len());
            for name in &files {
                // An opaque directory needs no devices.
                convert_file(dir, namespace, name.as_name(), !opaque)?;
            }
            if opaque_by_file {
                dir.remove_file(opaque_file)?;
            }
            dir.to_path_fd()?.set_times(SetTime::To(before.atime), SetTime::To(before.mtime))?;
        }
        *known = Some(BTreeSet::new());
        self.adopted.store(true, Ordering::Release);
        Ok(())
    }
}

/// Replaces the marked file `name` with a whiteout device.
fn make_device(dir: &Dir, name: Name<'_>) -> Result<()> {
    let device = Name::new(DEVICE)?;
    create(dir, device).or_else(|error| if error == Errno::EXIST { Ok(()) } else { Err(error) })?;
    dir.rename(device, dir, name, Rename::Replace)
}

/// Removes the `.wh.` file of `name`. If `device`, first makes `name` a whiteout device, or a directory of this name
/// opaque.
fn convert_file(dir: &Dir, namespace: Namespace, name: Name<'_>, device: bool) -> Result<()> {
    if device {
        match create(dir, name) {
            Err(Errno::EXIST) if dir.stat(name)?.kind == Kind::Directory => {
                namespace.set(Of::Name(dir, name), Mark::Opaque, b"y")?;
            }
            Err(Errno::EXIST) => {}
            other => other?,
        }
    }
    let file = NameBuf::new(OsStr::from_bytes(&[PREFIX, name.as_bytes()].concat()))?;
    dir.remove_file(file.as_name())
}

/// Whether the `.wh.` file of `name` exists and is a whiteout.
fn probe(dir: &Dir, namespace: Namespace, name: Name<'_>) -> Result<bool> {
    let file = [PREFIX, name.as_bytes()].concat();
    match Name::new(OsStr::from_bytes(&file)) {
        Ok(file) if target_of(file).is_some() => is_file_of(dir, namespace, file),
        // The name is too long or is reserved.
        _ => Ok(false),
    }
}

/// The names that `.wh.` files among `entries` say are gone.
fn gone_of(dir: &Dir, namespace: Namespace, entries: &[DirEntry]) -> Result<BTreeSet<NameBuf>> {
    let mut gone = BTreeSet::new();
    for entry in entries {
        let name = entry.name.as_name();
        if entry.kind == Kind::Regular
            && let Some(target) = target_of(name)
            && is_file_of(dir, namespace, name)?
        {
            gone.insert(target.to_owned());
        }
    }
    Ok(gone)
}

/// The marked files among `entries`.
fn marked_of(dir: &Dir, namespace: Namespace, entries: &[DirEntry]) -> Result<Vec<NameBuf>> {
    let mut marked = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Regular) {
        if is_marked_whiteout(dir, namespace, entry.name.as_name())? {
            marked.push(entry.name.clone());
        }
    }
    Ok(marked)
}

fn is_marked_whiteout(dir: &Dir, namespace: Namespace, name: Name<'_>) -> Result<bool> {
    Ok(dir.stat(name)?.size == 0 && namespace.has(Of::Name(dir, name), Mark::Whiteout)?)
}

/// The listing of a directory of one layer, in any format.
#[derive(Debug)]
pub struct Listed {
    /// The entries, without whiteouts.
    pub entries: Vec<DirEntry>,
    /// Names whose entries in the layers below are hidden; some may also have an entry here.
    pub gone: Vec<NameBuf>,
}

impl Listed {
    /// Every name that the layer has or hides, in byte order.
    pub fn names(self) -> BTreeSet<NameBuf> {
        self.entries.into_iter().map(|entry| entry.name).chain(self.gone).collect()
    }
}

/// Whether a file is a whiteout file or private to AUFS, so that it is not shown.
///
/// # Errors
/// As `fstatat(2)` and `getxattr(2)`.
pub(super) fn is_private(dir: &Dir, namespace: Namespace, name: Name<'_>, kind: Kind) -> Result<bool> {
    match kind {
        _ if !looks_like_one(name) => Ok(false),
        Kind::Regular | Kind::Directory if OF_AUFS.contains(&name.as_bytes()) => {
            Ok(!namespace.has(Of::Name(dir, name), Mark::Plain)?)
        }
        Kind::Regular => is_file_of(dir, namespace, name),
        _ => Ok(false),
    }
}

/// Whether directory `name`, or `dir` itself if `name` is `None`, is made opaque by `.wh..wh..opq`.
///
/// # Errors
/// As `openat2(2)` and `getxattr(2)`.
pub(super) fn is_opaque_by_file(dir: &Dir, namespace: Namespace, name: Option<Name<'_>>) -> Result<bool> {
    let file = Name::new(OPAQUE)?;
    let Some(name) = name else { return is_file_of(dir, namespace, file) };
    match dir.open_path(Path::new(name.as_os_str()).join(OPAQUE)) {
        Ok(_) => is_file_of(&dir.open_dir(name.as_os_str())?, namespace, file),
        Err(Errno::NOENT | Errno::ACCESS) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether `name`, which begins with `.wh.`, is a whiteout file and not a program's own file.
fn is_file_of(dir: &Dir, namespace: Namespace, name: Name<'_>) -> Result<bool> {
    match dir.stat(name) {
        Ok(Stat { kind: Kind::Regular, size: 0, .. }) => Ok(!namespace.has(Of::Name(dir, name), Mark::Plain)?),
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The name that the whiteout file `name` says is gone; `None` if it is no whiteout of one name.
fn target_of(name: Name<'_>) -> Option<Name<'_>> {
    let target = name.as_bytes().strip_prefix(PREFIX)?;
    if name.as_bytes() == OPAQUE.as_bytes() || OF_AUFS.contains(&name.as_bytes()) {
        return None;
    }
    Name::new(OsStr::from_bytes(target)).ok()
}
