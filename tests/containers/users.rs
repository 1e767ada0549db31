//! The user of the command: names from the image's own files, and the ids that a user namespace has.

use crate::host::{hosts, ordinary, root};
use crate::support::need::{PLAIN_USER, USER};

#[test]
fn a_user_is_looked_up_in_the_images_own_files() {
    for host in hosts() {
        for (user, expected) in [
            ("app", "uid=1000(app) gid=1001(app) groups=44(video)"),
            ("1000", "uid=1000(app) gid=1001(app) groups=44(video)"),
            ("app:video", "uid=1000(app) gid=44(video)"),
            ("77:88", "uid=77 gid=88"),
        ] {
            assert_eq!(host.prints(&["-u", user], "id; ").replace(" groups=88", ""), expected, "{host}: {user}");
        }
        assert_eq!(
            host.prints(&["-u", "app"], "echo $HOME; cat /root/x 2>/dev/null; echo $?"),
            "/home/app\n1",
            "{host}"
        );
        let caps = host.prints(&["-u", "app"], "grep CapEff /proc/self/status");
        assert_eq!(caps, "CapEff:\t0000000000000000", "{host}");
    }
}

#[test]
fn a_user_writes_where_the_image_lets_them_and_owns_what_they_write() {
    for host in hosts().iter().filter(|host| host.has_users()) {
        let script = "echo x > /home/app/x && stat -c '%u %g %a' /home/app/x; echo x 2>/dev/null > /etc/x; echo $?";
        assert_eq!(host.prints(&["-u", "app"], script), "1000 1001 644\n1", "{host}");
    }
}

#[test]
fn a_user_reaches_the_standard_streams_by_their_names() {
    let Some(host) = root() else { return };
    assert_eq!(host.prints(&["-u", "app"], "echo x > /dev/stdout; echo y > /proc/self/fd/2"), "x");
}

#[test]
fn root_in_a_container_of_an_ordinary_user_is_that_user_outside() {
    let Some(host) = ordinary(USER) else { return };
    std::fs::create_dir(host.path("shared")).unwrap();
    std::os::unix::fs::chown(host.path("shared"), Some(owner(&host)), None).unwrap();
    let volume = format!("{}:/shared", host.path("shared").display());
    host.prints(&["-v", &volume], "id -u > /shared/id; chown app /shared/id");
    let made = std::fs::metadata(host.path("shared/id")).unwrap();
    assert_eq!(std::fs::read_to_string(host.path("shared/id")).unwrap(), "0\n");
    assert_ne!(std::os::unix::fs::MetadataExt::uid(&made), 1000, "a subordinate id stands for app");
}

fn owner(host: &crate::host::Host) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(host.path("store")).unwrap())
}

#[test]
fn without_subordinate_ids_other_users_are_virtual_or_refused() {
    let Some(host) = ordinary(PLAIN_USER) else { return };
    assert_eq!(host.prints(&[], "id -u; stat -c %u /etc/passwd"), "0\n0");
    let output = host.run(&["-u", "app", "--no-virtual-ids"], &["-c", "id"]);
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("user 1000, group 1001 do not exist here") && said.contains("/etc/subuid"), "{said}");
}

#[test]
fn a_user_that_the_image_lacks_is_one_clear_line() {
    for host in hosts() {
        let output = host.run(&["-u", "gone"], &["-c", "id"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "overfuse: the image's /etc/passwd has no user \"gone\"\n");
        assert_eq!(output.status.code(), Some(125), "{host}");
    }
}

#[test]
fn chroot_alone_is_for_root() {
    let Some(host) = root() else { return };
    assert_eq!(host.prints(&["--chroot", "-u", "app"], "id -u; pwd; echo $COLOR"), "1000\n/srv\ngreen");
    let said = host.run(&["--chroot"], &["-c", "true"]).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.starts_with("overfuse: --chroot changes the root directory only") && said.lines().count() == 1,
        "{said}"
    );
    let Some(host) = ordinary(USER) else { return };
    let output = host.run(&["--chroot"], &[]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "overfuse: --chroot needs root\n");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn info_tells_which_ways_of_running_containers_work_here() {
    for host in hosts() {
        let mode = |path: Option<&str>| {
            let mut info = host.overfuse();
            info.args(["info", "-f", "{{.Mode}}: {{json .Modes}}"]);
            path.map(|path| info.env("PATH", path));
            String::from_utf8(info.output().unwrap().stdout).unwrap().trim_end().to_owned()
        };
        let with_all = match (host.is_root(), host.has_users()) {
            (true, _) => r#"root: {"chroot":null,"root":null}"#,
            (false, true) => r#"subordinate ids: {"single id":null,"subordinate ids":null}"#,
            (false, false) => {
                "single id: {\"single id\":null,\"subordinate ids\":\"/etc/subuid and /etc/subgid give this user no ids\"}"
            }
        };
        assert_eq!(mode(None), with_all, "{host}");
        let without = mode(Some("/nowhere"));
        assert!(host.is_root() || without.contains("newuidmap and newgidmap are not in PATH"), "{host}: {without}");
    }
}
