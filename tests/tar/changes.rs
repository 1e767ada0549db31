//! Tests of `changes`: the list of what an upper directory changes, as `docker diff` prints it.

use overfuse::layer::{Owners, Policy};
use overfuse::sys::Dir;
use overfuse::tar::{Over, changes};

use crate::archive::chain;
use crate::need;
use crate::support::tree::opaque_key;
use crate::support::{Layers, scratch};

/// Compares the changes in the upper of `layers` with `expected`, one change a line.
#[track_caller]
fn check(layers: &str, expected: &[&str]) {
    let dir = scratch();
    let mark = opaque_key().trim_end_matches(".opaque");
    let layers = Layers::build(dir.path(), &layers.replace("MARK", mark));
    let lower: Vec<Dir> = layers.lowers.iter().map(|lower| Dir::open_host(lower).expect("open a layer")).collect();
    let upper = Dir::open_host(layers.upper()).expect("open the upper");
    let policy = Policy { owners: Owners::Real, ..Policy::probe(&upper).expect("probe") };
    let found = changes(Over { upper: &upper, lower: &lower, index: None }, policy)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let found: Vec<_> = found.iter().map(|change| format!("{} {}", change.kind, change.path.display())).collect();
    assert_eq!(found, expected);
}

#[test]
fn added_changed_and_deleted_paths_are_listed_with_their_parents() {
    check(
        "upper:
         d etc 755
         f etc/new 644 x
         f etc/conf 644 longer
         w etc/old
         d opt 755
         d opt/app 755
         f opt/app/bin 755 x
         lower:
         d etc 755
         f etc/conf 644 old
         f etc/old 644 x
         d opt 755
         d usr 755",
        &["C /etc", "C /etc/conf", "A /etc/new", "D /etc/old", "C /opt", "A /opt/app", "A /opt/app/bin"],
    );
}

#[test]
fn paths_are_sorted_by_their_bytes() {
    check("upper:\nd a 755\nf a/c 644 x\nf a-b 644 x\nlower:\nd z 755", &["A /a", "A /a-b", "A /a/c"]);
}

#[test]
fn a_whiteout_of_nothing_is_no_change() {
    check(
        "upper:\nw gone\nw hidden\nw never\nw only-here\nlower:\nw hidden\nf gone 644 x\nlower:\nf hidden 644 x",
        &["D /gone"],
    );
}

#[test]
fn an_opaque_directory_deletes_lower_entries() {
    check(
        "upper:
         o d 755
         f d/kept 644 changed
         f d/new 644 x
         d d/sub 755
         f d/sub/kept 644 x2
         lower:
         d d 755
         f d/kept 644 x
         w d/hidden
         lower:
         d d 755
         f d/hidden 644 x
         f d/lost 644 x
         d d/sub 755
         f d/sub/kept 644 x
         f d/sub/lost 644 x",
        &["C /d", "C /d/kept", "D /d/lost", "A /d/new", "C /d/sub", "C /d/sub/kept", "D /d/sub/lost"],
    );
}

#[test]
fn replacing_a_directory_by_a_file_deletes_its_entries() {
    check(
        "upper:\nf d 644 x\no f 755\nf f/x 644 x\nlower:\nd d 755\nf d/a 644 x\nd d/b 755\nf d/b/c 644 x\nf f 644 x",
        &["C /d", "D /d/a", "D /d/b", "C /f", "A /f/x"],
    );
}

#[test]
fn an_unchanged_copy_up_is_no_change() {
    let dir = scratch();
    let layers = Layers::build(
        dir.path(),
        "upper:\nd d 755\nf d/x 644 x\nf d/y 600 x\nlower:\nd d 755\nf d/x 644 x\nf d/y 644 x",
    );
    let lower = &layers.lowers[0];
    for path in ["d/x", "d/y"] {
        let time = std::fs::metadata(lower.join(path)).and_then(|meta| meta.modified()).expect("stat");
        std::fs::File::options()
            .write(true)
            .open(layers.upper().join(path))
            .and_then(|file| file.set_modified(time))
            .expect("set the time");
    }
    let upper = Dir::open_host(layers.upper()).expect("open the upper");
    let policy = Policy { owners: Owners::Real, ..Policy::probe(&upper).expect("probe") };
    let lower = [Dir::open_host(lower).expect("open")];
    let found = changes(Over { upper: &upper, lower: &lower, index: None }, policy).expect("compare");
    let found: Vec<_> = found.iter().map(|change| format!("{} {}", change.kind, change.path.display())).collect();
    assert_eq!(found, ["C /d", "C /d/y"]);
}

#[test]
fn attributes_of_directories_are_changes() {
    need!(root);
    check(
        "upper:\nd mode 700\nd owner 755 @1:1\nd xattr 755 +user.k=v\nd same 755\n
         lower:\nd mode 755\nd owner 755\nd xattr 755\nd same 755",
        &["C /mode", "C /owner", "C /xattr"],
    );
}

#[test]
fn a_renamed_directory_is_deleted_and_added_whole() {
    check(
        "upper:
         d new 755 +MARK.redirect=/old
         f new/added 644 a
         w new/gone
         w old
         lower:
         f old/kept 644 k
         f old/gone 644 g
         f old/sub/x 644 x",
        &["A /new", "A /new/added", "A /new/kept", "A /new/sub", "A /new/sub/x", "D /old"],
    );
}

#[test]
fn swapped_directories_are_compared_entry_by_entry() {
    check(
        "upper:
         d a 755 +MARK.redirect=b
         d b 755 +MARK.redirect=a
         lower:
         f a/same 644 xx
         f a/only-a 644 x
         d a/sub 755
         f b/same 644 x
         f b/only-b 644 x
         d b/sub 700",
        &[
            "C /a",
            "D /a/only-a",
            "A /a/only-b",
            "C /a/same",
            "C /a/sub",
            "C /b",
            "A /b/only-a",
            "D /b/only-b",
            "C /b/same",
            "C /b/sub",
        ],
    );
}

#[test]
fn a_metacopy_differs_only_in_its_attributes() {
    check(
        "upper:
         f changed 600 5*x +MARK.metacopy=\"\"
         lower:
         f changed 644 hello
         f not 644 hello",
        &["C /changed"],
    );
}
