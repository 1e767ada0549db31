//! An image of five hundred layers, from its archive to a mount.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::need;
use crate::parcel::{Image as Packed, Parcel, layer};
use crate::shelf::Shelf;

const LAYERS: usize = 500;

/// A mount in the foreground, so that its process is known.
struct Served<'a> {
    process: Child,
    shelf: &'a Shelf,
}

impl Served<'_> {
    fn of(shelf: &Shelf) -> Served<'_> {
        fs::create_dir(shelf.dir.path().join("at")).unwrap();
        let mut command = overfuse(shelf);
        command.args(["mount", "-f", "x", "at"]).current_dir(shelf.dir.path());
        let mut process = command.stdin(Stdio::null()).spawn().expect("run overfuse");
        let started = Instant::now();
        let below = fs::metadata(shelf.dir.path()).unwrap().dev();
        while fs::metadata(shelf.dir.path().join("at")).map_or(below, |at| at.dev()) == below {
            assert_eq!(process.try_wait().unwrap(), None, "the mount has ended");
            assert!(started.elapsed() < Duration::from_secs(60), "is not mounted");
            std::thread::sleep(Duration::from_millis(5));
        }
        Served { process, shelf }
    }

    fn at(&self) -> std::path::PathBuf {
        self.shelf.dir.path().join("at")
    }

    fn descriptors(&self) -> usize {
        // A thread that starts for slow requests opens /dev/fuse, so those descriptors do not count.
        let open = fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("list descriptors");
        let is_device = |link: &Path| fs::read_link(link).is_ok_and(|target| target == Path::new("/dev/fuse"));
        open.filter(|link| !is_device(&link.as_ref().expect("list descriptors").path())).count()
    }

    /// The system calls that the mount made on its layers.
    fn syscalls(&self) -> Value {
        let output = overfuse(self.shelf).args(["stats", "--json"]).arg(self.at()).output().expect("run overfuse");
        let mut stats: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // A table cannot answer `statfs`.
        stats["syscalls"].as_object_mut().expect("counts").remove("statfs");
        stats["syscalls"].take()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let unmounted = overfuse(self.shelf).arg("umount").arg(self.at()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn overfuse(shelf: &Shelf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overfuse"));
    command.arg("--root").arg(shelf.store.root());
    command
}

/// Every file below `dir`, with its size. Looks up every listed name.
fn walk(dir: &Path, found: &mut BTreeMap<String, u64>, root: &Path) {
    for entry in fs::read_dir(dir).expect("list a directory") {
        let path = entry.expect("list a directory").path();
        let stat = fs::symlink_metadata(&path).expect("look up what is listed");
        let name = path.strip_prefix(root).unwrap().display().to_string();
        found.insert(name, if stat.is_dir() { 0 } else { stat.len() });
        if stat.is_dir() {
            walk(&path, found, root);
        }
    }
}

#[test]
fn an_image_of_five_hundred_layers_is_walked_without_reading_a_layer() {
    need!(root, fuse);
    let shelf = Shelf::new();
    let content = |n: usize| "x".repeat(n);
    let mut expected = BTreeMap::from(["shared", "shared/deep", "own"].map(|dir| (dir.to_owned(), 0)));
    let layers = (0..LAYERS).map(|n| {
        // Each layer has a file of its own in a shared directory, a file that all have, a directory of its own, and a
        // whiteout for a file of the layer below.
        let (own, last, lone) = (format!("shared/{n}"), "shared/deep/last", format!("own/{n}/file"));
        let gone = format!("shared/.wh.{}", n.wrapping_sub(1));
        let text = content(n);
        let mut files = vec![(own.as_str(), text.as_str()), (last, &text), (&lone, "")];
        if n % 2 == 1 {
            files.push((&gone, ""));
        }
        layer(&files)
    });
    let packed = Packed { layers: layers.collect(), ..Packed::of(&[]) };
    expected.extend((0..LAYERS).filter(|n| n % 2 == 1).map(|n| (format!("shared/{n}"), n as u64)));
    expected.extend((0..LAYERS).flat_map(|n| [(format!("own/{n}"), 0), (format!("own/{n}/file"), 0)]));
    expected.insert("shared/deep/last".into(), LAYERS as u64 - 1);
    shelf.load(&Parcel::layout("x", &packed));

    let served = Served::of(&shelf);
    let at_first = served.descriptors();
    let mut found = BTreeMap::new();
    walk(&served.at(), &mut found, &served.at());
    assert!(fs::symlink_metadata(served.at().join("shared/0")).is_err());
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
    assert_eq!(served.syscalls(), json!({}), "no layer is asked for names and attributes");
    // The layers and their tables are open from the beginning; a walk leaves no other descriptor open.
    assert_eq!(served.descriptors(), at_first, "a walk leaves nothing open");
    assert!(at_first <= 2 * LAYERS + 40, "{at_first}");

    for n in [1, 255, LAYERS - 1] {
        assert_eq!(fs::read_to_string(served.at().join(format!("shared/{n}"))).unwrap(), content(n));
    }
    assert_eq!(fs::read_to_string(served.at().join("shared/deep/last")).unwrap(), content(LAYERS - 1));
    // A file is opened by its path, so no directory stays open for it.
    assert!(served.descriptors() <= at_first + 4, "{} after {at_first}", served.descriptors());
    assert_eq!(served.syscalls()["openat2"], json!(4), "{}: files alone are opened", served.syscalls());
}
