//! The tree that an archive is unpacked into: finds or makes the directory that an entry goes to.
//!
//! Nothing outside the layer is ever reached. If a parent is a symbolic link of this layer, it is followed step by step
//! inside the layer, as after `chroot(2)`: `/` is the layer's root, and `..` stops there. Directories get their final
//! mode and time at the end, so that a read-only one can be filled.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::Error;
use super::path::PATH_MAX;
use crate::layer::{Mark, Policy, whiteout};
use crate::sys::xattr::Of;
use crate::sys::{self, Dir, Errno, Kind, Name, NameBuf, SetTime, Timestamp};

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// A directory of the layer, and its path relative to the root, without symbolic links.
#[derive(Debug)]
pub(super) struct Place {
    pub dir: Dir,
    pub path: PathBuf,
    /// Its position in `Tree::known`.
    known: usize,
}

/// Attributes that a directory gets after everything is unpacked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    pub perm: u32,
    pub mtime: Timestamp,
}

/// For a directory that no entry describes. Its time is fixed, so that the same archive always makes the same tree.
const IMPLIED: Finish = Finish { perm: 0o755, mtime: Timestamp { sec: 0, nsec: 0 } };

#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: &'a Dir,
    policy: Policy,
    /// Each after its parent. Has names and parents instead of paths: all paths of a deep tree together would take much
    /// more memory than the tree.
    known: Vec<Known>,
    /// The directory of the previous entry; the next entry is mostly in the same one.
    recent: Option<(Vec<NameBuf>, Rc<Place>)>,
}

/// A directory of the layer that some entry needs.
#[derive(Debug)]
struct Known {
    /// Its parent and name; `None` for the root.
    place: Option<(usize, NameBuf)>,
    below: BTreeMap<NameBuf, usize>,
    /// `None` if it was removed or already existed.
    finish: Option<Finish>,
}

/// The position of the layer's root in `Tree::known`.
const ROOT: usize = 0;

/// One step of a walk.
enum Step {
    Down(NameBuf),
    Up,
    ToRoot,
}

