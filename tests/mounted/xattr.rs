//! Extended attributes: those of users work, and the marks of the layers stay hidden.

use rustix::fs::XattrFlags;

use crate::need;
use crate::support::check;

const ANY: XattrFlags = XattrFlags::empty();

#[test]
fn attributes_are_set_read_listed_and_removed() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l +user.old=1\n d d 755", |at| {
        for name in ["u", "l", "d", ""] {
            at.set_xattr(name, "user.a", "first", ANY).gives("ok");
            at.set_xattr(name, "user.a", "second", ANY).gives("ok");
            at.set_xattr(name, "user.empty", "", ANY).gives("ok");
            at.get_xattr(name, "user.a").gives("second");
            at.list_xattrs(name);
            at.remove_xattr(name, "user.a").gives("ok");
            at.get_xattr(name, "user.a").gives("ENODATA");
        }
        at.remove_xattr("l", "user.old").gives("ok");
        at.list_xattrs("l").gives("[user.empty]");
    });
}

#[test]
fn create_and_replace_are_honoured() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 l +user.old=1", |at| {
        at.set_xattr("l", "user.old", "2", XattrFlags::CREATE).gives("EEXIST");
        at.set_xattr("l", "user.new", "2", XattrFlags::REPLACE).gives("ENODATA");
        at.set_xattr("l", "user.old", "2", XattrFlags::REPLACE).gives("ok");
        at.set_xattr("l", "user.new", "2", XattrFlags::CREATE).gives("ok");
    });
}

#[test]
fn what_is_missing_cannot_be_removed() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 l", |at| {
        at.remove_xattr("l", "user.none").gives("ENODATA");
        at.remove_xattr("nowhere", "user.none").gives("ENOENT");
        at.set_xattr("nowhere", "user.none", "x", ANY).gives("ENOENT");
    });
}

#[test]
fn marks_of_the_layers_are_not_seen() {
    need!(fuse, overlay);
    check("upper:\n o d 755 +user.k=v\n lower:\n o e 755\n f d/x 644 x\n f e/x 644 x\n lower:\n d e 755", |at| {
        at.list_xattrs("d").gives("[user.k]");
        at.list_xattrs("e").gives("[]");
        at.append("e/x", "+").gives("ok");
        at.list_xattrs("e").gives("[]");
        at.list_xattrs("e/x").gives("[]");
    });
}

#[test]
fn attributes_of_links_and_pipes_follow_the_rules_of_the_kernel() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n l s nowhere\n p p 644", |at| {
        for name in ["s", "p"] {
            at.set_xattr(name, "user.k", "v", ANY).gives("EPERM");
            at.set_xattr(name, "trusted.k", "v", ANY).gives("ok");
            at.get_xattr(name, "trusted.k").gives("v");
        }
    });
}

#[test]
fn trusted_attributes_pass_for_root() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f l 644 l +trusted.k=v", |at| {
        at.get_xattr("l", "trusted.k").gives("v");
        at.set_xattr("l", "trusted.k", "w", ANY).gives("ok");
        at.list_xattrs("l").gives("[trusted.k]");
    });
}

#[test]
fn a_large_value_passes() {
    need!(fuse, overlay);
    let value = "v".repeat(2000);
    check("upper:\n lower:\n f l 644 l", |at| {
        at.set_xattr("l", "user.large", &value, ANY).gives("ok");
        at.get_xattr("l", "user.large").gives("2000*v");
    });
}

#[test]
fn access_control_lists_pass_and_come_up() {
    need!(ids, fuse, overlay);
    // Version 2; owner rwx, group r-x, mask r-x, other ---, and user 1000 r--.
    let entries: [(u16, u16, u32); 5] = [(1, 7, !0), (2, 4, 1000), (4, 5, !0), (16, 5, !0), (32, 0, !0)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
    }
    check("upper:\n lower:\n f l 644 l\n d d 755", |at| {
        for (name, key) in [("l", "system.posix_acl_access"), ("d", "system.posix_acl_default")] {
            let set = rustix::fs::setxattr(at.path(name), key, &list, ANY);
            at.note(format_args!("set {key} of {name}"), set.map(|()| "").map_err(Into::into)).gives("ok");
            at.get_xattr(name, key);
        }
        at.stat("l").gives("100750 0:0 1 bytes links=1");
        at.append("l", "+").gives("ok");
        at.create("d/new", 0o666, "x").gives("ok");
        at.list_xattrs("d/new");
        at.mkdir("d/sub", 0o777).gives("ok");
    });
}
