//! Hard links: two names for one file, whichever layer the file came from.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::need;
use crate::support::check;

#[test]
fn a_link_to_an_upper_file_shares_everything() {
    need!(fuse, overlay);
    check("upper:\n f x 644 x\n lower:\n d d 755", |at| {
        at.link("x", "d/y").gives("ok");
        at.append("d/y", "+").gives("ok");
        at.chmod("x", 0o600).gives("ok");
        at.read("x").gives("\"x+\"");
        at.stat("d/y").gives("100600 0:0 2 bytes links=2");
    });
}

#[test]
fn a_link_to_a_lower_file_brings_it_up() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n f x 640 x @1000:1000 +user.k=v\n d d 755", |at| {
        at.link("x", "d/y").gives("ok");
        at.write("x", "changed").gives("ok");
        at.read("d/y").gives("changed");
        at.stat("d/y").gives("100640 1000:1000 7 bytes links=2");
        at.unlink("x").gives("ok");
        at.stat("d/y").gives("100640 1000:1000 7 bytes links=1");
    });
}

/// In a user namespace the kernel gives the second name a new inode number.
#[test]
fn linked_names_are_one_inode() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f x 644 x\n f y 644 y", |at| {
        at.link("x", "z").gives("ok");
        let inode = |name| fs::metadata(at.path(name)).map(|meta| meta.ino());
        let same = inode("x").and_then(|x| Ok(x == inode("z")?));
        at.note("x is z", same.map(|same| same.to_string())).gives("true");
        let same = inode("x").and_then(|x| Ok(x == inode("y")?));
        at.note("x is y", same.map(|same| same.to_string())).gives("false");
    });
}

#[test]
fn links_of_links_and_of_other_kinds() {
    need!(fuse, overlay);
    check("upper:\n lower:\n l s target\n p p 644", |at| {
        at.link("s", "s2").gives("ok");
        at.readlink("s2").gives("target");
        at.link("p", "p2").gives("ok");
        at.link("p2", "p3").gives("ok");
        at.stat("p").gives("10644 0:0 0 bytes links=3");
    });
}

#[test]
fn a_link_takes_the_place_of_a_whiteout() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n w gone\n lower:\n f gone 644 old\n f l 644 l\n f gone2 644 x", |at| {
        at.link("u", "gone").gives("ok");
        at.unlink("gone2").gives("ok");
        at.link("l", "gone2").gives("ok");
        at.unlink("gone").gives("ok");
        at.stat("gone").gives("ENOENT");
        at.read("gone2").gives("l");
    });
}

#[test]
fn what_cannot_be_linked_is_refused() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 755\n f x 644 x\n f y 644 y", |at| {
        at.link("d", "d2").gives("EPERM");
        at.link("x", "y").gives("EEXIST");
        at.link("nowhere", "z").gives("ENOENT");
        at.link("x", "nowhere/z").gives("ENOENT");
    });
}
