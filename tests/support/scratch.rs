//! Where tests put their trees: a file system that can hold an upper layer.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Of `statfs(2)`: the file system that can be no layer's upper.
const OVERLAYFS: i64 = 0x794c_7630;

/// A fresh directory, removed when dropped, that is not inside an overlay.
///
/// `OVERFUSE_TEST_DIR` chooses the place; otherwise it is the build directory, or one that every machine has.
pub fn scratch() -> TempDir {
    let chosen = std::env::var_os("OVERFUSE_TEST_DIR").map(PathBuf::from);
    let places = chosen.into_iter().chain([env!("CARGO_TARGET_TMPDIR").into(), "/var/tmp".into(), "/dev/shm".into()]);
    let place = places.into_iter().find(|place| is_fit(place)).expect("no writable directory outside an overlay");
    tempfile::Builder::new().prefix("overfuse-").tempdir_in(place).expect("make a scratch directory")
}

fn is_fit(place: &Path) -> bool {
    let writable = rustix::fs::access(place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    writable && rustix::fs::statfs(place).is_ok_and(|of| of.f_type != OVERLAYFS)
}

/// Copies a program, to be run. By another process: a file that this one had open for writing could be held, by one that
/// another test is starting, until its exec, and be busy.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().expect("start cp");
    assert!(copied.success(), "copy {}", from.as_ref().display());
}
