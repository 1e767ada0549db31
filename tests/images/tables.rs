//! Tables of contents: a mount shows the same tree from tables as from layers, and reads no layer for it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use overfuse::image::Digest;
use overfuse::store::Image;
use overfuse::sys::{Calls, Kind};
use overfuse::union::{NodeId, Spec, Tables, Union, UpperSpec};
use tar::{Builder, EntryType, Header};

use crate::need;
use crate::parcel::{Image as Packed, Parcel};
use crate::shelf::Shelf;

/// A layer as an archive. Each line of `text` has a kind, a path, a mode, the content or the link target, and the value
/// of an extended attribute.
fn layer(text: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        let (kind, path, more) = (words[0], words[1], words.get(3).copied().unwrap_or_default());
        let mut header = Header::new_gnu();
        header.set_mode(words.get(2).map_or(0o644, |mode| u32::from_str_radix(mode, 8).unwrap()));
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match kind {
            "f" => {
                if let Some(value) = words.get(4) {
                    builder.append_pax_extensions([("SCHILY.xattr.user.k", value.as_bytes())]).unwrap();
                }
                header.set_size(more.len() as u64);
                header.set_entry_type(EntryType::Regular);
                builder.append_data(&mut header, path, more.as_bytes()).unwrap();
                continue;
            }
            "d" => header.set_entry_type(EntryType::Directory),
            "p" => header.set_entry_type(EntryType::Fifo),
            "l" => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, more).unwrap();
                continue;
            }
            "h" => {
                header.set_entry_type(EntryType::Link);
                builder.append_link(&mut header, path, more).unwrap();
                continue;
            }
            other => panic!("{other}"),
        }
        builder.append_data(&mut header, path, [].as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

const BOTTOM: &str = "
    d d 755
    f d/a 644 one value
    f d/b 4755 two
    h d/c 0 d/b
    l d/link 777 a/target
    d opaque 750
    f opaque/below 600 x
    f gone 644 x
    d gone_too 755
    f gone_too/x 644 x
    p pipe 640
    f valued 644 x value
    f becomes_dir 644 x
    d becomes_file 755
    f becomes_file/x 644 x";
const MIDDLE: &str = "
    f d/a 600 newer
    f d/.wh.b 644
    d opaque 700
    f opaque/.wh..wh..opq 644
    f opaque/above 644 y
    f .wh.gone 644
    f .wh.gone_too 644
    f becomes_dir/x 644 x
    f becomes_file 644 x
    d deep/er/and/deeper 711";
const TOP: &str = "
    d . 751
    f gone 644 back
    f .wh.pipe 644
    f d/d 644 x";

/// So many layers that a directory does not look names up layer by layer.
fn packed() -> Packed {
    let further = (0..8).map(|n| layer(&format!("f d/further{n} 644 {n}\nf many/{n} 644 {n}\nf only{n}/x 644 {n}")));
    let layers: Vec<_> = [BOTTOM, MIDDLE, TOP].map(layer).into_iter().chain(further).collect();
    Packed { layers, ..Packed::of(&[]) }
}

/// A shelf with this image.
fn shelf_with(packed: &Packed) -> (Shelf, Image) {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout("x", packed));
    let image = shelf.store.image("x").unwrap();
    (shelf, image)
}

fn spec(shelf: &Shelf, image: &Image, tables: Tables) -> Spec {
    let owners = shelf.store.policy().unwrap().owners;
    Spec { owners, tables, ..Spec::new(shelf.store.lower_dirs(image)) }
}

fn tables(shelf: &Shelf, image: &Image) -> Tables {
    shelf.store.tables(image, shelf.store.policy().unwrap())
}

/// The number of layers with a usable table.
fn count(tables: &Tables) -> usize {
    match tables {
        Tables::Known(known) => known.iter().flatten().count(),
        _ => 0,
    }
}

