//! The flags of `chattr`, above all those that protect files from changes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::mmap::Map;
use crate::need;
use crate::support::{Layers, Subject, mount_with, scratch};

const LAYERS: &str = "upper:
    f up 644 x
    lower:
    f plain 644 x
    f fixed 644 x
    f log 644 begin
    f d/x 644 x
    f other 644 x
    f target 644 x";

/// One command a line; the answers are compared.
const SCRIPT: &[&str] = &[
    "lsattr -d plain fixed log d up",
    // A file that is immutable in a lower layer is protected.
    "echo w >> fixed",
    "rm fixed",
    "chmod 600 fixed",
    "chown 5 fixed",
    "touch fixed",
    "truncate -s 0 fixed",
    "mv fixed moved",
    "mv other fixed",
    "ln fixed linked",
    "setfattr -n user.k -v v fixed",
    "cat fixed",
    // Append-only files.
    "echo w >> log",
    "cat log",
    "echo w > log",
    "truncate -s 0 log",
    "rm log",
    "mv log moved",
    "chmod 600 log",
    "lsattr log",
    // Files of every layer, protected on the mount.
    "chattr +i plain; chattr +i up; lsattr plain up",
    "echo w >> plain",
    "echo w >> up",
    "rm plain",
    "rm up",
    "mv -T other plain",
    "mv --exchange other plain || true",
    "ln up linked",
    "touch -d 2001-01-01 up",
    "setfattr -n user.k -v v up",
    "fallocate -l 100 up",
    "dd if=other of=plain conv=notrunc status=none",
    // Directories.
    "chattr +i d; lsattr -d d",
    "touch d/new",
    "mkdir d/new",
    "rm d/x",
    "mv d/x moved",
    "mv other d/other",
    "mv d moved",
    "rmdir d",
    "chmod 700 d",
    "echo w >> d/x; cat d/x",
    "chattr -i d; chattr +a d; lsattr -d d",
    "touch d/new; ls d",
    "rm d/new",
    "mv d/new moved",
    "ln target d/linked",
    "ls d",
    // Other flags are copied up and kept.
    "chattr +d target; lsattr target; echo w >> target; lsattr target",
    "chattr +A up",
    "lsattr -p target",
    "lsattr / > /dev/null; lsattr -d .",
    // All flags can be cleared again.
    "chattr -i fixed; lsattr fixed; echo w >> fixed; cat fixed; rm fixed",
    "chattr -a log; lsattr log; echo w > log; cat log; rm log",
    "chattr -i plain; chattr -i up; rm plain; rm up",
    "chattr -a d; lsattr -d d; rm -r d",
    "ls",
];

fn run(dir: &Path, line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).current_dir(dir).env("LC_ALL", "C").output().expect("start sh");
    // The message is not compared: without OPEN requests, the write is refused instead of the open.
    let said = String::from_utf8_lossy(&output.stdout);
    format!("{line}: {} {said}", if output.status.success() { "ok" } else { "refused" })
}

/// On drop, clears the protecting flags of the whole tree, so that it can be removed.
struct Unprotected<'a>(&'a Path);

impl Drop for Unprotected<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-f", "-i", "-a"]).arg(self.0).output();
    }
}

#[test]
fn flags_protect_what_they_are_set_on_until_they_are_taken_off() {
    need!(root, fuse, overlay, flags);
    let [kernel, overfuse] = Subject::BOTH.map(|subject| {
        let dir = scratch();
        let layers = Layers::build(dir.path(), LAYERS);
        let lower = &layers.lowers[0];
        let unprotected = Unprotected(lower);
        let made = Command::new("sh").args(["-ec", "chattr +i fixed; chattr +a log"]).current_dir(lower).output();
        assert!(made.expect("start sh").status.success(), "protect files of the lower layer");
        let half = SCRIPT.len() - 5;
        let mut said = Vec::new();
        // In the middle, the other subject mounts the same upper: both know the marks for flags.
        let parts = [(subject, &SCRIPT[..half]), (other(subject), &[]), (subject, &SCRIPT[half..])];
        for (subject, lines) in parts {
            let mounted = subject.mount(&layers, &dir.path().join("at"));
            said.push(run(mounted.at(), "lsattr -d * 2>&1"));
            said.extend(lines.iter().map(|line| run(mounted.at(), line)));
            mounted.unmount();
        }
        drop(unprotected);
        said
    });
    let pairs = kernel.iter().zip(&overfuse).filter(|(by_kernel, by_overfuse)| by_kernel != by_overfuse);
    let diff: String = pairs.map(|(by_kernel, by_overfuse)| format!("- {by_kernel}\n+ {by_overfuse}\n")).collect();
    assert!(diff.is_empty() && kernel.len() == overfuse.len(), "- kernel, + Overfuse:\n{diff}");
}

/// Without OPEN requests the page cache accepts a write, but the layers must not get it.
#[test]
fn nothing_comes_from_the_page_cache_into_a_file_that_a_lower_layer_protects() {
    need!(root, fuse, flags);
    for option in ["io=cached", "io=writeback", "io=passthrough"] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f fixed 644 lower");
        let lower = layers.lowers[0].join("fixed");
        let _unprotected = Unprotected(&layers.lowers[0]);
        assert!(Command::new("chattr").arg("+i").arg(&lower).status().expect("start chattr").success());
        let mounted = mount_with(&layers, &dir.path().join("at"), option);
        let open = || OpenOptions::new().read(true).write(true).open(mounted.at().join("fixed"));
        // With OPEN requests, the open is refused.
        if let Ok(file) = open() {
            let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE).expect("map");
            map.set(0, b'X');
            assert!(map.sync().is_err(), "{option}: a map was written");
        }
        if let Ok(file) = open() {
            let written = file.write_all_at(b"Y", 0).and_then(|()| file.sync_all());
            assert!(written.is_err(), "{option}: a write was taken");
        }
        mounted.unmount();
        assert_eq!(fs::read(&lower).expect("read"), b"lower", "{option}");
        assert!(!layers.upper().join("fixed").exists(), "{option}: copied up");
    }
}

fn other(subject: Subject) -> Subject {
    match subject {
        Subject::Kernel => Subject::Overfuse,
        Subject::Overfuse => Subject::Kernel,
    }
}
