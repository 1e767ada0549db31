//! Capabilities, groups, limits of processes, settings of the kernel, and masks.

use crate::host::{hosts, ordinary, root};
use crate::support::need::{PLAIN_USER, USER};

#[test]
fn capabilities_are_added_and_dropped() {
    for host in hosts() {
        // Without MKNOD, which depends on cgroups.
        for (flags, bounding) in [
            (&["--cap-drop", "MKNOD"][..], "00000000a00405fb"),
            (&["--cap-drop", "mknod", "--cap-drop", "CAP_CHOWN", "--cap-add", "net_admin"], "00000000a00415fa"),
            (&["--cap-drop", "MKNOD", "--cap-add", "NET_RAW"], "00000000a00425fb"),
            (&["--cap-drop", "ALL"], "0000000000000000"),
            (&["--cap-drop", "ALL", "--cap-add", "KILL"], "0000000000000020"),
        ] {
            let printed = host.prints(flags, "grep -E 'Cap(Bnd|Eff|Prm)' /proc/self/status");
            let expected = format!("CapPrm:\t{bounding}\nCapEff:\t{bounding}\nCapBnd:\t{bounding}");
            assert_eq!(printed, expected, "{host}: {flags:?}");
            let inherited = host.prints(flags, "grep -E 'Cap(Inh|Amb)' /proc/self/status");
            assert_eq!(inherited, "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000", "{host}: {flags:?}");
        }
        let output = host.run(&["--cap-add", "FLY"], &["-c", "true"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("\"FLY\" is not a capability"), "{host}: {output:?}");
        assert_eq!(output.status.code(), Some(125), "{host}");
    }
}

#[test]
fn another_user_than_root_has_no_added_capability() {
    for host in hosts().iter().filter(|host| host.has_users()) {
        let printed = host.prints(&["--cap-add", "NET_ADMIN", "-u", "app"], "grep -E 'CapEff' /proc/self/status");
        assert_eq!(printed, "CapEff:\t0000000000000000", "{host}");
    }
}

#[test]
fn nodes_are_not_given_where_nothing_limits_them() {
    let Some(host) = root() else { return };
    let line = "overfuse: the capability MKNOD needs a cgroup that limits devices, and none can be made here: \
                the container could open any disk\n";
    // A mount namespace without cgroups.
    let program = host.overfuse().get_program().to_owned();
    for added in ["MKNOD", "ALL"] {
        let script = format!(
            "umount -R /sys/fs/cgroup 2>/dev/null || :; exec {} --root store run --rm --cap-add {added} tiny -c true",
            program.display()
        );
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .current_dir(host.path(""))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{added}");
        assert_eq!(output.status.code(), Some(125), "{added}");
    }
}

#[test]
fn groups_of_the_image_are_added() {
    for host in hosts().iter().filter(|host| host.has_users()) {
        assert_eq!(host.prints(&["--group-add", "video", "--group-add", "77"], "id -G"), "0 44 77", "{host}");
        assert_eq!(host.prints(&["--group-add", "video", "-u", "app:app"], "id -G"), "1001 44", "{host}");
        let said = host.refuses(&["--group-add", "gone"]);
        assert_eq!(said, "overfuse: the image's /etc/group has no group \"gone\"\n", "{host}");
    }
    let Some(host) = ordinary(PLAIN_USER) else { return };
    let said = host.refuses(&["--group-add", "video"]);
    assert_eq!(
        said,
        "overfuse: --group-add needs subordinate ids: without them, no process of this user sets its groups\n"
    );
}

#[test]
fn processes_have_the_limits_that_are_given() {
    for host in hosts() {
        let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "fsize=1024:-1", "--init"];
        let printed = host.prints(&flags, "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Sf; ulimit -Hf");
        assert_eq!(printed, "100\n200\n0\n2\nunlimited", "{host}");
        let output = host.run(&["--ulimit", "files=5"], &["-c", "true"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("the names are core, cpu, data"), "{host}");
        assert_eq!(host.prints(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500", "{host}");
    }
    for host in [USER, PLAIN_USER].into_iter().filter_map(ordinary) {
        let said = host.refuses(&["--ulimit", "nofile=99999999"]);
        let expected =
            "overfuse: cannot set --ulimit nofile=99999999:99999999: raising a hard limit needs CAP_SYS_RESOURCE";
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{host}: {said}");
        let said = host.refuses(&["--oom-score-adj", "-500"]);
        let expected = "overfuse: cannot set --oom-score-adj -500: lowering it needs CAP_SYS_RESOURCE";
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{host}: {said}");
    }
}

#[test]
fn settings_of_the_kernel_are_those_of_the_containers_namespaces() {
    for host in hosts() {
        let flags = ["--sysctl", "kernel.shmmni=77", "--sysctl", "net.ipv4.ip_forward=1", "--network", "none"];
        let printed = host.prints(&flags, "cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_forward");
        assert_eq!(printed, "77\n1", "{host}");
        let said = host.refuses(&["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"]);
        let line = "the sysctl \"net.ipv4.ip_forward\" belongs to a namespace of the host, which this container uses\n";
        assert_eq!(said, format!("overfuse: {line}"), "{host}");
        let output = host.run(&["--sysctl", "kernel.panic=1"], &["-c", "true"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the sysctl \"kernel.panic\" belongs to the whole host"), "{host}: {said}");
        let said = host.refuses(&["--network", "none", "--sysctl", "net.ipv4.gone=1"]);
        assert!(said.starts_with("overfuse: cannot set --sysctl net.ipv4.gone=1: "), "{host}: {said}");
    }
}

#[test]
fn masks_are_changed_one_by_one() {
    for host in hosts() {
        let masked = |flags: &[&str]| host.prints(flags, "head -c 1 /proc/timer_list | wc -c; cat /srv/secret 2>&1; :");
        let plain = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        assert_eq!(plain(&masked(&[])), "0", "{host}");
        if host.is_root() {
            assert_eq!(plain(&masked(&["--security-opt", "unmask=/proc/timer_list"])), "1", "{host}");
            assert_eq!(plain(&masked(&["--security-opt", "unmask=ALL"])), "1", "{host}");
            assert_eq!(plain(&masked(&["--security-opt", "systempaths=unconfined"])), "1", "{host}");
        }
        let printed =
            host.prints(&["--security-opt", "mask=/etc/passwd:/proc/version"], "cat /etc/passwd /proc/version");
        assert_eq!(printed, "", "{host}");
        assert_eq!(host.prints(&["--security-opt", "label=disable"], "echo on"), "on", "{host}");
        let output = host.run(&["--security-opt", "label=level:s0"], &["-c", "true"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("only label=disable"), "{host}");
    }
}