/// What is found at a step down.
enum Met {
    Dir(Dir),
    Link(OsString),
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Dir, policy: Policy) -> Tree<'a> {
        let known = Known { place: None, below: BTreeMap::new(), finish: Some(IMPLIED) };
        Tree { root, policy, known: vec![known], recent: None }
    }

    pub(super) fn root(&self) -> &'a Dir {
        self.root
    }

    /// The directory that `steps` lead to, for the entry `of`. Makes missing directories.
    ///
    /// # Errors
    /// `Parent` if a step is no directory.
    pub(super) fn place(&mut self, steps: &[NameBuf], of: &Path) -> Result<Rc<Place>, Error> {
        let recent =
            self.recent.as_ref().and_then(|(recent, place)| Some((steps.strip_prefix(recent.as_slice())?, place)));
        let place = match recent.map(|(rest, place)| (rest, place.clone())) {
            Some(([], place)) => return Ok(place),
            // Continues from the previous entry's directory: in a deep tree the path from the root is long.
            Some((rest, place)) => {
                let dir = place.dir.open_dir(".").map_err(fail_to_reach(of))?;
                self.walk(Place { dir, path: place.path.clone(), known: place.known }, rest, of)?
            }
            None => match self.direct(steps) {
                Some(place) => place,
                None => {
                    let root = self.root_place().map_err(fail_to_reach(of))?;
                    self.walk(root, steps, of)?
                }
            },
        };
        let place = Rc::new(place);
        self.recent = Some((steps.to_vec(), place.clone()));
        Ok(place)
    }

    /// As [`place`](Self::place), in one system call; `None` unless all steps are existing directories.
    fn direct(&mut self, steps: &[NameBuf]) -> Option<Place> {
        let path: PathBuf = steps.iter().map(NameBuf::as_os_str).collect();
        let dir = self.root.open_dir(or_dot(&path)).ok()?;
        let known = steps.iter().fold(ROOT, |known, step| self.known(known, step));
        Some(Place { dir, path, known })
    }

    fn root_place(&self) -> sys::Result<Place> {
        Ok(Place { dir: self.root.open_dir(".")?, path: PathBuf::new(), known: ROOT })
    }

    /// The position of the directory `name` in the known directory `parent`; adds it if it is new.
    fn known(&mut self, parent: usize, name: &NameBuf) -> usize {
        if let Some(known) = self.known[parent].below.get(name) {
            return *known;
        }
        let new = self.known.len();
        self.known.push(Known { place: Some((parent, name.clone())), below: BTreeMap::new(), finish: None });
        self.known[parent].below.insert(name.clone(), new);
        new
    }

    /// The path relative to the root.
    fn path_of(&self, mut known: usize) -> PathBuf {
        let mut names = Vec::new();
        while let Some((parent, name)) = &self.known[known].place {
            names.push(name.as_os_str());
            known = *parent;
        }
        names.into_iter().rev().collect()
    }

    fn walk(&mut self, mut here: Place, steps: &[NameBuf], of: &Path) -> Result<Place, Error> {
        let fail = fail_to_reach(of);
        let mut todo: VecDeque<Step> = steps.iter().cloned().map(Step::Down).collect();
        let mut links = 0;
        while let Some(step) = todo.pop_front() {
            match step {
                Step::ToRoot => here = self.root_place().map_err(fail)?,
                Step::Up => {
                    here.path.pop();
                    here.known = self.known[here.known].place.as_ref().map_or(ROOT, |(parent, _)| *parent);
                    here.dir = self.root.open_dir(or_dot(&here.path)).map_err(fail)?;
                }
                Step::Down(name) => match self.descend(&here, &name, of)? {
                    Met::Dir(dir) => {
                        here.dir = dir;
                        here.path.push(name.as_os_str());
                        here.known = self.known(here.known, &name);
                    }
                    Met::Link(_) if links == LINKS_MAX => return Err(Error::TooManyLinks { path: of.into() }),
                    Met::Link(target) => {
                        links += 1;
                        for step in steps_of(Path::new(&target)).map_err(fail)?.into_iter().rev() {
                            todo.push_front(step);
                        }
                    }
                },
            }
        }
        Ok(here)
    }

    fn descend(&mut self, here: &Place, name: &NameBuf, of: &Path) -> Result<Met, Error> {
        let fail = fail_to_reach(of);
        if here.path.as_os_str().len() + name.as_os_str().len() + 1 >= PATH_MAX {
            return Err(fail(Errno::NAMETOOLONG));
        }
        match here.dir.open_dir(name.as_os_str()) {
            Ok(dir) => return Ok(Met::Dir(dir)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(fail(error)),
        }
        match here.dir.stat(name.as_name()) {
            Ok(stat) if stat.kind == Kind::Symlink => here.dir.read_link(name.as_name()).map(Met::Link).map_err(fail),
            Ok(stat) if !stat.is_whiteout_device() => {
                Err(Error::Parent { path: of.into(), parent: here.path.join(name.as_os_str()) })
            }
            _ => {
                self.make_dir(here, name.as_name()).map_err(fail)?;
                here.dir.open_dir(name.as_os_str()).map(Met::Dir).map_err(fail)
            }
        }
    }

    /// Makes `name` a directory, or keeps the one that is there. A directory that replaces another entry or a whiteout
    /// becomes opaque.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub(super) fn make_dir(&mut self, place: &Place, name: Name<'_>) -> sys::Result<()> {
        // Until it gets its final mode, entries must be made in it.
        match place.dir.make_dir(name, 0o700) {
            Err(Errno::EXIST) => {
                if place.dir.stat(name)?.kind == Kind::Directory {
                    return Ok(());
                }
                self.clear(place, name)?;
                place.dir.make_dir(name, 0o700)?;
                self.make_opaque(Of::Name(&place.dir, name))?;
            }
            other => other?,
        }
        self.finish_later(place, name, IMPLIED);
        Ok(())
    }

    /// Removes the entry `name`, if there is one, to make room for another.
    ///
    /// # Errors
    /// The first error of the walk.
    pub(super) fn clear(&mut self, place: &Place, name: Name<'_>) -> sys::Result<()> {
        let mut gone: Vec<usize> = self.known[place.known].below.remove(&name.to_owned()).into_iter().collect();
        while let Some(known) = gone.pop() {
            self.known[known].finish = None;
            gone.extend(std::mem::take(&mut self.known[known].below).into_values());
        }
        self.recent = None;
        place.dir.remove_all(name)
    }

    /// Hides `name` in lower layers. An entry of this layer stays: a file hides what is below anyway, and a directory
    /// becomes opaque. So the order of an entry and its whiteout does not matter.
    ///
    /// # Errors
    /// As `mknodat(2)` and `setxattr(2)`.
    pub(super) fn hide(&mut self, place: &Place, name: Name<'_>) -> sys::Result<()> {
        match whiteout::create(&place.dir, name) {
            Err(Errno::EXIST) if place.dir.stat(name)?.kind == Kind::Directory => {
                self.make_opaque(Of::Name(&place.dir, name))
            }
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// Hides what lower layers have in this directory.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub(super) fn make_opaque(&self, dir: Of<'_>) -> sys::Result<()> {
        self.policy.marks.set(dir, Mark::Opaque, b"y")
    }

    /// Sets the attributes that the directory `name` gets after everything is unpacked.
    pub(super) fn finish_later(&mut self, place: &Place, name: Name<'_>, finish: Finish) {
        let known = self.known(place.known, &name.to_owned());
        self.known[known].finish = Some(finish);
    }

    /// Sets the attributes that the root gets after everything is unpacked.
    pub(super) fn finish_root_later(&mut self, finish: Finish) {
        self.known[ROOT].finish = Some(finish);
    }

    /// Gives the directories their modes and times, children before their parents.
    ///
    /// # Errors
    /// The first error, with the directory's path.
    pub(super) fn finish(self) -> Result<(), Error> {
        for (which, known) in self.known.iter().enumerate().rev() {
            let Some(Finish { perm, mtime }) = known.finish else { continue };
            let (time, path) = (SetTime::To(mtime), self.path_of(which));
            self.root
                .open_path(or_dot(&path))
                .and_then(|dir| dir.set_perm(perm).and_then(|()| dir.set_times(time, time)))
                .map_err(|source| Error::Tree { path, action: "set its mode and time", source })?;
        }
        Ok(())
    }
}

fn fail_to_reach(of: &Path) -> impl Fn(Errno) -> Error + Copy {
    move |source| Error::Tree { path: of.into(), action: "reach its directory", source }
}

/// Replaces the root's path, which is empty, with `.`: the kernel does not accept an empty path.
fn or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn steps_of(target: &Path) -> sys::Result<Vec<Step>> {
    let step = |component| match component {
        Component::Normal(name) => Some(NameBuf::new(name).map(Step::Down)),
        Component::ParentDir => Some(Ok(Step::Up)),
        Component::RootDir => Some(Ok(Step::ToRoot)),
        Component::CurDir | Component::Prefix(_) => None,
    };
    target.components().filter_map(step).collect()
}
