//! Sources: resolves paths inside the archive or directory that is loaded.
//!
//! No path leads out of the source: in a directory every step is resolved beneath it, and in an archive a
//! path can only name a member. An uncompressed archive on disk is read in place, and only the positions of its
//! members are kept. A stream or a compressed archive is spooled to the store's `tmp/`, one file a member.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;

use super::super::Store;
use super::super::blobs::{DOCUMENT_MAX, read_document};
use super::super::error::{Result, StoreError, io_at};
use super::super::staging::{Content, From};
use super::super::stream::decompress;
use super::Input;
use crate::image::Compression;
use crate::sys::{Dir, Errno, Kind, OFlags};
use crate::tar::{self, MemberKind, Members};

/// How many links are followed for one path; more are taken for a loop.
const LINKS_MAX: usize = 8;
/// More members than an archive of images has; a tar of a root file system, given by mistake, soon reaches it.
const MEMBERS_MAX: usize = 1 << 16;

pub(super) struct Source {
    /// For messages: the path as it was given.
    name: String,
    /// The file name of the input without its suffixes, a guess at the image's name; `None` for a stream.
    stem: Option<String>,
    tree: Tree,
}

enum Tree {
    Directory(Dir),
    Archive(HashMap<PathBuf, Member>),
}

enum Member {
    /// A part of an archive that is read in place.
    Part {
        archive: Arc<File>,
        at: u64,
        size: u64,
    },
    Spooled {
        path: TempPath,
        size: u64,
    },
    Link(PathBuf),
}

