//! Other users may do what the visible modes, owners and access control lists allow, and nothing else.

use rustix::fs::{Access, XattrFlags};

use crate::need;
use crate::support::check;

const USER: u32 = 1000;
const GROUP: u32 = 1001;

#[test]
fn modes_say_who_may_read_and_search() {
    need!(root, fuse, overlay);
    check(
        "upper:
         f u 600 u
         lower:
         f open 644 x
         f secret 600 x
         f mine 400 x @1000:1000
         f ours 640 x @0:1001
         d hidden 700
         f hidden/x 666 x
         d search 711
         f search/x 644 x",
        |at| {
            at.as_user(USER, GROUP, |at| {
                at.read("open").gives("x");
                at.read("secret").gives("EACCES");
                at.read("u").gives("EACCES");
                at.read("mine").gives("x");
                at.read("ours").gives("x");
                at.list("hidden").gives("EACCES");
                at.read("hidden/x").gives("EACCES");
                at.list("search").gives("EACCES");
                at.read("search/x").gives("x");
                at.access("mine", Access::WRITE_OK);
            });
        },
    );
}

#[test]
fn modes_say_who_may_change() {
    need!(root, fuse, overlay);
    check(
        "upper:\n lower:\n f theirs 644 x\n f mine 644 x @1000:1001\n f locked 444 x @1000:1001\n d d 755\n f d/x 666 x",
        |at| {
            at.as_user(USER, GROUP, |at| {
                at.append("theirs", "+").gives("EACCES");
                at.truncate("theirs", 0).gives("EACCES");
                at.append("mine", "+").gives("ok");
                at.append("locked", "+").gives("EACCES");
                at.append("d/x", "+").gives("ok");
                at.create("d/new", 0o644, "x").gives("EACCES");
                at.unlink("d/x").gives("EACCES");
                at.rename("d/x", "d/y").gives("EACCES");
                at.mkdir("new", 0o755).gives("EACCES");
                at.symlink("x", "new").gives("EACCES");
            });
        },
    );
}

#[test]
fn only_owners_change_attributes() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f theirs 666 x\n f mine 644 x @1000:1001", |at| {
        at.as_user(USER, GROUP, |at| {
            at.chmod("theirs", 0o777).gives("EPERM");
            at.chown("theirs", USER, GROUP).gives("EPERM");
            at.utimes("theirs", 1_100_000_000, 0).gives("EPERM");
            at.chmod("mine", 0o4755).gives("ok");
            at.chown("mine", 0, 0).gives("EPERM");
            at.utimes("mine", 1_100_000_000, 0).gives("ok");
            at.set_xattr("mine", "user.k", "v", XattrFlags::empty()).gives("ok");
        });
    });
}

#[test]
fn what_users_make_is_theirs() {
    need!(root, fuse, overlay);
    check(
        "upper:\n d tmp 1777\n w tmp/gone\n lower:\n d tmp 1777\n f tmp/gone 644 old\n d shared 2777 @0:1234",
        |at| {
            at.as_user(USER, GROUP, |at| {
                at.create("tmp/file", 0o644, "x").gives("ok");
                at.create("tmp/gone", 0o644, "x").gives("ok");
                at.mkdir("tmp/dir", 0o700).gives("ok");
                at.symlink("target", "tmp/link").gives("ok");
                at.create("tmp/dir/in", 0o600, "x").gives("ok");
                at.create("shared/file", 0o2755, "x").gives("ok");
                at.mkdir("shared/dir", 0o755).gives("ok");
            });
            at.stat("tmp/file").gives("100644 1000:1001 1 bytes links=1");
            at.stat("tmp/dir").gives("40700 1000:1001");
            at.stat("shared/file");
            at.stat("shared/dir").gives("42755 1000:1234");
        },
    );
}

#[test]
fn parents_come_up_as_their_owners_not_as_the_user() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n d a 755\n d a/b 1777 @7:8\n f a/b/mine 644 x @1000:1001 +user.k=v", |at| {
        at.as_user(USER, GROUP, |at| {
            at.append("a/b/mine", "+").gives("ok");
            at.create("a/b/new", 0o644, "x").gives("ok");
        });
        at.stat("a/b").gives("41777 7:8");
        at.stat("a/b/mine").gives("100644 1000:1001 2 bytes links=1");
    });
}

#[test]
fn a_sticky_directory_protects_the_files_of_others() {
    need!(root, fuse, overlay);
    check(
        "upper:\n d tmp 1777\n f tmp/u 666 x\n lower:\n d tmp 1777\n f tmp/theirs 666 x\n f tmp/mine 644 x @1000:1001\n d tmp/d 777",
        |at| {
            at.as_user(USER, GROUP, |at| {
                at.unlink("tmp/theirs").gives("EPERM");
                at.unlink("tmp/u").gives("EPERM");
                at.rename("tmp/theirs", "tmp/d/stolen").gives("EPERM");
                at.rmdir("tmp/d").gives("EPERM");
                at.rename("tmp/mine", "tmp/renamed").gives("ok");
                at.unlink("tmp/renamed").gives("ok");
            });
        },
    );
}

/// Except the group bit of a file that its group cannot execute: only the kernel knows which writer keeps it, and FUSE
/// does not pass that on.
#[test]
fn a_write_by_another_takes_the_set_id_bits_away() {
    need!(root, fuse, overlay);
    check(
        "upper:\n f u 6777 x\n lower:\n f write 6777 x\n f truncate 6777 x\n f group 2777 x\n f own 4755 x @1000:1001",
        |at| {
            at.as_user(USER, GROUP, |at| {
                at.append("u", "+").gives("ok");
                at.append("write", "+").gives("ok");
                at.truncate("truncate", 0).gives("ok");
                at.append("group", "+").gives("ok");
                at.append("own", "+").gives("ok");
            });
            for name in ["u", "write", "truncate", "group", "own"] {
                at.stat(name);
            }
        },
    );
}

#[test]
fn lists_of_users_are_honoured() {
    need!(root, fuse, overlay);
    // Version 2; owner rw-, user 1000 rw-, group r--, mask rw-, other ---.
    let entries: [(u16, u16, u32); 5] = [(1, 6, !0), (2, 6, USER), (4, 4, !0), (16, 6, !0), (32, 0, !0)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    check("upper:\n lower:\n f granted 600 x\n f plain 600 x", |at| {
        let set = rustix::fs::setxattr(at.path("granted"), "system.posix_acl_access", &list, XattrFlags::empty());
        at.note("grant", set.map(|()| "").map_err(Into::into)).gives("ok");
        at.as_user(USER, GROUP, |at| {
            at.append("granted", "+").gives("ok");
            at.append("plain", "+").gives("EACCES");
        });
        at.as_user(USER + 1, GROUP + 1, |at| {
            at.read("granted").gives("EACCES");
        });
    });
}