/// Everything that a union shows, by path, except the content of files.
fn shown_by(union: &Union) -> BTreeMap<PathBuf, String> {
    let mut shown = BTreeMap::new();
    let mut todo = vec![(PathBuf::new(), NodeId::ROOT)];
    while let Some((path, dir)) = todo.pop() {
        let (mut offset, mut names) = (0, Vec::new());
        loop {
            let items = union.read_dir(dir, offset).unwrap();
            let Some(last) = items.last() else { break };
            offset = last.offset;
            for item in items.iter().filter(|item| item.entry_name().is_some()) {
                names.push((item.name().to_owned(), item.kind, item.id));
            }
        }
        assert_eq!(names.iter().map(|(name, ..)| name).collect::<HashSet<_>>().len(), names.len());
        assert_eq!(union.lookup(dir, overfuse::sys::Name::new("missing").unwrap()), Ok(None));
        for (name, kind, listed) in names {
            let found = union.lookup(dir, overfuse::sys::Name::new(&name).unwrap()).unwrap().unwrap();
            assert_eq!((kind, listed), (found.stat.kind, found.id), "{path:?} {name:?}");
            assert_eq!(union.attr(found.id), Ok(found));
            let xattrs = union.xattrs(found.id).unwrap();
            let values: Vec<_> = xattrs.iter().map(|key| union.xattr(found.id, key).unwrap()).collect();
            let missing = ["user.none", "security.capability", "system.posix_acl_access"];
            let missing = missing.map(|key| union.xattr(found.id, OsStr::new(key)));
            let target = (kind == Kind::Symlink).then(|| union.read_link(found.id).unwrap());
            let path = path.join(&name);
            // A table keeps the access time of a link as it was when the table was written.
            let atime = if kind == Kind::Symlink { found.stat.mtime } else { found.stat.atime };
            let stat = overfuse::sys::Stat { atime, ..found.stat };
            shown.insert(path.clone(), format!("{:?} {stat:?} {xattrs:?} {values:?} {missing:?} {target:?}", found.id));
            if kind == Kind::Directory {
                todo.push((path, found.id));
            }
        }
    }
    shown
}

#[test]
fn a_union_shows_the_same_from_tables_and_from_layers() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let open = |tables| Union::open(&spec(&shelf, &image, tables)).unwrap();
    let known = tables(&shelf, &image);
    assert_eq!(count(&known), image.layers.len());
    let from_layers = shown_by(&open(Tables::None));
    assert_eq!(shown_by(&open(known)), from_layers);
    assert_eq!(shown_by(&open(Tables::Make)), from_layers);
    let paths: Vec<_> = from_layers.keys().filter_map(|path| path.to_str()).collect();
    for (path, there) in [("d/a", true), ("d/b", false), ("d/c", true), ("opaque/below", false), ("gone", true)] {
        assert_eq!(paths.contains(&path), there, "{path}");
    }
    assert!(from_layers[Path::new("d/a")].contains("newer") || from_layers[Path::new("d/a")].contains("size: 5"));
}

/// Attributes, listings, link targets and missing extended attributes come from the tables, without system calls.
#[test]
fn no_layer_is_read_for_what_its_table_has() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let union = Union::open(&spec(&shelf, &image, tables(&shelf, &image))).unwrap();
    let calls = Arc::new(Calls::default());
    calls.bind();
    let shown = shown_by(&union);
    let made = calls.by_name();
    Arc::new(Calls::default()).bind();
    assert!(shown.len() > 30);
    // The only file with an extended attribute is read for it and for three missing ones. A link is read for its ACL;
    // programs do not ask for ACLs of links.
    let asked = [("getxattr", 5), ("listxattr", 1), ("openat2", 2)];
    assert_eq!(made, asked.into_iter().map(|(name, count)| (name.to_owned(), count)).collect());
}

