//! Search: asks layer after layer for one name, and goes where redirects lead.
//!
//! Yields what [`resolve`](super::resolve) wants to hear. Where a layer says that what it has continues
//! under another name or path, the layers below are asked for that.

use std::path::{Path, PathBuf};

use crate::sys::{Errno, Kind, Name, NameBuf, Result, Stat};

use super::{
    Found, LayerDir, Layers, LowerDir, LowerDirs, LowerFile, Namespace, Part, Redirect, Resolution, Seen, resolve,
};

/// What a name is, and for a metadata-only file which file has its data.
#[derive(Clone, Debug)]
pub struct Look {
    pub is: Resolution<Part>,
    pub data: Option<(LowerFile, Stat)>,
}

/// Which of the directories that merge may have a name: what is known after all were listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Among {
    first: u32,
    /// Behind the last.
    end: u32,
}

impl Among {
    pub const NONE: Among = Among { first: 0, end: 0 };
    pub const ALL: Among = Among { first: 0, end: u32::MAX };

    /// The topmost that has the name, or hides it, is `which`.
    pub fn from(which: u32) -> Among {
        Among { first: which, end: which + 1 }
    }

    /// Directory `which`, below those, has the name as well. One between them may hide it.
    pub fn and(self, which: u32) -> Among {
        Among { end: self.end.max(which.saturating_add(1)), ..self }
    }
}

/// What `upper`, and then the layers of `parents`, say of `name`.
///
/// # Errors
/// What a layer answers; `EIO` where a redirect leads to nothing, and `EPERM` where none is followed.
pub fn look(layers: &impl Layers, upper: Option<&LayerDir>, parents: &LowerDirs, name: Name<'_>) -> Result<Look> {
    look_among(layers, upper, (parents, Among::ALL), name)
}

/// As [`look`], where some of `parents` need not be asked.
///
/// # Errors
/// As [`look`].
pub fn look_among(
    layers: &impl Layers,
    upper: Option<&LayerDir>,
    (parents, among): (&LowerDirs, Among),
    name: Name<'_>,
) -> Result<Look> {
    let look = look_as_stored(layers, upper, (parents, among), name)?;
    let Resolution::Leaf(Part::Lower(file), found) = &look.is else { return Ok(look) };
    if found.stat.nlink < 2 {
        return Ok(look);
    }
    let Some((part, copy)) = layers.copy_of(file, found)? else { return Ok(look) };
    let data = copy.metacopy.then(|| look.data.clone().unwrap_or_else(|| (file.clone(), found.stat)));
    Ok(Look { is: Resolution::Leaf(part, copy), data })
}

/// As [`look_among`], and a lower file of several names is what the layers have under this one, whether or not it was copied
/// up under another.
///
/// # Errors
/// As [`look`].
pub(super) fn look_as_stored(
    layers: &impl Layers,
    upper: Option<&LayerDir>,
    (parents, among): (&LowerDirs, Among),
    name: Name<'_>,
) -> Result<Look> {
    let among = Among { end: among.end.min(parents.len() as u32), ..among };
    let mut search = Search { layers, upper, aim: Aim::Name { parents, among, name: name.to_owned() } };
    let is = resolve(&mut search)?;
    let data = match &is {
        Resolution::Leaf(_, found) if found.metacopy => Some(search.data()?),
        Resolution::Dir(parts) if parts.last().is_some_and(|(_, end)| end.redirect.is_some() && !end.opaque) => {
            return Err(Errno::IO);
        }
        _ => None,
    };
    Ok(Look { is, data })
}

/// What the layers below are to be asked for.
#[derive(Debug)]
enum Aim<'a> {
    /// A name in these directories.
    Name { parents: &'a LowerDirs, among: Among, name: NameBuf },
    /// A path, from the root of this layer and those below it.
    Path { path: PathBuf, layer: usize },
}

/// The answers, newest layer first.
struct Search<'a, L> {
    layers: &'a L,
    upper: Option<&'a LayerDir>,
    aim: Aim<'a>,
}

