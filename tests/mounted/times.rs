//! Times: who may set which, to the nanosecond, and which operations change them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, XattrFlags};

use crate::mmap::Map;
use crate::need;
use crate::support::{At, Layers, Mounted, Subject, check, mount_with, scratch};

/// Atime, mtime and ctime.
type Times = [(i64, i64); 3];

fn times(at: &At, path: &str) -> io::Result<Times> {
    let meta = fs::symlink_metadata(at.path(path))?;
    Ok([(meta.atime(), meta.atime_nsec()), (meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())])
}

/// Notes which times of `paths` change while `act` runs.
fn moved(at: &At, what: &str, paths: &[&str], act: impl FnOnce()) {
    moved_of(at, what, paths, &["atime", "mtime", "ctime"], act);
}

/// As [`moved`], for `times_of_interest` only.
fn moved_of(at: &At, what: &str, paths: &[&str], times_of_interest: &[&str], act: impl FnOnce()) {
    let all = || paths.iter().map(|path| times(at, path).ok()).collect::<Vec<_>>();
    let before = all();
    // Longer than a tick of the clock that file systems read.
    sleep(Duration::from_millis(15));
    act();
    for ((path, before), after) in paths.iter().zip(before).zip(all()) {
        let said = match (before, after) {
            (Some(before), Some(after)) => {
                let names = ["atime", "mtime", "ctime"].into_iter().zip(before.into_iter().zip(after));
                let names: Vec<&str> = names
                    .filter(|(name, (before, after))| times_of_interest.contains(name) && before != after)
                    .map(|(name, _)| name)
                    .collect();
                format!("[{}]", names.join(" "))
            }
            (before, after) => format!("was there: {}, is there: {}", before.is_some(), after.is_some()),
        };
        at.note(format_args!("{what}: {path}"), Ok(said));
    }
}

const TREE: &str = "upper:\n f u 644 upper\n d du 755\n f du/f 644 x\n d dn 755\n lower:\n f l 644 lower\n f l2 644 lower\n f l3 644 x\n d dl 755\n f dl/f 644 x\n d dl/s 755\n l ls l";

#[test]
fn creating_and_removing_moves_the_times_of_the_directory() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for dir in ["du", "dl"] {
            let path = |name: &str| format!("{dir}/{name}");
            moved(at, "create", &[dir], || drop(at.create(&path("new"), 0o644, "x")));
            moved(at, "mkdir", &[dir], || drop(at.mkdir(&path("d"), 0o755)));
            moved(at, "symlink", &[dir], || drop(at.symlink("x", &path("sym"))));
            moved(at, "mkfifo", &[dir], || drop(at.mknod(&path("p"), rustix::fs::FileType::Fifo, 0o644, (0, 0))));
            moved(at, "link", &[dir, &path("new")], || drop(at.link(&path("new"), &path("hard"))));
            moved(at, "rename", &[dir, &path("hard")], || drop(at.rename(&path("new"), &path("newer"))));
            moved(at, "unlink", &[dir, &path("hard")], || drop(at.unlink(&path("newer"))));
            moved(at, "unlink what the layer had", &[dir], || drop(at.unlink(&path("f"))));
            moved(at, "rmdir", &[dir], || drop(at.rmdir(&path("d"))));
            moved(at, "refused", &[dir], || drop(at.rmdir(&path("hard"))));
        }
        moved(at, "rmdir of a lower one", &["dl"], || drop(at.rmdir("dl/s")));
    });
}

#[test]
fn renaming_between_directories_moves_the_times_of_both() {
    need!(fuse, overlay);
    check(TREE, |at| {
        moved(at, "file", &["du", "dl"], || drop(at.rename("du/f", "dl/g")));
        moved(at, "directory", &["du", "dl", "dn"], || drop(at.rename("dn", "du/moved")));
        moved(at, "over", &["dl", "dl/f", ""], || drop(at.rename("u", "dl/f")));
        moved_of(at, "exchange", &["dl", "l2", "l3", ""], &["mtime", "ctime"], || {
            drop(at.rename_with("l2", "l3", RenameFlags::EXCHANGE))
        });
    });
}

