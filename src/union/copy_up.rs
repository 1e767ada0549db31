//! Copy-up: brings a lower file or directory into the upper layer before it changes.
//!
//! Owns the only constructors of [`UpperDir`], [`UpperFile`] and [`UpperData`], which alone have methods
//! that change anything. What is published is complete: content, attributes and extended attributes,
//! or nothing.

use std::ffi::OsStr;
use std::ops::Deref;
use std::sync::Arc;

use crate::layer::{Owners, Recorded, Staged, marks};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Dir, Errno, File, Kind, Name, OFlags, PathFd, Rename, Result, SetTime, Stat};

use super::descriptors::FileKey;
use super::locate::At;
use super::node::{Content, Node, Place, Real, UpperPart};
use super::{Owner, Union};

/// How much of a file the change needs to have brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Data,
    /// The file is about to be emptied.
    Nothing,
}

/// A directory that is in the upper layer, to be changed.
#[derive(Debug)]
pub(super) struct UpperDir {
    dir: Arc<Dir>,
}

impl Deref for UpperDir {
    type Target = Dir;
    fn deref(&self) -> &Dir {
        &self.dir
    }
}

/// A file or directory that is in the upper layer, whose attributes are to be changed.
#[derive(Debug)]
pub(super) struct UpperFile {
    fd: Arc<PathFd>,
    owners: Owners,
}

/// The content of a file in the upper layer, to be changed.
#[derive(Debug)]
pub(super) struct UpperData {
    file: Arc<File>,
}

impl Deref for UpperData {
    type Target = File;
    fn deref(&self) -> &File {
        &self.file
    }
}

impl UpperFile {
    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match self.owners {
            Owners::Real => self.fd.set_owner(uid, gid),
            Owners::Recorded => self.record(|record| {
                record.uid = uid.unwrap_or(record.uid);
                record.gid = gid.unwrap_or(record.gid);
            }),
        }
    }

    pub(super) fn set_perm(&self, perm: u32) -> Result<()> {
        match self.owners {
            Owners::Real => self.fd.set_perm(perm),
            Owners::Recorded => self.record(|record| record.perm = perm),
        }
    }

    pub(super) fn set_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        self.fd.set_times(atime, mtime)
    }

    pub(super) fn set_xattr(&self, key: &OsStr, value: &[u8], how: Set) -> Result<()> {
        xattr::set(Of::fd(&*self.fd), key, value, how)
    }

    pub(super) fn remove_xattr(&self, key: &OsStr) -> Result<()> {
        xattr::remove(Of::fd(&*self.fd), key)
    }

    fn record(&self, change: impl FnOnce(&mut Recorded)) -> Result<()> {
        let stat = self.fd.stat()?;
        // A symbolic link or socket can carry no record, and has no mode to speak of.
        if !matches!(stat.kind, Kind::Regular | Kind::Directory) {
            return Ok(());
        }
        let of = Of::fd(&*self.fd);
        let mut record = Recorded::of_stat(&self.owners.stat(of, stat)?);
        change(&mut record);
        record.write(of)
    }
}

impl Union {
    /// The directory in the upper layer, copied up if need be.
    pub(super) fn upper_dir(&self, node: &Arc<Node>) -> Result<UpperDir> {
        self.copy_up(node, Need::Data)?;
        Ok(UpperDir { dir: self.upper_fd(node)?.ok_or(Errno::IO)? })
    }

    /// The file in the upper layer, copied up if need be, to change its attributes.
    pub(super) fn upper_file(&self, node: &Arc<Node>) -> Result<UpperFile> {
        self.copy_up(node, Need::Data)?;
        Ok(UpperFile { fd: self.at(node, At::path_fd)?, owners: self.stack.owners })
    }

    /// The content in the upper layer, copied up if need be, to change it.
    pub(super) fn upper_data(&self, node: &Arc<Node>, need: Need) -> Result<UpperData> {
        if node.kind != Kind::Regular {
            return Err(if node.is_dir() { Errno::ISDIR } else { Errno::INVAL });
        }
        self.copy_up(node, need)?;
        Ok(UpperData { file: self.open_upper(node)? })
    }

    /// Copies a node up, and the directories that lead to it, unless that is done.
    pub(super) fn copy_up(&self, node: &Arc<Node>, need: Need) -> Result<()> {
        let upper = self.upper()?;
        if node.is_upper() {
            return Ok(());
        }
        let _only_one = node.copying.lock();
        if node.is_upper() {
            return Ok(());
        }
        let stat = self.at(node, At::stat)?;
        let (staged, file) = self.at(node, |from| {
            upper.stage(|dir, name| {
                let file = make_like(from, &stat, dir, name, self.stack.owners, need)?;
                let like = self.stack.owners.stat(from.of(), stat)?;
                clone_attributes(from, &like, (dir, name), self.stack.owners, self.own)?;
                if let Some(file) = &file
                    && !self.volatile
                {
                    file.sync(true)?;
                }
                Ok(file)
            })
        })?;
        tracing::debug!(id = node.id.0, kind = ?node.kind, "copied up");
        self.publish_copy(node, staged, file)
    }

