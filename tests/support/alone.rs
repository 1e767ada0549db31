//! Runs a test alone in its process, for tests that depend on the last close of a file.
//!
//! A process that another test is starting holds copies of all our descriptors until its exec. It delays the last close
//! of a file, and the end of a pipe. Such a test therefore runs in a process of its own.

use std::process::Command;

/// Returns true when the calling test, whose name is `test`, is alone in its process. Otherwise runs it in a process of
/// its own, fails if it fails there, and returns false: the caller then has nothing left to do.
#[track_caller]
pub fn alone(test: &str) -> bool {
    const MARK: &str = "OVERFUSE_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    let output = command.args(["--exact", test, "--test-threads=1"]).env(MARK, "1").output().expect("start the test");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" 1 passed"), "there is no test {test}: {said}");
    false
}
