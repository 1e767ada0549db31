//! Hostile and malformed archives: each gives one clear error and touches nothing outside the layer.

use crate::archive::{archive, chain, header_of, unpack};
use crate::support::{build, scratch, snapshot};

/// Unpacks `archive` beside a tree that must stay untouched, and compares the error.
#[track_caller]
fn check(what: &str, archive: &[u8], expected: &str) {
    let dir = scratch();
    let outside = dir.path().join("outside");
    build(&outside, "f sentinel 600 untouched\nd d 755\nl up ..");
    let before = snapshot(&outside);
    let (_, result) = unpack(archive, dir.path());
    match result {
        Ok(_) => panic!("{what}: was unpacked"),
        Err(error) => assert_eq!(chain(&error), expected, "{what}"),
    }
    before.assert_eq(&snapshot(&outside), what);
    let mut names: Vec<_> =
        dir.path().read_dir().expect("list").map(|entry| entry.expect("list").file_name()).collect();
    names.sort();
    assert_eq!(names, ["layer", "outside"], "{what}");
}

#[test]
fn names_that_leave_the_layer_are_refused() {
    for (entries, expected) in [
        ("f ../outside/x 644 x", r#""../outside/x": the name leaves the layer"#),
        ("f /../outside/x 644 x", r#""/../outside/x": the name leaves the layer"#),
        ("f a/../../outside/x 644 x", r#""a/../../outside/x": the name leaves the layer"#),
        ("d .. 777", r#""..": the name leaves the layer"#),
        ("f x 644 x =path=../outside/x", r#""../outside/x": the name leaves the layer"#),
        (r#"f x 644 x =path="a\x00b""#, r#""a\0b": not a name that a file can have"#),
        ("f ../outside/.wh.sentinel 644", r#""../outside/.wh.sentinel": the name leaves the layer"#),
        ("f ../.wh..wh..opq 644", r#""../.wh..wh..opq": the name leaves the layer"#),
        ("f .wh... 644", r#"".wh...": not a name that a whiteout can have"#),
        ("f .wh. 644", r#"".wh.": not a name that a whiteout can have"#),
        ("f .wh.a/b 644 x", r#"".wh.a/b": not a name that a whiteout can have"#),
    ] {
        check(entries, &archive(entries), expected);
    }
    let long = "n".repeat(256);
    check("a long name", &archive(&format!("f {long} 644 x")), &format!("{long:?}: not a name that a file can have"));
}

#[test]
fn links_that_leave_the_layer_are_never_followed() {
    for (entries, expected) in [
        ("h x ../outside/sentinel", r#""x": hard link to "../outside/sentinel", which leaves the layer"#),
        ("h x /outside/sentinel", r#""x": hard link to "/outside/sentinel", which this layer does not hold"#),
        ("l up ../outside\nh x up/sentinel", r#""x": hard link to "up/sentinel", which this layer does not hold"#),
        ("d d 755\nh x d", r#""x": hard link to "d", which this layer does not hold"#),
        ("h x .", r#""x": hard link to ".", which this layer does not hold"#),
        ("f .wh.a 644\nh x a", r#""x": hard link to "a", which this layer does not hold"#),
        ("l a b\nl b a\nf a/x 644 x", r#""a/x": too many symbolic links on the way"#),
        ("l a a/a\nf a/x 644 x", r#""a/x": too many symbolic links on the way"#),
        ("f a 644 x\nf a/b 644 x", r#""a/b": "a" is not a directory"#),
        ("d d 755\nf d/a 644 x\nl l d/a\nf l/b 644 x", r#""l/b": "d/a" is not a directory"#),
    ] {
        check(entries, &archive(entries), expected);
    }
}

#[test]
fn a_link_to_the_outside_is_kept_and_leads_nowhere() {
    for entries in [
        "l up ../outside\nf up/x 644 x",
        "l up ../outside\nf up/sentinel 644 x\nf up/.wh.sentinel 644",
        "l root /\nf root/x 644 x",
        "l sentinel ../outside/sentinel\nf sentinel 600 changed",
        "l d ../outside/d\nd d 000",
        "l up ../outside\nf up/.wh..wh..opq 644",
        "l s ../outside/sentinel\nh t s\nf t 600 changed",
    ] {
        let dir = scratch();
        let outside = dir.path().join("outside");
        build(&outside, "f sentinel 600 untouched\nd d 755");
        let before = snapshot(&outside);
        let (_, result) = unpack(&archive(entries), dir.path());
        if let Err(error) = result {
            panic!("{entries}: {}", chain(&error));
        }
        before.assert_eq(&snapshot(&outside), entries);
    }
}

#[test]
fn the_root_of_a_layer_stays_a_directory() {
    for (entries, expected) in [
        ("l ./ /etc", r#""./": the root of a layer must be a directory"#),
        ("f / 644 x", r#""/": the root of a layer must be a directory"#),
        ("f a 644 x\nh . a", r#"".": the root of a layer must be a directory"#),
    ] {
        check(entries, &archive(entries), expected);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (entries, expected) in [
        ("f a 644 x =uid=-1", r#""a": uid is -1, which is out of range"#),
        ("f a 644 x =gid=4294967295", r#""a": gid is 4294967295, which is out of range"#),
        ("f a 644 x =uid=root", r#""a": uid is root, which is out of range"#),
        ("f a 644 x =mtime=now", r#""a": mtime is now, which is out of range"#),
        ("f a 644 x =size=-5", r#""a": size is -5, which is out of range"#),
        ("f a 644 x =size=18446744073709551615", r#""a": size is 18446744073709551615, which is out of range"#),
        ("f a 644 x =size=9223372036854775807", "the archive ends in the middle of the content of a file"),
        ("c a 600 4096:0", r#""a": device major is 0010000, which is out of range"#),
        ("V a 600", r#""a": unknown entry type 'V'"#),
    ] {
        check(entries, &archive(entries), expected);
    }
}

#[test]
fn a_truncated_archive_is_refused() {
    let whole = archive("d d 755\nf d/x 644 5000*x\nf y 644 y =mtime=1.5");
    for (len, expected) in [
        (100, "the archive ends in the middle of a header"),
        (700, "the archive ends in the middle of a header"),
        (1024 + 100, "the archive ends in the middle of the content of a file"),
        (1024 + 5120 + 512 + 5, "the archive ends in the middle of an extended header"),
        (1024 + 5120 + 1024, "the archive describes an entry that does not follow"),
    ] {
        check(&format!("cut at {len}"), &whole[..len], expected);
    }
}

#[test]
fn malformed_archives_are_refused() {
    check("text", "#!/bin/sh\n".repeat(100).as_bytes(), "not a tar archive: the header at byte 0 is not one");
    let mut damaged = archive("d d 755\nf d/x 644 x");
    damaged[512 + 20] ^= 1;
    check("a flipped bit", &damaged, "not a tar archive: the header at byte 512 is not one");
    let mut records = header_of(b'x', 5).as_bytes().to_vec();
    records.extend_from_slice(b"99 a=");
    records.resize(1024, 0);
    records.extend_from_slice(&archive("f a 644 x"));
    check("records", &records, "malformed extended header of the entry at byte 1024");
}

#[test]
fn an_extended_header_does_not_fill_the_memory() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let header = header_of(kind, 1 << 40);
        let expected = "an extended header of 1099511627776 bytes: more than 1048576 are never needed";
        check("a huge header", header.as_bytes(), expected);
    }
}

#[test]
fn sparse_maps_are_checked() {
    let expected = |why| format!("\"a\": malformed sparse map: {why}");
    for (record, why) in [
        ("=GNU.sparse.map=0,1", "it does not match the size"),
        ("=GNU.sparse.map=0,1 =GNU.sparse.size=0", "it does not match the size"),
        ("=GNU.sparse.map=0,2 =GNU.sparse.size=9", "it does not match the size"),
        ("=GNU.sparse.map=4,1,2,0 =GNU.sparse.size=9", "its pieces overlap"),
        ("=GNU.sparse.map=9223372036854775807,1 =GNU.sparse.size=9", "its pieces overlap"),
        ("=GNU.sparse.map=0,x =GNU.sparse.size=9", "a number is out of range"),
        ("=GNU.sparse.major=1 =GNU.sparse.size=9", "it has no end"),
        ("=GNU.sparse.major=7", "its format is unknown"),
        ("=GNU.sparse.offset=0", "its format is unknown"),
    ] {
        check(record, &archive(&format!("f a 644 x {record}")), &expected(why));
    }
}
