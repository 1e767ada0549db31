//! Trees that are deeper than the longest path, handled by processes with a low limit of descriptors.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{self as rfs, Mode, OFlags};
use tar::{Builder, EntryType, Header};

use crate::need;
use crate::parcel::{Image, Parcel};
use crate::support::scratch;

/// The limit of open descriptors for the processes under test.
const DESCRIPTORS: usize = 64;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_overfuse")]);
        command.arg("--root").arg(self.dir.path().join("store")).args(args).stdin(Stdio::null());
        let output = command.output().expect("run overfuse");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}", said.chars().take(400).collect::<String>());
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A layer with one file in `depth` nested directories.
fn layer(name: &str, depth: usize) -> Vec<u8> {
    let path = format!("{}/file", vec![name; depth].join("/"));
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(3);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header, path, b"old".as_slice()).expect("append to memory");
    builder.into_inner().expect("finish the archive")
}

fn bottom(root: &Path, name: &str, depth: usize) -> File {
    let mut dir = File::open(root).expect("open the root");
    for _ in 0..depth {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        dir = rfs::openat(dir.as_fd(), name, flags, Mode::empty()).expect("step down").into();
    }
    dir
}

fn open(dir: &File, name: &str, flags: OFlags) -> File {
    rfs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644)).expect("open a file").into()
}

#[test]
fn a_tree_deeper_than_any_path_works_in_every_command() {
    need!(root, fuse);
    for (name, depth) in [("a-longer-name", 1000), ("d", 5000)] {
        let bench = Bench { dir: scratch() };
        let path = |name: &str| bench.dir.path().join(name);
        let (archive, at) = (path("app.tar"), path("at"));
        let (archive, at_arg) = (archive.to_str().expect("text"), at.to_str().expect("text"));
        let mut image = Image::of(&[&[]]);
        image.layers = vec![layer(name, depth)];
        fs::write(archive, Parcel::layout("app:v1", &image).tar()).expect("write the image");
        bench.prints(&["load", archive]);

        fs::create_dir(&at).expect("make the mount point");
        bench.prints(&["mount", "--writable", "work", "app:v1", at_arg]);
        let deepest = bottom(&at, name, depth);
        open(&deepest, "new", OFlags::WRONLY | OFlags::CREATE).write_all(b"new").expect("write at the bottom");
        rfs::unlinkat(&deepest, "file", rfs::AtFlags::empty()).expect("remove at the bottom");
        drop(deepest);
        bench.prints(&["umount", at_arg]);

        let differs = bench.prints(&["diff", "work"]);
        assert_eq!(differs.lines().filter(|line| line.starts_with("C /")).count(), depth);
        let above = format!("/{}", vec![name; depth].join("/"));
        let inside: Vec<_> = differs.lines().filter(|line| !line.starts_with('C')).collect();
        assert_eq!(inside, [format!("D {above}/file"), format!("A {above}/new")]);
        let row = bench.prints(&["ps", "-a", "--size", "--format", "json"]);
        let row: serde_json::Value = serde_json::from_str(&row).expect("JSON");
        assert!(row["Size"].as_str().is_some_and(|size| !size.starts_with("0B")), "{row}");

        bench.prints(&["commit", "work", "app:v2"]);
        bench.prints(&["mount", "app:v2", at_arg]);
        let deepest = bottom(&at, name, depth);
        let listed: Vec<_> =
            rfs::Dir::read_from(&deepest).expect("list the bottom").map(|entry| entry.expect("list")).collect();
        assert_eq!(listed.iter().filter(|entry| entry.file_name() == c"new").count(), 1);
        assert_eq!(listed.iter().filter(|entry| entry.file_name() == c"file").count(), 0);
        drop(deepest);
        bench.prints(&["umount", at_arg]);

        bench.prints(&["rm", "work"]);
        bench.prints(&["rmi", "app:v1"]);
        bench.prints(&["rmi", "app:v2"]);
        for left in ["layers/sha256", "containers"] {
            let left = bench.dir.path().join("store").join(left);
            assert_eq!(fs::read_dir(&left).map_or(0, Iterator::count), 0, "{left:?}");
        }
    }
}
