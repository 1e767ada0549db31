//! Repeats the tests of reading and copy-up, with tables of contents in place of lower layers.

use crate::need;
use crate::support::subject::overfuse;

/// Tests that do not depend on tables of contents.
const SKIPPED: [&str; 16] = [
    "from_tables",
    "in_namespace",
    "databases",
    "deep",
    "flags",
    "full",
    "harness",
    "killed",
    "large_directories",
    "locks",
    "mmap",
    "open_files",
    "page_cache",
    "space",
    "threads",
    "workers",
];

#[test]
fn all_of_this_holds_from_tables_of_contents() {
    need!(root, fuse, overlay);
    let output = std::process::Command::new(std::env::current_exe().expect("the path of this program"))
        .args(SKIPPED.iter().flat_map(|name| ["--skip", name]))
        .env("OVERFUSE_TEST_BINARY", overfuse().get_program())
        .env("OVERFUSE_TEST_OPTIONS", "toc=make")
        .output()
        .expect("start this program again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}