impl<'a, L: Layers> Search<'a, L> {
    /// After a metadata-only file: the file that has its data.
    ///
    /// # Errors
    /// `EIO` where there is none.
    fn data(&mut self) -> Result<(LowerFile, Stat)> {
        for answer in self.by_ref() {
            match answer? {
                (_, Seen::Nothing) => {}
                (_, Seen::Entry(found)) if found.metacopy => {}
                (Part::Lower(file), Seen::Entry(found)) if found.stat.kind == Kind::Regular => {
                    return Ok((file, found.stat));
                }
                _ => return Err(Errno::IO),
            }
        }
        // Data-only layers are found by absolute redirects alone.
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

    fn ask(&mut self) -> Result<Option<(Part, Seen)>> {
        if let Some(upper) = self.upper.take() {
            let Aim::Name { name, parents, .. } = &self.aim else { return Err(Errno::IO) };
            let name = name.as_name();
            let seen = if parents.is_empty() { upper.see_over_nothing(name)? } else { upper.see(name)? };
            self.turn(&seen, 0)?;
            return Ok(Some((Part::Upper, seen)));
        }
        match &mut self.aim {
            Aim::Name { parents, among, name } => {
                let next = parents.next(among.first as usize, name.as_name());
                let Some(dir) = next.filter(|dir| dir.which() < among.end as usize) else { return Ok(None) };
                let name = name.clone();
                among.first = dir.which() as u32 + 1;
                let seen = dir.see(self.layers, name.as_name(), among.first == among.end)?;
                self.turn(&seen, dir.layer() + 1)?;
                Ok(Some((Part::Lower(LowerFile { dir, name }), seen)))
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
                self.turn(&walked.seen, here + 1)?;
                Ok(Some((Part::Lower(walked.file), walked.seen)))
            }
        }
    }

    /// Goes on where `seen` says that it continues: from the root of layer `below`, or beside.
    fn turn(&mut self, seen: &Seen, below: usize) -> Result<()> {
        let Seen::Entry(Found { redirect: Some(redirect), opaque: false, metacopy, .. }) = seen else { return Ok(()) };
        // With user.* marks, whoever may write a file's attributes could show it the data of another.
        if !self.layers.follows_redirects() || (*metacopy && self.layers.namespace() == Namespace::User) {
            return Err(Errno::PERM);
        }
        match (redirect, &mut self.aim) {
            (Redirect::Sibling(to), Aim::Name { parents, among, name }) => {
                // By that name all others may have it that have not been asked.
                *among = Among { first: if below == 0 { 0 } else { among.first }, end: parents.len() as u32 };
                *name = to.clone();
            }
            (Redirect::Sibling(to), Aim::Path { path, .. }) => path.set_file_name(to.as_os_str()),
            (Redirect::Path(path), aim) => *aim = Aim::Path { path: path.clone(), layer: below },
        }
        Ok(())
    }
}

impl<L: Layers> Iterator for Search<'_, L> {
    type Item = Result<(Part, Seen)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.ask().transpose()
    }
}

/// What one layer says of a path.
struct Walked {
    file: LowerFile,
    seen: Seen,
    /// The path by which the layers below have it.
    continues: PathBuf,
}

/// Follows an absolute path step by step, as the layer's own marks have it.
fn walk(layers: &impl Layers, layer: usize, path: &Path) -> Result<Walked> {
    let mut steps = path.iter().skip(1).map(NameBuf::new).collect::<Result<Vec<_>>>()?;
    let last = steps.pop().ok_or(Errno::INVAL)?;
    let mut dir = layers.layer(layer)?.root().open_dir(".")?;
    let mut continues = PathBuf::from("/");
    let mut last_layer = false;
    let end = |seen, continues: PathBuf| {
        let dir = LowerDir::new(layer, path.parent().unwrap_or(path));
        Ok(Walked { file: LowerFile { dir, name: last.clone() }, seen, continues })
    };
    for (done, step) in steps.iter().enumerate() {
        match dir.see(step.as_name())? {
            // The step itself was redirected by a layer above; what follows it keeps its names.
            Seen::Nothing => {
                continues.extend(steps[done..].iter().map(NameBuf::as_os_str));
                continues.push(last.as_os_str());
                let seen = if last_layer { Seen::Whiteout } else { Seen::Nothing };
                return end(seen, continues);
            }
            Seen::Entry(found) if found.is_dir() => {
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
            Seen::Whiteout | Seen::Entry(_) => return end(Seen::Whiteout, continues),
        }
    }
    continues.push(last.as_os_str());
    let seen = match dir.see(last.as_name())? {
        Seen::Nothing if last_layer => Seen::Whiteout,
        Seen::Entry(found) if last_layer && !matches!(found.redirect, Some(Redirect::Path(_))) => {
            Seen::Entry(Found { opaque: found.is_dir(), ..found })
        }
        seen => seen,
    };
    end(seen, continues)
}
