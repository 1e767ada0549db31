//! Set-id bits and capabilities: which changes remove them, and for which users.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{FallocateFlags, XattrFlags};

use crate::mmap::Map;
use crate::need;
use crate::support::{At, Layers, Subject, check, copy_program, scratch};

const USER: u32 = 1000;
const GROUP: u32 = 1001;
const OTHER: u32 = 1234;

/// A change of the file at a path.
type Act = fn(&At, &str);

const CHANGES: [(&str, Act); 9] = [
    ("write", |at, path| drop(at.write_at(path, 0, "new"))),
    ("append", |at, path| drop(at.append(path, "+"))),
    ("truncating", |at, path| drop(at.write(path, ""))),
    ("ftruncate", |at, path| drop(at.truncate(path, 1))),
    ("truncate", |at, path| drop(at.truncate_path(path, 1))),
    ("grow", |at, path| drop(at.truncate_path(path, 9000))),
    ("allocate", |at, path| drop(at.fallocate(path, FallocateFlags::KEEP_SIZE, 0, 8192))),
    ("punch", |at, path| drop(at.fallocate(path, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 10))),
    ("copy", |at, path| drop(at.copy_range("source", path, (0, 0), 5))),
];

const MODES: [u32; 6] = [0o6777, 0o4666, 0o2777, 0o2767, 0o6767, 0o777];

/// A file for each change and mode, owned by `owner`.
fn files(owner: &str) -> String {
    let mut files = String::from("f source 644 source\n");
    for (change, _) in CHANGES {
        for mode in MODES {
            files += &format!("f {change}-{mode:o} {mode:o} content {owner}\n");
        }
    }
    files
}

fn change_all(at: &At) {
    for (change, act) in CHANGES {
        for mode in MODES {
            act(at, &format!("{change}-{mode:o}"));
        }
    }
}

/// Shows all files before a remount, with the modes that the kernel has cached.
fn show_all(at: &At) {
    for (change, _) in CHANGES {
        for mode in MODES {
            at.stat(&format!("{change}-{mode:o}"));
        }
    }
}

#[test]
fn a_user_who_changes_the_content_takes_the_bits_away() {
    need!(root, fuse, overlay);
    for layers in ["upper:\n lower:\n", "lower:\n upper:\n"] {
        check(&format!("{layers}{}", files("@0:1234")), |at| {
            at.as_member(USER, GROUP, &[], change_all);
            show_all(at);
        });
    }
}

#[test]
fn a_member_of_the_group_keeps_the_group_bit_where_the_group_cannot_execute() {
    need!(root, fuse, overlay);
    check(&format!("upper:\n lower:\n{}", files("@0:1234")), |at| {
        at.as_member(USER, GROUP, &[7, OTHER], change_all);
        show_all(at);
    });
    check(&format!("upper:\n lower:\n{}", files("@0:1234")), |at| {
        at.as_member(USER, OTHER, &[], change_all);
        show_all(at);
    });
}

#[test]
fn the_owner_is_treated_as_any_user() {
    need!(root, fuse, overlay);
    check(&format!("upper:\n lower:\n{}", files("@1000:1234")), |at| {
        at.as_member(USER, GROUP, &[], change_all);
        show_all(at);
    });
}

#[test]
fn root_keeps_the_bits_when_it_writes() {
    need!(ids, fuse, overlay);
    check(&format!("upper:\n lower:\n{}", files("@5:6")), |at| {
        change_all(at);
        show_all(at);
    });
}

#[test]
fn a_program_that_was_written_to_runs_without_its_old_rights_at_once() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n d d 755", |at| {
        copy_program("/bin/sh", at.path("d/sh"));
        copy_program("/usr/bin/id", at.path("d/id"));
        at.chmod("d/id", 0o6777).gives("ok");
        let run = || {
            let mut command = std::process::Command::new(at.path("d/id"));
            std::os::unix::process::CommandExt::uid(&mut command, USER);
            let output = command.arg("-u").output()?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        let before = run();
        at.as_member(USER, GROUP, &[], |at| {
            at.append("d/id", "+").gives("ok");
        });
        at.note("id before", before);
        at.note("id after", run()).gives(&USER.to_string());
    });
}

#[test]
fn direct_writes_take_the_bits_and_maps_leave_them() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f direct 6777 4096*x\n f mapped 6777 4096*x", |at| {
        at.as_member(USER, GROUP, &[], |at| {
            let direct = || {
                let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(at.path("direct"))?;
                #[repr(align(4096))]
                struct Block([u8; 4096]);
                file.write_all_at(&Box::new(Block([b'd'; 4096])).0, 0)
            };
            at.note("write directly", direct().map(|()| "")).gives("ok");
            let mapped = || {
                let file = OpenOptions::new().read(true).write(true).open(at.path("mapped"))?;
                let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE)?;
                map.set(0, b'm');
                map.sync()
            };
            at.note("write through a map", mapped().map(|()| "")).gives("ok");
        });
        at.stat("direct");
        at.stat("mapped");
    });
}

