//! A table gives the same answers as its layer, and a damaged table gives none.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{self, HEADER, Header, ROW, Row};
use super::*;
use crate::layer::{LayerDir, Mark, Recorded, Verdict};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{Kind, Name};

const LAYER: &[u8] = b"a layer";

fn policy(owners: Owners) -> Policy {
    Policy { marks: Namespace::of_this_process(), owners }
}

fn viewer(policy: Policy) -> Viewer {
    Viewer::new(policy).unwrap()
}

/// A layer with every kind of fact that a table records.
struct Layer {
    dir: TempDir,
    policy: Policy,
}

impl Layer {
    fn new(owners: Owners) -> Layer {
        let dir = tempfile::tempdir().unwrap();
        let layer = Layer { dir, policy: policy(owners) };
        let at = |name: &str| layer.dir.path().join("fs").join(name);
        for name in ["d/e/f", "opaque", "marked", "moved", "files", "empty"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["file", "d/one", "d/.wh.gone", "d/e/.wh..wh..opq", "d/e/f/x", "marked/gone", "d/.wh.e", "recorded"]
        {
            fs::write(at(name), "").unwrap();
        }
        for count in 0..40 {
            fs::write(at(&format!("files/{count}")), "x".repeat(count)).unwrap();
        }
        fs::hard_link(at("d/one"), at("d/two")).unwrap();
        symlink("a/target", at("d/link")).unwrap();
        let root = layer.root();
        let marks = layer.policy.marks;
        let of = |dir: &str, mark, value: &[u8]| marks.set(Of::fd(&root.open_dir(dir).unwrap()), mark, value).unwrap();
        of("opaque", Mark::Opaque, b"y");
        of("marked", Mark::Opaque, b"x");
        of("moved", Mark::Redirect, b"/elsewhere");
        marks
            .set(Of::Name(&root.open_dir("marked").unwrap(), Name::new("gone").unwrap()), Mark::Whiteout, b"y")
            .unwrap();
        let file = Of::Name(&root, Name::new("file").unwrap());
        xattr::set(file, OsStr::new("user.k"), b"v", Set::Any).unwrap();
        let device = Recorded { uid: 7, gid: 8, perm: 0o640, kind: Some(Kind::BlockDevice), rdev: 0x102 };
        device.write(Of::Name(&root, Name::new("recorded").unwrap())).unwrap();
        layer
    }

    fn root(&self) -> Dir {
        Dir::open_host(&self.dir.path().join("fs")).unwrap()
    }

    fn table(&self) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes, LAYER, &self.root(), &viewer(self.policy)).unwrap();
        bytes.into_inner()
    }

    fn open(&self, bytes: &[u8]) -> Result<Arc<Toc>, Unfit> {
        let path = self.dir.path().join("toc");
        fs::write(&path, bytes).unwrap();
        Toc::open(&path, LAYER, &self.root(), &viewer(self.policy)).map(Arc::new)
    }

    fn layer_dir(&self) -> LayerDir {
        LayerDir::new(self.root(), self.policy.marks).unwrap()
    }
}

/// All answers of a table, by path. Where the layer must be read there is none.
fn told(toc: &Arc<Toc>) -> BTreeMap<PathBuf, String> {
    let mut told = BTreeMap::new();
    let mut todo: Vec<_> = toc.root().map(|root| (PathBuf::new(), root)).into_iter().collect();
    while let Some((path, section)) = todo.pop() {
        if let Some(record) = section.own_record() {
            told.insert(path.join("<itself>"), format!("{:?} {}", record.shown, record.has_xattrs));
        }
        let Some(listed) = section.list() else { continue };
        let listing: Vec<_> = listed.entries.iter().map(|entry| (&entry.name, entry.ino, entry.kind)).collect();
        told.insert(path.join("<listed>"), format!("{listing:?} {:?}", listed.gone));
        for name in listed.names() {
            if let Some(verdict) = section.lookup(name.as_name()) {
                let record = section.record(name.as_name());
                let more = record.map(|record| (record.shown, record.has_xattrs, record.target()));
                told.insert(path.join(name.as_os_str()), format!("{verdict:?} {more:?}"));
            }
            todo.extend(section.child(name.as_os_str()).map(|child| (path.join(name.as_os_str()), child)));
        }
    }
    told
}

/// Hides two differences: writing the table reads links and so changes their access time, and only a lookup in the
/// layer sets `bare`.
fn comparable(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Entry(mut found) => {
            found.bare = false;
            if found.stat.kind == Kind::Symlink {
                found.stat.atime = found.stat.mtime;
            }
            Verdict::Entry(found)
        }
        other => other,
    }
}

