//! Runs all tests of a test program again, as root of a user namespace.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::copy_program;
use super::need::user;
use super::subject::overfuse;

/// Runs this program's tests as the user called `name`, as root of a user namespace with the ids in `map` (options of
/// unshare(1)). Leaves out the module `in_namespace` and the tests named in `skip`. Fails if one of them fails.
pub fn run_all_in_namespace(name: &str, map: &[&str], require: &str, skip: &[&str]) {
    let user = user(name).expect("need! has found the user");
    run_all(user.command("unshare"), Some((user.uid, user.gid)), map, require, skip);
}

/// As [`run_all_in_namespace`], as the user who runs the tests.
pub fn run_all_in_own_namespace(require: &str, skip: &[&str]) {
    let map_auto = ["--map-auto"];
    let tried = Command::new("unshare").args(["--user", "--map-root-user"]).args(map_auto).arg("true").output();
    let has_ids = tried.is_ok_and(|tried| tried.status.success());
    run_all(Command::new("unshare"), None, if has_ids { &map_auto } else { &[] }, require, skip);
}

fn run_all(mut unshare: Command, owner: Option<(u32, u32)>, map: &[&str], require: &str, skip: &[&str]) {
    // Other users may have no access to the build directory.
    let place = tempfile::Builder::new().prefix("overfuse-").tempdir_in("/var/tmp").expect("make a directory");
    let share = |from: PathBuf, name: &str| {
        let to = place.path().join(name);
        copy_program(from, &to);
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o755)).expect("share a program");
        to
    };
    let tests = share(std::env::current_exe().expect("the path of this program"), "tests");
    let overfuse = share(overfuse().get_program().into(), "overfuse");
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).expect("share a directory");
    let scratch = place.path().join("scratch");
    std::fs::create_dir(&scratch).expect("make a directory");
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&scratch, Some(uid), Some(gid)).expect("give a directory away");
    }

    let output = unshare
        .args(["--user", "--map-root-user", "--mount", "--propagation", "slave"])
        .args(map)
        .arg("--")
        .arg(tests)
        .args(["--skip", "in_namespace"])
        .args(skip.iter().flat_map(|name| ["--skip", name]))
        .env("OVERFUSE_TEST_DIR", &scratch)
        .env("OVERFUSE_TEST_BINARY", overfuse)
        .env("REQUIRE", require)
        .envs(std::env::var_os("PROPTEST_CASES").map(|cases| ("PROPTEST_CASES", cases)))
        .output()
        .expect("start unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok"), "{said}");
}
