//! Tests that mind when a file is closed for the last time.
//!
//! A process that another test is starting holds copies of all our descriptors until its exec: what hears of the last
//! close, or of the end of a file, hears it late then. Such a test runs by itself, in a process of its own.

use std::process::Command;

/// Answers true where the calling test, called so in its program, is alone in its process. Else runs it there, fails
/// if it fails, and answers false: there is nothing left to do.
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
