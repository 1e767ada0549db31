//! The table of contents of a layer: what each of its directories says of each name, so that the layer itself
//! need not be asked. Written when a layer is unpacked, or by a walk over one that has none; read as memory.
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
//! header or rows are damaged. Sections are checked when they are first used, each once; the directory of a damaged one, and
//! all below it, is asked itself.
//!
//! A layer is immutable once it is published. Of a change made all the same by somebody's hand, that of the root (an entry more or
//! less, mode, owner, attributes) is noticed, and so is a layer that was copied or unpacked anew; one further below is not: where a
//! file has gone, opening it fails.

mod format;
mod section;
#[cfg(test)]
mod tests;
mod write;

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::sys::{self, Dir, Errno, FileMap, Result, Stat, namespace};

use super::{Namespace, Owners, Policy};
use format::{Header, ROW, Row};

pub use format::Shown;
pub use section::{Record, Section};
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
    map: FileMap,
    header: Header,
    /// What is known of each section.
    checked: Box<[AtomicU8]>,
    /// When its pages were last given back: [`CHECKED`] by then, in [`MANY`]s.
    released: AtomicU64,
    /// The file system of the layer.
    dev: u64,
    policy: Policy,
    /// For messages.
    path: PathBuf,
}

/// Bytes of sections that this process has checked, of all tables.
static CHECKED: AtomicU64 = AtomicU64::new(0);
/// After so many, pages are given back: a walk over an image leaves no more than this in memory.
const MANY: u64 = 4 << 20;

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
        let file = std::fs::File::open(path).map_err(errno)?;
        Contents::read(FileMap::new(file)?, path, layer, root, viewer)
    }

    /// Makes a table of the layer in `root` that no file keeps.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn of(root: &Dir, viewer: &Viewer) -> Result<Contents, Unfit> {
        let mut file = BufWriter::new(std::fs::File::from(sys::memory_file(c"layer index")?));
        write(&mut file, b"", root, viewer).map_err(errno)?;
        Contents::read(FileMap::new(file.get_ref())?, Path::new("memory"), b"", root, viewer)
    }

    fn read(map: FileMap, path: &Path, layer: &[u8], root: &Dir, viewer: &Viewer) -> Result<Contents, Unfit> {
        let header = Header::parse(&map).ok_or(Unfit::Damaged)?;
        let stat = root.stat_self()?;
        if header.identity != viewer.identity(layer, &stat) {
            return Err(Unfit::Other);
        }
        let contents = Contents {
            map,
            header,
            checked: Box::default(),
            released: AtomicU64::new(0),
            dev: stat.dev,
            policy: viewer.policy,
            path: path.into(),
        };
        let rows = contents.rows().ok_or(Unfit::Damaged)?;
        let fits = header.len == contents.map.len() as u64 && rows.len() == header.rows as usize * ROW;
        if !fits || header.rows <= IN_ROOT || format::crc(rows) != header.rows_crc {
            return Err(Unfit::Damaged);
        }
        let checked = (0..header.rows).map(|_| AtomicU8::new(UNCHECKED)).collect();
        Ok(Contents { checked, ..contents })
    }

    /// The file system of the layer.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The root of the layer; `None` where it has to be asked itself.
    pub fn root(self: &Arc<Contents>) -> Option<Section> {
        Section::new(self, IN_ROOT)
    }

    fn rows(&self) -> Option<&[u8]> {
        self.map.get(usize::try_from(self.header.rows_at).ok()?..)
    }

    fn row(&self, section: u32) -> Option<Row> {
        let at = (section as usize).checked_mul(ROW)?;
        Row::parse(self.rows()?.get(at..at.checked_add(ROW)?)?)
    }

    /// The bytes of a section that was checked, and its row.
    fn section(&self, section: u32) -> Option<(&[u8], Row)> {
        let row = self.row(section).filter(|row| !row.unknown)?;
        let at = usize::try_from(row.at).ok()?;
        let bytes = self.map.get(at..at.checked_add(row.len as usize)?)?;
        Some((bytes, row))
    }

    /// Gives pages back now and then, as sections of `len` bytes are read.
    fn make_room(&self, len: u32) {
        let now = CHECKED.fetch_add(len.into(), Ordering::Relaxed) / MANY;
        if self.released.swap(now, Ordering::Relaxed) != now {
            self.map.release();
        }
    }

    /// Whether a section can be believed; looked at once.
    fn check(&self, section: u32) -> bool {
        let Some(known) = self.checked.get(section as usize) else { return false };
        match known.load(Ordering::Acquire) {
            UNCHECKED => {
                let is_good = section::is_sound(self, section);
                // One that says that it does not know is not damaged.
                if !is_good && !self.row(section).is_some_and(|row| row.unknown) {
                    tracing::warn!(table = ?self.path, section, "a table of contents is damaged: asking the layer");
                }
                self.make_room(self.row(section).map_or(0, |row| row.len));
                known.store(if is_good { GOOD } else { BAD }, Ordering::Release);
                is_good
            }
            known => known == GOOD,
        }
    }
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
