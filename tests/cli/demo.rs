//! `demo`: it works for all users, and leaves nothing behind, however it ends.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, thread, time};

use rustix::process::{Pid, Signal, kill_process};

use crate::need;
use crate::support::need::{PLAIN_USER, USER, user};
use crate::support::{copy_program, scratch};

/// A directory for temporary files that all users may use, with a copy of the program beside it.
fn place() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let dir = scratch();
    let (program, temporary) = (dir.path().join("overfuse"), dir.path().join("tmp"));
    copy_program(env!("CARGO_BIN_EXE_overfuse"), &program);
    fs::create_dir(&temporary).expect("make a directory");
    for (path, mode) in [(dir.path(), 0o755), (&temporary, 0o1777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("let everybody in");
    }
    (dir, program, temporary)
}

/// Runs the demo to its end; returns its output.
#[track_caller]
fn run(mut command: Command, temporary: &Path) -> String {
    let output = command.arg("demo").env("TMPDIR", temporary).stdin(Stdio::null()).output().expect("run the demo");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(error, "");
    assert_eq!(fs::read_dir(temporary).expect("list").count(), 0, "something is left");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn is_complete(printed: &str) {
    let words: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        "/app/notes.txt app deleted",
        "/app/out/report.txt - container",
        "/etc/app.conf settings container",
        "/etc/motd release release",
        "C /etc/app.conf",
        "D /app/notes.txt",
        "A /app/out/report.txt",
    ] {
        assert!(words.contains(&line.split_whitespace().collect()), "{line}:\n{printed}");
    }
    assert!(!printed.contains("/app/draft.txt "), "a layer's whiteout hides it:\n{printed}");
    assert_eq!(words.iter().filter(|line| line.last() == Some(&"untouched")).count(), 5, "{printed}");
}

#[test]
fn it_shows_the_changes_of_a_process_and_leaves_nothing() {
    need!(fuse);
    let (_dir, program, temporary) = place();
    is_complete(&run(Command::new(program), &temporary));
}

#[test]
fn users_with_and_without_subordinate_ids_can_run_it() {
    need!(fuse, users);
    for name in [USER, PLAIN_USER] {
        let (_dir, program, temporary) = place();
        is_complete(&run(user(name).expect("a user").command(program), &temporary));
    }
}

#[test]
fn interrupted_at_any_time_it_leaves_nothing() {
    need!(fuse);
    let (_dir, program, temporary) = place();
    // After the last but two lines only the removal is left; a signal then must not kill the process either.
    let last = run(Command::new(program), &temporary).lines().count() - 2;
    for (lines, wait) in [(1, 0), (1, 100), (10, 0), (14, 20), (20, 0), (last, 0), (last, 3), (last, 6), (last, 9)] {
        let (_dir, program, temporary) = place();
        let mut command = Command::new(program);
        command
            .arg("demo")
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("run the demo");
        let mut printed = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        for _ in 0..lines {
            printed.next();
        }
        thread::sleep(time::Duration::from_millis(wait));
        kill_process(Pid::from_child(&child), Signal::INT).expect("interrupt it");
        // Otherwise a full pipe would block the demo.
        let rest = thread::spawn(move || printed.count());
        let output = child.wait_with_output().expect("wait for the demo");
        rest.join().expect("read on");
        assert!(matches!(output.status.code(), Some(0 | 130)), "{:?} after {lines} lines", output.status);
        assert_eq!(fs::read_dir(&temporary).expect("list").count(), 0, "something is left after {lines} lines");
    }
}