/// A reader of `left` bytes of a file, from the offset `at`.
struct Piece {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Source {
    /// Opens `input`, and finds its members if it is an archive.
    pub(super) fn open(store: &Store, input: Input<'_>) -> Result<Source> {
        let path = match input {
            Input::Stream(stream) => {
                let name = "the archive on standard input".to_owned();
                let tree = Tree::Archive(spool(store, stream, &name)?);
                return Ok(Source { name, stem: None, tree });
            }
            Input::Path(path) => path,
        };
        let name = format!("{path:?}");
        let stem = stem(path);
        match Dir::open_host(path) {
            Ok(dir) => return Ok(Source { name, stem, tree: Tree::Directory(dir) }),
            Err(Errno::NOTDIR) => {}
            Err(error) => return Err(io_at("open", path)(error)),
        }
        let file = Arc::new(File::open(path).map_err(io_at("open", path))?);
        let is_file = file.metadata().map_err(io_at("open", path))?.is_file();
        let members = if is_file && is_plain(&file).map_err(io_at("read", path))? {
            locate(&file, &name)?
        } else {
            spool(store, &*file, &name)?
        };
        Ok(Source { name, stem, tree: Tree::Archive(members) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn stem(&self) -> Option<&str> {
        self.stem.as_deref()
    }

    /// The bytes of the document at `path`, or `None` if there is no such file.
    pub(super) fn document(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.content(path)? else { return Ok(None) };
        let what = format!("{:?}", path.display());
        if content.size > DOCUMENT_MAX {
            return Err(StoreError::TooLarge { what, size: content.size, limit: DOCUMENT_MAX });
        }
        let reader: Box<dyn Read> = match content.from {
            From::Outside(reader) => reader,
            From::Spooled(path) | From::Stored(path) => Box::new(File::open(&path).map_err(io_at("open", &path))?),
        };
        read_document(reader, &what, path).map(Some)
    }

    /// The file at `path`, or `None` if there is no such file.
    pub(super) fn content(&self, path: &Path) -> Result<Option<Content>> {
        let Some(mut at) = normal(Path::new(""), path) else { return Ok(None) };
        let name = path.display().to_string();
        for _ in 0..LINKS_MAX {
            let target = match &self.tree {
                Tree::Directory(dir) => match open_beneath(dir, &at).map_err(io_at("read", path))? {
                    Beneath::File(file, size) => {
                        return Ok(Some(Content { from: From::Outside(Box::new(file)), size, name }));
                    }
                    Beneath::Link(target) => normal(at.parent().unwrap_or(Path::new("")), &target),
                    Beneath::Nothing => None,
                },
                Tree::Archive(members) => match members.get(&at) {
                    Some(Member::Part { archive, at, size }) => {
                        let piece = Piece { file: archive.clone(), at: *at, left: *size };
                        return Ok(Some(Content { from: From::Outside(Box::new(piece)), size: *size, name }));
                    }
                    Some(Member::Spooled { path, size }) => {
                        return Ok(Some(Content { from: From::Spooled(path.to_path_buf()), size: *size, name }));
                    }
                    Some(Member::Link(target)) => Some(target.clone()),
                    None => None,
                },
            };
            match target {
                Some(target) => at = target,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// What [`open_beneath`] found at a path.
enum Beneath {
    File(File, u64),
    Link(PathBuf),
    Nothing,
}

fn open_beneath(dir: &Dir, path: &Path) -> Result<Beneath, Errno> {
    let found = match dir.open_path(path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(Beneath::Nothing),
        other => other?,
    };
    let stat = found.stat()?;
    match stat.kind {
        Kind::Regular => Ok(Beneath::File(found.open(OFlags::RDONLY)?.into(), stat.size)),
        Kind::Symlink => Ok(Beneath::Link(found.read_link()?.into())),
        _ => Ok(Beneath::Nothing),
    }
}

/// Whether `file` is not compressed, so that it can be read in place.
fn is_plain(file: &File) -> io::Result<bool> {
    let mut magic = [0; Compression::MAGIC];
    let read = file.read_at(&mut magic, 0)?;
    Ok(Compression::sniff(&magic[..read]) == Compression::None)
}

/// The positions of the members of the archive.
fn locate(file: &Arc<File>, name: &str) -> Result<HashMap<PathBuf, Member>> {
    list(Members::new(&**file), name, |_, at, size| Ok(Member::Part { archive: file.clone(), at, size }))
}

/// The members of a stream, each in a file of its own.
fn spool(store: &Store, stream: impl Read, name: &str) -> Result<HashMap<PathBuf, Member>> {
    let (stream, _) = decompress(stream).map_err(|error| unreadable(name, tar::Error::Read(error)))?;
    let mut buffer = vec![0; 128 << 10];
    list(Members::new(stream), name, |members, _, size| {
        let mut file = store.empty_file()?;
        loop {
            let read = match members.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(|error| unreadable(name, tar::Error::Read(error)))?,
            };
            file.as_file_mut().write_all(&buffer[..read]).map_err(io_at("write", file.path()))?;
        }
        Ok(Member::Spooled { path: file.into_temp_path(), size })
    })
}

/// All members of an archive by path; `file` is called for each regular file, to keep its content.
fn list<R: Read>(
    mut members: Members<R>,
    name: &str,
    mut file: impl FnMut(&mut Members<R>, u64, u64) -> Result<Member>,
) -> Result<HashMap<PathBuf, Member>> {
    let mut found = HashMap::new();
    while let Some(member) = members.next_member().map_err(|error| unreadable(name, error))? {
        let Some(path) = normal(Path::new(""), &member.path) else { continue };
        let kept = match member.kind {
            MemberKind::File { at, size } => Some(file(&mut members, at, size)?),
            MemberKind::Symlink(target) => normal(path.parent().unwrap_or(Path::new("")), &target).map(Member::Link),
            MemberKind::HardLink(target) => normal(Path::new(""), &target).map(Member::Link),
            MemberKind::Other => None,
        };
        // Of several members with one name the last counts, as in unpacking.
        match kept {
            Some(kept) => found.insert(path, kept),
            None => found.remove(&path),
        };
        if found.len() > MEMBERS_MAX {
            return Err(StoreError::NotAnImage { input: name.into() });
        }
    }
    Ok(found)
}

fn unreadable(name: &str, error: tar::Error) -> StoreError {
    let input = name.into();
    match error {
        tar::Error::Truncated { .. } => StoreError::Truncated { input },
        tar::Error::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => StoreError::Truncated { input },
        tar::Error::Read(source) => StoreError::Read { input, source },
        source => StoreError::NotAnArchive { input, source },
    }
}

/// `path` relative to `base`, without `.` and `..`; `None` when it leads out of the source.
fn normal(base: &Path, path: &Path) -> Option<PathBuf> {
    let mut normal = base.to_path_buf();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            // In an archive an absolute name is relative to the archive's root.
            Component::RootDir if base.as_os_str().is_empty() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// `app` of `/x/app.tar.gz`: a guess at what is inside.
fn stem(path: &Path) -> Option<String> {
    let absolute = path.canonicalize().ok()?;
    let mut name = absolute.file_name()?.to_str()?;
    for suffix in [".gz", ".zst", ".tgz", ".tzst", ".tar", ".oci"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    Some(name.to_owned())
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_source() {
        for (base, path, expected) in [
            ("", "./a/b", Some("a/b")),
            ("", "/a", Some("a")),
            ("a", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "../../b", None),
            ("", "..", None),
            ("a", "/etc/passwd", None),
        ] {
            assert_eq!(normal(base.as_ref(), path.as_ref()), expected.map(PathBuf::from), "{path} from {base}");
        }
    }
}