#[test]
fn a_table_says_what_the_layer_says() {
    for owners in [Owners::Real, Owners::Recorded] {
        let layer = Layer::new(owners);
        let toc = layer.open(&layer.table()).unwrap();
        let root = layer.layer_dir();
        let mut todo = vec![(PathBuf::from("."), toc.root().unwrap())];
        let (mut seen, mut asked) = (0, Vec::new());
        while let Some((path, section)) = todo.pop() {
            let dir = root.open_dir(&path).unwrap();
            let own = section.own_record();
            let mut names = dir.list().unwrap().names();
            assert_eq!(section.list().unwrap().names(), names, "{path:?}");
            names.insert(Name::new("missing").unwrap().to_owned());
            for name in names {
                let (name, of) = (name.as_name(), Of::Name(&dir, name.as_name()));
                let truth = comparable(dir.lookup(name).unwrap());
                seen += 1;
                let Some(said) = section.lookup(name) else {
                    asked.push(path.join(name.as_os_str()));
                    continue;
                };
                assert_eq!(comparable(said), truth, "{path:?} {name:?}");
                let Verdict::Entry(found) = truth else {
                    assert!(section.record(name).is_none());
                    continue;
                };
                let record = section.record(name).unwrap();
                let shown = owners.stat(of, found.stat).unwrap();
                assert_eq!(Stat { atime: shown.atime, ..record.shown }, shown, "{path:?} {name:?}");
                assert_eq!(record.has_xattrs, !layer.policy.own_xattrs(of).unwrap().is_empty(), "{path:?} {name:?}");
                let target = (found.stat.kind == Kind::Symlink).then(|| dir.read_link(name).unwrap());
                assert_eq!(record.target(), target);
                if found.is_dir() {
                    let child = section.child(name.as_os_str()).unwrap();
                    assert_eq!(child.own_record().unwrap().shown, record.shown);
                    todo.push((path.join(name.as_os_str()), child));
                }
            }
            if let Some(own) = own {
                assert_eq!(own.found.opaque, dir.is_opaque().unwrap(), "{path:?}");
            }
        }
        assert_eq!((seen, asked), (64, vec![PathBuf::from("./moved")]), "{owners:?}");
    }
}

#[test]
fn a_table_of_another_layer_or_for_another_look_is_refused() {
    let layer = Layer::new(Owners::Real);
    let (table, path) = (layer.table(), layer.dir.path().join("toc"));
    layer.open(&table).unwrap();
    let open = |name: &[u8], policy| Toc::open(&path, name, &layer.root(), &viewer(policy)).map(drop);
    assert!(matches!(open(b"another", layer.policy), Err(Unfit::Other)));
    assert!(matches!(open(LAYER, policy(Owners::Recorded)), Err(Unfit::Other)));
    let elsewhere = Dir::open_host(&layer.dir.path().join("fs/d")).unwrap();
    assert!(matches!(Toc::open(&path, LAYER, &elsewhere, &viewer(layer.policy)), Err(Unfit::Other)));
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(LAYER, layer.policy), Err(Unfit::Io(Errno::NOENT))));
}

#[test]
fn a_table_older_than_its_layer_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let changes: [fn(&Path); 4] = [
        |root| fs::write(root.join("new"), "").unwrap(),
        |root| fs::remove_file(root.join("file")).unwrap(),
        |root| fs::set_permissions(root, PermissionsExt::from_mode(0o700)).unwrap(),
        |root| fs::rename(root.join("d"), root.join("files/d")).unwrap(),
    ];
    for change in changes {
        let layer = Layer::new(Owners::Real);
        let table = layer.table();
        layer.open(&table).unwrap();
        // A ctime changes only with the next clock tick.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change(&layer.dir.path().join("fs"));
        assert!(matches!(layer.open(&table), Err(Unfit::Other)));
        layer.open(&layer.table()).unwrap();
    }
}

#[test]
fn a_damaged_section_is_asked_of_the_layer_and_the_others_are_not() {
    let layer = Layer::new(Owners::Real);
    let mut table = layer.table();
    let whole = told(&layer.open(&table).unwrap());
    let toc = layer.open(&table).unwrap();
    let files = toc.root().unwrap().child(OsStr::new("files")).unwrap().row().at as usize;
    table[files + 7] ^= 1;
    let toc = layer.open(&table).unwrap();
    assert!(toc.root().unwrap().child(OsStr::new("files")).is_none());
    let said = told(&toc);
    assert!(said.iter().all(|(path, what)| whole.get(path) == Some(what)));
    let missing: Vec<_> = whole.keys().filter(|path| !said.contains_key(*path)).collect();
    assert!(!missing.is_empty() && missing.iter().all(|path| path.starts_with("files")), "{missing:?}");
}

