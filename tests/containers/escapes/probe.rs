//! The program `probe` for containers: `probe WHAT ARGUMENT…` tries operations and prints the kernel's answers.

use std::process::Command;
use std::sync::OnceLock;

use crate::image::Twist;
use crate::support::need;

/// The compiled program; `None` without a C compiler.
fn program() -> Option<&'static [u8]> {
    static BUILT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let build = || {
        need::all(&["cc"]).then(|| {
            let dir = tempfile::tempdir().unwrap();
            let source = dir.path().join("probe.c");
            std::fs::write(&source, include_str!("probe.c")).unwrap();
            let built = dir.path().join("probe");
            let output = Command::new("cc").arg("-static").arg("-o").arg(&built).arg(&source).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::read(built).unwrap()
        })
    };
    BUILT.get_or_init(build).as_deref()
}

/// An image with the program as `/bin/probe`.
pub(crate) fn image() -> Option<Twist> {
    Some(Twist { files: vec![("bin/probe".into(), program()?.to_vec())], ..Twist::default() })
}
