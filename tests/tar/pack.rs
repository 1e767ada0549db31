//! Tests of `pack`: the archive of an upper directory, read by another tar reader.

use std::io::Read;
use std::path::Path;

use overfuse::layer::{Namespace, Owners, Policy};
use overfuse::sys::Dir;
use overfuse::tar::{Error, Over, pack};
use tar::EntryType;

use crate::archive::chain;
use crate::need;
use crate::support::tree::opaque_key;
use crate::support::{Layers, Subject, build, build_at, scratch};

fn pack_dir(dir: &Path, owners: Owners) -> Result<Vec<u8>, Error> {
    let upper = Dir::open_host(dir).expect("open the upper");
    pack(Over::nothing(&upper), Policy { marks: Namespace::of_this_process(), owners }, Vec::new())
}

/// The prefix of the marks that this process writes.
fn mark_prefix() -> &'static str {
    opaque_key().trim_end_matches(".opaque")
}

/// One line for each entry: kind, name, mode, target or device, PAX records, content.
fn list(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let mut lines = Vec::new();
    for entry in archive.entries().expect("a new archive") {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        let kind = match header.entry_type() {
            EntryType::Regular => 'f',
            EntryType::Directory => 'd',
            EntryType::Symlink => 'l',
            EntryType::Link => 'h',
            EntryType::Char => 'c',
            EntryType::Fifo => 'p',
            _ => '?',
        };
        let mode = header.mode().expect("a mode");
        let device = header.device_major().ok().flatten().zip(header.device_minor().ok().flatten());
        let name = entry.path().expect("a name").display().to_string();
        let mut line = format!("{kind} {name} {mode:o}");
        if let Some(target) = entry.link_name().expect("a target") {
            line += &format!(" -> {}", target.display());
        }
        if let (Some((major, minor)), 'c') = (device, kind) {
            line += &format!(" {major}:{minor}");
        }
        for record in entry.pax_extensions().expect("records").into_iter().flatten() {
            let record = record.expect("a record");
            line += &format!(" {}={}", record.key().expect("a key"), record.value_bytes().escape_ascii());
        }
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("content");
        if !content.is_empty() {
            line += &format!(" {content}");
        }
        lines.push(line);
    }
    lines
}

#[test]
fn whiteouts_and_opaque_directories_get_their_oci_names() {
    let dir = scratch();
    build(dir.path(), "d . 755\nd a 755\nf b 644 x\nw a/gone\no o 711\nf o/x 600 y\nw top");
    assert_eq!(
        list(&pack_dir(dir.path(), Owners::Real).expect("pack")),
        [
            "d ./ 755",
            "d a/ 755",
            "f a/.wh.gone 0",
            "f b 644 x",
            "d o/ 711",
            "f o/.wh..wh..opq 0",
            "f o/x 600 y",
            "f .wh.top 0",
        ]
    );
}

#[test]
fn names_of_one_file_are_hard_links_and_sockets_are_left_out() {
    let dir = scratch();
    build(dir.path(), "d . 755\nd a 755\nf b 644 x\nh a/c b\nl s t\nh t s\np p 600\ns socket 600\nh socket2 socket");
    assert_eq!(
        list(&pack_dir(dir.path(), Owners::Real).expect("pack")),
        ["d ./ 755", "d a/ 755", "f a/c 644 x", "h b 644 -> a/c", "p p 600", "l s 777 -> t", "h t 777 -> s"]
    );
}

#[test]
fn records_hold_what_headers_cannot() {
    need!(root);
    let dir = scratch();
    let long = "n".repeat(150);
    build_at(&dir.path().join("old"), "d . 755", -5);
    let owned = "f a 644 x @3000000:2097151 +user.k=v +trusted.overlay.origin=o";
    build(dir.path(), &format!("d . 755\n{owned}\nl s {long}\nf {long} 644 y"));
    assert_eq!(
        list(&pack_dir(dir.path(), Owners::Real).expect("pack")),
        [
            "d ./ 755".to_string(),
            "f a 644 uid=3000000 SCHILY.xattr.user.k=v x".to_string(),
            format!("f {long} 644 path={long} y"),
            "d old/ 755 mtime=-5".to_string(),
            format!("l s 777 -> {long} linkpath={long}"),
        ]
    );
}

