//! Files that are made without a name (`O_TMPFILE`), and get one later or never.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use overfuse::fuse::stats;
use rustix::fs::{AtFlags, CWD};

use crate::mmap::Map;
use crate::need;
use crate::support::subject::further_options;
use crate::support::{At, Layers, check, check_alone, check_read_only, mount_with, scratch};

fn unnamed(dir: &Path, mode: u32, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE | flags).mode(mode).open(dir)
}

fn name_it(file: &File, to: &Path) -> io::Result<&'static str> {
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?;
    Ok("")
}

fn shown(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    let mut content = vec![0; meta.len() as usize];
    file.read_exact_at(&mut content, 0)?;
    let content = String::from_utf8_lossy(&content).into_owned();
    Ok(format!("{:o} {}:{} links={} {content:?}", meta.mode(), meta.uid(), meta.gid(), meta.nlink()))
}

const DIRS: &str =
    "upper:\n d u 777\n d m 777\n w m/gone\n lower:\n d l 777\n d m 777\n f m/gone 644 old\n f m/f 644 f";

#[test]
fn a_file_without_a_name_takes_every_change_and_leaves_nothing() {
    need!(fuse, overlay);
    check(DIRS, |at| {
        for dir in ["u", "l", "m", ""] {
            let used = || {
                let file = unnamed(&at.path(dir), 0o640, 0)?;
                file.write_all_at(b"content", 0)?;
                let mut said = vec![shown(&file)?];
                let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE)?;
                map.set(0, b'C');
                map.sync()?;
                file.set_len(4)?;
                file.sync_all()?;
                rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o4755))?;
                rustix::fs::fsetxattr(&file, "user.k", b"v", rustix::fs::XattrFlags::empty())?;
                let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
                said.push(shown(&again)?);
                Ok(said.join("; "))
            };
            at.note(format_args!("use a file in {dir:?}"), used())
                .gives("100640 0:0 links=0 \"content\"; 104755 0:0 links=0 \"Cont\"");
            at.list(dir);
        }
        at.list("m").gives("f");
    });
}

#[test]
fn it_gets_a_name_and_is_a_file_as_any_other_then() {
    need!(fuse, overlay);
    check(DIRS, |at| {
        for (dir, name) in [("u", "u/new"), ("l", "u/from-l"), ("m", "l/new"), ("u", "m/gone"), ("m", "m/second")] {
            let file = unnamed(&at.path(dir), 0o604, 0).expect("a file without a name");
            file.write_all_at(name.as_bytes(), 0).expect("write");
            at.note(format_args!("name it {name}"), name_it(&file, &at.path(name))).gives("ok");
            at.stat(name).gives(&format!("100604 0:0 {} bytes links=1", name.len()));
            file.write_all_at(b"+", name.len() as u64).expect("write");
            at.read(name).gives(&format!("\"{name}+\""));
            let same = || Ok((file.metadata()?.ino() == fs::metadata(at.path(name))?.ino()).to_string());
            at.note("one inode", same()).gives("true");
            at.note("name it again", name_it(&file, &at.path("other"))).gives("ok");
            at.note("links", file.metadata().map(|meta| meta.nlink().to_string())).gives("2");
            at.rename("other", "renamed").gives("ok");
            at.unlink("renamed").gives("ok");
            at.note("name what exists", name_it(&file, &at.path("m/f"))).gives("EEXIST");
        }
        let file = unnamed(&at.path("l"), 0o644, 0).expect("a file without a name");
        at.note("a name", name_it(&file, &at.path("l/short"))).gives("ok");
        at.unlink("l/short").gives("ok");
        // The last name went: no further one can be had, unless the file was made without.
        at.note("after the last name went", name_it(&file, &at.path("l/back")));
    });
}

#[test]
fn what_shall_never_have_a_name_gets_none() {
    need!(fuse, overlay);
    check(DIRS, |at| {
        let file = unnamed(&at.path("l"), 0o600, libc::O_EXCL).expect("a file without a name");
        at.note("name it", name_it(&file, &at.path("u/x"))).gives("ENOENT");
        at.note("in a file", unnamed(&at.path("m/f"), 0o600, 0).map(|_| "")).gives("ENOTDIR");
        at.note("nowhere", unnamed(&at.path("nowhere"), 0o600, 0).map(|_| "")).gives("ENOENT");
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_TMPFILE).open(at.path("l"));
        at.note("to read alone", reader.map(|_| "")).gives("EINVAL");
    });
}

