//! Budgets of operations: the kernel's requests and the system calls on the layers are counted; times are never
//! measured.
//!
//! A budget holds in the steady state: the one-time setup of a mount or a directory is done before.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use overfuse::fuse::stats;

use crate::need;
use crate::support::{Layers, Mounted, mount_with, scratch, subject};

type Counts = BTreeMap<String, u64>;

/// The cost of one operation.
#[derive(Debug)]
struct Cost {
    requests: Counts,
    syscalls: Counts,
}

impl Cost {
    /// Requests whose sender waits for the answer.
    fn waited_for(&self) -> u64 {
        self.requests
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "BATCH_FORGET" | "FORGET" | "RELEASE"))
            .map(|(_, n)| n)
            .sum()
    }

    fn syscalls(&self) -> u64 {
        self.syscalls.values().sum()
    }
}

/// A mount that counts its costs.
struct Meter {
    mounted: Mounted,
    _dir: tempfile::TempDir,
}

impl Meter {
    fn of(layers: &str) -> Option<Meter> {
        Meter::with(layers, "rw")
    }

    /// A mount on which opening a file needs no request.
    fn cached(layers: &str) -> Option<Meter> {
        Meter::with(layers, "io=cached")
    }

    fn with(layers: &str, option: &str) -> Option<Meter> {
        // The mount of another program has no counters.
        if subject::peer().is_some() {
            return None;
        }
        let dir = scratch();
        let layers = Layers::build(dir.path(), layers);
        let mounted = mount_with(&layers, &dir.path().join("at"), option);
        // Makes the kernel send the requests that it sends once per mount: whether OPEN and FLUSH are supported.
        let _ = fs::read_dir(mounted.at()).map(Iterator::count);
        Some(Meter { mounted, _dir: dir })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.mounted.at().join(path)
    }

    fn counts(&self) -> (Counts, Counts) {
        let all = stats(self.mounted.at()).expect("the counts of the mount");
        (all.requests, all.syscalls)
    }

    /// What `operation` costs.
    fn cost<T>(&self, operation: impl FnOnce() -> std::io::Result<T>) -> Cost {
        let before = self.counts();
        operation().expect("the operation");
        let after = self.counts();
        let difference = |after: Counts, before: Counts| -> Counts {
            let since = |(name, count): (String, u64)| {
                let count = count - before.get(&name).copied().unwrap_or(0);
                (count > 0).then_some((name, count))
            };
            after.into_iter().filter_map(since).collect()
        };
        Cost { requests: difference(after.0, before.0), syscalls: difference(after.1, before.1) }
    }

    #[track_caller]
    fn costs_at_most<T>(&self, requests: u64, syscalls: u64, operation: impl FnOnce() -> std::io::Result<T>) {
        let cost = self.cost(operation);
        assert!(cost.waited_for() <= requests, "more than {requests} requests: {cost:?}");
        assert!(cost.syscalls() <= syscalls, "more than {syscalls} system calls: {cost:?}");
    }
}

/// Without `O_EXCL`, with which the kernel would look up again a name that it knows to be missing.
fn create(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path)?.write_all(&[b'x'; 4096])
}

/// Three layers that each have `d` with a file of its own, and a directory with a few names.
const LAYERS: &str = "upper:\n d d 755\n f d/up 644 up\n d w 755\n f w/a 644 a\n d w/sub 755\n\
    lower:\n d d 755\n f d/top 644 top\n f d/top2 644 top\n l d/link top\n\
    lower:\n d d 755\n f d/mid 644 mid\n f d/mid2 644 mid\n\
    lower:\n d d 755\n f d/low 644 low\n f d/low2 644 low\n f d/low3 644 low\n f d/large 644 1000000*L\n f d/large2 644 1000000*L";