#[test]
fn a_rename_or_a_link_moves_the_ctime_of_the_file_alone() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for name in ["u", "l"] {
            let before = times(at, name).expect("stat");
            sleep(Duration::from_millis(15));
            at.rename(name, "renamed").gives("ok");
            let after = times(at, "renamed").expect("stat");
            let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
            at.note(format_args!("rename {name} leaves atime, mtime, ctime"), Ok(format!("{same:?}")));
            moved(at, "link", &["renamed"], || drop(at.link("renamed", "linked")));
            at.unlink("linked");
            at.rename("renamed", name);
        }
        moved(at, "link of a lower file", &["l2", ""], || drop(at.link("l2", "linked")));
    });
}

#[test]
fn changes_of_attributes_move_the_ctime_and_nothing_else() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for name in ["u", "l", "du", "dl"] {
            moved(at, "chmod", &[name], || drop(at.chmod(name, 0o700)));
            moved(at, "chmod to the same", &[name], || drop(at.chmod(name, 0o700)));
            moved(at, "chown", &[name], || drop(at.chown(name, 0, 0)));
            moved(at, "setxattr", &[name], || drop(at.set_xattr(name, "user.k", "v", XattrFlags::empty())));
            moved(at, "removexattr", &[name], || drop(at.remove_xattr(name, "user.k")));
            moved(at, "utimes", &[name], || drop(at.utimes(name, 1_100_000_000, 5)));
        }
        moved(at, "chown of a link", &["ls"], || drop(at.chown("ls", 5, 5)));
        moved(at, "chmod of a new lower file", &["l2"], || drop(at.chmod("l2", 0o600)));
    });
}

#[test]
fn changes_of_content_move_mtime_and_ctime() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for name in ["u", "l", "l2"] {
            moved(at, "write", &[name], || drop(at.write_at(name, 0, "new")));
            moved(at, "write of the same", &[name], || drop(at.write_at(name, 0, "new")));
            moved(at, "append", &[name], || drop(at.append(name, "+")));
            moved(at, "truncate", &[name], || drop(at.truncate(name, 3)));
            moved(at, "truncate to the same size", &[name], || drop(at.truncate(name, 3)));
            moved(at, "truncate by path to the same size", &[name], || drop(at.truncate_path(name, 3)));
            moved(at, "open and truncate", &[name], || drop(at.write(name, "")));
            moved(at, "open and truncate what is empty", &[name], || drop(at.write(name, "")));
            let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
            moved(at, "fallocate", &[name], || drop(at.fallocate(name, keep, 0, 100)));
            moved(at, "copy_file_range", &[name, "l3"], || drop(at.copy_range("l3", name, (0, 0), 1)));
        }
    });
}

#[test]
fn a_write_of_nothing_and_a_read_move_no_mtime() {
    need!(fuse, overlay);
    check(TREE, |at| {
        // Not a lower file: the kernel copies it up when it is opened for writing.
        {
            let name = "u";
            let nothing = || OpenOptions::new().write(true).open(at.path(name))?.write(&[]);
            moved(at, "write nothing", &[name], || drop(at.note("write nothing", nothing().map(|_| ""))));
            let open = || OpenOptions::new().read(true).write(true).open(at.path(name));
            moved(at, "open for writing", &[name], || drop(at.note("open", open().map(|_| ""))));
        }
    });
}

/// Kernel overlayfs counts making the map as an access; Overfuse does not.
#[test]
fn a_write_through_a_map_moves_mtime_and_ctime() {
    need!(fuse, overlay);
    check("upper:\n f u 644 10000*U\n lower:\n f l 644 10000*L", |at| {
        for name in ["u", "l"] {
            let open = || OpenOptions::new().read(true).write(true).open(at.path(name)).expect("open");
            moved_of(at, "map, write, sync", &[name], &["mtime", "ctime"], || {
                let map = Map::new(&open(), libc::PROT_READ | libc::PROT_WRITE).expect("map");
                map.set(0, b'x');
                map.sync().expect("msync");
            });
            moved_of(at, "map, write, unmap, close", &[name], &["mtime", "ctime"], || {
                let file = open();
                let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE).expect("map");
                map.set(5000, b'x');
                drop(map);
                drop(file);
            });
        }
    });
}

