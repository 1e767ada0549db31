//! The store under faults. Every system call with which a command changes something fails once with each error, and
//! once the command is killed at that call.
//!
//! strace injects the faults, so calls from libraries are included. After each fault the store must be in the old state
//! or in the state that the command makes, and the same command run again must complete it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use overfuse::image::Digest;
use overfuse::store::Store;
use tempfile::TempDir;

use crate::need;
use crate::parcel::{Image, Parcel};
use crate::support::scratch;

/// System calls that change files, as strace names them.
const CHANGING: &[&str] = &[
    "write",
    "pwrite64",
    "writev",
    "sendfile",
    "copy_file_range",
    "openat",
    "openat2",
    "mkdir",
    "mkdirat",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "fsync",
    "fdatasync",
    "syncfs",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "truncate",
    "ftruncate",
    "fallocate",
];

/// The faults, as options of strace: what happens in place of a call.
const FAULTS: &[&str] = &["error=ENOSPC", "error=EIO", "error=EDQUOT", "error=EIO:signal=KILL"];

/// A call, by its name and its number among the calls of that name.
type Point = (String, usize);

/// A template of the store for the commands, and archives beside it.
struct Ground {
    dir: TempDir,
}

impl Ground {
    /// Makes a store with two images that share a layer, and a container with changes.
    fn new() -> Ground {
        let dir = scratch();
        let store = Store::open(&dir.path().join("template")).expect("open a store");
        let base: &[(&str, &str)] = &[("etc/os", "base"), ("etc/name", "x")];
        let file = |name: &str| dir.path().join(name);
        for (name, layers) in [
            ("base", vec![base]),
            ("app", vec![base, &[("srv/app", "code"), ("srv/data", "rows")]]),
            ("other", vec![base, &[("opt/a/b/c", "deep"), ("opt/a/d", ""), ("etc/os", "other")]]),
        ] {
            fs::write(file(name), Parcel::layout(&format!("{name}:v1"), &Image::of(&layers)).tar()).expect("write");
        }
        for name in ["base", "app"] {
            let path = file(name);
            let load = overfuse::store::Load::default();
            store.load(overfuse::store::Input::Path(&path), &load, &mut |_| {}).expect("load");
        }
        let web = store.create_container(&store.image("base:v1").expect("an image"), Some("web")).expect("a container");
        fs::create_dir(web.upper().join("new")).expect("change the container");
        fs::write(web.upper().join("new/file"), "changed").expect("change the container");
        Ground { dir }
    }

