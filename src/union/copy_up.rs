//! Copy-up: brings a lower file or directory into the upper layer before it changes.
//!
//! Owns the only constructors of [`UpperDir`], [`UpperFile`] and [`UpperData`], the only types with methods that change
//! anything. A copy is published complete (content, attributes, extended attributes, origin) or not at all. Copy-up for
//! a change of attributes leaves the content in the lower layer (metacopy) until the first write.

use std::ffi::OsStr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use crate::layer::{LayerDir, Mark, Origin, Owners, Recorded, Staged, whiteout};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Errno, File, FileHandle, Kind, PathFd, Rename, Result, SetTime, Stat, Timestamp};

use super::Union;
use super::clone_attributes::{Bring, clone_attributes, make_like};
use super::content_location::{At, UpperAt};
use super::descriptors::FileKey;
use super::node::{Anchor, Content, DataBelow, Node, Place, Real, UpperContent, UpperPart};
use super::xattr::CAPABILITY;

/// How much of a file a change needs in the upper layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Metadata,
    Data,
    /// The attributes, and empty content: the file is about to be truncated to 0.
    Nothing,
}

/// Permission to change a directory: it is in the upper layer.
#[derive(Debug)]
pub(super) struct UpperDir {
    dir: Arc<LayerDir>,
}

impl Deref for UpperDir {
    type Target = LayerDir;
    fn deref(&self) -> &LayerDir {
        &self.dir
    }
}

/// Permission to change the attributes of a file or directory: it is in the upper layer.
#[derive(Debug)]
pub(super) struct UpperFile<'a> {
    at: &'a UpperAt,
    owners: Owners,
    /// The kind that users see.
    kind: Kind,
}

/// Permission to change the content of a file: it is in the upper layer.
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

impl UpperFile<'_> {
    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match self.owners {
            Owners::Real => self.at.set_owner(uid, gid),
            Owners::Recorded => self.record(|record| {
                record.uid = uid.unwrap_or(record.uid);
                record.gid = gid.unwrap_or(record.gid);
            }),
        }
    }

    pub(super) fn set_perm(&self, perm: u32) -> Result<()> {
        match self.owners {
            Owners::Real if self.kind == Kind::CharDevice && self.at.stat()?.kind == Kind::Regular => {
                self.at.set_perm(whiteout::device_perm(perm))
            }
            Owners::Real => self.at.set_perm(perm),
            Owners::Recorded => self.record(|record| record.perm = perm),
        }
    }

    pub(super) fn set_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        self.at.set_times(atime, mtime)
    }

    /// Makes a change of several attributes. When one fails, those before it are set back.
    pub(super) fn set_several(&self, change: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let before = self.at.stat()?;
        let of = self.at.of();
        let record = match self.owners {
            Owners::Recorded => Some(Recorded::of_stat(&self.owners.stat(of, before)?)),
            Owners::Real => None,
        };
        let key = OsStr::new(CAPABILITY);
        let capability = if before.kind == Kind::Regular { xattr::get(of, key)? } else { None };
        change(self).inspect_err(|_| {
            let undo = || match record {
                Some(record) if matches!(before.kind, Kind::Regular | Kind::Directory) => record.write(of),
                Some(_) => Ok(()),
                None => {
                    self.at.set_owner(Some(before.uid), Some(before.gid))?;
                    if before.kind != Kind::Symlink {
                        // A change of owner takes bits of the mode.
                        self.at.set_perm(before.perm)?;
                    }
                    capability.map_or(Ok(()), |value| xattr::set(of, key, &value, Set::Any))
                }
            };
            if let Err(error) = undo() {
                tracing::error!(%error, "a change of attributes was made in part");
            }
        })
    }

    pub(super) fn set_xattr(&self, key: &OsStr, value: &[u8], how: Set) -> Result<()> {
        xattr::set(self.at.of(), key, value, how)
    }

    pub(super) fn remove_xattr(&self, key: &OsStr) -> Result<()> {
        xattr::remove(self.at.of(), key)
    }

    fn record(&self, change: impl FnOnce(&mut Recorded)) -> Result<()> {
        let stat = self.at.stat()?;
        // Symbolic links and sockets cannot carry a record.
        if !matches!(stat.kind, Kind::Regular | Kind::Directory) {
            return Ok(());
        }
        let of = self.at.of();
        let mut record = Recorded::of_stat(&self.owners.stat(of, stat)?);
        change(&mut record);
        record.write(of)
    }
}