#[test]
fn times_of_other_centuries_are_kept_to_the_nanosecond() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for (index, (seconds, nanoseconds)) in [
            (-1, 0),
            (-1, 999_999_999),
            (-2_000_000_000, 1),
            (0, 0),
            (4_000_000_000, 123_456_789),
            (8_000_000_000, 999_999_999),
        ]
        .into_iter()
        .enumerate()
        {
            for name in ["u", "l", "dl", "ls"] {
                let set = Timestamps {
                    last_access: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
                    last_modification: Timespec { tv_sec: seconds + 10 * index as i64, tv_nsec: 7 },
                };
                let done = rustix::fs::utimensat(CWD, at.path(name), &set, AtFlags::SYMLINK_NOFOLLOW);
                at.note(
                    format_args!("utimensat {name} {seconds} {nanoseconds}"),
                    done.map(|()| "").map_err(Into::into),
                );
                let [atime, mtime, _] = times(at, name).expect("stat");
                at.note(format_args!("times of {name}"), Ok(format!("{atime:?} {mtime:?}")));
            }
        }
    });
}

#[test]
fn one_time_is_set_and_the_other_stays_or_is_now() {
    need!(fuse, overlay);
    check(TREE, |at| {
        let one = Timespec { tv_sec: 1_234_567_890, tv_nsec: 123_456_789 };
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        for name in ["u", "l"] {
            for (what, last_access, last_modification) in [
                ("atime", one, omit),
                ("mtime", omit, one),
                ("now", now, omit),
                ("later", omit, now),
                ("none", omit, omit),
            ] {
                moved(at, what, &[name], || {
                    let set = Timestamps { last_access, last_modification };
                    let done = rustix::fs::utimensat(CWD, at.path(name), &set, AtFlags::empty());
                    at.note(format_args!("utimensat {name} {what}"), done.map(|()| "").map_err(Into::into)).gives("ok");
                });
            }
            at.utimes(name, 1_100_000_000, 5);
        }
    });
}

#[test]
fn who_may_write_sets_times_to_now_and_only_the_owner_to_others() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f writable 666 x\n f readable 644 x\n f mine 400 x @1000:1001", |at| {
        at.as_member(1000, 1001, &[], |at| {
            for name in ["writable", "readable", "mine"] {
                let now = rustix::fs::utimensat(CWD, at.path(name), &touch_now(), AtFlags::empty());
                at.note(format_args!("touch {name}"), now.map(|()| "").map_err(Into::into));
                at.utimes(name, 1_100_000_000, 5);
            }
        });
    });
}

fn touch_now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

/// The first read changes the atime of an upper file, according to `relatime`, and never the atime of a lower file.
/// Reads with `O_NOATIME` change no atime.
#[test]
fn reading_moves_the_atime_of_upper_files_and_leaves_the_layers_below_alone() {
    need!(fuse, overlay);
    check(
        "upper:\n f u 644 upper\n f quiet 644 upper\n d du 755\n f du/x 644 x\n lower:\n f l 644 lower\n f quiet-l 644 lower\n d dl 755\n f dl/x 644 x",
        |at| {
            let read = |name: &str, flags: i32| {
                let mut content = String::new();
                let open = || OpenOptions::new().read(true).custom_flags(flags).open(at.path(name));
                let read = || open()?.read_to_string(&mut content);
                let mut read = read;
                at.note(format_args!("read {name}"), read().map(|count| count.to_string()));
            };
            // Read before it is modified: relatime changes the atime.
            for name in ["u", "quiet", "l", "quiet-l"] {
                moved(at, "read", &[name], || read(name, if name.starts_with("quiet") { libc::O_NOATIME } else { 0 }));
            }
            moved(at, "list du", &["du"], || drop(at.list("du")));
            moved(at, "list dl", &["dl"], || drop(at.list("dl")));
            moved(at, "read again", &["u", "l"], || {
                read("u", 0);
                read("l", 0);
            });
        },
    );
}

#[test]
fn what_lies_below_keeps_its_atime_on_the_host() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers =
            Layers::build(dir.path(), "upper:\n lower:\n f l 644 lower\n f up 644 lower\n d d 755\n f d/x 644 x");
        let lower = |name: &str| layers.lowers[0].join(name);
        // Older than the mtime: reading with relatime would change it.
        let old = Timespec { tv_sec: 900_000_000, tv_nsec: 5 };
        let set =
            Timestamps { last_access: old, last_modification: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT } };
        for name in ["l", "up", "d", "d/x"] {
            rustix::fs::utimensat(CWD, lower(name), &set, AtFlags::empty()).expect("set the atime");
        }
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        at.read("l").gives("lower");
        at.append("up", "+").gives("ok");
        at.list("d").gives("x");
        for name in ["l", "up", "d", "d/x"] {
            let atime = fs::metadata(lower(name)).expect("stat").atime();
            assert_eq!(atime, 900_000_000, "{subject:?} changed the atime of {name}");
        }
        // The copied-up file has the atime of the lower file.
        assert_eq!(fs::metadata(at.path("up")).expect("stat").atime(), 900_000_000, "{subject:?}");
        mounted.unmount();
    }
}

