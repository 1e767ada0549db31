//! Cgroups of version 2: devices by a BPF program, and the freezer without a controller. On a hybrid host, the hierarchies
//! of version 1 that do the same are hidden.

use std::process::{Command, Output};

use super::cgroups_of;
use crate::host::{Host, root};
use crate::image::NAME;
use crate::need;

/// Runs `overfuse` where no hierarchy of version 1 limits devices or freezes.
fn overfuse(host: &Host, arguments: &[&str]) -> Output {
    let hide = "for name in devices freezer; do umount /sys/fs/cgroup/$name 2>/dev/null || :; done; exec \"$@\"";
    let plain = host.overfuse();
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", hide, "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .args(arguments)
        .current_dir(host.path(""))
        .output()
        .unwrap()
}

fn prints(host: &Host, flags: &[&str], script: &str) -> String {
    let output = overfuse(host, &[&["run", "--rm"], flags, &[NAME, "-c", script]].concat());
    assert!(output.status.success(), "{flags:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_program_limits_the_devices() {
    need!(root, fuse, busybox, unified);
    let Some(host) = root() else { return };
    let script =
        "mknod /dev/disk b 254 0; head -c 3 /dev/disk 2>&1; mknod /dev/zeroes c 1 5; head -c 3 /dev/zeroes | wc -c";
    for flags in [&[][..], &["--init"], &["--cap-add", "ALL"]] {
        assert_eq!(prints(&host, flags, script), "head: /dev/disk: Operation not permitted\n3", "{flags:?}");
    }
    let open = "(exec 3</dev/x) 2>/dev/null; echo read $?; (exec 3>/dev/x) 2>/dev/null; echo write $?";
    for (rights, expected) in [("", "read 0\nwrite 0"), (":r", "read 0\nwrite 1"), (":w", "read 1\nwrite 0")] {
        assert_eq!(prints(&host, &["--device", &format!("/dev/fuse:/dev/x{rights}")], open), expected, "{rights}");
    }
    let script = "mknod /dev/x c 10 229; (exec 3<>/dev/x) 2>/dev/null; echo $?";
    for (rule, expected) in [("c 10:229 rw", "0"), ("c 10:* r", "1"), ("c 10:1 rwm", "1"), ("a *:* rwm", "0")] {
        assert_eq!(prints(&host, &["--device-cgroup-rule", rule], script), expected, "{rule}");
    }
    assert_eq!(prints(&host, &[], "cat /proc/self/cgroup | grep ^0::"), "0::/");
    // A privileged container uses every device.
    assert_eq!(prints(&host, &["--privileged"], script), "0");
}

#[test]
fn containers_are_paused_by_version_2() {
    need!(root, fuse, busybox, unified);
    let Some(host) = root() else { return };
    let does = |arguments: &[&str]| {
        let output = overfuse(&host, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let id = does(&["run", "-d", "--name", "unified", NAME, "-c", "sleep 600"]).trim().to_owned();
    does(&["pause", "unified"]);
    let frozen = || {
        let dirs = cgroups_of(&id);
        let events = dirs.iter().filter_map(|dir| std::fs::read_to_string(dir.join("cgroup.events")).ok());
        events.collect::<String>().contains("frozen 1")
    };
    assert!(frozen());
    assert!(does(&["ps"]).contains("(Paused)"));
    does(&["unpause", "unified"]);
    assert!(!frozen());
    does(&["pause", "unified"]);
    does(&["rm", "-f", "unified"]);
    assert!(cgroups_of(&id).is_empty());
}
