//! All tests of this crate once more, by ordinary users who are root of a user namespace: with
//! `user.overlay.*` marks, and without devices and `trusted.*`.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::need;
use crate::support::need::{PLAIN_USER, USER, user};

#[test]
fn all_of_this_holds_in_a_user_namespace() {
    need!(root, fuse, overlay, users);
    run_all(USER, &["--map-auto"], "ids,fuse,overlay", &[]);
}

/// The user has no subordinate ids: there is one user, and nobody to give a file to.
#[test]
fn all_of_this_holds_in_a_user_namespace_of_a_single_id() {
    need!(root, fuse, overlay, users);
    run_all(PLAIN_USER, &[], "fuse,overlay", &["--skip", "large_directories", "--skip", "databases"]);
}

fn run_all(name: &str, map: &[&str], require: &str, skip: &[&str]) {
    let user = user(name).expect("need! has looked");
    // The build directory may be out of reach for others.
    let place = tempfile::Builder::new().prefix("overfuse-").tempdir_in("/var/tmp").expect("make a directory");
    let share = |from: PathBuf, name: &str| {
        let to = place.path().join(name);
        std::fs::copy(from, &to).expect("copy a program");
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o755)).expect("share a program");
        to
    };
    let tests = share(std::env::current_exe().expect("the path of this program"), "tests");
    let overfuse = share(env!("CARGO_BIN_EXE_overfuse").into(), "overfuse");
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).expect("share a directory");
    let scratch = place.path().join("scratch");
    std::fs::create_dir(&scratch).expect("make a directory");
    std::os::unix::fs::chown(&scratch, Some(user.uid), Some(user.gid)).expect("give a directory away");

    let output = user
        .command("unshare")
        .args(["--user", "--map-root-user", "--mount", "--propagation", "slave"])
        .args(map)
        .arg("--")
        .arg(tests)
        .args(["--skip", "in_namespace"])
        .args(skip)
        .env("OVERFUSE_TEST_DIR", &scratch)
        .env("OVERFUSE_TEST_BINARY", overfuse)
        .env("REQUIRE", require)
        .output()
        .expect("start unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}