#[test]
fn a_mount_without_atimes_moves_none() {
    need!(fuse);
    for (option, moves) in [("noatime", false), ("rw", true)] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n f u 644 upper\n f host 644 x\n lower:\n");
        let at = dir.path().join("at");
        let host = layers.upper().join("host");
        let atime = || fs::metadata(&host).expect("stat").atime();
        let before = atime();
        fs::read(&host).expect("read");
        // If the host's own mount changes no atime, the test proves nothing.
        let moves = moves && before != atime();
        let mounted = mount_with(&layers, &at, option);
        let before = fs::metadata(at.join("u")).expect("stat").atime();
        assert_eq!(fs::read(at.join("u")).expect("read"), b"upper");
        let after = fs::metadata(at.join("u")).expect("stat").atime();
        mounted.unmount();
        assert_eq!(before != after, moves, "{option}");
    }
}

#[test]
fn what_is_copied_up_keeps_its_atime() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower\n d d 755\n f d/x 644 x\n l s l", |at| {
        for name in ["l", "d", "s"] {
            at.utimes(name, 1_100_000_000, 5);
            moved(at, "chmod", &[name], || drop(at.chown(name, 0, 0)));
        }
        moved(at, "append", &["d/x"], || drop(at.append("d/x", "+")));
    });
}

#[test]
fn a_descriptor_shows_the_times_that_the_path_shows() {
    need!(fuse, overlay);
    check(TREE, |at| {
        for name in ["u", "l"] {
            let file = OpenOptions::new().read(true).write(true).open(at.path(name)).expect("open");
            file.write_all_at(b"x", 0).expect("write");
            let (by_fd, by_path) = (file.metadata().expect("fstat"), File::open(at.path(name)).expect("open"));
            let by_path = by_path.metadata().expect("fstat");
            let same = (by_fd.mtime(), by_fd.mtime_nsec(), by_fd.ctime(), by_fd.ctime_nsec())
                == (by_path.mtime(), by_path.mtime_nsec(), by_path.ctime(), by_path.ctime_nsec());
            at.note(format_args!("same times of {name}"), Ok(same.to_string())).gives("true");
        }
    });
}

/// Whether each of some files was made before or after `then`, or does not say.
fn births(at: &At, then: SystemTime) -> String {
    let born = |name: &str| match fs::symlink_metadata(at.path(name)).and_then(|meta| meta.created()) {
        Ok(born) if born < then => "before",
        Ok(_) => "after",
        Err(_) => "?",
    };
    ["u", "l", "merged", "below", "s", "p", "copied", "new"].map(|name| format!("{name} {}", born(name))).join(", ")
}

#[test]
fn the_time_of_birth_is_that_of_the_file_in_its_layer_where_it_is_asked_for() {
    need!(fuse, overlay);
    let seen = |mount: &dyn Fn(&Layers, &Path) -> Mounted| {
        let dir = scratch();
        let text = "upper:\n f u 644 u\n d merged 755\n lower:\n f l 644 l\n f copied 644 c\n d merged 755\n \
                    d below 755\n l s l\n p p 644";
        let layers = Layers::build(dir.path(), text);
        let mounted = mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        sleep(Duration::from_millis(15));
        let then = SystemTime::now();
        sleep(Duration::from_millis(15));
        at.append("copied", "+").gives("ok");
        at.create("new", 0o644, "x").gives("ok");
        let seen = births(&at, then);
        mounted.unmount();
        seen
    };
    let by_kernel = seen(&|layers, at| Subject::Kernel.mount(layers, at));
    assert_eq!(seen(&|layers, at| mount_with(layers, at, "birth_time")), by_kernel);
    assert!(by_kernel.contains("l before") && by_kernel.contains("copied after"), "{by_kernel}");
    let without = seen(&|layers, at| mount_with(layers, at, "rw"));
    assert_eq!(without.matches('?').count(), 8, "{without}");
}
