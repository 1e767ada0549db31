//! The table of contents (toc) of a layer: a file with all directory entries of the layer, so that lookups and listings
//! need not read the layer's directories. Written when a layer is unpacked, or by a walk; read one section at a time.
//!
//! ```text
//! header     80 bytes: "overfidx", version, checksum of the rest; identity, length, offset of the rows
//! section    entries of 100 bytes, sorted by name; then names, link targets and the attributes that users see
//! section    …
//! rows       32 bytes for each section: its offset and checksum, and where the directory's own entry is
//! ```
//!
//! Integers are little endian, checksums are CRC-32; `format` has the fields. A section is one directory. Section 0
//! holds only the entry of the layer's root, section 1 the entries of the root. A section comes after its parent's.
//!
//! # What a table contains
//!
//! For each name that the layer has or hides: whether it is a whiteout or an entry, its attributes on disk and as users
//! see them, whether it is opaque, whether it has extended attributes, and the target of a link. An entry with any
//! other mark (redirect, metacopy, origin) is listed, but a lookup of it reads the layer itself; images have no such
//! marks.
//!
//! # When a table is used
//!
//! A table belongs to one layer and one [`Viewer`]. Its identity is a digest over the layer's name (its diff ID), the
//! inode number and ctime of its root, how marks and owners are kept, and, if owners are real, the id maps of this
//! process. A table with another identity is outdated or belongs to another layer, and is not used; nor is a table
//! whose header or rows are damaged. A section is checked whenever it is read. If it is damaged, lookups read that
//! directory and all below it themselves, and the table is removed, so that the next process that opens the layer
//! writes it again.
//!
//! Tables are read, not mapped into memory. If the disk fails or the file is truncated under a mount, a section cannot
//! be read; with a mapping the process would die of `SIGBUS`.
//!
//! A published layer is immutable. If somebody changes one anyway, a change of the root (an added or removed entry,
//! mode, owner, attributes) is noticed, and so is a layer that was copied or unpacked again. A change further down is
//! not noticed: opening a file that was removed there fails.

mod format;
mod kept;
mod section;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::io::BufWriter;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use sha2::{Digest, Sha256};

use crate::sys::{self, Dir, Errno, Result, Stat, namespace};

use super::{Namespace, Owners, Policy};
use format::{HEADER, Header, ROW, Row};
use kept::TableId;

pub use format::Shown;
pub use section::{Child, Record, Section};
pub use write::write;

/// The section that holds the root's own entry.
const OF_ROOT: u32 = 0;
/// The section that holds the entries of the root.
const IN_ROOT: u32 = 1;

/// Why a table of contents is not used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Unfit {
    #[error(transparent)]
    Io(#[from] Errno),
    #[error("it is damaged")]
    Damaged,
    #[error("it is older than the layer, of another, or was made for another user")]
    Other,
}

/// How this process sees a layer: another process can see other owners and marks on the same files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    policy: Policy,
    /// The id maps of this process (uid, gid); empty if owners are recorded.
    ids: [String; 2],
}

/// Where a union gets the tables of contents of its layers from.
#[derive(Clone, Debug, Default)]
pub enum Tables {
    /// It uses none and reads the layers.
    #[default]
    None,
    /// The tables of the topmost layers, in order; `None` for a layer without one.
    Known(Vec<Option<Arc<Toc>>>),
    /// By a walk over each layer when the union is opened. Only for directories that nothing changes.
    Make,
}

impl Tables {
    /// The table of the layer in `root`, the `which`th from the top, for a union with this `policy`.
    pub(super) fn of(&self, which: usize, root: &Dir, policy: Policy) -> Option<Arc<Toc>> {
        match self {
            Tables::None => None,
            // A table made with another policy has other marks or owners.
            Tables::Known(known) => known.get(which)?.clone().filter(|known| known.policy == policy),
            Tables::Make => {
                let made = Viewer::new(policy).map_err(Unfit::from).and_then(|viewer| Toc::of(root, &viewer));
                let made = made.inspect_err(|error| tracing::warn!(layer = which, %error, "has no table of contents"));
                made.ok().map(Arc::new)
            }
        }
    }
}

/// The table of contents of one layer.
#[derive(Debug)]
pub struct Toc {
    file: File,
    id: TableId,
    header: Header,
    /// The rows, which say where the sections are.
    rows: Box<[u8]>,
    /// One state for each section: `UNCHECKED`, `GOOD` or `BAD`.
    checked: Box<[AtomicU8]>,
    /// The device number of the layer's file system.
    dev: u64,
    policy: Policy,
    /// The path of the table; `None` if it is only in memory.
    path: Option<PathBuf>,
    /// Damage was found and reported.
    told: AtomicBool,
}

/// The section was not read yet.
const UNCHECKED: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

impl Toc {
    /// Opens the table at `path` of the layer in `root`, whose name is `layer`.
    ///
    /// # Errors
    /// Why the table cannot be used.
    pub fn open(path: &Path, layer: &[u8], root: &Dir, viewer: &Viewer) -> Result<Toc, Unfit> {
        let file = File::open(path).map_err(errno)?;
        Toc::read(file, Some(path), layer, root, viewer)
    }

