//! The sequences once more, fewer of them, by an ordinary user who is root of a user namespace: with `user.overlay.*`
//! marks, and a kernel that takes neither redirects nor an index there.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::need;
use crate::support::need::{USER, user};

#[test]
fn all_of_this_holds_in_a_user_namespace() {
    need!(root, fuse, overlay, users);
    let user = user(USER).expect("need! has looked");
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
        .args(["--user", "--map-root-user", "--map-auto", "--mount", "--propagation", "slave", "--"])
        .arg(tests)
        .args(["--skip", "in_namespace"])
        .env("OVERFUSE_TEST_DIR", &scratch)
        .env("OVERFUSE_TEST_BINARY", overfuse)
        .env("REQUIRE", "fuse,overlay")
        .env("PROPTEST_CASES", std::env::var_os("PROPTEST_CASES").unwrap_or("400".into()))
        .output()
        .expect("start unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}
