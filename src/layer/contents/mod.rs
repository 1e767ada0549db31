//! The table of contents of a layer: what each of its directories says of each name, so that the layer itself
//! need not be asked. Written when a layer is unpacked, or by a walk over one that has none; read a section at a time.
//!
//! ```text
//! header     80 bytes: "overfidx", version, checksum of the rest; identity, length, where the rows are
//! section    entries of 100 bytes, sorted by name; behind them names, targets of links, what users see
//! section    …
//! rows       32 bytes for each section: where it is, its checksum, where the directory's own entry is
//! ```
//!
//! Integers are little endian, checksums CRC-32; `format` has the fields. Section 0 holds nothing but the entry
//! of the layer's root, section 1 what is in the root; the section of a directory comes after its parent's.
//!
//! # What is told
//!
//! Of each name that the layer says something of: whiteout or entry, attributes on disk and as users see them,
//! whether it is opaque, whether it has extended attributes, the target of a link. What carries any other mark (a redirect,
//! metadata alone, an origin) is listed, and the layer is asked for it: images bring none.
//!
//! # What is believed
//!
//! A table is of one layer, for one way to look at it. Its identity is a digest over the layer's name (its diff ID), inode
//! and time of change of its root, how marks and owners are kept, and where owners are shown as they are, what ids this
//! process sees. A table of another identity is older than its layer, or of another: it is not used. So is one whose
//! header or rows are damaged. A section is checked each time that it is read; the directory of a damaged one, and all below
//! it, is asked itself, and the table is taken away, so that the next to open the layer writes it anew.
//!
//! Tables are read, not mapped: what happens to the file under a mount, a disk that fails or a hand that cuts it short, is a
//! section that cannot be read. Through a map it would be the end of the process (`SIGBUS`).
//!
//! A layer is immutable once it is published. Of a change made all the same by somebody's hand, that of the root (an entry more or
//! less, mode, owner, attributes) is noticed, and so is a layer that was copied or unpacked anew; one further below is not: where a
//! file has gone, opening it fails.

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

/// The section of the layer's own entry.
const OF_ROOT: u32 = 0;
/// That of what is in the root.
const IN_ROOT: u32 = 1;

/// Why a table of contents is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Io(#[from] Errno),
    #[error("it is damaged")]
    Damaged,
    #[error("it is older than the layer, of another, or was made for another user")]
    Other,
}

/// Who looks at a layer, and how: the same files can have other owners and other marks for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    policy: Policy,
    /// What ids this process sees.
    ids: [String; 2],
}

/// How a union is to come by the tables of contents of its layers.
#[derive(Clone, Debug, Default)]
pub enum Tables {
    /// The layers are asked.
    #[default]
    None,
    /// Those of the topmost layers, in order, as far as there are some.
    Known(Vec<Option<Arc<Contents>>>),
    /// By a walk over each layer, when the union is opened: for directories that change under nobody.
    Make,
}

impl Tables {
    /// That of the layer in `root`, the `which`th from the top, for a union that keeps marks and owners as `policy` says.
    pub(super) fn of(&self, which: usize, root: &Dir, policy: Policy) -> Option<Arc<Contents>> {
        match self {
            Tables::None => None,
            // What was decoded otherwise than this union would decode it is of no use to it.
            Tables::Known(known) => known.get(which)?.clone().filter(|known| known.policy == policy),
            Tables::Make => {
                let made = Viewer::new(policy).map_err(Unfit::from).and_then(|viewer| Contents::of(root, &viewer));
                let made = made.inspect_err(|error| tracing::warn!(layer = which, %error, "has no table of contents"));
                made.ok().map(Arc::new)
            }
        }
    }
}

/// The table of contents of one layer.
#[derive(Debug)]
pub struct Contents {
    file: File,
    id: TableId,
    header: Header,
    /// Where the sections are.
    rows: Box<[u8]>,
    /// What is known of each section.
    checked: Box<[AtomicU8]>,
    /// The file system of the layer.
    dev: u64,
    policy: Policy,
    /// Unless no directory has it.
    path: Option<PathBuf>,
    /// It was found damaged, and told.
    told: AtomicBool,
}

