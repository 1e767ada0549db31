//! Listings are complete and without repetition, also while entries are added and removed.

use std::collections::BTreeSet;
use std::fs;

use crate::need;
use crate::support::{At, check};

fn names(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!("f d/{prefix}{n} 644 x\n")).collect()
}

/// A listing in its own order, so that repetition shows.
fn listed(at: &At, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(at.path(dir)).expect("open a directory");
    entries.map(|entry| entry.expect("read a directory").file_name().display().to_string()).collect()
}

#[test]
fn many_names_of_several_layers_are_listed_once_each() {
    need!(fuse, overlay);
    let (a, b, c) = (names("a", 700), names("b", 700), names("a", 900));
    check(&format!("upper:\n{a}lower:\n{b}lower:\n{c}"), |at| {
        let found = listed(at, "d");
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (1600, 1600));
    });
}

#[test]
fn the_dot_entries_are_there() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f d/x 644 x", |at| {
        let list = || -> std::io::Result<String> {
            let mut dir = rustix::fs::Dir::new(fs::File::open(at.path("d"))?)?;
            let mut found = Vec::new();
            while let Some(entry) = dir.read() {
                found.push(entry?.file_name().to_string_lossy().into_owned());
            }
            found.sort();
            Ok(found.join(" "))
        };
        at.note("all of d", list()).gives(". .. x");
    });
}

#[test]
fn removing_while_reading_removes_all() {
    need!(fuse, overlay);
    check(&format!("upper:\n{}lower:\n{}", names("u", 1500), names("l", 1500)), |at| {
        for entry in fs::read_dir(at.path("d")).expect("open a directory") {
            fs::remove_file(entry.expect("read a directory").path()).expect("remove a listed file");
        }
        at.list("d").gives("ok");
        at.rmdir("d").gives("ok");
    });
}

#[test]
fn what_stays_is_listed_exactly_once_while_others_come_and_go() {
    need!(fuse, overlay);
    check(&format!("upper:\nlower:\n{}{}", names("stay", 500), names("go", 500)), |at| {
        let mut found = Vec::new();
        for (index, entry) in fs::read_dir(at.path("d")).expect("open a directory").enumerate() {
            found.push(entry.expect("read a directory").file_name().display().to_string());
            if index < 500 {
                fs::remove_file(at.path(&format!("d/go{index}"))).expect("remove");
                fs::write(at.path(&format!("d/new{index}")), "x").expect("create");
            }
        }
        let mut stayed: Vec<&String> = found.iter().filter(|name| name.starts_with("stay")).collect();
        stayed.sort();
        stayed.dedup();
        assert_eq!(stayed.len(), 500);
        assert_eq!(found.iter().filter(|name| name.starts_with("stay")).count(), 500);
        assert_eq!(listed(at, "d").len(), 1000);
    });
}

#[test]
fn a_listing_begins_anew_after_rewinding() {
    need!(fuse, overlay);
    check("upper:\n f d/u 644 x\n lower:\n f d/l 644 x", |at| {
        let count = || -> std::io::Result<String> {
            let mut dir = rustix::fs::Dir::new(fs::File::open(at.path("d"))?)?;
            let before = std::iter::from_fn(|| dir.read()).count();
            fs::write(at.path("d/new"), "x")?;
            fs::remove_file(at.path("d/l"))?;
            fs::write(at.path("d/newer"), "x")?;
            dir.rewind();
            Ok(format!("{before}, then {}", std::iter::from_fn(|| dir.read()).count()))
        };
        at.note("count entries", count()).gives("4, then 5");
    });
}

#[test]
fn listings_show_every_change_at_once() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f d/a 644 x\n f d/b 644 x\n d d/c 755", |at| {
        at.list("d").gives("a b c/");
        at.create("d/new", 0o644, "x").gives("ok");
        at.list("d").gives("a b c/ new");
        at.unlink("d/a").gives("ok");
        at.list("d").gives("b c/ new");
        at.rename("d/b", "d/z").gives("ok");
        at.rmdir("d/c").gives("ok");
        at.symlink("z", "d/a").gives("ok");
        at.list("d").gives("a@ new z");
        at.mkdir("d/c", 0o755).gives("ok");
        at.link("d/z", "d/c/z").gives("ok");
        at.list("d/c").gives("z");
    });
}

#[test]
fn an_open_directory_that_is_removed_reads_as_empty() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        for name in ["u", "l"] {
            let list = || -> std::io::Result<String> {
                let open = fs::File::open(at.path(name))?;
                fs::remove_dir(at.path(name))?;
                let dir = rustix::fs::Dir::new(open)?;
                let names = dir.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
                Ok(names.filter(|name| !name.starts_with('.')).collect::<Vec<_>>().join(" "))
            };
            at.note(format_args!("list the removed {name}"), list()).gives("ok");
        }
    });
}