    /// Makes a table of the layer in `root`, in memory.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn of(root: &Dir, viewer: &Viewer) -> Result<Toc, Unfit> {
        let mut to = BufWriter::new(File::from(sys::memory_file(c"toc of a layer")?));
        write(&mut to, b"", root, viewer).map_err(errno)?;
        let file = to.into_inner().map_err(|error| errno(error.into_error()))?;
        Toc::read(file, None, b"", root, viewer)
    }

    fn read(file: File, path: Option<&Path>, layer: &[u8], root: &Dir, viewer: &Viewer) -> Result<Toc, Unfit> {
        let found = file.metadata().map_err(errno)?;
        if !found.is_file() {
            return Err(Unfit::Damaged);
        }
        let header = bytes(&file, 0, HEADER).and_then(|bytes| Header::parse(&bytes)).ok_or(Unfit::Damaged)?;
        let stat = root.stat_self()?;
        if header.identity != viewer.identity(layer, &stat) {
            return Err(Unfit::Other);
        }
        // `len` is the size of an allocation, so it must agree with the length of the file.
        let len = usize::try_from(header.rows).ok().and_then(|rows| rows.checked_mul(ROW)).ok_or(Unfit::Damaged)?;
        let fits = header.len == found.len() && header.rows_at.checked_add(len as u64) == Some(header.len);
        if !fits || header.rows <= IN_ROOT {
            return Err(Unfit::Damaged);
        }
        let rows = bytes(&file, header.rows_at, len).ok_or(Unfit::Damaged)?;
        if format::crc(&rows) != header.rows_crc {
            return Err(Unfit::Damaged);
        }
        Ok(Toc {
            file,
            id: TableId::next(),
            header,
            rows: rows.into(),
            checked: (0..header.rows).map(|_| AtomicU8::new(UNCHECKED)).collect(),
            dev: stat.dev,
            policy: viewer.policy,
            path: path.map(Path::to_path_buf),
            told: AtomicBool::new(false),
        })
    }

    /// The device number of the layer's file system.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The root of the layer; `None` if the directory itself must be read.
    pub fn root(self: &Arc<Toc>) -> Option<Section> {
        Section::new(self, IN_ROOT)
    }

    fn row(&self, section: u32) -> Option<Row> {
        let at = (section as usize).checked_mul(ROW)?;
        Row::parse(self.rows.get(at..at.checked_add(ROW)?)?)
    }

    /// The bytes of a section; `None` if it is damaged or the writer could not read the directory.
    fn section(&self, section: u32) -> Option<(Arc<[u8]>, Row)> {
        let row = self.row(section).filter(|row| !row.unknown)?;
        let state = self.checked.get(section as usize)?;
        let before = state.load(Ordering::Acquire);
        if before == BAD {
            return None;
        }
        let key = (self.id, section);
        if let Some(kept) = kept::get(key) {
            return Some((kept, row));
        }
        let good = self.load(row).filter(|bytes| {
            // A section that was sound once needs only its checksum verified when it is read again.
            format::crc(bytes) == row.crc && (before == GOOD || section::is_sound(self, section, row, bytes))
        });
        let Some(good) = good else {
            state.store(BAD, Ordering::Release);
            self.report_damage(section);
            return None;
        };
        state.store(GOOD, Ordering::Release);
        kept::put(key, good.clone());
        Some((good, row))
    }

    fn load(&self, row: Row) -> Option<Arc<[u8]>> {
        let fits = row.at.checked_add(row.len.into())? <= self.header.rows_at;
        fits.then(|| bytes(&self.file, row.at, row.len as usize))?.map(Arc::from)
    }

    /// At the first damage: logs it and removes the table, so that the next process that opens the layer writes it
    /// again.
    fn report_damage(&self, section: u32) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(table = ?self.path, section, "a table of contents is damaged: asking the layer");
        let Some(path) = &self.path else { return };
        let is_this = || -> std::io::Result<bool> {
            let (ours, there) = (self.file.metadata()?, std::fs::symlink_metadata(path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        // Another process may write a new table between the check and the removal. Then it is only written once more.
        let removed = is_this().and_then(|is_this| if is_this { std::fs::remove_file(path) } else { Ok(()) });
        if let Err(error) = removed {
            tracing::debug!(table = ?path, %error, "cannot remove a damaged table of contents");
        }
    }
}

/// `None` if the file is too short or cannot be read.
fn bytes(file: &File, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

impl Viewer {
    /// This process, in a union with this `policy`.
    ///
    /// # Errors
    /// As reading `/proc/self/uid_map`.
    pub fn new(policy: Policy) -> Result<Viewer> {
        // Recorded owners do not depend on the id maps.
        let ids = if policy.owners == Owners::Real { namespace::id_maps()? } else { Default::default() };
        Ok(Viewer { policy, ids })
    }

    /// The identity of a table of this layer for this viewer.
    fn identity(&self, layer: &[u8], root: &Stat) -> [u8; 32] {
        let Policy { marks, owners } = self.policy;
        let mut hasher = Sha256::new();
        hasher.update((layer.len() as u64).to_le_bytes());
        hasher.update(layer);
        hasher.update(root.ino.to_le_bytes());
        hasher.update(root.ctime.sec.to_le_bytes());
        hasher.update(root.ctime.nsec.to_le_bytes());
        hasher.update([u8::from(marks == Namespace::Trusted), u8::from(owners == Owners::Real)]);
        for map in &self.ids {
            hasher.update(map);
        }
        hasher.finalize().into()
    }
}
