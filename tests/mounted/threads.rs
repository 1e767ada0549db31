//! Several threads at once: each on its own files, all on one file, all in one directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::thread;

use crate::need;
use crate::support::check;

const THREADS: usize = 8;

#[test]
fn threads_work_side_by_side_in_one_lower_directory() {
    need!(fuse, overlay);
    let lower: String = (0..THREADS).map(|n| format!("f d/old{n} 644 old\n f d/gone{n} 644 x\n")).collect();
    check(&format!("upper:\nlower:\n{lower}"), |at| {
        thread::scope(|scope| {
            for n in 0..THREADS {
                scope.spawn(move || {
                    let path = |name: &str| at.path(&format!("d/{name}{n}"));
                    for round in 0..20 {
                        fs::write(path("new"), format!("{n} {round}")).expect("write");
                        fs::rename(path("new"), path("moved")).expect("rename");
                        assert_eq!(fs::read_to_string(path("moved")).expect("read"), format!("{n} {round}"));
                    }
                    fs::write(path("old"), "new").expect("bring up");
                    fs::remove_file(path("gone")).expect("remove");
                });
            }
        });
        at.list("d");
    });
}

#[test]
fn one_lower_file_comes_up_once_for_many_writers() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f a/b/x 644 80000*A", |at| {
        thread::scope(|scope| {
            for n in 0..THREADS {
                scope.spawn(move || {
                    let file = OpenOptions::new().write(true).open(at.path("a/b/x")).expect("open");
                    file.write_all_at(&[b'0' + n as u8; 5000], n as u64 * 10_000).expect("write");
                });
            }
        });
        at.read("a/b/x");
    });
}

#[test]
fn appenders_lose_no_line() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f log 644 \"\"", |at| {
        thread::scope(|scope| {
            for n in 0..THREADS {
                scope.spawn(move || {
                    let mut file = OpenOptions::new().append(true).open(at.path("log")).expect("open");
                    for line in 0..50 {
                        file.write_all(format!("{n:02} {line:02}\n").as_bytes()).expect("append");
                    }
                });
            }
        });
        let log = fs::read_to_string(at.path("log")).expect("read");
        let mut lines: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> =
            (0..THREADS).flat_map(|n| (0..50).map(move |line| format!("{n:02} {line:02}"))).collect();
        assert_eq!(lines, expected);
        at.unlink("log").gives("ok");
    });
}

#[test]
fn one_of_many_creators_wins() {
    need!(fuse, overlay);
    check("upper:\n w x\n lower:\n f x 644 x\n d d 755", |at| {
        for path in ["x", "d/new"] {
            let wins = thread::scope(|scope| {
                let tries: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| OpenOptions::new().write(true).create_new(true).open(at.path(path)).is_ok())
                    })
                    .collect();
                tries.into_iter().map(|tried| tried.join().expect("no panic")).filter(|won| *won).count()
            });
            assert_eq!(wins, 1, "{path}");
        }
    });
}

#[test]
fn readers_of_a_directory_are_not_disturbed_by_writers() {
    need!(fuse, overlay);
    let lower: String = (0..300).map(|n| format!("f d/stay{n} 644 x\n")).collect();
    check(&format!("upper:\nlower:\n{lower}"), |at| {
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..300 {
                    let path = at.path(&format!("d/new{n}"));
                    fs::write(&path, "x").expect("create");
                    fs::remove_file(&path).expect("remove");
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let entries = fs::read_dir(at.path("d")).expect("open");
                        let names = entries.map(|entry| entry.expect("read").file_name());
                        let stayed = names.filter(|name| name.as_encoded_bytes().starts_with(b"stay")).count();
                        assert_eq!(stayed, 300);
                    }
                });
            }
        });
    });
}