#[test]
fn recorded_owners_and_devices_are_decoded() {
    let dir = scratch();
    build(
        dir.path(),
        "d . 755
         f c 600 \"\" +user.containers.override_stat=0:6:0660:char-1-3
         d d 700 +user.containers.override_stat=5:5:02711:dir
         f x 600 x +user.containers.override_stat=5:5:04755:file",
    );
    let archive = pack_dir(dir.path(), Owners::Recorded).expect("pack");
    assert_eq!(list(&archive), ["d ./ 755", "c c 660 1:3", "d d/ 2711", "f x 4755 x"]);
    let mut archive = tar::Archive::new(archive.as_slice());
    let owners: Vec<_> = archive
        .entries()
        .expect("a new archive")
        .map(|entry| entry.and_then(|entry| Ok((entry.header().uid()?, entry.header().gid()?))).expect("an owner"))
        .collect();
    assert_eq!(owners, [(0, 0), (0, 6), (5, 5), (5, 5)]);
}

#[test]
fn equal_trees_give_equal_archives() {
    let [first, second] = ["f b 644 x\nd c 755\nf a 644 y", "d c 755\nf a 644 y\nf b 644 x"].map(|text| {
        let dir = scratch();
        build(dir.path(), text);
        let old = std::time::SystemTime::UNIX_EPOCH;
        for name in ["a", "b", "c", "."] {
            std::fs::File::open(dir.path().join(name)).and_then(|file| file.set_modified(old)).expect("set the time");
        }
        pack_dir(dir.path(), Owners::Real).expect("pack")
    });
    assert!(first == second);
}

#[test]
fn entries_that_no_layer_can_hold_are_refused() {
    for (tree, expected) in [
        (
            "f d/.wh.x 644 x",
            r#""d/.wh.x": a name that begins with .wh. means a deletion in an image layer, and cannot be kept there"#,
        ),
        (
            "f d 1644 \"\" +MARK.overfuse.device=y",
            r#""d": a character device 0/0 means a deletion in an image layer, and cannot be kept there"#,
        ),
    ] {
        let dir = scratch();
        build(dir.path(), &tree.replace("MARK", mark_prefix()));
        match pack_dir(dir.path(), Owners::Real) {
            Ok(_) => panic!("{tree}: was packed"),
            Err(error) => assert_eq!(chain(&error), expected),
        }
    }
}

/// Packs the upper of `layers` and compares the entries; `MARK` in the text stands for [`mark_prefix`].
#[track_caller]
fn check_over(layers: &str, expected: &[&str]) {
    let dir = scratch();
    let layers = Layers::build(dir.path(), &layers.replace("MARK", mark_prefix()));
    let lower: Vec<Dir> = layers.lowers.iter().map(|lower| Dir::open_host(lower).expect("open a layer")).collect();
    let upper = Dir::open_host(layers.upper()).expect("open the upper");
    let policy = Policy { marks: Namespace::of_this_process(), owners: Owners::Real };
    let archive = pack(Over { upper: &upper, lower: &lower, index: None }, policy, Vec::new())
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(list(&archive), expected);
}

#[test]
fn a_renamed_directory_is_packed_whole_and_opaque() {
    check_over(
        "upper:
         d new 750 +MARK.redirect=/old
         f new/added 644 a
         f new/changed 644 after
         w new/gone
         w old
         lower:
         f old/kept 644 k
         h old/link old/kept
         f old/gone 644 g
         f old/changed 644 before
         d old/sub 755
         w old/sub/hidden
         f new/shadowed 644 s
         lower:
         f old/sub/x 644 x
         f old/sub/hidden 644 x",
        &[
            "d ./ 755",
            "d new/ 750",
            "f new/.wh..wh..opq 0",
            "f new/added 644 a",
            "f new/changed 644 after",
            "f new/kept 644 k",
            "h new/link 644 -> new/kept",
            "d new/sub/ 755",
            "f new/sub/x 644 x",
            "f .wh.old 0",
        ],
    );
}

#[test]
fn redirects_are_followed_through_redirects_below() {
    check_over(
        "upper:
         d c 755 +MARK.redirect=b
         d c/d 755 +MARK.redirect=/b/e
         w b
         lower:
         d b 755 +MARK.redirect=/a
         f b/two 644 2
         w a
         lower:
         f a/one 644 1
         d a/e 755
         f a/e/three 644 3",
        &[
            "d ./ 755",
            "f .wh.b 0",
            "d c/ 755",
            "f c/.wh..wh..opq 0",
            "d c/d/ 755",
            "f c/d/three 644 3",
            "d c/e/ 755",
            "f c/e/three 644 3",
            "f c/one 644 1",
            "f c/two 644 2",
        ],
    );
}

