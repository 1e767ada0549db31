//! Scratch directories for tests, on a file system that can hold an upper layer.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The type of overlayfs in `statfs(2)`; it cannot hold an upper layer.
const OVERLAYFS: i64 = 0x794c_7630;

/// Makes a directory outside any overlay; dropping the result removes it.
///
/// `OVERFUSE_TEST_DIR` names its parent; the default is the build directory, or else `/var/tmp` or `/dev/shm`.
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

/// Copies a program that a test will run. Another process does the copying: if this one had the file open for writing,
/// a process that another test is starting could inherit that descriptor, and running the copy would fail with
/// `ETXTBSY`.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().expect("start cp");
    assert!(copied.success(), "copy {}", from.as_ref().display());
}
