//! Errors are the same as the kernel's: for every operation on every kind of entry, every rename of one kind over
//! another, names and paths that are too long, and for the order of checks on a read-only mount.

use std::fs;

use rustix::fs::{Access, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};

use crate::need;
use crate::support::{At, check, check_read_only};

/// Every kind of entry in a union: its name, and what the upper and the lower layer hold for it. `@` stands for its
/// path.
const KINDS: &[(&str, &str, &str)] = &[
    ("missing", "", ""),
    ("gone", "w @", "f @ 644 x"),
    ("gone-dir", "w @", "f @/in 644 x"),
    ("file", "f @ 644 upper", ""),
    ("lower-file", "", "f @ 644 lower"),
    ("link", "l @ nowhere", ""),
    ("lower-link", "", "l @ nowhere"),
    ("fifo", "", "p @ 644"),
    ("empty", "d @ 755", ""),
    ("lower-empty", "", "d @ 755"),
    ("full", "f @/in 644 x", ""),
    ("lower-full", "", "f @/in 644 x"),
    ("hollow", "d @ 755\nw @/in", "f @/in 644 x"),
    ("opaque", "o @ 755", "f @/in 644 x"),
    ("merged", "f @/above 644 x", "f @/below 644 x"),
];

fn section(lines: &mut String, text: &str, at: &str) {
    lines.extend(text.lines().map(|line| line.replace('@', at) + "\n"));
}

/// An upper and a lower layer with an entry of each of `kinds` at each of its `places`.
fn layers(kinds: impl Iterator<Item = (String, &'static str, &'static str)>) -> String {
    let (mut upper, mut lower) = ("upper:\n".to_string(), "lower:\n".to_string());
    for (place, above, below) in kinds {
        section(&mut upper, above, &place);
        section(&mut lower, below, &place);
    }
    upper + &lower
}

type Operation = (&'static str, fn(&At, &str));

/// The operations on one entry. Each gets its own entry.
const OPERATIONS: &[Operation] = &[
    ("create", |at, path| drop(at.create(path, 0o644, "new"))),
    ("mkdir", |at, path| drop(at.mkdir(path, 0o755))),
    ("mkdir-slash", |at, path| drop(at.mkdir(&format!("{path}/"), 0o755))),
    ("mknod", |at, path| drop(at.mknod(path, FileType::Fifo, 0o644, (0, 0)))),
    ("symlink", |at, path| drop(at.symlink("target", path))),
    ("link-from", |at, path| drop(at.link(path, &format!("{path}-2")))),
    ("link-to", |at, path| drop(at.link("a-file", path))),
    ("unlink", |at, path| drop(at.unlink(path))),
    ("unlink-slash", |at, path| drop(at.unlink(&format!("{path}/")))),
    ("rmdir", |at, path| drop(at.rmdir(path))),
    ("read", |at, path| {
        if !waits(path) {
            at.read(path);
        }
    }),
    ("list", |at, path| drop(at.list(path))),
    ("readlink", |at, path| drop(at.readlink(path))),
    ("write", |at, path| {
        if !waits(path) {
            at.write(path, "new");
        }
    }),
    ("truncate", |at, path| {
        if !waits(path) {
            at.truncate(path, 1);
        }
    }),
    ("chmod", |at, path| drop(at.chmod(path, 0o700))),
    ("setxattr", |at, path| drop(at.set_xattr(path, "user.k", "v", XattrFlags::REPLACE))),
    ("removexattr", |at, path| drop(at.remove_xattr(path, "user.k"))),
    ("create-below", |at, path| drop(at.create(&format!("{path}/new"), 0o644, "x"))),
    ("stat-below", |at, path| drop(at.stat(&format!("{path}/in")))),
    ("unlink-below", |at, path| drop(at.unlink(&format!("{path}/in")))),
    ("open-directory", |at, path| open(at, path, OFlags::RDONLY | OFlags::DIRECTORY)),
    ("open-no-follow", |at, path| open(at, path, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK)),
    ("open-create", |at, path| open(at, path, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK)),
    ("open-truncate", |at, path| open(at, path, OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK)),
];

/// Opening a fifo waits for the other end.
fn waits(path: &str) -> bool {
    path.ends_with("fifo")
}

fn open(at: &At, path: &str, flags: OFlags) {
    let opened = rustix::fs::open(at.path(path), flags, Mode::from_raw_mode(0o644));
    at.note(format_args!("open {path} {flags:?}"), opened.map(|_| "").map_err(Into::into));
}

#[test]
fn each_operation_answers_as_the_kernel_on_each_kind_of_entry() {
    need!(fuse, overlay);
    let places = OPERATIONS.iter().flat_map(|(operation, _)| {
        KINDS.iter().map(move |(kind, above, below)| (format!("{operation}/{kind}"), *above, *below))
    });
    check(&(layers(places) + "f a-file 644 x"), |at| {
        for (name, operation) in OPERATIONS {
            for (kind, ..) in KINDS {
                operation(at, &format!("{name}/{kind}"));
            }
        }
    });
}

/// In a user namespace the kernel moves no directory that exists in a lower layer.
#[test]
fn each_kind_renamed_over_each_answers_as_the_kernel() {
    need!(root, fuse, overlay);
    let pairs =
        || KINDS.iter().flat_map(|from| KINDS.iter().map(move |to| (from, to, format!("{}-over-{}", from.0, to.0))));
    for (flags, sign) in [(RenameFlags::empty(), "r"), (RenameFlags::NOREPLACE, "n"), (RenameFlags::EXCHANGE, "x")] {
        let places = pairs().flat_map(|(from, to, place)| {
            [(format!("{sign}/{place}/from"), from.1, from.2), (format!("{sign}/{place}/to"), to.1, to.2)]
        });
        check(&layers(places), |at| {
            for (_, _, place) in pairs() {
                at.rename_with(&format!("{sign}/{place}/from"), &format!("{sign}/{place}/to"), flags);
            }
        });
    }
}

#[test]
fn a_name_of_256_bytes_is_too_long_whatever_is_asked_of_it() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n d d 755\n lower:\n f l 644 l\n d e 755\n f a-file 644 x", |at| {
        for dir in ["", "d/", "e/"] {
            let path = format!("{dir}{}", "n".repeat(256));
            for (name, operation) in OPERATIONS {
                let before = at.log().len();
                operation(at, &path);
                for said in &at.log()[before..] {
                    assert!(said.ends_with("ENAMETOOLONG"), "{name}: {said}");
                }
            }
            at.rename("u", &path).gives("ENAMETOOLONG");
            at.rename("l", &path).gives("ENAMETOOLONG");
            at.rename(&path, "new").gives("ENAMETOOLONG");
            at.link("l", &path).gives("ENAMETOOLONG");
            let longest = format!("{dir}{}", "m".repeat(255));
            at.create(&longest, 0o644, "x").gives("ok");
            at.rename(&longest, &format!("{dir}{}", "é".repeat(127))).gives("ok");
        }
        at.unlink(&format!("d/{}", "é".repeat(127))).gives("ok");
    });
}