#[test]
fn a_metacopy_is_packed_with_its_data() {
    check_over(
        "upper:
         f f 600 5*x +MARK.metacopy=\"\"
         lower:
         f f 644 5*x +MARK.metacopy=\"\"
         lower:
         f f 755 hello",
        &["d ./ 755", "f f 600 hello"],
    );
}

#[test]
fn a_renamed_metacopy_is_packed_with_its_data() {
    need!(root);
    check_over(
        "upper:
         d d 755
         f d/g 600 5*x +MARK.metacopy=\"\" +MARK.redirect=/f
         h d/h d/g
         w f
         lower:
         f f 644 hello
         f d/other 644 x",
        &["d ./ 755", "d d/ 755", "f d/g 600 hello", "h d/h 600 -> d/g", "f .wh.f 0"],
    );
}

#[test]
fn lower_hard_links_to_a_changed_file_are_packed() {
    need!(root, overlay);
    // Overfuse copies up all names; the kernel leaves the others to its index.
    let dir = scratch();
    let text = "upper:\nlower:\nf a 644 before\nd d 750\nh d/b a\nh d/c a\nf other 644 x\nh link other";
    let layers = Layers::build(dir.path(), text);
    let mounted = Subject::Kernel.mount(&layers, &dir.path().join("at"));
    std::fs::write(mounted.at().join("a"), "after").expect("write");
    std::fs::remove_file(mounted.at().join("d/c")).expect("remove");
    mounted.unmount();
    let (upper, work) = layers.upper.clone().expect("an upper");
    assert!(!upper.join("d/b").exists(), "the test wants a name that is not there");
    let [upper, lower, index] = [upper, layers.lowers[0].clone(), work.join("index")]
        .map(|path| Dir::open_host(&path).expect("open a directory"));
    let policy = Policy { marks: Namespace::of_this_process(), owners: Owners::Real };
    let lower = [lower];
    let over = Over { upper: &upper, lower: &lower, index: Some(&index) };
    let packed = list(&pack(over, policy, Vec::new()).expect("pack"));
    let packed: Vec<_> = packed.iter().map(|line| line.split(" mtime=").next().unwrap_or(line)).collect();
    assert_eq!(packed[1..], ["f a 644", "d d/ 750", "h d/b 644 -> a", "f d/.wh.c 0"]);
    let changed = overfuse::tar::changes(over, policy).expect("compare");
    let changed: Vec<_> = changed.iter().map(|change| format!("{} {}", change.kind, change.path.display())).collect();
    assert_eq!(changed, ["C /a", "C /d", "C /d/b", "D /d/c"]);
}

#[test]
fn a_redirect_to_nothing_is_an_error_with_its_path() {
    let dir = scratch();
    build(dir.path(), &"d a 755\nd a/d 755 +MARK.redirect=/e".replace("MARK", mark_prefix()));
    match pack_dir(dir.path(), Owners::Real) {
        Ok(_) => panic!("was packed"),
        Err(error) => assert_eq!(chain(&error), r#""a/d": cannot read what it is: Input/output error (os error 5)"#),
    }
}

#[test]
fn whiteouts_of_other_formats_get_their_oci_names() {
    check_over(
        "upper:
         f .wh.a 644 \"\"
         d d 755
         f d/.wh..wh..opq 644 \"\"
         f d/x 644 x
         d e 755 +MARK.opaque=x
         f e/b 400 \"\" +MARK.whiteout=y
         lower:
         f a 644 a",
        &["d ./ 755", "f .wh.a 0", "d d/ 755", "f d/.wh..wh..opq 0", "f d/x 644 x", "d e/ 755", "f e/.wh.b 0"],
    );
}

#[test]
fn the_error_of_the_writer_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = scratch();
    let upper = Dir::open_host(dir.path()).expect("open");
    let error = pack(Over::nothing(&upper), Policy { marks: Namespace::of_this_process(), owners: Owners::Real }, Full)
        .map(drop)
        .expect_err("full");
    assert_eq!(chain(&error), "cannot write the archive: no storage space");
}