#[test]
fn a_change_of_owner_takes_the_bits_from_everybody() {
    need!(ids, fuse, overlay);
    let names = ["a", "b", "c", "d", "e"];
    let modes = [0o6777, 0o2767, 0o4711, 0o6644, 0o7777];
    let files: String =
        names.iter().zip(modes).map(|(name, mode)| format!("f {name} {mode:o} x\nd {name}.d {mode:o}\n")).collect();
    check(&format!("upper:\n lower:\n{files}"), |at| {
        for name in names {
            at.chown(name, 1000, 1001).gives("ok");
            at.chown(&format!("{name}.d"), 1000, 1001).gives("ok");
            at.stat(name);
            at.stat(&format!("{name}.d"));
        }
    });
    // Setting the same owner, or naming none, also counts as a change of owner.
    check(&format!("upper:\n{files} lower:\n"), |at| {
        for name in names {
            at.chown(name, 0, 0).gives("ok");
            at.stat(name);
            at.chmod(name, 0o6777).gives("ok");
            let nobody = std::os::unix::fs::chown(at.path(name), None, None);
            at.note(format_args!("chown {name} -1:-1"), nobody.map(|()| "")).gives("ok");
            at.stat(name);
        }
    });
}

#[test]
fn an_owner_who_gives_the_file_to_another_of_his_groups_takes_the_bits() {
    need!(root, fuse, overlay);
    let files = "f a 6755 x @1000:1001\n f b 2767 x @1000:1234\n f c 2767 x @1000:77\n f d 4644 x @1000:1001\n";
    check(&format!("upper:\n lower:\n{files}"), |at| {
        at.as_member(USER, GROUP, &[OTHER], |at| {
            for name in ["a", "b", "c", "d"] {
                at.chown(name, USER, OTHER).gives("ok");
                at.stat(name);
            }
        });
    });
}

#[test]
fn a_mode_with_a_group_bit_is_only_for_members() {
    need!(root, fuse, overlay);
    check(
        "upper:\n f u 644 x @1000:77\n lower:\n f l 644 x @1000:77\n f mine 644 x @1000:1234\n d d 755 @1000:77",
        |at| {
            at.as_member(USER, GROUP, &[OTHER], |at| {
                for name in ["u", "l", "mine", "d"] {
                    at.chmod(name, 0o6755).gives("ok");
                    at.stat(name);
                }
            });
        },
    );
}

#[test]
fn renames_links_and_times_leave_the_bits() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f a 6755 x\n f b 6755 x\n f c 6755 x\n f d 6755 x", |at| {
        at.rename("a", "renamed").gives("ok");
        at.link("b", "linked").gives("ok");
        at.utimes("c", 1_100_000_000, 5).gives("ok");
        at.set_xattr("d", "user.k", "v", XattrFlags::empty()).gives("ok");
        for name in ["renamed", "b", "linked", "c", "d"] {
            at.stat(name);
        }
    });
}

/// Effective `cap_net_raw`, in the second revision of the attribute.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn capability_of(at: &At, path: &str) -> io::Result<String> {
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(at.path(path), "security.capability", &mut value[..])?;
    Ok(format!("{:?}", &value[..length]))
}

#[test]
fn capabilities_stay_over_a_copy_up_and_go_with_the_content_or_the_owner() {
    need!(fuse, overlay);
    let names = ["chmod", "times", "rename", "link", "xattr", "chown"];
    let files: String = names.iter().map(|name| format!("f {name} 755 content\n")).collect();
    check(&format!("upper:\n lower:\n f source 644 source\n{files}{}", self::files("")), |at| {
        let give = |path: &str| {
            let set = rustix::fs::setxattr(at.path(path), "security.capability", &CAPABILITY, XattrFlags::empty());
            at.note(format_args!("give {path} a capability"), set.map(|()| "").map_err(io::Error::from)).gives("ok");
        };
        names.iter().for_each(|name| give(name));
        at.chmod("chmod", 0o700).gives("ok");
        at.utimes("times", 1_100_000_000, 5).gives("ok");
        at.rename("rename", "renamed").gives("ok");
        at.link("link", "linked").gives("ok");
        at.set_xattr("xattr", "user.k", "v", XattrFlags::empty()).gives("ok");
        at.chown("chown", 0, 0).gives("ok");
        for name in ["chmod", "times", "renamed", "linked", "xattr", "chown"] {
            at.note(format_args!("capability of {name}"), capability_of(at, name));
        }
        for (change, act) in CHANGES {
            let path = format!("{change}-777");
            give(&path);
            act(at, &path);
            at.note(format_args!("capability after {change}"), capability_of(at, &path)).gives("ENODATA");
        }
    });
}

#[test]
fn a_write_through_a_map_takes_a_capability_away_but_on_kernel_overlayfs() {
    need!(root, fuse, overlay);
    for (subject, left) in [(Subject::Kernel, true), (Subject::Overfuse, false)] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f l 755 4096*x");
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        rustix::fs::setxattr(at.path("l"), "security.capability", &CAPABILITY, XattrFlags::empty()).expect("set it");
        let file = OpenOptions::new().read(true).write(true).open(at.path("l")).expect("open");
        let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE).expect("map");
        map.set(0, b'm');
        map.sync().expect("msync");
        assert_eq!(capability_of(&at, "l").is_ok(), left, "{subject:?}");
        drop((map, file));
        mounted.unmount();
    }
}

#[test]
fn capabilities_of_lower_files_come_up_with_them() {
    need!(root, fuse, overlay);
    check(
        r#"upper:
           lower:
           f a 755 x +security.capability="\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
           f b 755 x +security.capability="\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
           f c 755 x +security.capability="\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00""#,
        |at| {
            at.chmod("a", 0o711).gives("ok");
            at.append("b", "+").gives("ok");
            at.as_member(USER, GROUP, &[], |at| {
                at.append("c", "+").gives("EACCES");
            });
            for name in ["a", "b", "c"] {
                at.note(format_args!("capability of {name}"), capability_of(at, name));
            }
            drop(File::open(at.path("a")));
        },
    );
}