#[test]
fn a_table_that_is_missing_damaged_or_older_is_written_anew() {
    need!(root);
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 7] = [
        ("missing", |dir| fs::remove_file(dir.join("toc")).unwrap()),
        ("empty", |dir| fs::write(dir.join("toc"), "").unwrap()),
        ("cut", |dir| {
            let bytes = fs::read(dir.join("toc")).unwrap();
            fs::write(dir.join("toc"), &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("another format", |dir| fs::write(dir.join("toc"), [7; 5000]).unwrap()),
        ("damaged", |dir| {
            let mut bytes = fs::read(dir.join("toc")).unwrap();
            bytes[40] ^= 1;
            fs::write(dir.join("toc"), bytes).unwrap();
        }),
        ("older", |dir| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::set_permissions(dir.join("fs"), PermissionsExt::from_mode(0o711)).unwrap();
        }),
        ("of another", |dir| {
            let others = fs::read_dir(dir.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
            let other = others.into_iter().find(|other| other != dir).unwrap();
            fs::copy(other.join("toc"), dir.join("toc")).unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        let (shelf, image) = shelf_with(&packed());
        let layer = |diff_id: &Digest| shelf.layer(diff_id).parent().unwrap().to_path_buf();
        let dir = layer(&image.layers[2]);
        spoil(&dir);
        let spoiled = fs::read(dir.join("toc")).ok();
        let expected = shown_by(&Union::open(&spec(&shelf, &image, Tables::None)).unwrap());
        let known = tables(&shelf, &image);
        assert_eq!(count(&known), image.layers.len(), "{what}");
        assert_eq!(shown_by(&Union::open(&spec(&shelf, &image, known)).unwrap()), expected, "{what}");
        let written = fs::read(dir.join("toc")).unwrap();
        assert!(spoiled.is_none_or(|spoiled| spoiled != written), "{what}");
        assert_eq!(count(&tables(&shelf, &image)), image.layers.len());
        assert_eq!(fs::read(dir.join("toc")).unwrap(), written, "{what}: once is enough");
        assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_table_of_an_older_store_is_used_under_its_new_name() {
    need!(root);
    for bad in [false, true] {
        let (shelf, image) = shelf_with(&packed());
        let dir = shelf.layer(&image.layers[1]).parent().unwrap().to_path_buf();
        let (old, new) = (dir.join("index"), dir.join("toc"));
        fs::rename(&new, &old).unwrap();
        if bad {
            fs::write(&old, "no table").unwrap();
        }
        let inode = fs::metadata(&old).unwrap().ino();
        assert_eq!(count(&tables(&shelf, &image)), image.layers.len());
        assert_eq!(fs::metadata(&new).unwrap().ino() == inode, !bad);
        assert!(!old.exists());
    }
}

#[test]
fn if_no_table_can_be_written_the_layer_is_read() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let expected = shown_by(&Union::open(&spec(&shelf, &image, Tables::None)).unwrap());
    let table = shelf.layer(&image.layers[1]).parent().unwrap().join("toc");
    fs::remove_file(&table).unwrap();
    fs::create_dir(&table).unwrap();
    let known = tables(&shelf, &image);
    assert_eq!(count(&known), image.layers.len() - 1);
    assert_eq!(shown_by(&Union::open(&spec(&shelf, &image, known)).unwrap()), expected);
}

/// A live mount finds a damaged section when it first uses the section's directory, and then reads the layer.
#[test]
fn damage_behind_the_header_shows_nothing_wrong() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let expected = shown_by(&Union::open(&spec(&shelf, &image, Tables::None)).unwrap());
    let table = |diff_id| shelf.layer(diff_id).parent().unwrap().join("toc");
    let whole: Vec<_> = image.layers.iter().map(|diff_id| fs::read(table(diff_id)).unwrap()).collect();
    for diff_id in &image.layers {
        let table = table(diff_id);
        let mut bytes = fs::read(&table).unwrap();
        for at in (80..bytes.len().saturating_sub(400)).step_by(211) {
            bytes[at] ^= 0x10;
        }
        fs::write(&table, bytes).unwrap();
    }
    let known = tables(&shelf, &image);
    assert_eq!(shown_by(&Union::open(&spec(&shelf, &image, known)).unwrap()), expected);
    // The next one that opens the layers writes the damaged tables anew.
    let known = tables(&shelf, &image);
    assert_eq!(count(&known), image.layers.len());
    assert_eq!(shown_by(&Union::open(&spec(&shelf, &image, known)).unwrap()), expected);
    let header = 80;
    for (diff_id, whole) in image.layers.iter().zip(&whole) {
        let anew = fs::read(table(diff_id)).unwrap();
        assert_eq!((anew.len(), &anew[..16], &anew[16..48]), (whole.len(), &anew[..16], &whole[16..48]));
        assert!(anew.len() > header);
    }
}

/// A user or a failing disk may truncate a table in use; reading it through a memory map would then kill the process.
#[test]
fn a_union_reads_the_layers_if_its_tables_are_truncated() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let expected = shown_by(&Union::open(&spec(&shelf, &image, Tables::None)).unwrap());
    let union = Union::open(&spec(&shelf, &image, tables(&shelf, &image))).unwrap();
    for diff_id in &image.layers {
        let table = shelf.layer(diff_id).parent().unwrap().join("toc");
        fs::OpenOptions::new().write(true).open(table).unwrap().set_len(0).unwrap();
    }
    assert_eq!(shown_by(&union), expected);
    assert_eq!(count(&tables(&shelf, &image)), image.layers.len());
}

#[test]
fn changes_over_tables_and_over_layers_have_the_same_result() {
    need!(root);
    let (shelf, image) = shelf_with(&packed());
    let change = |tables: Tables, name: &str| {
        let [upper, work] = ["upper", "work"].map(|kind| shelf.dir.path().join(format!("{kind}-{name}")));
        for dir in [&upper, &work] {
            fs::create_dir(dir).unwrap();
        }
        let upper = Some(UpperSpec { dir: upper, work });
        let union = Union::open(&Spec { upper, ..spec(&shelf, &image, tables) }).unwrap();
        let name = |name: &'static str| overfuse::sys::Name::new(name).unwrap();
        let root = NodeId::ROOT;
        let d = union.lookup(root, name("d")).unwrap().unwrap().id;
        let a = union.lookup(d, name("a")).unwrap().unwrap().id;
        union.write(a, 0, b"changed").unwrap();
        let mut read = [0; 16];
        assert_eq!(union.read(a, 0, &mut read), Ok(7));
        assert_eq!(&read[..7], b"changed");
        union.remove(d, name("further3"), overfuse::union::Remove::File).unwrap();
        let c = union.lookup(d, name("c")).unwrap().unwrap().id;
        assert_eq!((union.read(c, 0, &mut read), &read[..3]), (Ok(3), &b"two"[..]));
        let paths: Vec<_> = shown_by(&union).into_keys().collect();
        (paths, union.attr(c).unwrap().stat.size)
    };
    assert_eq!(change(tables(&shelf, &image), "tables"), change(Tables::None, "layers"));
}

#[test]
fn five_hundred_layers_are_one_tree() {
    need!(root);
    let layers = (0..500).map(|n| layer(&format!("f d/{n} 644 {n}\nf d/last 644 {n}\nd e/{} 755", n % 7))).collect();
    let (shelf, image) = shelf_with(&Packed { layers, ..Packed::of(&[]) });
    let union = Union::open(&spec(&shelf, &image, tables(&shelf, &image))).unwrap();
    let calls = Arc::new(Calls::default());
    calls.bind();
    let name = |name: &str| overfuse::sys::NameBuf::new(name).unwrap();
    let d = union.lookup(NodeId::ROOT, name("d").as_name()).unwrap().unwrap().id;
    for n in 0..500 {
        let found = union.lookup(d, name(&n.to_string()).as_name()).unwrap().unwrap();
        assert_eq!(found.stat.size as usize, n.to_string().len());
    }
    assert_eq!(union.lookup(d, name("500").as_name()), Ok(None));
    let last = union.lookup(d, name("last").as_name()).unwrap().unwrap().id;
    assert_eq!(calls.by_name(), BTreeMap::new());
    let mut read = [0; 8];
    assert_eq!((union.read(last, 0, &mut read), &read[..3]), (Ok(3), &b"499"[..]));
    Arc::new(Calls::default()).bind();
}