    /// Makes a copy of the store.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        let from = self.dir.path().join("template");
        let copied = Command::new("cp").arg("-a").args([&from, &to]).status().expect("start cp");
        assert!(copied.success());
        to
    }

    fn command(&self, root: &Path, args: &[&str], strace: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_overfuse");
        let mut command = match strace {
            [] => Command::new(program),
            with => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq"]).args(with).arg(program);
                command
            }
        };
        command.arg("--root").arg(root).args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.output().expect("run it")
    }

    /// Every call with which the command changes something.
    fn points(&self, args: &[&str]) -> BTreeSet<Point> {
        let root = self.copy("traced");
        let log = self.dir.path().join("log");
        let trace = format!("trace={}", CHANGING.join(","));
        let output = self.command(&root, args, &["-o", log.to_str().expect("text"), "-e", &trace]);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        fs::remove_dir_all(root).expect("remove the copy");
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut points = BTreeSet::new();
        for line in fs::read_to_string(log).expect("read the log").lines() {
            let (process, call) = line.split_once(' ').expect("a process and a call");
            let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
            if !CHANGING.contains(&name) {
                continue;
            }
            let count = counts.entry((process.to_owned(), name.to_owned())).or_default();
            *count += 1;
            let opens = name.starts_with("openat");
            let reads = opens && !["O_CREAT", "O_WRONLY", "O_RDWR"].iter().any(|flag| arguments.contains(flag));
            let prints = name == "write" && ["1, ", "2, "].iter().any(|stream| arguments.starts_with(stream));
            if !reads && !prints {
                points.insert((name.to_owned(), *count));
            }
        }
        points
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The content of the store after `tmp/` is swept: images with their layers' trees, containers with their changes.
fn state(root: &Path) -> String {
    let store = Store::open(root).expect("open the store");
    store.policy().expect("sweep");
    assert_eq!(fs::read_dir(root.join("tmp")).expect("list tmp").count(), 0, "tmp is not empty");
    for blob in fs::read_dir(root.join("blobs/sha256")).expect("list blobs") {
        let blob = blob.expect("list blobs");
        let found = Digest::of(&fs::read(blob.path()).expect("read a blob"));
        assert_eq!(
            Some(found.hex().to_string().as_str()),
            blob.file_name().to_str(),
            "a blob is not what it is called"
        );
    }
    let mut state = String::new();
    for image in store.images().expect("list images") {
        let _ = writeln!(state, "image {:?} {:?}", image.names, image.layers);
        store.lower_dirs(&image).iter().for_each(|dir| tree(dir, &mut state));
    }
    for container in store.containers().expect("list containers") {
        let _ = writeln!(state, "container {} of {}", container.name, container.image_name);
        tree(&container.upper(), &mut state);
    }
    state
}

fn tree(dir: &Path, into: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(dir).expect("list").map(|entry| entry.expect("list").path()).collect();
    entries.sort();
    for path in entries {
        let found = fs::symlink_metadata(&path).expect("stat");
        let _ = write!(into, "  {} {:o} {}", path.file_name().expect("a name").display(), found.mode(), found.mtime());
        if found.is_dir() {
            into.push('\n');
            tree(&path, into);
        } else {
            let _ = writeln!(into, " {:?}", fs::read(&path).expect("read"));
        }
    }
}

/// Runs one command with one fault, and checks the store after it.
fn check(ground: &Ground, args: &[&str], (call, nth): &Point, fault: &str, number: usize, [old, new]: [&str; 2]) {
    let name = format!("store-{number}");
    let root = ground.copy(&name);
    let at = format!("{args:?}, {call} {nth}, {fault}");
    let inject = format!("inject={call}:{fault}:when={nth}");
    let log = ground.dir.path().join(format!("log-{number}"));
    let trace = format!("trace={call}");
    let output = ground.command(&root, args, &["-o", log.to_str().expect("text"), "-e", &trace, "-e", &inject]);
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{at}: {said}");
    let after = state(&root);
    assert!(after == old || after == new, "{at}: neither old nor new, with {:?}: {said}\n{after}", output.status);
    if output.status.success() {
        assert_eq!(after, new, "{at}: success, but it is not done: {said}");
    }
    if after == old {
        let again = ground.command(&root, args, &[]);
        assert!(again.status.success(), "{at}: cannot be done again: {}", text(&again.stderr));
        assert_eq!(state(&root), new, "{at}: done again");
    }
    let _ = fs::remove_file(log);
    fs::remove_dir_all(root).expect("remove the copy");
}

#[test]
fn a_command_that_fails_or_dies_at_any_call_leaves_the_store_old_or_new() {
    need!(strace);
    let ground = Ground::new();
    let old = state(&ground.copy("old"));
    let mut total = 0;
    let commands: [&[&str]; 4] =
        [&["load", "other"], &["commit", "-m", "changed", "web", "made:v1"], &["rm", "web"], &["rmi", "app:v1"]];
    for args in commands {
        let root = ground.copy("new");
        let done = ground.command(&root, args, &[]);
        assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
        let new = state(&root);
        assert_ne!(old, new, "{args:?} changes nothing");
        fs::remove_dir_all(root).expect("remove the copy");
        let points: Vec<Point> = ground.points(args).into_iter().collect();
        let cases: Vec<(&Point, &str)> =
            points.iter().flat_map(|point| FAULTS.iter().map(move |fault| (point, *fault))).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some((point, fault)) = cases.get(number) else { break };
                        check(&ground, args, point, fault, number, [&old, &new]);
                    }
                });
            }
        });
        println!("{}: {} calls, {} faults", args[0], points.len(), cases.len());
        total += cases.len();
    }
    println!("store: {} commands, {total} faults", commands.len());
}
