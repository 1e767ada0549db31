//! Tests of `unpack` with ordinary layers.

use std::os::unix::fs::MetadataExt;

use overfuse::layer::{Namespace, Owners, Policy};
use overfuse::sys::Dir;
use overfuse::tar::Unpacked;

use crate::archive::{archive, chain, seen, unpack};
use crate::need;
use crate::support::tree::xattrs;
use crate::support::{scratch, show};

/// Unpacks `text` and compares the tree with `expected`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let dir = scratch();
    let (layer, result) = unpack(&archive(text), dir.path());
    if let Err(error) = result {
        panic!("{}", chain(&error));
    }
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(seen(&layer), expected.join("\n"));
}

#[test]
fn every_kind_of_file_is_made() {
    need!(root);
    check(
        "d a 700 @1:2
         f a/x 4755 hello @1000:1000
         f a/empty 0
         l a/s ../x/y
         h a/t a/x
         c a/c 600 1:3
         b a/b 660 8:1 @0:6
         p a/p 644",
        "d a 700 @1:2
         b a/b 660 8:1 @0:6
         c a/c 600 1:3
         f a/empty 0 \"\"
         p a/p 644
         l a/s ../x/y
         f a/t 4755 hello @1000:1000
         f a/x 4755 hello @1000:1000",
    );
}

#[test]
fn all_names_are_relative_to_the_layer() {
    check("f ./a 644 1\nf /b 644 2\nf .//c/./d 644 3\nd ./ 755", "f a 644 1\nf b 644 2\nd c 755\nf c/d 644 3");
}

#[test]
fn missing_parents_are_made_for_root_with_mode_755() {
    let dir = scratch();
    let (layer, result) = unpack(&archive("d ro 555\nf a/b/c 600 x\nd a/b 711 ~5"), dir.path());
    assert_eq!(result.expect("unpack"), Unpacked { entries: 3, bytes: 1 });
    assert_eq!(seen(&layer), "d a 755\nd a/b 711\nf a/b/c 600 x\nd ro 555");
    let mtime = |path: &str| layer.join(path).metadata().expect("stat").mtime();
    assert_eq!((mtime("a"), mtime("a/b"), mtime("a/b/c")), (0, 5, 1_000_000_000));
}

#[test]
fn read_only_directories_are_filled_and_keep_their_time() {
    let dir = scratch();
    let (layer, result) = unpack(&archive("d a 555 ~7\nd a/b 555 ~8\nf a/b/x 444 x\nf a/y 444 y"), dir.path());
    result.expect("unpack");
    assert_eq!(seen(&layer), "d a 555\nd a/b 555\nf a/b/x 444 x\nf a/y 444 y");
    let mtime = |path: &str| layer.join(path).metadata().expect("stat").mtime();
    assert_eq!((mtime("a"), mtime("a/b")), (7, 8));
}

#[test]
fn a_later_entry_replaces_an_earlier_one_of_the_same_name() {
    need!(root);
    for (first, second, result) in [
        ("f a 644 1", "f a 600 2", "f a 600 2"),
        ("f a 644 1", "l a t", "l a t"),
        ("l a t", "f a 644 1", "f a 644 1"),
        ("d a 700", "f a 644 1", "f a 644 1"),
        ("d a 700\nd a/b 700\nf a/b/c 644 1", "f a 644 1", "f a 644 1"),
        ("d a 700\nf a/b 644 1", "d a 750 @1:1", "d a 750 @1:1\nf a/b 644 1"),
        ("d a 700 +user.k=1 +user.l=1", "d a 700 +user.k=2", "d a 700 +user.k=2"),
        // A directory that replaces a file is new: it must hide a directory of a lower layer.
        ("f a 644 1", "d a 700", "o a 700"),
        ("f a 644 1\nh b a", "f a 644 2", "f a 644 2\nf b 644 1"),
        ("f a 644 1\nh b a", "h b a", "f a 644 1\nf b 644 1"),
        ("f a 644 1\nf b 644 2", "h b a", "f a 644 1\nf b 644 1"),
        ("f a 644 1", "h a a", "f a 644 1"),
    ] {
        check(&format!("{first}\n{second}"), result);
    }
}

#[test]
fn whiteouts_hide_lower_layers_but_no_entry_of_their_own_layer() {
    for (text, result) in [
        ("f .wh.a 644", "w a"),
        ("f d/.wh.a 644", "d d 755\nw d/a"),
        ("d d 711\nf d/.wh..wh..opq 644", "o d 711"),
        ("f d/.wh..wh..opq 644\nd d 711\nf d/x 644 x", "o d 711\nf d/x 644 x"),
        ("f a 644 x\nf .wh.a 644", "f a 644 x"),
        ("f .wh.a 644\nf a 644 x", "f a 644 x"),
        ("d a 755\nf a/x 644 x\nf .wh.a 644", "o a 755\nf a/x 644 x"),
        ("f .wh.a 644\nd a 755\nf a/x 644 x", "o a 755\nf a/x 644 x"),
        ("f .wh.a 644\nf a/x 644 x", "o a 755\nf a/x 644 x"),
        ("f .wh.a 644\nf .wh.a 644", "w a"),
        ("f .wh..wh.plnk 644\nf .wh..wh.plnk/1.2 644 x\nf a 644 x", "f a 644 x"),
    ] {
        check(text, result);
    }
}

