//! The rights of `--device` and `--device-cgroup-rule`.

use super::with_cgroups;
use crate::host::{hosts, ordinary};
use crate::support::need::{PLAIN_USER, USER};

#[test]
fn a_device_has_the_rights_that_are_given() {
    let Some(host) = with_cgroups() else { return };
    let open = "(exec 3</dev/x) 2>/dev/null; echo read $?; (exec 3>/dev/x) 2>/dev/null; echo write $?";
    for (rights, expected) in [
        ("", "read 0\nwrite 0"),
        (":rw", "read 0\nwrite 0"),
        (":r", "read 0\nwrite 1"),
        (":w", "read 1\nwrite 0"),
        (":m", "read 1\nwrite 1"),
    ] {
        let device = format!("/dev/fuse:/dev/x{rights}");
        let printed = host.prints(&["--device", &device], open);
        assert_eq!(printed, expected, "{device}");
    }
}

#[test]
fn a_rule_allows_a_device_that_the_container_makes() {
    let Some(host) = with_cgroups() else { return };
    let script = "mknod /dev/x c 10 229; (exec 3<>/dev/x) 2>/dev/null; echo $?";
    assert_eq!(host.prints(&[], script), "1");
    assert_eq!(host.prints(&["--device-cgroup-rule", "c 10:229 rw"], script), "0");
    assert_eq!(host.prints(&["--device-cgroup-rule", "c *:* r"], script), "1");
    assert_eq!(host.prints(&["--device-cgroup-rule", "a *:* rwm"], script), "0");
}

#[test]
fn without_a_cgroup_for_devices_their_rights_are_refused() {
    for host in [USER, PLAIN_USER].into_iter().filter_map(ordinary) {
        for (flags, option) in [
            (["--device", "/dev/null:/dev/x:r"], "--device with fewer rights than rw"),
            (["--device-cgroup-rule", "c 1:3 r"], "--device-cgroup-rule"),
        ] {
            let said = format!("overfuse: {option} needs a cgroup that limits devices, and none can be made here\n");
            assert_eq!(host.refuses(&flags), said, "{host}");
        }
    }
}

#[test]
fn what_is_no_rule_is_refused() {
    for host in hosts() {
        let output = host.run(&["--device-cgroup-rule", "c 1:3"], &["-c", "true"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("\"c 1:3\" is not a rule for devices"), "{host}: {said}");
    }
}
