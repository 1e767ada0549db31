//! Search: looks up one name in layer after layer and follows redirects.
//!
//! Yields the verdicts that [`resolve`](super::resolve) combines. If an entry has a redirect, the layers below are
//! searched for the name or path that it gives.

use std::path::{Path, PathBuf};

use crate::sys::{Errno, Kind, Name, NameBuf, Result, Stat};

use super::{
    Found, LayerDir, Layers, LowerDir, LowerDirs, LowerFile, Namespace, Part, Redirect, Resolution, Verdict, resolve,
};

/// What a name is, and for a metadata-only file also the file that has its data.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the layers together say.
    pub is: Resolution<Part>,
    /// For a metacopy: the file that has its data, and its attributes.
    pub data: Option<(LowerFile, Stat)>,
}

/// A range of the directories that merge, outside of which none has a name. Known once all of them were listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerRange {
    first: u32,
    /// One after the last.
    end: u32,
}

impl LayerRange {
    /// No layer.
    pub const NONE: LayerRange = LayerRange { first: 0, end: 0 };
    /// All layers.
    pub const ALL: LayerRange = LayerRange { first: 0, end: u32::MAX };

    /// Directory `which` is the topmost that has or hides the name.
    pub fn from(which: u32) -> LayerRange {
        LayerRange { first: which, end: which + 1 }
    }

    /// Extends the range: directory `which`, further down, also has the name. A directory in between may hide it.
    pub fn and(self, which: u32) -> LayerRange {
        LayerRange { end: self.end.max(which.saturating_add(1)), ..self }
    }
}

/// Looks up `name` in `upper` and then in `parents`.
///
/// # Errors
/// The first error of reading a layer; `EIO` for a redirect that leads to nothing; `EPERM` for a redirect that may not
/// be followed.
pub fn lookup(layers: &impl Layers, upper: Option<&LayerDir>, parents: &LowerDirs, name: Name<'_>) -> Result<Resolved> {
    lookup_in_range(layers, upper, (parents, LayerRange::ALL), name)
}

/// As [`lookup`], but searches only the directories of `parents` in `range`.
///
/// # Errors
/// As [`lookup`].
pub fn lookup_in_range(
    layers: &impl Layers,
    upper: Option<&LayerDir>,
    (parents, range): (&LowerDirs, LayerRange),
    name: Name<'_>,
) -> Result<Resolved> {
    let resolved = lookup_as_stored(layers, upper, (parents, range), name)?;
    let Resolution::Leaf(Part::Lower(file), found) = &resolved.is else { return Ok(resolved) };
    if found.stat.nlink < 2 {
        return Ok(resolved);
    }
    let Some((part, copy)) = layers.copy_of(file, found)? else { return Ok(resolved) };
    let data = copy.metacopy.then(|| resolved.data.clone().unwrap_or_else(|| (file.clone(), found.stat)));
    Ok(Resolved { is: Resolution::Leaf(part, copy), data })
}

/// As [`lookup_in_range`], but without the hardlink index: a lower file with several names stays the lower file, even
/// if it was copied up under another name.
///
/// # Errors
/// As [`lookup`].
pub(super) fn lookup_as_stored(
    layers: &impl Layers,
    upper: Option<&LayerDir>,
    (parents, range): (&LowerDirs, LayerRange),
    name: Name<'_>,
) -> Result<Resolved> {
    let range = LayerRange { end: range.end.min(parents.len() as u32), ..range };
    let mut search = Search { layers, upper, aim: Aim::Name { parents, range, name: name.to_owned() } };
    let is = resolve(&mut search)?;
    let data = match &is {
        Resolution::Leaf(_, found) if found.metacopy => Some(search.data()?),
        Resolution::Dir(parts) if parts.last().is_some_and(|(_, end)| end.redirect.is_some() && !end.opaque) => {
            return Err(Errno::IO);
        }
        _ => None,
    };
    Ok(Resolved { is, data })
}

/// What to look up in the layers that are still to be searched.
#[derive(Debug)]
enum Aim<'a> {
    /// A name in these directories.
    Name { parents: &'a LowerDirs, range: LayerRange, name: NameBuf },
    /// A path from the root, in layer `layer` and those below it.
    Path { path: PathBuf, layer: usize },
}

/// Iterates over the verdicts, newest layer first.
struct Search<'a, L> {
    layers: &'a L,
    upper: Option<&'a LayerDir>,
    aim: Aim<'a>,
}

impl<'a, L: Layers> Search<'a, L> {
    /// Continues the search after a metadata-only file and returns the file that has its data.
    ///
    /// # Errors
    /// `EIO` if there is none.
    fn data(&mut self) -> Result<(LowerFile, Stat)> {
        for answer in self.by_ref() {
            match answer? {
                (_, Verdict::Nothing) => {}
                (_, Verdict::Entry(found)) if found.metacopy => {}
                (Part::Lower(file), Verdict::Entry(found)) if found.stat.kind == Kind::Regular => {
                    return Ok((file, found.stat));
                }
                _ => return Err(Errno::IO),
            }
        }
        // Only absolute redirects lead to data-only layers.
        let Aim::Path { path, .. } = &self.aim else { return Err(Errno::IO) };
        let count = self.layers.count();
        for layer in count..count + self.layers.data_only() {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let dir = LowerDir::new(layer, parent);
            let opened = match self.layers.layer(layer)?.root().open_dir(dir.path()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                other => other?,
            };
            let name = NameBuf::new(name)?;
            match opened.stat(name.as_name()) {
                Err(Errno::NOENT) => {}
                Ok(stat) if stat.kind == Kind::Regular => return Ok((LowerFile { dir, name }, stat)),
                Ok(_) => return Err(Errno::IO),
                Err(e) => return Err(e),
            }
        }
        Err(Errno::IO)
    }