#[test]
fn parents_that_are_links_are_followed_inside_the_layer() {
    for (text, result) in [
        (
            "d usr 755\nd usr/bin 755\nl bin usr/bin\nf bin/sh 755 x",
            "l bin usr/bin\nd usr 755\nd usr/bin 755\nf usr/bin/sh 755 x",
        ),
        ("l bin /usr/bin\nf bin/sh 755 x", "l bin /usr/bin\nd usr 755\nd usr/bin 755\nf usr/bin/sh 755 x"),
        ("d d 755\nl d/up ../../../../e\nf d/up/x 644 x", "d d 755\nl d/up ../../../../e\nd e 755\nf e/x 644 x"),
        ("l a b\nl b c\nd c 755\nf a/x 644 x\nh y b/x", "l a b\nl b c\nd c 755\nf c/x 644 x\nf y 644 x"),
        ("l a .\nf a/x 644 x", "l a .\nf x 644 x"),
        ("d d 755\nl a d\nf a/.wh.x 644\nf a/.wh..wh..opq 644", "l a d\no d 755\nw d/x"),
    ] {
        check(text, result);
    }
}

#[test]
fn extended_records_override_the_header() {
    need!(root);
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let d = "d".repeat(200);
    check(&format!("f {long} 644 x"), &format!("d {d} 755\nf {long} 644 x"));
    check(&format!("f short 644 x =path={long}"), &format!("d {d} 755\nf {long} 644 x"));
    check(&format!("l s {long}"), &format!("l s {long}"));
    check(&format!("l s t =linkpath={long}"), &format!("l s {long}"));
    check("f a 644 x =uid=3000000 =gid=70000", "f a 644 x @3000000:70000");
    check("f a 644 x =uid= =path=", "f a 644 x");
    check(
        r#"g comment 644 "16 path=ignored\n"
              f a 644 x"#,
        "f a 644 x",
    );
}

#[test]
fn times_keep_their_nanoseconds_and_may_be_before_1970() {
    let dir = scratch();
    let (layer, result) =
        unpack(&archive("f a 644 x =mtime=5.123456789\nl l t =mtime=-1.5\nd d 755 =mtime=9.5"), dir.path());
    result.expect("unpack");
    let mtime = |path: &str| {
        let meta = layer.join(path).symlink_metadata().expect("stat");
        (meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(mtime("a"), (5, 123_456_789));
    assert_eq!(mtime("l"), (-2, 500_000_000));
    assert_eq!(mtime("d"), (9, 500_000_000));
}

#[test]
fn xattrs_may_hold_line_ends_and_marks_of_overlay_are_dropped() {
    need!(root);
    check(
        r#"f a 755 x +user.text="two\nlines\x00" +security.capability="\x01\x00\x00\x02\x0a\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00""#,
        r#"f a 755 x +security.capability="\x01\x00\x00\x02\n\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +user.text="two\nlines\x00""#,
    );
    let dir = scratch();
    let marks = "d a 755 +trusted.overlay.opaque=y +user.overlay.opaque=y +user.fuseoverlayfs.opaque=y
                 f b 644 x +trusted.overlay.metacopy=x +user.containers.override_stat=1:1:644 +security.selinux=x";
    let (layer, result) = unpack(&archive(marks), dir.path());
    result.expect("unpack");
    assert_eq!((xattrs(&layer.join("a")), xattrs(&layer.join("b"))), (vec![], vec![]));
}

#[test]
fn without_privileges_owners_and_devices_are_recorded() {
    let dir = scratch();
    let policy = Policy { marks: Namespace::User, owners: Owners::Recorded };
    let text =
        "d d 0 @1:2\nf d/x 4444 x @1000:50\nc d/c 600 1:3\np d/p 640\nl d/l t @5:5\nf .wh.w 644\nf d/.wh..wh..opq 644";
    overfuse::tar::unpack(archive(text).as_slice(), &Dir::open_host(dir.path()).expect("open"), policy)
        .expect("unpack");
    let record = |value: &str| format!("+user.containers.override_stat={value}");
    assert_eq!(
        show(dir.path()),
        [
            format!("o d 700 {}", record("1:2:00:dir")),
            format!("f d/c 600 \"\" {}", record("0:0:0600:char-1-3")),
            "l d/l t".into(),
            format!("f d/p 640 \"\" {}", record("0:0:0640:pipe")),
            format!("f d/x 644 x {}", record("1000:50:04444:file")),
            "w w".into(),
        ]
        .join("\n")
    );
}