    /// Puts a finished copy where the node is; if it was removed meanwhile, keeps the copy without a name.
    fn publish_copy(&self, node: &Arc<Node>, staged: Staged<'_>, file: Option<File>) -> Result<()> {
        let made = staged.dir().stat(staged.name())?;
        let real = Real { dev: made.dev, ino: made.ino };
        loop {
            let place = node.state.read().places.first().cloned();
            let Some(Place { parent, name }) = place else {
                let fd = staged.dir().open_path(staged.name().as_os_str())?;
                let mut state = node.state.write();
                state.real = real;
                state.content = Content::Unlinked(Arc::new(fd));
                break;
            };
            let dir = self.upper_dir(&parent)?;
            let parent_state = parent.state.write();
            let mut state = node.state.write();
            let same = |p: &Place| Arc::ptr_eq(&p.parent, &parent) && p.name == name;
            if !state.places.first().is_some_and(same) {
                continue;
            }
            // As in the kernel's overlayfs, copying up is no change of the directory.
            let before = dir.stat_self()?;
            staged.publish(&dir, name.as_name(), Rename::NoReplace)?;
            dir.to_path_fd()?.set_times(SetTime::To(before.atime), SetTime::To(before.mtime))?;
            match &mut state.content {
                Content::Dir(content) => content.upper = UpperPart::Here,
                content => *content = Content::Upper,
            }
            state.real = real;
            self.table.remember_moved(real, node.id);
            drop((state, parent_state));
            *parent.listing.lock() = None;
            break;
        }
        self.descriptors.forget_lower(node.id);
        if let Some(file) = file {
            self.descriptors.keep_file(FileKey::Upper(node.id), file);
        }
        Ok(())
    }
}

/// Makes a file of the kind and with the content of `from`; the answer is open when it has content.
fn make_like(from: &At, stat: &Stat, dir: &Dir, name: Name<'_>, owners: Owners, need: Need) -> Result<Option<File>> {
    match stat.kind {
        Kind::Directory => dir.make_dir(name, 0o700).map(|()| None),
        Kind::Symlink => {
            let target = match from {
                At::Name(dir, name) => dir.read_link(name.as_name())?,
                other => other.path_fd()?.read_link()?,
            };
            dir.make_symlink(name, &target).map(|()| None)
        }
        Kind::Regular => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
            let to = dir.open_file(name.as_os_str(), flags, 0o600)?;
            if need == Need::Data {
                sys::copy::contents(&from.open_quietly()?, &to, stat.size)?;
            }
            Ok(Some(to))
        }
        kind => {
            let kind = if owners == Owners::Recorded { Kind::Regular } else { kind };
            dir.make_node(name, kind, 0o600, stat.rdev).map(|()| None)
        }
    }
}

/// Gives `to` the owner, extended attributes, mode and times of `from`, whose users see `like`.
fn clone_attributes(from: &At, like: &Stat, to: (&Dir, Name<'_>), owners: Owners, own: Owner) -> Result<()> {
    let (dir, name) = to;
    let of = Of::Name(dir, name);
    if owners == Owners::Real && (like.uid, like.gid) != (own.uid, own.gid) {
        dir.set_owner(name, Some(like.uid), Some(like.gid))?;
    }
    for key in marks::visible_xattrs(from.of())? {
        let Some(value) = xattr::get(from.of(), &key)? else { continue };
        match xattr::set(of, &key, &value, Set::Any) {
            // The host's own labels, and what only the host's root may set, are the host's to decide.
            Err(Errno::OPNOTSUPP) => {}
            Err(Errno::PERM) if !key.as_encoded_bytes().starts_with(b"user.") => {}
            other => other?,
        }
    }
    if like.kind != Kind::Symlink {
        match owners {
            Owners::Real => dir.set_perm(name, like.perm)?,
            Owners::Recorded => record(dir, name, like)?,
        }
    }
    dir.set_times(name, SetTime::To(like.atime), SetTime::To(like.mtime))
}

/// Records `like` on a new file, and keeps the file itself open to this process.
pub(super) fn record(dir: &Dir, name: Name<'_>, like: &Stat) -> Result<()> {
    let stat = dir.stat(name)?;
    if !matches!(stat.kind, Kind::Regular | Kind::Directory) {
        return Ok(());
    }
    let open = if stat.kind == Kind::Directory { 0o700 } else { 0o600 };
    dir.set_perm(name, (like.perm & 0o777) | open)?;
    Recorded::of_stat(like).write(Of::Name(dir, name))
}