#[test]
fn what_was_seen_costs_nothing() {
    need!(fuse);
    let Some(meter) = Meter::cached(LAYERS) else { return };
    let all = || -> std::io::Result<()> {
        for name in ["d/up", "d/top", "d/mid", "d/low", "d"] {
            fs::metadata(meter.path(name))?;
        }
        for name in ["d/up", "d/low"] {
            let file = File::open(meter.path(name))?;
            file.read_at(&mut [0; 10], 0)?;
        }
        fs::read_link(meter.path("d/link"))?;
        assert!(fs::metadata(meter.path("d/none")).is_err());
        Ok(())
    };
    all().expect("see all");
    // Reading changes the access time, so the kernel asks for it once more.
    all().expect("see it again");
    let again = || {
        for name in ["d/up", "d/top", "d/mid", "d/low"] {
            let file = File::open(meter.path(name))?;
            file.read_at(&mut [0; 10], 0)?;
        }
        for name in ["d/up", "d/top", "d/mid", "d/low", "d"] {
            rustix::fs::access(meter.path(name), rustix::fs::Access::EXISTS)?;
        }
        fs::read_link(meter.path("d/link"))?;
        assert!(fs::metadata(meter.path("d/none")).is_err());
        Ok(())
    };
    again().expect("see it once more");
    meter.costs_at_most(0, 0, again);
}

#[test]
fn a_name_is_looked_up_by_one_request_and_in_each_layer_once() {
    need!(fuse);
    let Some(meter) = Meter::of(LAYERS) else { return };
    // Opens the directory in each layer, and checks once for whiteouts of other formats.
    fs::read_dir(meter.path("d")).expect("list").for_each(drop);
    fs::metadata(meter.path("d/up")).expect("see");
    // Open, so that the kernel does not forget the directory when it reclaims memory.
    let _held = fs::File::open(meter.path("d")).expect("open");
    for (name, syscalls) in [("d/top2", 3), ("d/mid2", 3), ("d/low2", 3)] {
        // The listing may have looked it up already.
        meter.costs_at_most(1, syscalls, || fs::symlink_metadata(meter.path(name)));
    }
    let is_missing = || match fs::metadata(meter.path("d/none")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => panic!("{other:?}"),
    };
    meter.costs_at_most(1, 1, is_missing);
    meter.costs_at_most(0, 0, is_missing);
}

#[test]
fn a_directory_is_listed_with_attributes_by_few_requests() {
    need!(fuse);
    let names: String = (0..300).map(|i| format!("f big/{i} 644 x\n")).collect();
    let Some(meter) = Meter::of(&format!("lower:\n d big 755\n {names}")) else { return };
    let list = || -> std::io::Result<()> {
        for entry in fs::read_dir(meter.path("big"))? {
            entry?.metadata()?;
        }
        Ok(())
    };
    let cost = meter.cost(list);
    // The lookup of the directory, its entries in pieces of the program's buffer size, and the end.
    assert!(cost.waited_for() <= 5, "{cost:?}");
    // The directory is read once, to its end, or not at all if a table of contents has it.
    assert!(cost.syscalls.get("getdents64").is_none_or(|calls| *calls == 2), "{cost:?}");
    assert!(cost.syscalls() <= 2 * 300 + 20, "{cost:?}");
}

#[test]
fn directories_that_one_layer_has_are_listed_without_a_look_into_each() {
    need!(fuse);
    let inner: String = (0..100).map(|i| format!("d big/{i} 755\n")).collect();
    let Some(meter) = Meter::of(&format!("lower:\n d big 755\n {inner} lower:\n d big 755\n f big/x 644 x")) else {
        return;
    };
    let cost = meter.cost(|| fs::read_dir(meter.path("big"))?.try_for_each(|entry| entry?.metadata().map(drop)));
    // The directory itself, in two layers.
    assert!(cost.syscalls.get("openat2").is_none_or(|calls| *calls <= 8), "{cost:?}");
}