#[test]
fn a_path_may_have_4095_bytes() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l", |at| {
        for (length, outcome) in [(4095, "ok"), (4096, "ENAMETOOLONG")] {
            for name in ["u", "l"] {
                let start = at.path("").as_os_str().len();
                let padding = length - start - name.len();
                let path = format!("{}{name}", "./".repeat(padding / 2) + &"/".repeat(padding % 2));
                at.note(format_args!("chmod {length} {name}"), fs::metadata(at.path(&path)).map(|_| "")).gives(outcome);
                let made = rustix::fs::link(at.path("u"), at.path(&path.replace(name, "n")));
                at.note(format_args!("link {length}"), made.map(|()| "").map_err(Into::into));
            }
        }
    });
}

/// The test goes down step by step, as programs that walk trees do.
#[test]
fn directories_lie_deeper_than_a_path_can_say() {
    need!(fuse, overlay);
    let name = "d".repeat(250);
    let deep = |levels: usize| vec![name.as_str(); levels].join("/");
    // The longest path from the root of a layer; with the path of the layer before it, it is too long.
    let lower = format!("d {} 755\nf {0}/f 644 x", deep(14));
    check(&format!("upper:\nlower:\n{lower}"), |at| {
        let step = |dir: std::os::fd::OwnedFd, make: bool| {
            if make {
                let _ = rustix::fs::mkdirat(&dir, name.as_str(), Mode::from_raw_mode(0o755));
            }
            rustix::fs::openat(&dir, name.as_str(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let root =
            || rustix::fs::open(at.path(""), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let last =
            (0..30).try_fold(root().expect("open the root"), |dir, _| step(dir, true)).expect("make directories");
        let file = rustix::fs::openat(
            &last,
            "new",
            OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        );
        rustix::io::write(file.expect("create a file"), b"x").expect("write");
        drop(last);
        // The deeper entries are changed relative to descriptors; the comparison of trees could not name them.
        let mut dirs = vec![root().expect("open the root")];
        for _ in 0..30 {
            let next = step(dirs.last().expect("a directory").try_clone().expect("dup"), false).expect("a directory");
            dirs.push(next);
        }
        let last = dirs.pop().expect("the last directory");
        rustix::fs::renameat(&last, "new", &last, "moved").expect("rename");
        rustix::fs::unlinkat(&last, "moved", rustix::fs::AtFlags::empty()).expect("unlink");
        for dir in dirs.iter().skip(14).rev() {
            rustix::fs::unlinkat(dir, name.as_str(), rustix::fs::AtFlags::REMOVEDIR).expect("rmdir");
        }
    });
}

#[test]
fn links_that_lead_in_circles_are_named_so() {
    need!(fuse, overlay);
    check("upper:\n l a b\n l self self\n lower:\n l b a\n d d 755\n l d/up ../b\n f f 644 x\n l f1 f", |at| {
        for path in ["a", "b", "self", "d/up", "a/x", "self/x"] {
            at.read(path).gives("ELOOP");
            at.write(path, "x").gives("ELOOP");
            at.list(path).gives("ELOOP");
            at.truncate(path, 0).gives("ELOOP");
            at.chmod(path, 0o600).gives("ELOOP");
        }
        at.create("a/x", 0o644, "").gives("ELOOP");
        at.rename("f", "self/x").gives("ELOOP");
        // Forty links in a path are followed, one more is not.
        for n in 2..=41 {
            at.symlink(&format!("f{}", n - 1), &format!("f{n}")).gives("ok");
        }
        at.read("f40").gives("x");
        at.read("f41").gives("ELOOP");
    });
}

/// For an ordinary user: the error of the read-only mount or of the permissions, in the kernel's order.
#[test]
fn a_read_only_mount_says_so_before_permissions_where_the_kernel_does() {
    need!(root, fuse, overlay);
    let tree = "f x 600 x +user.k=v\nf open 666 x\nd shut 700\nf shut/in 666 x\nd d 755\nf d/x 644 x\nd all 777\n\
        f all/x 666 x\nd sticky 1777\nf sticky/x 644 x\nl s x\nf own 600 x @1000:1000\np p 600";
    for text in [format!("lower:\n{tree}\nlower:\nf base 644 x"), format!("lower:\nf top 644 x\nlower:\n{tree}")] {
        check_read_only(&text, |at| {
            at.as_user(1000, 1000, |at| {
                for dir in ["", "shut/", "d/", "all/", "sticky/", "nowhere/"] {
                    at.create(&format!("{dir}new"), 0o644, "x");
                    at.mkdir(&format!("{dir}new"), 0o755);
                    at.mknod(&format!("{dir}new"), FileType::Fifo, 0o644, (0, 0));
                    at.symlink("x", &format!("{dir}new"));
                    at.link("all/x", &format!("{dir}new"));
                    at.rename("all/x", &format!("{dir}new"));
                    at.unlink(&format!("{dir}x"));
                    at.rmdir(&format!("{dir}x"));
                }
                for path in ["x", "open", "shut/in", "d/x", "all/x", "own", "s", "p", "d", "all", "nowhere"] {
                    at.write(path, "new");
                    at.append(path, "new");
                    at.truncate(path, 0);
                    at.chmod(path, 0o600);
                    at.chown(path, 1000, 1000);
                    at.utimes(path, 1, 1);
                    at.set_xattr(path, "user.k", "v", XattrFlags::empty());
                    at.remove_xattr(path, "user.k");
                    at.access(path, Access::WRITE_OK);
                    at.access(path, Access::EXEC_OK);
                    at.create(path, 0o644, "x");
                    open(at, path, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK);
                    open(at, path, OFlags::RDONLY | OFlags::TRUNC | OFlags::NONBLOCK);
                }
            });
        });
    }
}

#[test]
fn sizes_offsets_and_attributes_beyond_the_limits_are_refused_alike() {
    need!(fuse, overlay);
    check("upper:\n f u 644 5000*u\n d ud 755\n lower:\n f l 644 5000*l\n d ld 755\n l ls target", |at| {
        for path in ["u", "l"] {
            for offset in [1 << 44, 1 << 50, i64::MAX as u64] {
                at.write_at(path, offset, "x");
                at.truncate(path, offset);
                at.truncate_path(path, offset);
            }
            at.truncate_path(path, u64::MAX).gives("EINVAL");
            for mode in (0..0x80).map(FallocateFlags::from_bits_retain) {
                // FUSE does not pass on requests to collapse or insert ranges.
                let shifts = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
                if !mode.intersects(shifts) {
                    at.fallocate(path, mode, 4096, 4096);
                    at.fallocate(path, mode, 0, 0);
                    at.fallocate(path, mode, 1 << 62, 1 << 62);
                }
            }
            at.copy_range(path, path, (100, 0), 200);
        }
        for path in ["u", "l", "ud", "ld", "ls"] {
            for key in ["user.", "user", "bogus.x", "system.x", "system.posix_acl_access", "system.posix_acl_default"] {
                at.set_xattr(path, key, "x", XattrFlags::empty());
                at.get_xattr(path, key);
                at.remove_xattr(path, key);
            }
            for length in [249, 250, 251] {
                let key = format!("user.{}", "n".repeat(length));
                at.set_xattr(path, &key, "x", XattrFlags::empty());
                at.remove_xattr(path, &key);
            }
            at.set_xattr(path, "user.k", &"x".repeat(65_537), XattrFlags::empty());
            at.set_xattr(path, "user.k", "x", XattrFlags::REPLACE);
            at.set_xattr(path, "user.k", "x", XattrFlags::CREATE);
            at.set_xattr(path, "user.k", "x", XattrFlags::CREATE);
        }
        for (length, name) in [(0, "s0"), (4094, "s1"), (4095, "s2"), (4096, "s3")] {
            at.symlink(&"x".repeat(length), name);
            at.readlink(name);
        }
        for (from, to) in [("ud", "ud/x"), ("ld", "ld/x"), ("ud/.", "x"), ("u", "."), ("u", "ld/.."), (".", "x")] {
            at.rename(from, to);
        }
        for path in [".", "ud/.", "ud/..", ""] {
            at.rmdir(path);
            at.unlink(path);
            at.mkdir(path, 0o755);
        }
    });
}