/// Nobody has looked at the section yet.
const UNCHECKED: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

impl Contents {
    /// Opens the table `path` of the layer in `root`, which is called `layer`.
    ///
    /// # Errors
    /// What keeps it from being used.
    pub fn open(path: &Path, layer: &[u8], root: &Dir, viewer: &Viewer) -> Result<Contents, Unfit> {
        let file = File::open(path).map_err(errno)?;
        Contents::read(file, Some(path), layer, root, viewer)
    }

    /// Makes a table of the layer in `root` that no directory has.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn of(root: &Dir, viewer: &Viewer) -> Result<Contents, Unfit> {
        let mut to = BufWriter::new(File::from(sys::memory_file(c"layer index")?));
        write(&mut to, b"", root, viewer).map_err(errno)?;
        let file = to.into_inner().map_err(|error| errno(error.into_error()))?;
        Contents::read(file, None, b"", root, viewer)
    }

    fn read(file: File, path: Option<&Path>, layer: &[u8], root: &Dir, viewer: &Viewer) -> Result<Contents, Unfit> {
        let found = file.metadata().map_err(errno)?;
        if !found.is_file() {
            return Err(Unfit::Damaged);
        }
        let header = bytes(&file, 0, HEADER).and_then(|bytes| Header::parse(&bytes)).ok_or(Unfit::Damaged)?;
        let stat = root.stat_self()?;
        if header.identity != viewer.identity(layer, &stat) {
            return Err(Unfit::Other);
        }
        // As long as the file is: this decides the size of an allocation.
        let len = usize::try_from(header.rows).ok().and_then(|rows| rows.checked_mul(ROW)).ok_or(Unfit::Damaged)?;
        let fits = header.len == found.len() && header.rows_at.checked_add(len as u64) == Some(header.len);
        if !fits || header.rows <= IN_ROOT {
            return Err(Unfit::Damaged);
        }
        let rows = bytes(&file, header.rows_at, len).ok_or(Unfit::Damaged)?;
        if format::crc(&rows) != header.rows_crc {
            return Err(Unfit::Damaged);
        }
        Ok(Contents {
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

    /// The file system of the layer.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The root of the layer; `None` where it has to be asked itself.
    pub fn root(self: &Arc<Contents>) -> Option<Section> {
        Section::new(self, IN_ROOT)
    }

    fn row(&self, section: u32) -> Option<Row> {
        let at = (section as usize).checked_mul(ROW)?;
        Row::parse(self.rows.get(at..at.checked_add(ROW)?)?)
    }

    /// The bytes of a section; `None` where the layer has to be asked: it is damaged, or does not know.
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
            // What it says does not change with being read again.
            format::crc(bytes) == row.crc && (before == GOOD || section::is_sound(self, section, row, bytes))
        });
        let Some(good) = good else {
            state.store(BAD, Ordering::Release);
            self.tell_damage(section);
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

    /// Once: says so, and takes the table away, so that the next to open the layer writes it anew.
    fn tell_damage(&self, section: u32) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(table = ?self.path, section, "a table of contents is damaged: asking the layer");
        let Some(path) = &self.path else { return };
        let is_this = || -> std::io::Result<bool> {
            let (ours, there) = (self.file.metadata()?, std::fs::symlink_metadata(path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        // Between asking and removing another may write a new one: then the next writes it once more.
        let removed = is_this().and_then(|is_this| if is_this { std::fs::remove_file(path) } else { Ok(()) });
        if let Err(error) = removed {
            tracing::debug!(table = ?path, %error, "who may, will write the damaged table anew");
        }
    }
}

/// `None` for what is not there, or cannot be read.
fn bytes(file: &File, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

impl Viewer {
    /// This process, in a union that keeps marks and owners as `policy` says.
    ///
    /// # Errors
    /// As reading `/proc/self/uid_map`.
    pub fn new(policy: Policy) -> Result<Viewer> {
        // Recorded owners are the same whoever looks.
        let ids = if policy.owners == Owners::Real { namespace::id_maps()? } else { Default::default() };
        Ok(Viewer { policy, ids })
    }

    /// What a table is of, and to whom.
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
