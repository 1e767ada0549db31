//! Writes a table of contents by a walk over the layer.

use std::ffi::OsStr;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::layer::{Found, LayerDir, Policy, Protection, Verdict};
use crate::sys::xattr::{self, Of};
use crate::sys::{Dir, Errno, Kind, Name, NameBuf, Stat};

use super::format::{self, ENTRY, Entry, Flags, HEADER, Header, Row, Shown};
use super::{OF_ROOT, Viewer};

/// The name of the layer's root in section 0.
const ROOT: &str = "fs";

/// Writes the table of the layer in `root`, whose name is `layer`, for `viewer`.
///
/// # Errors
/// The first error of reading the layer or of writing; `EXDEV` if another file system is mounted in the layer.
pub fn write(to: &mut (impl Write + Seek), layer: &[u8], root: &Dir, viewer: &Viewer) -> io::Result<()> {
    let (stat, policy) = (root.stat_self()?, viewer.policy);
    let identity = viewer.identity(layer, &stat);
    let root = LayerDir::new(root.open_dir(".")?, policy.marks)?;
    to.write_all(&[0; HEADER])?;
    let mut writer = Writer { to, at: HEADER as u64, rows: Vec::new(), todo: Vec::new(), policy, dev: stat.dev };
    let mut top = Section::default();
    let found = Found { opaque: root.is_opaque()?, ..Found::plain(stat) };
    let marks = root.marks()?;
    // Of the root's marks only opaque and protection matter, so it never gets `Flags::ASK`.
    let protection = Protection::of(&stat, &marks);
    let place = writer.describe(&root, None, Found { protection, ..found })?;
    top.push(Name::new(ROOT)?, place.with_section(writer.enter(OF_ROOT, 0, PathBuf::from("."))?))?;
    writer.finish_section(0, top)?;

    let mut next = 0;
    while let Some(todo) = writer.todo.get_mut(next) {
        // Each path is dropped after use: all paths of a deep tree together would take much more memory than the tree.
        let (path, number) = (std::mem::take(todo), next + 1);
        next += 1;
        match writer.section(&root, &path, number) {
            Err(error) if is_refusal(&error) => writer.rows[number].unknown = true,
            other => other?,
        }
    }
    let mut rows = Vec::with_capacity(writer.rows.len() * format::ROW);
    for row in &writer.rows {
        row.put(&mut rows);
    }
    let has_acls = match xattr::get_strict(Of::fd(&root), OsStr::new("system.posix_acl_access")) {
        Err(Errno::OPNOTSUPP) => false,
        Ok(_) | Err(_) => true,
    };
    let header = Header {
        identity,
        len: writer.at + rows.len() as u64,
        rows_at: writer.at,
        rows: u32::try_from(writer.rows.len()).map_err(|_| Errno::FBIG)?,
        rows_crc: format::crc(&rows),
        has_acls,
    };
    to.write_all(&rows)?;
    to.seek(SeekFrom::Start(0))?;
    to.write_all(&header.to_bytes())?;
    to.flush()
}

/// Whether one directory cannot be read; the walk continues with the others.
fn is_refusal(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM))
}

struct Writer<'w, W> {
    to: &'w mut W,
    at: u64,
    rows: Vec<Row>,
    /// Paths of the directories, from section 1 on.
    todo: Vec<PathBuf>,
    policy: Policy,
    dev: u64,
}

/// One entry before it is added to a section.
struct Described {
    entry: Entry,
    target: Vec<u8>,
    shown: Option<Shown>,
}

