//! Packing a tree and unpacking the archive gives the same tree.

use std::fs;
use std::path::Path;

use overfuse::layer::{Owners, Policy};
use overfuse::sys::Dir;
use overfuse::tar::{Over, pack, unpack};
use proptest::prelude::*;

use crate::archive::{chain, seen};
use crate::support::need::is_root;
use crate::support::{build_at, scratch, show, snapshot};

/// Packs `from` and unpacks the archive into `to`.
fn there_and_back(from: &Path, to: &Path, policy: Policy) {
    fs::create_dir(to).expect("make a directory");
    let archive = pack(Over::nothing(&Dir::open_host(from).expect("open")), policy, Vec::new());
    let archive = archive.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let unpacked = unpack(archive.as_slice(), &Dir::open_host(to).expect("open"), policy);
    unpacked.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

/// A line of a tree that an ordinary user can make, in one of a few directories.
fn line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => "[abc]",
        1 => "[a-z .~=-]{1,20}x".prop_map(|name| name.replace(' ', "_")),
        1 => "[é☃]{1,80}",
        1 => Just("n".repeat(255)),
    ];
    let path =
        (prop::sample::select(vec!["", "d1/", "d1/d2/", "d3/"]), name).prop_map(|(dir, name)| format!("{dir}{name}"));
    let mode = 0u32..0o1000;
    let content =
        prop_oneof![Just("\"\"".to_string()), "[a-z]{1,30}", (1usize..200_000).prop_map(|n| format!("{n}*x"))];
    let owner = (0u32..4_000_000, 0u32..4_000_000)
        .prop_map(|(uid, gid)| if is_root() { format!("@{uid}:{gid}") } else { String::new() });
    let xattr = prop_oneof![
        4 => Just(String::new()),
        1 => prop::collection::vec(any::<u8>(), 0..2000).prop_map(|value| {
            let hex: String = value.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("+user.k=\"{hex}\"")
        }),
    ];
    (0..7, path, mode, content, owner, xattr).prop_map(|(kind, path, mode, content, owner, xattr)| match kind {
        0 => format!("d {path} {:o} {owner} {xattr}", mode | 0o700),
        1 => format!("l {path} {}", content.replace("\"\"", "t")),
        2 => format!("w {path}"),
        3 => format!("p {path} {mode:o} {owner}"),
        4 => format!("o {path} {:o} {owner} {xattr}", mode | 0o700),
        _ => format!("f {path} {:o} {content} {owner} {xattr}", mode | 0o600),
    })
}

/// Lines of a tree, each with a different path.
fn tree() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..25).prop_map(|lines| {
        let path = |line: &String| line.split_whitespace().nth(1).unwrap_or_default().to_string();
        let mut kept: Vec<String> = Vec::new();
        for line in lines {
            if kept.iter().all(|other| path(other) != path(&line)) {
                kept.push(line);
            }
        }
        kept.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unpacking_a_packed_tree_restores_it(text in tree(), time in -5_000_000_000i64..20_000_000_000) {
        let dir = scratch();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        build_at(&from, &text, time);
        let policy = Policy::probe(&Dir::open_host(dir.path()).expect("open")).expect("probe");
        there_and_back(&from, &to, policy);
        prop_assert_eq!(show(&from), seen(&to));
        // A whiteout's time is invisible, so it may differ.
        if policy.owners == Owners::Real && !text.lines().any(|line| line.starts_with("w ")) {
            let diff = snapshot(&from).diff(&snapshot(&to));
            prop_assert!(diff.is_none(), "{}", diff.unwrap_or_default());
        }
    }
}

#[test]
fn nanoseconds_links_and_binary_attributes_survive() {
    let dir = scratch();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    build_at(&from, "f a 644 x +user.k=\"\\n\\x00=\\xff\"\nh d/b a\nl s a\nh d/t s", 0);
    for path in ["a", "d", "."] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        fs::File::open(from.join(path)).and_then(|file| file.set_modified(time)).expect("set the time");
    }
    let policy = Policy::probe(&Dir::open_host(dir.path()).expect("open")).expect("probe");
    there_and_back(&from, &to, Policy { owners: Owners::Real, ..policy });
    snapshot(&from).assert_eq(&snapshot(&to), "packed and unpacked");
}
