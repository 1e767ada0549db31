//! The tree that an archive is unpacked into: finds and makes the place that an entry goes to.
//!
//! Holds that nothing outside the layer is ever reached. Parents that are symbolic links of this
//! layer are followed as a process in it would: step by step, with `/` and the last `..` at its root.
//! Directories get their final mode and time at the end, so that a read-only one can be filled.

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

/// A directory of the layer, and where it really is: relative to the root, without links.
#[derive(Debug)]
pub(super) struct Place {
    pub dir: Dir,
    pub path: PathBuf,
    /// Which of the known directories it is.
    known: usize,
}

/// What a directory shall look like when all is unpacked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    pub perm: u32,
    pub mtime: Timestamp,
}

/// A directory that no entry describes. Its time is fixed, so that one archive always makes one tree.
const IMPLIED: Finish = Finish { perm: 0o755, mtime: Timestamp { sec: 0, nsec: 0 } };

#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: &'a Dir,
    policy: Policy,
    /// Each behind its parent. By name and parent, since the paths of a deep tree together are much longer than the tree is
    /// large.
    known: Vec<Known>,
    /// Where the entry before this one went: most follow it there.
    recent: Option<(Vec<NameBuf>, Rc<Place>)>,
}

/// A directory of the layer that some entry needs.
#[derive(Debug)]
struct Known {
    /// Where it is: none for the root.
    place: Option<(usize, NameBuf)>,
    below: BTreeMap<NameBuf, usize>,
    /// Unless it was removed, or was there before.
    finish: Option<Finish>,
}

/// The root of the layer among the known directories.
const ROOT: usize = 0;

/// One step of a walk.
enum Step {
    Down(NameBuf),
    Up,
    ToRoot,
}

/// What a step down meets.
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

    /// The directory that `steps` lead to, for the entry `of`; what is missing is made.
    ///
    /// # Errors
    /// `Parent` where something stands that is no directory.
    pub(super) fn place(&mut self, steps: &[NameBuf], of: &Path) -> Result<Rc<Place>, Error> {
        let recent =
            self.recent.as_ref().and_then(|(recent, place)| Some((steps.strip_prefix(recent.as_slice())?, place)));
        let place = match recent.map(|(rest, place)| (rest, place.clone())) {
            Some(([], place)) => return Ok(place),
            // Each directory of a deep tree is reached from the one above it.
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

    /// In one system call, when all steps are directories.
    fn direct(&mut self, steps: &[NameBuf]) -> Option<Place> {
        let path: PathBuf = steps.iter().map(NameBuf::as_os_str).collect();
        let dir = self.root.open_dir(or_dot(&path)).ok()?;
        let known = steps.iter().fold(ROOT, |known, step| self.known(known, step));
        Some(Place { dir, path, known })
    }

    fn root_place(&self) -> sys::Result<Place> {
        Ok(Place { dir: self.root.open_dir(".")?, path: PathBuf::new(), known: ROOT })
    }

    /// The directory `name` in a known one.
    fn known(&mut self, parent: usize, name: &NameBuf) -> usize {
        if let Some(known) = self.known[parent].below.get(name) {
            return *known;
        }
        let new = self.known.len();
        self.known.push(Known { place: Some((parent, name.clone())), below: BTreeMap::new(), finish: None });
        self.known[parent].below.insert(name.clone(), new);
        new
    }

    /// Relative to the root.
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

    /// Makes `name` a directory, or keeps the one that is there. One that takes the place of
    /// something else, a whiteout included, hides what lower layers have under its name.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub(super) fn make_dir(&mut self, place: &Place, name: Name<'_>) -> sys::Result<()> {
        // Whatever its mode will be, it must take entries until then.
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

    /// Removes what stands at `name`, to make room for another entry.
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

    /// Hides `name` of lower layers. An entry of this layer is not hidden by it: a file hides what is
    /// below anyway, a directory starts afresh. So the order of the two does not matter.
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

    /// Says how the directory `name` shall look when all is unpacked.
    pub(super) fn finish_later(&mut self, place: &Place, name: Name<'_>, finish: Finish) {
        let known = self.known(place.known, &name.to_owned());
        self.known[known].finish = Some(finish);
    }

    /// Says how the root shall look when all is unpacked.
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

/// The root has the empty path, which the kernel does not take.
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