    fn next_verdict(&mut self) -> Result<Option<(Part, Verdict)>> {
        if let Some(upper) = self.upper.take() {
            let Aim::Name { name, parents, .. } = &self.aim else { return Err(Errno::IO) };
            let name = name.as_name();
            let verdict = if parents.is_empty() { upper.lookup_over_nothing(name)? } else { upper.lookup(name)? };
            self.follow(&verdict, 0)?;
            return Ok(Some((Part::Upper, verdict)));
        }
        match &mut self.aim {
            Aim::Name { parents, range, name } => {
                let next = parents.next(range.first as usize, name.as_name());
                let Some(dir) = next.filter(|dir| dir.which() < range.end as usize) else { return Ok(None) };
                let name = name.clone();
                range.first = dir.which() as u32 + 1;
                let verdict = dir.lookup(self.layers, name.as_name(), range.first == range.end)?;
                self.follow(&verdict, dir.layer() + 1)?;
                Ok(Some((Part::Lower(LowerFile { dir, name }), verdict)))
            }
            Aim::Path { path, layer } => {
                if *layer >= self.layers.count() {
                    return Ok(None);
                }
                let (here, path) = (*layer, path.clone());
                *layer += 1;
                let walked = walk(self.layers, here, &path)?;
                if let Aim::Path { path, .. } = &mut self.aim {
                    *path = walked.continues;
                }
                self.follow(&walked.verdict, here + 1)?;
                Ok(Some((Part::Lower(walked.file), walked.verdict)))
            }
        }
    }

    /// Follows the redirect of `verdict`, if it has one. `below` is the first layer below the one that gave the
    /// verdict.
    fn follow(&mut self, verdict: &Verdict, below: usize) -> Result<()> {
        let Verdict::Entry(Found { redirect: Some(redirect), opaque: false, metacopy, .. }) = verdict else {
            return Ok(());
        };
        // Any user may set user.* marks on his own files, and could so make them show the data of another file.
        if !self.layers.follows_redirects() || (*metacopy && self.layers.namespace() == Namespace::User) {
            return Err(Errno::PERM);
        }
        match (redirect, &mut self.aim) {
            (Redirect::Sibling(to), Aim::Name { parents, range, name }) => {
                // The range was known for the old name only: any directory not searched yet may have the new name.
                *range = LayerRange { first: if below == 0 { 0 } else { range.first }, end: parents.len() as u32 };
                *name = to.clone();
            }
            (Redirect::Sibling(to), Aim::Path { path, .. }) => path.set_file_name(to.as_os_str()),
            (Redirect::Path(path), aim) => *aim = Aim::Path { path: path.clone(), layer: below },
        }
        Ok(())
    }
}

impl<L: Layers> Iterator for Search<'_, L> {
    type Item = Result<(Part, Verdict)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_verdict().transpose()
    }
}

/// The result of a path lookup in one layer.
struct Walked {
    file: LowerFile,
    verdict: Verdict,
    /// The path to look up in the layers below.
    continues: PathBuf,
}

/// Looks up an absolute path in one layer, step by step, and applies that layer's own redirects and opaque marks.
fn walk(layers: &impl Layers, layer: usize, path: &Path) -> Result<Walked> {
    let mut steps = path.iter().skip(1).map(NameBuf::new).collect::<Result<Vec<_>>>()?;
    let last = steps.pop().ok_or(Errno::INVAL)?;
    let mut dir = layers.layer(layer)?.root().open_dir(".")?;
    let mut continues = PathBuf::from("/");
    let mut last_layer = false;
    let end = |verdict, continues: PathBuf| {
        let dir = LowerDir::new(layer, path.parent().unwrap_or(path));
        Ok(Walked { file: LowerFile { dir, name: last.clone() }, verdict, continues })
    };
    for (done, step) in steps.iter().enumerate() {
        match dir.lookup(step.as_name())? {
            // The layer does not have this step, so it has no redirects for the remaining steps: they keep their names.
            Verdict::Nothing => {
                continues.extend(steps[done..].iter().map(NameBuf::as_os_str));
                continues.push(last.as_os_str());
                let verdict = if last_layer { Verdict::Whiteout } else { Verdict::Nothing };
                return end(verdict, continues);
            }
            Verdict::Entry(found) if found.is_dir() => {
                continues.push(step.as_os_str());
                match found.redirect {
                    Some(redirect) if !found.opaque => {
                        last_layer &= !matches!(redirect, Redirect::Path(_));
                        continues = redirect.from(&continues);
                    }
                    _ => last_layer |= found.opaque,
                }
                dir = dir.open_dir(step.as_os_str())?;
            }
            Verdict::Whiteout | Verdict::Entry(_) => return end(Verdict::Whiteout, continues),
        }
    }
    continues.push(last.as_os_str());
    let verdict = match dir.lookup(last.as_name())? {
        Verdict::Nothing if last_layer => Verdict::Whiteout,
        Verdict::Entry(found) if last_layer && !matches!(found.redirect, Some(Redirect::Path(_))) => {
            Verdict::Entry(Found { opaque: found.is_dir(), ..found })
        }
        verdict => verdict,
    };
    end(verdict, continues)
}
