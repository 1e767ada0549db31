//! `stats`: the counters of a mount.

use std::fs;

use crate::need;
use crate::place::Place;

fn counts(place: &Place) -> serde_json::Value {
    serde_json::from_str(&place.printed("stats --json at")).expect("JSON")
}

#[test]
fn requests_and_system_calls_are_counted_but_reading_the_counters_is_not() {
    need!(root, fuse);
    let place = Place::new();
    assert_eq!(place.overfuse("mount -o lowerdir=lower at").0, 0);
    let before = counts(&place);
    assert_eq!(counts(&place), before);
    assert_eq!(fs::read_to_string(place.path().join("at/file")).unwrap(), "below");
    let after = counts(&place);
    assert_eq!(after["requests"]["LOOKUP"], 1, "{after}");
    assert!(after["syscalls"]["pread64"].as_u64() >= Some(1), "{after}");
    assert!(
        after["threads"].as_u64() >= Some(1) && after["threads_most"].as_u64() >= after["threads"].as_u64(),
        "{after}"
    );
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn the_counts_are_printed_as_a_table() {
    need!(root, fuse);
    let place = Place::new();
    assert_eq!(place.overfuse("mount -o lowerdir=lower at").0, 0);
    fs::metadata(place.path().join("at/file")).unwrap();
    let said = place.printed("stats at");
    assert!(said.starts_with("REQUEST") && said.contains("LOOKUP") && said.contains("SYSTEM CALL"), "{said}");
    let threads: Vec<_> = said.lines().skip_while(|line| !line.starts_with("THREADS")).skip(1).collect();
    let count = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    let [now, most] = [count(threads[0]), count(threads[1])];
    assert!(threads[0].starts_with("now") && threads[1].starts_with("most at once"), "{said}");
    assert!(now >= Some(1) && most >= now, "{said}");
    assert_eq!(place.overfuse("umount at").0, 0);
}

#[test]
fn other_paths_than_an_overfuse_mount_are_refused() {
    let place = Place::new();
    for (what, reason) in
        [("lower", "not the root of an Overfuse mount"), ("nowhere", "no container"), ("./nowhere", "No such file")]
    {
        let (code, said) = place.overfuse(&format!("stats {what}"));
        assert_eq!((code, said.lines().count()), (1, 1), "{said}");
        assert!(said.contains(what) && said.contains(reason), "{said}");
    }
}