#[test]
fn what_is_damaged_while_it_is_open_is_asked_of_the_layer() {
    let layer = Layer::new(Owners::Real);
    let table = layer.table();
    let whole = told(&layer.open(&table).unwrap());
    let path = layer.dir.path().join("toc");
    for (cut, read_before) in [(true, false), (false, false), (true, true)] {
        let toc = layer.open(&table).unwrap();
        let root = toc.root().unwrap();
        let files = root.child(OsStr::new("files"));
        let at = files.unwrap().row().at;
        // A table that has read the section may answer from its cache. A newly opened one has read nothing.
        let toc = if read_before { toc } else { layer.open(&table).unwrap() };
        match cut {
            true => fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(at).unwrap(),
            false => fs::write(&path, vec![0; table.len()]).unwrap(),
        }
        let said = told(&toc);
        assert!(said.iter().all(|(path, what)| whole.get(path) == Some(what)), "{cut} {read_before}");
        assert!(said.len() < whole.len(), "{cut} {read_before}");
    }
}

#[test]
fn a_table_that_is_damaged_is_taken_away_and_another_in_its_place_is_not() {
    let layer = Layer::new(Owners::Real);
    let mut table = layer.table();
    let files = layer.open(&table).unwrap().root().unwrap().child(OsStr::new("files")).unwrap().row().at as usize;
    table[files + 7] ^= 1;
    let path = layer.dir.path().join("toc");
    told(&layer.open(&table).unwrap());
    assert!(!path.exists());
    let toc = layer.open(&table).unwrap();
    fs::rename(&path, layer.dir.path().join("aside")).unwrap();
    fs::write(&path, "another").unwrap();
    told(&toc);
    assert_eq!(fs::read(&path).unwrap(), b"another");
}

#[test]
fn what_is_cut_short_is_refused() {
    let layer = Layer::new(Owners::Real);
    let table = layer.table();
    for len in (0..table.len()).step_by(37).chain([1, HEADER, table.len() - 1]) {
        assert!(layer.open(&table[..len]).is_err(), "{len}");
    }
    let longer = [&table[..], b"x"].concat();
    assert!(layer.open(&longer).is_err());
}

/// Corrects all checksums of a table, whatever its content.
fn seal(table: &mut [u8]) -> Option<()> {
    let mut header = Header::parse_unchecked(table)?;
    header.len = table.len() as u64;
    let rows_at = usize::try_from(header.rows_at).ok()?;
    for row_at in (rows_at..table.len()).step_by(ROW) {
        let mut row = Row::parse(table.get(row_at..row_at + ROW)?)?;
        let section = usize::try_from(row.at).ok().and_then(|at| table.get(at..at.checked_add(row.len as usize)?));
        row.crc = section.map_or(0, format::crc);
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        table[row_at..row_at + ROW].copy_from_slice(&bytes);
    }
    header.rows_crc = format::crc(table.get(rows_at..)?);
    table[..HEADER].copy_from_slice(&header.to_bytes());
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_damaged_table_says_nothing_that_is_wrong(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let layer = Layer::new(Owners::Recorded);
        let mut table = layer.table();
        let whole = told(&layer.open(&table).unwrap());
        for (at, bit) in flips {
            let at = at.index(table.len());
            table[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            table.truncate(cut.index(table.len()));
        }
        if let Ok(toc) = layer.open(&table) {
            for (path, what) in told(&toc) {
                prop_assert_eq!(whole.get(&path), Some(&what));
            }
        }
    }

    /// A table with correct checksums may hold false content, and must do no harm.
    #[test]
    fn a_forged_table_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        of_rows in any::<bool>(),
    ) {
        let layer = Layer::new(Owners::Real);
        let mut table = layer.table();
        let rows_at = Header::parse(&table).unwrap().rows_at as usize;
        let range = if of_rows { rows_at..table.len() } else { HEADER..rows_at };
        for (at, byte) in changes {
            table[range.start + at.index(range.len())] = byte;
        }
        seal(&mut table).unwrap();
        if let Ok(toc) = layer.open(&table) {
            let names = told(&toc);
            prop_assert!(names.keys().all(|path| path.is_relative()));
        }
    }
}
