//! The parts of the kernel that a container can reach: keys, cgroups, ids, packets, its view of processes.

use crate::host::{hosts, hosts_with, root};
use crate::image::Twist;
use crate::support::need;

use super::probe;

#[test]
fn the_callers_keys_stay_with_the_caller() {
    use std::os::unix::process::CommandExt;
    let Some(_) = probe::image() else { return };
    for host in hosts_with(|_| probe::image().unwrap()) {
        let mut command = host
            .command(&["--security-opt", "seccomp=unconfined", "--entrypoint", "probe"], &["key", "overfuse-secret"]);
        // SAFETY: system calls alone, between fork and exec.
        unsafe {
            command.pre_exec(|| {
                const SESSION: libc::c_long = -3;
                let joined = libc::syscall(libc::SYS_keyctl, 1, c"overfuse-caller".as_ptr());
                let (kind, name) = (c"user".as_ptr(), c"overfuse-secret".as_ptr());
                match joined >= 0 && libc::syscall(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1usize, SESSION) >= 0 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(printed, "key: Required key not available\n", "{host}");
    }
}

#[test]
fn a_container_is_at_the_root_of_its_cgroups() {
    for host in hosts() {
        let outside = std::fs::read_link("/proc/self/ns/cgroup").unwrap();
        let inside = host.prints(&[], "readlink /proc/self/ns/cgroup");
        assert_ne!(inside, outside.display().to_string(), "{host}");
        assert_eq!(host.prints(&[], "grep -v ':/$' /proc/self/cgroup; ls /sys/fs/cgroup"), "", "{host}");
    }
}

#[test]
fn raw_packets_need_a_network_that_leads_nowhere() {
    for host in hosts() {
        let private = need::all(&["pasta"]).then_some(("private", "00000000a00405fb"));
        for (network, bounding) in
            [("host", "00000000a00405fb"), ("none", "00000000a00425fb")].into_iter().chain(private)
        {
            let flags = ["--network", network, "--cap-drop", "MKNOD"];
            let printed = host.prints(&flags, "grep CapBnd /proc/self/status");
            assert_eq!(printed, format!("CapBnd:\t{bounding}"), "{host}: {network}");
        }
    }
}

#[test]
fn privileges_are_not_gained_where_that_is_asked_for() {
    for host in hosts() {
        for (flags, set) in [
            (&[][..], "0"),
            (&["--security-opt", "no-new-privileges"], "1"),
            (&["--security-opt", "no-new-privileges:true", "--init"], "1"),
            (&["--security-opt", "no-new-privileges=false"], "0"),
        ] {
            let printed = host.prints(flags, "grep NoNewPrivs /proc/self/status");
            assert_eq!(printed, format!("NoNewPrivs:\t{set}"), "{host}: {flags:?}");
        }
        let output = host.run(&["--security-opt", "nonsense"], &["-c", "true"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("\"nonsense\" is not a security option"), "{said}");
    }
}

#[test]
fn a_number_that_the_kernel_takes_for_none_is_no_user() {
    let too_high = |id: &str| format!("overfuse: {id} is not a valid user or group: numbers go up to 2147483647\n");
    for host in hosts() {
        for (user, id) in [("4294967295", "4294967295"), ("2147483648", "2147483648"), ("0:4294967295", "4294967295")] {
            let output = host.run(&["-u", user], &["-c", "id"]);
            assert_eq!(String::from_utf8_lossy(&output.stderr), too_high(id), "{host}: {user}");
            assert_eq!(output.status.code(), Some(125), "{host}: {user}");
        }
    }
    for (user, twist) in [
        ("4294967295", Twist::default()),
        (
            "none",
            Twist {
                files: vec![("etc/passwd".into(), b"none:x:4294967295:0::/:/bin/sh\n".to_vec())],
                ..Twist::default()
            },
        ),
    ] {
        for host in hosts_with(|_| Twist {
            config: Twist::says("User", user).config,
            files: twist.files.clone(),
            ..Twist::default()
        }) {
            let output = host.run(&[], &["-c", "id"]);
            assert_eq!(String::from_utf8_lossy(&output.stderr), too_high("4294967295"), "{host}: {user}");
        }
    }
}

#[test]
fn cve_2026_57231_no_variable_of_an_image_has_the_hosts_value() {
    for host in hosts_with(|_| Twist::says("Env", vec!["PATH=/bin", "*", "OVERFUSE_SECRET", "OVERFUSE_SEC*"])) {
        for flags in [&[][..], &["-e", "*"]] {
            let mut command = host.command(flags, &["-c", "env"]);
            let output = command.env("OVERFUSE_SECRET", "of the host").output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && printed.contains("PATH=/bin\n"), "{host}: {printed}");
            assert!(!printed.contains("of the host"), "{host}: {printed}");
        }
    }
}

#[test]
fn a_privileged_container_has_it_all() {
    let Some(host) = root() else { return };
    let all = host.shell("grep CapBnd /proc/self/status");
    assert_eq!(host.prints(&["--privileged"], "grep CapEff /proc/self/status").replace("Eff", "Bnd"), all.trim_end());
    let script = "mknod /x c 1 5; head -c 3 /x | wc -c; grep -c ' /proc/' /proc/mounts; mount -t tmpfs x /tmp; echo $?";
    assert_eq!(host.prints(&["--privileged"], script), "3\n0\n0");
}
