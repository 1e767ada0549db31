//! Listing: merges the entries that the layers of one directory have.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sys::xattr::Of;
use crate::sys::{DirEntry, Errno, Kind, NameBuf, Result};

use super::whiteout::Listed;
use super::{LayerDir, Layers, LowerDirs, OpenLowerDir, Owners};

/// What one layer shows of a directory.
#[derive(Debug)]
pub struct ListedPart<'a> {
    /// The position among the lower directories; `None` for the upper one.
    pub which: Option<u32>,
    dir: Dir<'a>,
    /// The entries that no newer layer has or hides.
    pub entries: Vec<&'a DirEntry>,
    /// The entries that a newer layer has or hides.
    pub hidden: Vec<&'a DirEntry>,
    /// The names that this layer says are gone.
    pub gone: &'a [NameBuf],
}

#[derive(Clone, Debug)]
enum Dir<'a> {
    Upper(&'a LayerDir),
    Lower(Arc<OpenLowerDir>),
    /// A table of contents answered, so the directory is not open; `dev` is the file system of the layer.
    Known {
        dev: u64,
    },
}

impl ListedPart<'_> {
    /// The device number of the file system that holds the directory.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn dev(&self) -> Result<u64> {
        match &self.dir {
            Dir::Upper(dir) => dir.stat_self().map(|stat| stat.dev),
            Dir::Lower(dir) => dir.dir().stat_self().map(|stat| stat.dev),
            Dir::Known { dev } => Ok(*dev),
        }
    }

    /// The kind that users see. It can differ from the kind on disk: a recorded device is a regular file on disk.
    ///
    /// # Errors
    /// As `fstatat(2)` and `getxattr(2)`.
    pub fn shown_kind(&self, entry: &DirEntry, owners: Owners) -> Result<Kind> {
        if owners == Owners::Real || entry.kind != Kind::Regular {
            return Ok(entry.kind);
        }
        let dir = match &self.dir {
            Dir::Upper(dir) => dir,
            Dir::Lower(dir) => dir.dir(),
            Dir::Known { .. } => return Ok(entry.kind),
        };
        let name = entry.name.as_name();
        match dir.stat(name) {
            Ok(stat) => Ok(owners.stat(Of::Name(dir, name), stat)?.kind),
            Err(Errno::NOENT) => Ok(entry.kind),
            Err(e) => Err(e),
        }
    }
}

/// Calls `act` with what each layer shows of a directory, newest first: the upper layer, which the caller has listed,
/// then the layers of `lower`.
///
/// # Errors
/// The first error of reading a layer or of `act`.
pub fn each_part(
    layers: &impl Layers,
    upper: Option<(&LayerDir, Listed)>,
    lower: &LowerDirs,
    mut act: impl FnMut(ListedPart<'_>) -> Result<()>,
) -> Result<()> {
    let mut above: HashSet<NameBuf> = HashSet::new();
    let mut show = |dir: Dir<'_>, which, listed: Listed, is_last: bool| {
        let (hidden, entries) = listed.entries.iter().partition(|entry| above.contains(&entry.name));
        act(ListedPart { which, dir, entries, hidden, gone: &listed.gone })?;
        if !is_last {
            above.extend(listed.entries.into_iter().map(|entry| entry.name).chain(listed.gone));
        }
        Ok(())
    };
    if let Some((dir, listed)) = upper {
        show(Dir::Upper(dir), None, listed, lower.is_empty())?;
    }
    for (which, part) in lower.iter().enumerate() {
        let (dir, listed) = match (part.known_dev(), part.listed()) {
            (Some(dev), Some(listed)) => (Dir::Known { dev }, listed),
            _ => {
                let dir = layers.open(&part)?;
                let listed = dir.dir().list_quietly()?;
                (Dir::Lower(dir), listed)
            }
        };
        show(dir, Some(which as u32), listed, which + 1 == lower.len())?;
    }
    Ok(())
}