impl Union {
    /// Copies a directory up if needed, and converts its whiteouts to the kernel's format.
    pub(super) fn upper_dir(&self, node: &Arc<Node>) -> Result<UpperDir> {
        self.copy_up(node, Need::Metadata)?;
        let dir = self.upper_fd(node)?.ok_or(Errno::IO)?;
        if !dir.is_adopted() {
            // The lock keeps lookups out while whiteouts are between the two formats.
            let alone = node.state.write();
            dir.adopt()?;
            alone.dir().into_iter().for_each(|content| content.adopted.store(true, Ordering::Release));
        }
        Ok(UpperDir { dir })
    }

    /// Copies the node up if needed, and changes its attributes.
    pub(super) fn change_upper<T>(
        &self,
        node: &Arc<Node>,
        change: impl FnOnce(&UpperFile<'_>) -> Result<T>,
    ) -> Result<T> {
        self.copy_up(node, Need::Metadata)?;
        self.at_upper(node, |at| change(&UpperFile { at, owners: self.stack.owners, kind: node.kind }))
    }

    /// Copies a file up if needed, and opens its content for a change.
    pub(super) fn upper_data(&self, node: &Arc<Node>, need: Need) -> Result<UpperData> {
        if node.kind != Kind::Regular {
            return Err(if node.is_dir() { Errno::ISDIR } else { Errno::INVAL });
        }
        self.copy_up(node, need)?;
        if need == Need::Nothing {
            self.keep_plain(node)?;
        }
        Ok(UpperData { file: self.open_upper(node)? })
    }

    /// Marks a file that is about to be emptied, if an empty file of its name would be a whiteout.
    fn keep_plain(&self, node: &Node) -> Result<()> {
        let places = node.state.read().places.clone();
        let names = places.iter().map(|place| place.name.as_name());
        for name in names.filter(|&name| whiteout::looks_like_one(name)) {
            self.at_upper(node, |at| whiteout::keep_plain(at.of(), name, self.stack.namespace))?;
        }
        Ok(())
    }

    /// Copies up a node and its parent directories, except what is in the upper layer already.
    pub(super) fn copy_up(&self, node: &Arc<Node>, need: Need) -> Result<()> {
        self.copy_up_as(node, need, None).map(drop)
    }

    /// As [`copy_up`](Self::copy_up), but the copy gets the mode `perm`. Returns whether anything was copied up.
    pub(super) fn copy_up_as(&self, node: &Arc<Node>, need: Need, perm: Option<u32>) -> Result<bool> {
        self.upper()?;
        let missing = || {
            let state = node.state.read();
            (!state.is_upper(), need != Need::Metadata && state.data_below().is_some())
        };
        if missing() == (false, false) {
            return Ok(false);
        }
        self.copy_up_path(node)?;
        let _only_one = node.copying.lock();
        let brings = missing().0;
        if brings {
            self.bring(node, need, perm)?;
        }
        let brings_data = missing().1;
        if brings_data {
            self.bring_data(node, need)?;
        }
        Ok(brings || brings_data)
    }

    /// Copies up the parent directories of a node, topmost first. A loop, since recursion could overflow the stack.
    fn copy_up_path(&self, node: &Arc<Node>) -> Result<()> {
        let above = |node: &Node| node.state.read().places.first().map(|place| place.parent.clone());
        let mut path = Vec::new();
        let mut next = above(node);
        while let Some(dir) = next.filter(|dir| !dir.is_upper()) {
            next = above(&dir);
            path.push(dir);
        }
        path.iter().rev().try_for_each(|dir| {
            let _only_one = dir.copying.lock();
            if dir.is_upper() { Ok(()) } else { self.bring(dir, Need::Metadata, None) }
        })
    }

    /// Copies a lower node and publishes the copy, with the mode `perm` if given.
    fn bring(&self, node: &Arc<Node>, need: Need, perm: Option<u32>) -> Result<()> {
        let upper = self.upper()?;
        let from = self.at(node, |at| Ok(at.clone()))?;
        let stat = from.stat()?;
        let data = self.data_of_lower(node, &stat)?;
        let only_attributes = need == Need::Metadata && self.metacopy && stat.size > 0 && data.is_some();
        let origin = if node.is_dir() { None } else { self.origin(&from, node, &stat) };
        let like = from.shown(self.stack.owners, stat)?;
        let like = Stat { perm: perm.unwrap_or(like.perm), ..like };
        // To be emptied is a change of content, unlike being copied up.
        let now = || Timestamp::from(SystemTime::now());
        let like = if need == Need::Nothing { Stat { mtime: now(), ..like } } else { like };
        let is_bare = node.is_bare() || self.record(node).is_some_and(|record| record.is_bare());
        let (staged, (file, real)) = upper.stage(|dir, name| {
            let content = match (&data, need) {
                _ if only_attributes => Bring::Size,
                (_, Need::Nothing) => Bring::Nothing,
                (Some(data), _) => Bring::From(self.lower_at(&data.file)?),
                (None, _) => Bring::From(from.clone()),
            };
            let file = make_like((&from, &stat), &like, (dir, name), self.stack.owners, content)?;
            // Marks come first: the final mode may not let the owner write them.
            self.mark(Of::Name(dir, name), only_attributes, origin.as_ref())?;
            if let Some(protection) = node.protection().encode() {
                self.stack.namespace.set(Of::Name(dir, name), Mark::Protection, protection)?;
            }
            let xattrs = if is_bare { Vec::new() } else { from.own_xattrs(self.stack.policy())? };
            let made = clone_attributes((&from, xattrs), &like, (dir, name), (upper, self.stack.owners), self.own)?;
            if let Some(file) = &file
                && !self.volatile
                && !only_attributes
            {
                file.sync(true)?;
            }
            Ok((file, Real::of(&made)))
        })?;
        tracing::debug!(id = node.id.0, kind = ?node.kind, only_attributes, "copied up");
        if file.is_some() && !only_attributes && need != Need::Nothing {
            self.was_read(node, 0, stat.size);
        }
        let data = only_attributes.then_some(data).flatten();
        let file = file.filter(|_| !only_attributes);
        match origin.filter(|_| stat.nlink > 1 && !node.is_dir()) {
            Some(origin) => self.publish_index(node, staged, (real, data, file), &origin, stat.nlink),
            None => self.publish_copy(node, staged, (real, data, file)),
        }
    }

    /// The location of the data of a lower file: the file itself, unless it is metadata-only. `None` without a name.
    fn data_of_lower(&self, node: &Node, stat: &Stat) -> Result<Option<DataBelow>> {
        let state = node.state.read();
        let Content::Lower(lower) = &state.content else { return Ok(None) };
        if node.kind != Kind::Regular {
            return Ok(None);
        }
        if let Some(data) = &lower.data {
            return Ok(Some(DataBelow::clone(data)));
        }
        let (file, place) = (lower.file.clone(), state.places.first().cloned());
        drop(state);
        let Some(Place { parent, name }) = place else { return Ok(None) };
        let state = parent.state.read();
        let path = state.dir().ok_or(Errno::NOTDIR)?.path.join(name.as_os_str());
        Ok(Some(DataBelow { file, path: path.into(), blocks: stat.blocks }))
    }

    /// The content of the origin mark for a copy of `from`; `None` if that is not in a lower layer.
    fn origin(&self, from: &At, node: &Node, stat: &Stat) -> Option<Source> {
        let At::Lower(from) = from else { return None };
        let handle = from.handle();
        Some(Source { number: node.id.0, uuid: self.table.uuid(stat.dev), handle })
    }

    fn mark(&self, of: Of<'_>, only_attributes: bool, origin: Option<&Source>) -> Result<()> {
        let namespace = self.stack.namespace;
        if only_attributes {
            namespace.set(of, Mark::Metacopy, b"")?;
        }
        let Some(Source { number, uuid, handle }) = origin else { return Ok(()) };
        match namespace.set(of, Mark::Origin, &Origin::encode(*number, *uuid, handle.as_ref())) {
            // Links and devices cannot carry user.* attributes. They keep the number only while the node is known.
            Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
            other => other,
        }
    }

    /// Publishes a finished copy at the place of the node. If the node was removed meanwhile, keeps an unlinked copy.
    fn publish_copy(&self, node: &Arc<Node>, staged: Staged<'_>, (real, data, file): Copied) -> Result<()> {
        loop {
            let place = node.state.read().places.first().cloned();
            // The node was removed while in use: the copy is unlinked too.
            let Some(Place { parent, name }) = place else {
                let (dir, name) = (staged.dir(), staged.name().as_os_str());
                if node.is_dir() {
                    let removed = LayerDir::of_kernel(dir.open_dir(name)?, self.stack.namespace);
                    let removed = UpperPart::Removed(Arc::new(removed));
                    let mut state = node.state.write();
                    settle(&mut state, Anchor::Place, real, data);
                    state.dir_mut().into_iter().for_each(|content| content.upper = removed.clone());
                } else {
                    self.arrive(node, Anchor::Unlinked(Arc::new(dir.open_path(name)?)), real, data);
                }
                break;
            };
            let dir = self.upper_dir(&parent)?;
            let parent_state = parent.state.write();
            let mut state = node.state.write();
            let same = |p: &Place| Arc::ptr_eq(&p.parent, &parent) && p.name == name;
            if !state.places.first().is_some_and(same) {
                continue;
            }
            whiteout::keep_plain(Of::Name(staged.dir(), staged.name()), name.as_name(), self.stack.namespace)?;
            quietly(&dir, || staged.publish(&dir, name.as_name(), Rename::NoReplace))?;
            // The state was locked before the copy got its name, so that no thread meets a node that is half moved.
            settle(&mut state, Anchor::Place, real, data);
            self.table.remember_moved(real, node.id);
            drop((state, parent_state));
            *parent.listing.lock() = None;
            break;
        }
        self.keep_copy(node, file);
        Ok(())
    }

    /// Switches a node over to its copy.
    pub(super) fn arrive(&self, node: &Node, at: Anchor, real: Real, data: Option<DataBelow>) {
        settle(&mut node.state.write(), at, real, data);
        self.table.remember_moved(real, node.id);
    }

    /// Replaces the cached descriptor of the lower file with that of the copy.
    pub(super) fn keep_copy(&self, node: &Node, file: Option<File>) {
        self.descriptors.forget_lower(node.id);
        if let Some(file) = file {
            self.descriptors.keep_file(FileKey::Upper(node.id), file);
        }
    }

    /// Copies up the data of a metadata-only file of the upper layer. Readers use the lower file until the copy is
    /// complete and the mark is removed.
    fn bring_data(&self, node: &Arc<Node>, need: Need) -> Result<()> {
        let Some(data) = node.state.read().data_below().cloned() else { return Ok(()) };
        let at = self.at_upper(node, |at| Ok(at.clone()))?;
        let fd = at.path_fd()?;
        let file = self.open_upper(node)?;
        let stat = fd.stat()?;
        if need == Need::Nothing {
            file.set_len(0)?;
        } else {
            let undo = |_: &Errno| {
                if let Err(error) = fd.set_times(SetTime::To(stat.atime), SetTime::To(stat.mtime)) {
                    tracing::warn!(id = node.id.0, %error, "a copy that failed changed the times of a file");
                }
            };
            let bring = || self.bring_content(node, &data, (&file, &fd, &stat));
            bring().inspect_err(undo)?;
        }
        let mut state = node.state.write();
        if let Err(error) = self.stack.namespace.clear(Of::fd(&*fd), Mark::Metacopy) {
            // Undoes the truncation: a metadata-only file has the size of its data.
            let undo = || {
                file.set_len(stat.size)?;
                fd.set_times(SetTime::To(stat.atime), SetTime::To(stat.mtime))
            };
            if need == Need::Nothing
                && let Err(error) = undo()
            {
                tracing::error!(id = node.id.0, %error, "a failed truncation left a file empty");
            }
            return Err(error);
        }
        if let Content::Upper(upper) = &mut state.content {
            upper.data = None;
        }
        drop(state);
        self.descriptors.forget_lower(node.id);
        Ok(())
    }
}

impl Union {
    /// Copies the data, then restores the mode, times and capability that the copying changed.
    fn bring_content(&self, node: &Node, data: &DataBelow, to: (&File, &PathFd, &Stat)) -> Result<()> {
        let (file, fd, stat) = to;
        let capability = xattr::get(Of::fd(fd), OsStr::new(CAPABILITY))?;
        sys::copy::contents(&self.lower_at(&data.file)?.open_quietly()?, file, stat.size)?;
        self.was_read(node, 0, stat.size);
        // The kernel removes the capability at a write; this write only copies content, so it is restored.
        if let Some(value) = capability {
            xattr::set(Of::fd(fd), OsStr::new(CAPABILITY), &value, Set::Any)?;
        }
        if fd.stat()?.perm != stat.perm {
            fd.set_perm(stat.perm)?;
        }
        fd.set_times(SetTime::To(stat.atime), SetTime::To(stat.mtime))?;
        if self.volatile { Ok(()) } else { file.sync(true) }
    }
}

/// A finished copy: its identity, the location of its data if that stayed below, and the open file.
pub(super) type Copied = (Real, Option<DataBelow>, Option<File>);

/// The content of an origin mark.
pub(super) struct Source {
    pub(super) number: u64,
    pub(super) uuid: [u8; 16],
    pub(super) handle: Option<FileHandle>,
}

/// Sets the state of a node that has just been copied up.
fn settle(state: &mut super::State, at: Anchor, real: Real, data: Option<DataBelow>) {
    match &mut state.content {
        Content::Dir(content) => {
            content.upper = UpperPart::Here;
            content.adopted.store(true, Ordering::Release);
        }
        content => *content = Content::Upper(UpperContent { at, data: data.map(Box::new) }),
    }
    state.was = Some(Box::new(state.real));
    state.real = real;
}

/// Runs `change` and restores the times of `dir`: as in the kernel's overlayfs, a copy-up leaves them as they are.
/// A failure to restore them is only logged, since the change has happened.
pub(super) fn quietly(dir: &UpperDir, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = dir.stat_self()?;
    change()?;
    if let Err(error) = dir.set_own_times(SetTime::To(before.atime), SetTime::To(before.mtime)) {
        tracing::warn!(%error, "copying up changed the times of a directory");
    }
    Ok(())
}
