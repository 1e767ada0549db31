//! Copy-up: the cost of the first change of a lower file, by the file's size and by the kind of change.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::Path;

use super::super::clock::{Clock, Part};
use super::super::result::Parameters;
use super::super::tree::Tree;
use super::{Scale, Session, When, Workload, of, points};
use crate::sys::{self, Dir, Name, SetTime};

/// The sizes of the files. Each size is a file of its own, because a changed file is in the upper layer.
const SIZES: [u64; 7] = [4 << 10, 64 << 10, 1 << 20, 16 << 20, 100 << 20, 1 << 30, 4 << 30];
/// The largest file for the changes of one large file, in bytes.
const LARGEST: u64 = 1 << 30;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "copy-up",
        group: "copy-up",
        about: "the first and the second write to a lower file of each size: open, one byte, close",
        rows: &[
            ("first-write", "open a lower file, write one byte at its start, close it"),
            ("second-write", "the same once more"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (sizes, layers) = (points(&SIZES, scale.size), scale.layers);
            let tree = Tree::Large { layers, sizes: sizes.clone() };
            let writes = sizes.iter().sum();
            vec![Session::changes(tree, writes, move |clock| copy_up(clock, layers, &sizes))]
        },
    },
    Workload {
        name: "copy-up-small",
        group: "copy-up",
        about: "the first write to each of many small lower files",
        rows: &[("first-write-small", "open a lower file of 512 bytes to 16 KiB, write one byte, close it")],
        when: When::Quick,
        sessions: |scale| {
            let (layers, files) = (scale.layers, scale.files.min(2000));
            let tree = Tree::Image { layers, files };
            let (writes, names) = (tree.bytes(), tree.files());
            vec![Session::changes(tree, writes, move |clock| {
                let root = clock.root().to_path_buf();
                let part = Part::new("first-write-small", of(layers, files)).operations(names.len());
                clock.each(part.changed(names.len() as u64), &names, |name| write_a_byte(&root.join(name), 0))
            })]
        },
    },
    Workload {
        name: "change-large",
        group: "copy-up",
        about: "one change of one large lower file, each kind of change in a mount of its own",
        rows: &[
            ("chmod-large", "change its mode"),
            ("chown-large", "change its owner (to the one that it has)"),
            ("touch-large", "change its times"),
            ("append-large", "append 4 KiB"),
            ("overwrite-large", "overwrite 4 KiB in its middle"),
            ("truncate-large", "open it with O_TRUNC and write 4 KiB"),
        ],
        when: When::Default,
        sessions: |scale| KINDS.iter().map(|(row, change)| change_large(scale, row, *change)).collect(),
    },
];

fn copy_up(clock: &mut Clock<'_>, layers: u32, sizes: &[u64]) -> io::Result<()> {
    for row in ["first-write", "second-write"] {
        for size in sizes {
            let path = clock.path(format!("large/{size}"));
            let parameters = Parameters { layers: Some(layers), size: Some(*size), ..Parameters::default() };
            clock.time(Part::new(row, parameters).changed(1), || write_a_byte(&path, 0))?;
        }
    }
    Ok(())
}

/// Opens a file, writes one byte at `offset` and closes it.
///
/// # Errors
/// As `open(2)` and `pwrite(2)`.
pub fn write_a_byte(path: &Path, offset: u64) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all_at(&[0x5a], offset)
}

type Change = fn(&Path, u64) -> io::Result<()>;

/// The kinds of change, by the name of their row.
const KINDS: [(&str, Change); 6] = [
    ("chmod-large", |path, _| chmod(path)),
    ("chown-large", |path, _| chown(path, Some(sys::effective_uid()), Some(sys::effective_gid()))),
    ("touch-large", |path, _| touch(path)),
    ("append-large", |path, size| File::options().write(true).open(path)?.write_all_at(&[0x5a; 4096], size)),
    ("overwrite-large", |path, size| File::options().write(true).open(path)?.write_all_at(&[0x5a; 4096], size / 2)),
    ("truncate-large", |path, _| File::create(path)?.write_all_at(&[0x5a; 4096], 0)),
];

fn change_large(scale: &Scale, row: &'static str, change: Change) -> Session {
    let (size, layers) = (scale.size.min(LARGEST), scale.layers);
    Session::changes(Tree::Large { layers, sizes: vec![size] }, size, move |clock| {
        let path = clock.path(format!("large/{size}"));
        // Looks the file up first, so that the lookup is not measured.
        fs::symlink_metadata(&path)?;
        let parameters = Parameters { layers: Some(layers), size: Some(size), ..Parameters::default() };
        let part = Part::new(row, parameters);
        let writes = !matches!(row, "chmod-large" | "chown-large" | "touch-large");
        let part = if writes { part.changed(4096) } else { part };
        clock.time(part, || change(&path, size))
    })
}

/// Changes the mode of a file.
///
/// # Errors
/// As `chmod(2)`.
pub fn chmod(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Sets both times of a file to now, by its name, as `touch -c` does.
///
/// # Errors
/// As `utimensat(2)`.
pub fn touch(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(Dir::open_host(dir)?.set_times(Name::new(name)?, SetTime::Now, SetTime::Now)?)
}