/// The kernel serves a second listing from its cache, but it can get the attributes of many entries at once only by a
/// request.
#[test]
fn a_large_directory_is_listed_with_attributes_by_few_requests_also_after_a_listing_without() {
    need!(fuse);
    const MANY: u64 = 20_000;
    let files: String = (0..MANY).map(|n| format!("f d/{n:06} 644 x\n")).collect();
    let Some(meter) = Meter::of(&format!("upper:\n d d 755\n lower:\n d d 755\n {files}")) else { return };
    let names = || Ok(fs::read_dir(meter.path("d"))?.count());
    let attributes = || fs::read_dir(meter.path("d"))?.try_for_each(|entry| entry?.metadata().map(drop));
    // One request for each buffer of the program; the first one brings attributes.
    meter.costs_at_most(100, 1000, names);
    // Reading changes the directory's access time, so the kernel asks for it once more.
    meter.costs_at_most(1, 1, names);
    let cost = meter.cost(attributes);
    // The attributes of the first buffers come one by one; their number depends on when the cached listing is dropped.
    assert!(cost.waited_for() < MANY / 2, "{cost:?}");
    // The kernel cached the attributes, so the next reader needs no requests for them.
    let again = meter.cost(attributes);
    assert!(again.waited_for() <= 100 && again.syscalls() <= 100, "{again:?}");
    meter.costs_at_most(1, 1, attributes);
}

#[test]
fn a_small_file_is_read_by_two_requests() {
    need!(fuse);
    let Some(meter) = Meter::cached(LAYERS) else { return };
    fs::read(meter.path("d/top")).expect("read");
    fs::read_dir(meter.path("d")).expect("list").for_each(drop);
    meter.costs_at_most(2, 3, || File::open(meter.path("d/top2"))?.read_at(&mut [0; 3], 0));
}

#[test]
fn changes_in_the_upper_layer_cost_little() {
    need!(fuse);
    let Some(meter) = Meter::of(LAYERS) else { return };
    let at = |path: &str| meter.path(path);
    create(&at("w/first")).expect("create");
    fs::metadata(at("w/b")).expect_err("nothing there");
    fs::metadata(at("w/a")).expect("see");
    // After each change the kernel asks for the directory's attributes. Before the first write to a file it asks
    // whether the file has a capability to remove.
    meter.costs_at_most(3, 5, || create(&at("w/b")));
    let file = OpenOptions::new().write(true).open(at("w/b")).expect("open");
    meter.costs_at_most(1, 1, || file.write_at(&[b'y'; 4096], 0));
    meter.costs_at_most(1, 1, || file.write_at(&vec![b'y'; 1 << 20], 0));
    for (requests, syscalls, operation) in [
        (3, 4, &(|| fs::create_dir(at("w/new"))) as &dyn Fn() -> std::io::Result<()>),
        (2, 4, &|| fs::remove_dir(at("w/new"))),
        (3, 5, &|| fs::rename(at("w/a"), at("w/c"))),
        (2, 4, &|| fs::remove_file(at("w/c"))),
        (3, 4, &|| std::os::unix::fs::symlink("x", at("w/link"))),
    ] {
        meter.costs_at_most(requests, syscalls, operation);
    }
}

#[test]
fn changes_of_what_is_below_cost_the_same_whatever_its_size() {
    need!(fuse);
    let Some(meter) = Meter::of(LAYERS) else { return };
    let at = |path: &str| meter.path(path);
    fs::read_dir(at("d")).expect("list").for_each(drop);
    fs::remove_file(at("d/low")).expect("remove");
    for name in ["d/low2", "d/low3", "d/large", "d/large2"] {
        fs::metadata(at(name)).expect("see");
    }
    meter.costs_at_most(2, 4, || fs::remove_file(at("d/low2")));
    let chmod = |name: &str| fs::set_permissions(at(name), fs::Permissions::from_mode(0o600));
    chmod("d/low3").expect("chmod");
    if is_trusted() {
        // With `user.` marks the data is copied too.
        meter.costs_at_most(2, 12, || chmod("d/large"));
        assert_eq!(meter.cost(|| chmod("d/large2")).syscalls.get("copy_file_range"), None);
    }
}

/// Whether a change of attributes copies no data.
fn is_trusted() -> bool {
    crate::support::need::is_root()
}