impl<W: Write> Writer<'_, W> {
    /// Reserves a section for the directory at `path` and returns its number.
    fn enter(&mut self, parent: u32, place: u32, path: PathBuf) -> io::Result<u32> {
        if self.rows.is_empty() {
            self.rows.push(Row::default());
        }
        let number = u32::try_from(self.rows.len()).map_err(|_| Errno::FBIG)?;
        self.rows.push(Row { parent, place, ..Row::default() });
        self.todo.push(path);
        Ok(number)
    }

    fn section(&mut self, root: &LayerDir, path: &Path, number: usize) -> io::Result<()> {
        let dir = root.open_dir(path)?;
        let mut names: Vec<NameBuf> = dir.list_quietly()?.names().into_iter().collect();
        names.sort_by(|one, other| one.as_name().as_bytes().cmp(other.as_name().as_bytes()));
        let above = u32::try_from(number).map_err(|_| Errno::FBIG)?;
        let mut section = Section::default();
        for name in &names {
            let name = name.as_name();
            let described = match dir.lookup(name) {
                Ok(Verdict::Nothing) => continue,
                Ok(Verdict::Whiteout) => Described::whiteout(),
                Ok(Verdict::Entry(found)) if found.stat.dev != self.dev => return Err(Errno::XDEV.into()),
                Ok(Verdict::Entry(found)) => {
                    let is_dir = found.is_dir();
                    let described = self.describe(&dir, Some(name), found)?;
                    let deeper =
                        || if path == Path::new(".") { name.as_os_str().into() } else { path.join(name.as_os_str()) };
                    match is_dir {
                        true => described.with_section(self.enter(above, section.count(), deeper())?),
                        false => described,
                    }
                }
                // For example a malformed mark: with `Flags::ASK` a lookup reads the layer and gets the same error.
                Err(_) => Described::unknown(dir.stat(name)?),
            };
            section.push(name, described)?;
        }
        self.finish_section(number, section)
    }

    /// Describes `name`, or the directory itself if `name` is `None`.
    fn describe(&self, dir: &LayerDir, name: Option<Name<'_>>, found: Found) -> io::Result<Described> {
        let of = name.map_or(Of::fd(dir), |name| Of::Name(dir, name));
        let shown = self.policy.owners.stat(of, found.stat)?;
        let target = match (found.stat.kind, name) {
            (Kind::Symlink, Some(name)) => dir.read_link(name)?.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let told =
            Found { opaque: found.opaque, protection: found.protection, bare: found.bare, ..Found::plain(found.stat) };
        let mut flags = Flags::default();
        flags.set(Flags::OPAQUE, found.opaque);
        flags.set(Flags::XATTRS, !self.policy.own_xattrs(of)?.is_empty());
        flags.set(Flags::IMMUTABLE, found.protection.immutable);
        flags.set(Flags::APPEND_ONLY, found.protection.append_only);
        flags.set(Flags::ASK, told != found);
        let (shown, real) = (Shown::of(&shown), Shown::of(&found.stat));
        flags.set(Flags::SHOWN, shown != real);
        let target_len = u16::try_from(target.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let entry = Entry { stat: found.stat, section: None, flags, name_at: 0, name_len: 0, target_len };
        Ok(Described { entry, target, shown: (shown != real).then_some(shown) })
    }

    fn finish_section(&mut self, number: usize, section: Section) -> io::Result<()> {
        let entries = section.count();
        let Section { entries: mut bytes, text } = section;
        bytes.extend(text);
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::FBIG)?;
        let row = self.rows.get_mut(number).ok_or(Errno::INVAL)?;
        *row = Row { at: self.at, len, entries, crc: format::crc(&bytes), ..*row };
        self.to.write_all(&bytes)?;
        self.at += u64::from(len);
        Ok(())
    }
}

/// A section that is being filled.
#[derive(Default)]
struct Section {
    entries: Vec<u8>,
    text: Vec<u8>,
}

impl Section {
    fn count(&self) -> u32 {
        (self.entries.len() / ENTRY) as u32
    }

    fn push(&mut self, name: Name<'_>, described: Described) -> io::Result<()> {
        let Described { mut entry, target, shown } = described;
        entry.name_at = u32::try_from(self.text.len()).map_err(|_| Errno::FBIG)?;
        entry.name_len = u8::try_from(name.as_bytes().len()).map_err(|_| Errno::NAMETOOLONG)?;
        entry.put(&mut self.entries);
        self.text.extend(name.as_bytes());
        self.text.extend(target);
        if let Some(shown) = shown {
            shown.put(&mut self.text);
        }
        Ok(())
    }
}

impl Described {
    fn with_section(mut self, section: u32) -> Described {
        self.entry.section = Some(section);
        self
    }

    fn whiteout() -> Described {
        let stat = Stat { kind: Kind::CharDevice, ..Stat::default() };
        Described::with(stat, Flags::WHITEOUT)
    }

    fn unknown(stat: Stat) -> Described {
        Described::with(stat, Flags::ASK)
    }

    fn with(stat: Stat, flags: Flags) -> Described {
        let entry = Entry { stat, section: None, flags, name_at: 0, name_len: 0, target_len: 0 };
        Described { entry, target: Vec::new(), shown: None }
    }
}
