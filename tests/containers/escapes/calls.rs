//! System calls that containers may not use, and the seccomp profiles that list them.

use std::fs;

use crate::host::{Host, hosts, hosts_with};
use crate::need;

use super::probe;

fn tries(host: &Host, flags: &[&str], what: &[(&str, &str)]) -> Vec<String> {
    let arguments: Vec<&str> = what.iter().flat_map(|(call, argument)| [*call, *argument]).collect();
    let output = host.run(&[flags, &["--entrypoint", "probe"]].concat(), &arguments);
    assert!(output.status.success(), "{host}: {flags:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn calls_that_containers_have_no_use_for_are_refused_as_docker_refuses_them() {
    need!(cc);
    let refused = "Operation not permitted";
    let missing = "Function not implemented";
    let calls = [
        ("unshare", "", refused),
        ("clone", "", refused),
        // ENOSYS makes C libraries use clone instead, whose flags a filter can check.
        ("clone3", "", missing),
        ("unknown", "", missing),
        ("x32", "", missing),
        ("mount", "", refused),
        ("bpf", "", refused),
        ("key", "x", refused),
        ("vsock", "", refused),
        ("personality", "262144", refused),
        ("old-unshare", "", refused),
        ("old-getpid", "", "ok"),
        ("personality", "8", "ok"),
        ("personality", "0", "ok"),
        ("chroot", "", "ok"),
        ("socket", "", "ok"),
        ("mkdir", "/tmp/made", "ok"),
    ];
    let what: Vec<(&str, &str)> = calls.iter().map(|(call, argument, _)| (*call, *argument)).collect();
    let expected: Vec<String> = calls.iter().map(|(call, _, answer)| format!("{call}: {answer}")).collect();
    for host in hosts_with(|_| probe::image().unwrap()) {
        for flags in [&[][..], &["--init"], &["--security-opt", "no-new-privileges"]] {
            assert_eq!(tries(&host, flags, &what), expected, "{host}: {flags:?}");
        }
        let status = host.prints(&[], "grep Seccomp: /proc/self/status");
        assert_eq!(status, "Seccomp:\t2", "{host}");
    }
}

#[test]
fn a_profile_of_ones_own_takes_the_place_of_dockers() {
    need!(cc);
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["mkdir", "mkdirat", "of-another-machine"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO",
         "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
        {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#;
    for host in hosts_with(|_| probe::image().unwrap()) {
        fs::write(host.path("profile.json"), profile).unwrap();
        let what = [("mkdir", "/tmp/made"), ("socket", ""), ("chroot", ""), ("personality", "262144")];
        let seen = tries(&host, &["--security-opt", "seccomp=profile.json"], &what);
        let expected =
            ["mkdir: Input/output error", "socket: Operation not permitted", "chroot: ok", "personality: ok"];
        assert_eq!(seen, expected, "{host}");
    }
}

#[test]
fn without_a_profile_nothing_is_filtered() {
    for host in hosts() {
        for flags in [&["--security-opt", "seccomp=unconfined"][..], &["--privileged"]] {
            // Virtual ids are made by a filter.
            let flags = [flags, if host.has_users() { &[] } else { &["--no-virtual-ids"] }].concat();
            assert_eq!(host.prints(&flags, "grep Seccomp: /proc/self/status"), "Seccomp:\t0", "{host}: {flags:?}");
        }
    }
}

#[test]
fn a_profile_that_is_none_is_refused_in_one_line() {
    for host in hosts() {
        for (name, text, said) in [
            ("gone", None, "seccomp profile gone: No such file or directory (os error 2)"),
            ("text", Some("text"), "seccomp profile text: expected"),
            ("list", Some("[]"), "seccomp profile list: invalid length"),
            (
                "notify",
                Some(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#),
                "seccomp profile: \"SCMP_ACT_NOTIFY\" is not a supported action",
            ),
            (
                "index",
                Some(
                    r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
                "action": "SCMP_ACT_LOG", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#,
                ),
                "cannot make a filter of the seccomp profile: ",
            ),
        ] {
            if let Some(text) = text {
                fs::write(host.path(name), text).unwrap();
            }
            let output = host.run(&["--security-opt", &format!("seccomp={name}")], &["-c", "true"]);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.starts_with(&format!("overfuse: {said}")), "{host}: {name}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{host}: {stderr}");
            assert_eq!(output.status.code(), Some(125), "{host}: {name}");
        }
    }
}

#[test]
fn a_profile_that_forbids_what_the_start_needs_is_told_of() {
    let profile = |names: &str, action: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": [{names}], "action": "{action}"}}]}}"#)
    };
    for host in hosts() {
        for (names, action, command, said) in [
            (r#""sendmsg""#, "SCMP_ACT_ERRNO", "/bin/gone", "(status 125)"),
            (r#""sendmsg""#, "SCMP_ACT_KILL_PROCESS", "/bin/gone", "(status 159)"),
            (r#""sendmsg", "exit_group", "exit""#, "SCMP_ACT_ERRNO", "/bin/gone", "(status 139)"),
            (r#""execve""#, "SCMP_ACT_KILL_PROCESS", "/bin/true", "(status 159)"),
        ] {
            fs::write(host.path("profile.json"), profile(names, action)).unwrap();
            let option = format!("seccomp={}", host.path("profile.json").display());
            for more in [&[][..], &["--init"], &["-u", "0", "--security-opt", "no-new-privileges"]] {
                let flags = [&["--security-opt", &option, "--entrypoint", command], more].concat();
                let output = host.run(&flags, &[]);
                let line = String::from_utf8_lossy(&output.stderr).into_owned();
                let expected = format!("overfuse: the container's command did not start {said}: the seccomp profile");
                assert!(line.starts_with(&expected) && line.lines().count() == 1, "{host}: {flags:?}: {output:?}");
                assert_eq!(output.status.code(), Some(125), "{host}: {flags:?}");
            }
        }
        // What starts and then ends so is no failure of the start.
        fs::write(host.path("profile.json"), profile(r#""mkdir""#, "SCMP_ACT_KILL_PROCESS")).unwrap();
        let option = format!("seccomp={}", host.path("profile.json").display());
        let output = host.run(&["--security-opt", &option, "--entrypoint", "/bin/mkdir"], &["/made"]);
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(159), &b""[..]), "{host}");
    }
}