/// What the shell gives its directories decides of a file in them, named or not.
fn made_in(at: &At, dir: &str, mode: u32) -> io::Result<String> {
    let file = unnamed(&at.path(dir), mode, 0)?;
    let before = shown(&file)?;
    let name = format!("{dir}/{mode:o}");
    name_it(&file, &at.path(&name))?;
    Ok(format!("{before}; {}", at.stat(&name)))
}

#[test]
fn owner_group_and_mode_are_those_of_a_file_with_a_name() {
    need!(ids, fuse, overlay, acl);
    check("upper:\n d u 777\n d s 2777 @0:1001\n d a 777\n lower:\n d l 777\n d t 2777 @0:1001", |at| {
        let acl = ["-d", "-m", "u:1000:rwx,g:1001:r-x,m::rwx,o::---"];
        let set = std::process::Command::new("setfacl").args(acl).arg(at.path("a")).status().expect("start setfacl");
        assert!(set.success());
        for dir in ["u", "l", "s", "t", "a"] {
            for mode in [0o666, 0o4711, 0o2755, 0o400, 0] {
                at.note(format_args!("root's {mode:o} in {dir}"), made_in(at, dir, mode));
            }
            at.as_user(1000, 1000, |at| {
                for mode in [0o664, 0o4751, 0o2751] {
                    at.note(format_args!("a user's {mode:o} in {dir}"), made_in(at, dir, mode));
                }
            });
        }
        at.list_xattrs("a/666").gives("[system.posix_acl_access]");
        at.stat("s/664").gives("100644 1000:1001 0 bytes links=1");
    });
}

#[test]
fn who_may_not_write_to_the_directory_gets_none() {
    need!(ids, fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        for dir in ["u", "l"] {
            at.as_user(1000, 1000, |at| {
                at.note(format_args!("a file in {dir}"), unnamed(&at.path(dir), 0o600, 0).map(|_| "")).gives("EACCES");
            });
        }
    });
}

#[test]
fn without_an_upper_there_is_none() {
    need!(fuse, overlay);
    check_read_only("lower:\n d l 777\n lower:\n", |at| {
        at.note("a file in l", unnamed(&at.path("l"), 0o600, 0).map(|_| "")).gives("EROFS");
    });
}

/// As it takes nothing with a name. The kernel's overlayfs answers `EPERM` and `ENOTDIR`.
#[test]
fn a_directory_that_was_removed_takes_none() {
    need!(fuse);
    check_alone("upper:\n d u 755\n lower:\n d l 755", |at| {
        for name in ["u", "l"] {
            let dir = File::open(at.path(name)).expect("open");
            at.rmdir(name).gives("ok");
            let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
            let made = unnamed(Path::new(&path), 0o600, 0).map(|_| "");
            at.note(format_args!("a file in {name}"), made).gives("ENOENT");
        }
    });
}

/// Files of the layers that a process still has open though their last name is gone.
fn kept(upper: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("list /proc").flatten();
    let open = processes.filter_map(|process| fs::read_dir(process.path().join("fd")).ok()).flatten().flatten();
    let targets = open.filter_map(|fd| fs::read_link(fd.path()).ok());
    targets.filter(|to| to.starts_with(upper) && to.as_os_str().to_string_lossy().ends_with(" (deleted)")).count()
}

#[test]
fn however_files_are_read_it_is_asked_for_once_and_gone_when_it_is_closed() {
    need!(root, fuse);
    for io in ["io=cached", "io=writeback", "io=passthrough"] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n d l 755");
        let mounted = mount_with(&layers, &dir.path().join("at"), io);
        let mut files = Vec::new();
        for index in 0..20_u8 {
            let file = unnamed(&mounted.at().join("l"), 0o600, 0).expect("a file without a name");
            file.write_all_at(&[index; 10_000], 0).expect("write");
            let mut content = [0; 10_000];
            file.read_exact_at(&mut content, 0).expect("read");
            assert_eq!(content, [index; 10_000]);
            files.push(file);
        }
        let requests = stats(mounted.at()).expect("the counts of the mount").requests;
        assert_eq!(requests.get("TMPFILE"), Some(&20), "{io}: {requests:?}");
        if io == "io=passthrough" && further_options().is_none_or(|further| !further.contains("io=")) {
            assert_eq!((requests.get("READ"), requests.get("WRITE")), (None, None), "{requests:?}");
        }
        assert!(kept(layers.upper()) >= 20, "{io}");
        drop(files);
        let begun = Instant::now();
        while kept(layers.upper()) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "{io}: {} files are kept", kept(layers.upper()));
            std::thread::sleep(Duration::from_millis(20));
        }
        mounted.unmount();
    }
}
