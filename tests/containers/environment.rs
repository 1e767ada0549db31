//! The environment of a command: variables, directory, names, devices, streams, rights.

use std::io::Write;
use std::process::Stdio;

use crate::host::{hosts, root};

#[test]
fn the_image_decides_what_runs_where_nobody_else_does() {
    for host in hosts() {
        let output = host.run(&[], &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "the image speaks\n", "{host}");
    }
}

#[test]
fn variables_are_those_of_the_image_and_of_the_flags_and_none_of_the_host() {
    for host in hosts() {
        let mut command = host
            .command(&["-e", "A=1=2", "-e", "PASSED", "-e", "ABSENT", "--hostname", "h", "--entrypoint", "env"], &[]);
        let output = command.env("PASSED", "on").env("NOT_PASSED", "x").output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["A=1=2", "COLOR=green", "HOME=/root", "HOSTNAME=h", "PASSED=on", "PATH=/bin"], "{host}");
    }
}

#[test]
fn the_working_directory_is_made_where_it_is_missing() {
    for host in hosts() {
        assert_eq!(host.prints(&[], "pwd"), "/srv", "{host}");
        assert_eq!(host.prints(&["-w", "/a/b"], "pwd; stat -c '%a %u' /a/b"), "/a/b\n755 0", "{host}");
    }
}

#[test]
fn the_command_is_process_1_and_sees_no_other() {
    for host in hosts() {
        assert_eq!(host.prints(&[], "echo $$ /proc/[0-9]*"), "1 /proc/1", "{host}");
    }
}

#[test]
fn a_container_has_a_name_and_files_that_tell_it() {
    for host in hosts() {
        let script = "hostname; cat /etc/hostname; echo $HOSTNAME";
        assert_eq!(host.prints(&["--hostname", "box"], script), "box\nbox\nbox", "{host}");
        let alone = host.prints(&["--network", "none"], "hostname; grep -c localhost /etc/hosts");
        let (name, hosts) = alone.split_once('\n').unwrap();
        assert!(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{host}: {name}");
        assert_eq!(hosts, "2", "{host}");
    }
}

#[test]
fn without_a_network_there_is_a_loopback_interface_and_it_is_up() {
    for host in hosts() {
        let script = "ls /sys/class/net 2>/dev/null | grep -v '^lo$'; ifconfig lo | grep -c UP";
        assert_eq!(host.prints(&["--network", "none"], script), "1", "{host}");
    }
}

#[test]
fn devices_work_and_are_no_more_than_a_container_needs() {
    for host in hosts() {
        let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c; \
             echo x 2>&1 > /dev/full; echo x > /dev/shm/x && cat /dev/shm/x; ls /dev";
        let printed = host.prints(&[], script);
        assert!(printed.starts_with("3\n3\n"), "{host}: {printed}");
        assert!(printed.contains("No space left on device"), "{host}: {printed}");
        let devices = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
        assert!(printed.ends_with(&format!("x\n{devices}")), "{host}: {printed}");
    }
}

#[test]
fn what_tells_of_the_host_is_masked_and_what_steers_it_is_read_only() {
    for host in hosts() {
        for (script, printed) in [
            ("cat /proc/keys | wc -c", "0"),
            ("echo x 2>/dev/null > /proc/sysrq-trigger; echo $?", "1"),
            ("echo x 2>/dev/null > /proc/sys/kernel/hostname; echo $?", "1"),
            ("mkdir /sys/fs/cgroup/x 2>/dev/null; echo $?", "1"),
            ("mount -o remount,rw /proc/sys 2>/dev/null; echo $?", "1"),
        ] {
            assert_eq!(host.prints(&[], script), printed, "{host}: {script}");
        }
    }
}

#[test]
fn root_has_the_capabilities_that_docker_leaves_it_but_for_nodes_and_packets() {
    for host in hosts() {
        let script = "grep -E 'Cap(Inh|Bnd|Amb|Eff)' /proc/self/status";
        // Device nodes where a cgroup limits which of them work.
        let held = if host.limits_devices() { "00000000a80405fb" } else { "00000000a00405fb" };
        let expected =
            format!("CapInh:\t0000000000000000\nCapEff:\t{held}\nCapBnd:\t{held}\nCapAmb:\t0000000000000000");
        assert_eq!(host.prints(&[], script), expected, "{host}");
    }
}

#[test]
fn standard_input_is_passed_on_when_asked_for_and_empty_otherwise() {
    let Some(host) = root() else { return };
    for (flags, expected) in [(&["-i"][..], "from outside\n"), (&[], "")] {
        let mut command = host.command(&[flags, &["--entrypoint", "cat"]].concat(), &[]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Without -i this input is not read.
        let _ = child.stdin.take().unwrap().write_all(b"from outside\n");
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{flags:?}");
    }
}

#[test]
fn descriptors_of_the_caller_do_not_reach_the_command() {
    let Some(host) = root() else { return };
    let secret = std::fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(host.prints(&[], "ls /proc/1/fd; true"), "0\n1\n2");
}

#[test]
fn limits_and_mask_are_what_they_are_outside_and_in_docker() {
    let Some(host) = root() else { return };
    let outside = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(host.prints(&[], "ulimit -n; umask"), format!("{outside}\n0022"));
}
