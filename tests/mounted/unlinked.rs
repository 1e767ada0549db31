//! Open files that were removed, or replaced by another file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use rustix::fs::{FallocateFlags, XattrFlags};

use crate::mmap::Map;
use crate::need;
use crate::support::{At, check, copy_program};

fn both_ways(at: &At, path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(at.path(path))
}

fn shown(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    let mut content = String::new();
    let mut reader = file.try_clone()?;
    reader.seek(SeekFrom::Start(0))?;
    reader.read_to_string(&mut content)?;
    Ok(format!("{:o} {} bytes links={} {content:?}", meta.mode(), meta.len(), meta.nlink()))
}

const FILES: &str =
    "upper:\n f u 644 upper\n f new 600 new\n f new2 600 new\n lower:\n f l 644 lower +user.k=v\n f l2 644 lower";

#[test]
fn an_unlinked_file_has_no_links_and_takes_every_change() {
    need!(fuse, overlay);
    check(FILES, |at| {
        for name in ["u", "l"] {
            let used = || {
                let file = both_ways(at, name)?;
                fs::remove_file(at.path(name))?;
                let mut said = vec![shown(&file)?];
                file.write_all_at(b"WRITTEN", 3)?;
                said.push(shown(&file)?);
                file.set_len(5)?;
                file.set_permissions(PermissionsExt::from_mode(0o600))?;
                file.set_modified(std::time::UNIX_EPOCH)?;
                rustix::fs::fsetxattr(&file, "user.new", b"w", XattrFlags::empty())?;
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 8)?;
                rustix::fs::fchown(&file, None, None)?;
                file.sync_all()?;
                said.push(shown(&file)?);
                let mut names = [0; 256];
                let length = rustix::fs::flistxattr(&file, &mut names[..])?;
                let mut names: Vec<_> = names[..length].split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                names.sort();
                said.push(names.join(" "));
                Ok(said.join("; "))
            };
            at.note(format_args!("use the unlinked {name}"), used());
        }
        at.list("").gives("l2 new new2");
    });
}

#[test]
fn a_lower_file_that_was_only_read_is_written_after_its_removal() {
    need!(fuse, overlay);
    check(FILES, |at| {
        let used = || {
            let reader = File::open(at.path("l"))?;
            let writer = both_ways(at, "l")?;
            let map = Map::new(&writer, libc::PROT_READ | libc::PROT_WRITE)?;
            fs::remove_file(at.path("l"))?;
            map.set(0, b'M');
            map.sync()?;
            (&writer).write_all(b"mO")?;
            Ok(format!("{} {}", shown(&reader)?, map.byte(1) as char))
        };
        at.note("write to the unlinked l", used()).gives("100644 5 bytes links=0 \"mOwer\" O");
    });
}

#[test]
fn a_file_that_was_renamed_over_has_no_links_and_stays_whole() {
    need!(fuse, overlay);
    check(FILES, |at| {
        for (old, new) in [("u", "new"), ("l", "new2")] {
            let used = || {
                let (gone, stays) = (both_ways(at, old)?, both_ways(at, new)?);
                fs::rename(at.path(new), at.path(old))?;
                gone.write_all_at(b"G", 0)?;
                stays.write_all_at(b"S", 0)?;
                Ok(format!("{}; {}; {}", shown(&gone)?, shown(&stays)?, fs::read_to_string(at.path(old))?))
            };
            at.note(format_args!("use {old} under {new}"), used());
        }
    });
}

#[test]
fn an_open_file_counts_the_links_that_are_left() {
    need!(fuse, overlay);
    check(FILES, |at| {
        let counted = || {
            let file = both_ways(at, "u")?;
            let mut counts = Vec::new();
            let mut count = || -> io::Result<()> {
                counts.push(file.metadata()?.nlink());
                Ok(())
            };
            count()?;
            fs::hard_link(at.path("u"), at.path("second"))?;
            count()?;
            fs::remove_file(at.path("u"))?;
            count()?;
            fs::rename(at.path("second"), at.path("third"))?;
            count()?;
            fs::remove_file(at.path("third"))?;
            count()?;
            Ok(format!("{counts:?}"))
        };
        at.note("links", counted()).gives("[1, 2, 1, 1, 0]");
    });
}

#[test]
fn the_time_of_the_last_change_of_an_unlinked_file_is_its_removal() {
    need!(fuse, overlay);
    check(FILES, |at| {
        for name in ["u", "l"] {
            let used = || {
                let file = both_ways(at, name)?;
                file.write_all_at(b"x", 0)?;
                let before = file.metadata()?;
                std::thread::sleep(std::time::Duration::from_millis(15));
                fs::remove_file(at.path(name))?;
                let after = file.metadata()?;
                let moved = |one: (i64, i64), other: (i64, i64)| if one == other { "stays" } else { "moves" };
                let times =
                    |meta: &fs::Metadata| ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
                let (before, after) = (times(&before), times(&after));
                Ok(format!("mtime {}, ctime {}", moved(before.0, after.0), moved(before.1, after.1)))
            };
            at.note(format_args!("times of the unlinked {name}"), used()).gives("mtime stays, ctime moves");
        }
    });
}

#[test]
fn a_removed_directory_that_is_open_takes_nothing_new() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        for name in ["u", "l"] {
            let used = || {
                let dir = File::open(at.path(name))?;
                fs::remove_dir(at.path(name))?;
                let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                let refused = rustix::fs::openat(&dir, "x", flags, rustix::fs::Mode::RWXU).map(drop);
                let made = rustix::fs::mkdirat(&dir, "x", rustix::fs::Mode::RWXU);
                let links = dir.metadata()?.nlink();
                Ok(format!("{refused:?} {made:?} links={links} sync={:?}", dir.sync_all().is_ok()))
            };
            at.note(format_args!("use the removed {name}"), used());
        }
    });
}

#[test]
fn a_removed_program_goes_on_running_and_can_be_read_by_its_descriptor() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 755", |at| {
        copy_program("/bin/sleep", at.path("d/sleep"));
        let mut child = std::process::Command::new(at.path("d/sleep")).arg("5").spawn().expect("run it");
        at.unlink("d/sleep").gives("ok");
        let program =
            fs::read(format!("/proc/{}/exe", child.id())).map(|read| read == fs::read("/bin/sleep").expect("read"));
        at.note("the running program is whole", program.map(|same| same.to_string())).gives("true");
        child.kill().expect("end it");
        child.wait().expect("it ends");
    });
}
