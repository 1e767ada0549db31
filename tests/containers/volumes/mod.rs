//! Volumes and other mounts of containers.

mod bad_input;
mod bind;
mod first_content;
mod lifetime;
mod memory;

use crate::host::Host;

/// The names of the volumes in the store, sorted.
fn volumes(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.path("store/volumes")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs `overfuse` with `args`, which must succeed.
#[track_caller]
fn succeeds(host: &Host, args: &[&str]) -> String {
    let output = host.overfuse().args(args).output().unwrap();
    assert!(output.status.success(), "{host}: {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
