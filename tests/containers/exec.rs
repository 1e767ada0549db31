//! `overfuse exec`: another command in a running container.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::{Host, Started, hosts, hosts_with, ordinary, root};
use crate::image::Twist;
use crate::support::need::PLAIN_USER;
use crate::terminal::Desk;

/// Runs until SIGTERM.
const RUN: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";

/// Starts the container `box`, which runs until [`Started::end`].
pub(crate) fn start(host: &Host, flags: &[&str]) -> Started {
    host.start(&[&["--name", "box"], flags].concat(), RUN)
}

pub(crate) fn command(host: &Host, flags: &[&str], command: &[&str]) -> Command {
    let mut exec = host.overfuse();
    exec.arg("exec").args(flags).arg("box").args(command);
    exec
}

/// The output of a shell script in the container; it must succeed.
pub(crate) fn prints(host: &Host, flags: &[&str], script: &str) -> String {
    let output = command(host, flags, &["sh", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{host}: {flags:?} {script:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `done` holds.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_is_in_every_namespace_of_the_container() {
    for host in hosts() {
        let chroot: &[&[&str]] = if host.is_root() { &[&["--chroot"]] } else { &[] };
        for flags in [&[&[][..], &["--init"], &["--network", "none"], &["--hostname", "own"]], chroot].concat() {
            let running = start(&host, flags);
            let inside = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done";
            if flags != ["--chroot"] {
                let of_first = inside.replace("self", if flags == ["--init"] { "2" } else { "1" });
                assert_eq!(prints(&host, &[], inside), prints(&host, &[], &of_first), "{host}: {flags:?}");
                assert_eq!(prints(&host, &[], "hostname"), prints(&host, &[], "cat /etc/hostname"), "{host}");
            }
            assert_eq!(prints(&host, &[], "echo new > /tmp/new; ls /bin/busybox"), "/bin/busybox", "{host}: {flags:?}");
            assert_eq!(prints(&host, &[], "cat /tmp/new; pwd; echo $COLOR"), "new\n/srv\ngreen", "{host}: {flags:?}");
            running.end();
        }
    }
}

#[test]
fn rights_are_those_of_the_container() {
    for host in hosts() {
        for flags in [
            &[][..],
            &["--security-opt", "no-new-privileges"],
            &["--security-opt", "seccomp=unconfined"],
            &["--network", "none"],
            &["--privileged"],
        ] {
            // The filter of virtual ids is for the first process alone.
            let running = start(&host, &[flags, if host.has_users() { &[] } else { &["--no-virtual-ids"] }].concat());
            let rights = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/PID/status";
            let first = prints(&host, &[], &rights.replace("PID", "1"));
            assert_eq!(prints(&host, &[], &rights.replace("PID", "self")), first, "{host}: {flags:?}");
            assert!(first.contains("CapBnd"), "{first}");
            running.end();
        }
        let running = start(&host, &[]);
        let flags = [&["--privileged"][..], if host.has_users() { &[] } else { &["--no-virtual-ids"] }].concat();
        let all = host.prints(&flags, "grep -E '^(CapEff|Seccomp:)' /proc/self/status");
        let privileged = prints(&host, &["--privileged"], "grep -E '^(CapEff|Seccomp:)' /proc/self/status");
        assert_eq!(privileged, all, "{host}");
        running.end();
    }
}

#[test]
fn environment_user_and_directory_are_the_containers_or_those_of_the_flags() {
    for host in hosts() {
        fs::write(host.path("vars"), "# comment\nOF_FILE=1\nB=file\nPASSED\nABSENT\n").unwrap();
        let running = start(&host, &["-e", "A=run", "-e", "B=run", "-w", "/home/app", "--hostname", "h"]);
        let mut exec = command(&host, &["-e", "B=exec", "-e", "C", "--env-file", "vars", "-w", "/tmp"], &["env"]);
        let output = exec.env("C", "here").env("PASSED", "on").env("NOT_PASSED", "x").output().unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        let expected = [
            "A=run",
            "B=exec",
            "C=here",
            "COLOR=green",
            "HOME=/root",
            "HOSTNAME=h",
            "OF_FILE=1",
            "PASSED=on",
            "PATH=/bin",
        ];
        assert_eq!(lines, expected, "{host}");
        assert_eq!(prints(&host, &[], "pwd; umask"), "/home/app\n0022", "{host}");
        assert_eq!(prints(&host, &["-w", "/tmp"], "pwd"), "/tmp", "{host}");
        if host.has_users() {
            assert_eq!(
                prints(&host, &["-u", "app"], "id; echo $HOME; grep CapEff /proc/self/status"),
                "uid=1000(app) gid=1001(app) groups=44(video)\n/home/app\nCapEff:\t0000000000000000",
                "{host}"
            );
            assert_eq!(prints(&host, &["-u", "7:8"], "id -u; id -g"), "7\n8", "{host}");
        }
        running.end();
        if host.has_users() {
            let running = start(&host, &["-u", "app"]);
            assert_eq!(prints(&host, &[], "id -u"), "1000", "{host}: the container's user");
            assert_eq!(prints(&host, &["-u", "0"], "id -u"), "0", "{host}");
            running.end();
        }
    }
}

#[test]
fn exit_codes_are_dockers() {
    for host in hosts() {
        let running = start(&host, &[]);
        for (flags, words, code, line) in [
            (&[][..], &["sh", "-c", "exit 0"][..], 0, ""),
            (&[], &["sh", "-c", "exit 7"], 7, ""),
            (&[], &["sh", "-c", "kill -TERM $$"], 143, ""),
            (&[], &["gone"], 127, "overfuse: exec: \"gone\": executable file not found in $PATH\n"),
            (&[], &["/etc/passwd"], 126, "overfuse: exec: \"/etc/passwd\": Permission denied (os error 13)\n"),
            (
                &["-w", "/gone"],
                &["true"],
                125,
                "overfuse: cannot change to /gone: No such file or directory (os error 2)\n",
            ),
            (&["-w", "gone"], &["true"], 125, "overfuse: the working directory \"gone\" is not an absolute path\n"),
            (&["-u", "nobody"], &["true"], 125, "overfuse: the image's /etc/passwd has no user \"nobody\"\n"),
            (&["-it"], &["true"], 125, "overfuse: standard input is not a terminal: leave out -t, or -i\n"),
            (&["-d"], &["gone"], 127, "overfuse: exec: \"gone\": executable file not found in $PATH\n"),
        ] {
            let output = command(&host, flags, words).output().unwrap();
            assert_eq!(said(&output), line, "{host}: {flags:?} {words:?}");
            assert_eq!(output.status.code(), Some(code), "{host}: {flags:?} {words:?}");
        }
        running.end();
    }
}

#[test]
fn only_a_running_container_is_entered() {
    for host in hosts() {
        let made = host.overfuse().args(["run", "--name", "box", "tiny", "-c", "true"]).status().unwrap();
        assert!(made.success());
        for (name, line) in [
            ("box", "overfuse: container box is not running\n"),
            ("gone", "overfuse: there is no container \"gone\"\n"),
        ] {
            let output = host.overfuse().args(["exec", name, "true"]).output().unwrap();
            assert_eq!((said(&output).as_str(), output.status.success()), (line, false), "{host}: {name}");
        }
    }
}

#[test]
fn a_paused_container_is_not_entered() {
    let Some(host) = root() else { return };
    let running = start(&host, &[]);
    let container = fs::read_dir(host.path("store/containers")).unwrap().next().unwrap().unwrap().path();
    let state = fs::read_to_string(container.join("state.json")).unwrap();
    fs::write(container.join("state.json"), state.replace("\"running\"", "\"paused\"")).unwrap();
    let output = command(&host, &[], &["true"]).output().unwrap();
    assert_eq!(said(&output), "overfuse: container box is paused: unpause it first\n");
    running.end();
}

#[test]
fn streams_and_signals_pass_through() {
    for host in hosts() {
        let running = start(&host, &[]);
        for (flags, expected) in [(&["-i"][..], "from outside\n"), (&[], "")] {
            let mut exec = command(&host, flags, &["cat"]);
            let mut child = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            // Without -i this input is not read.
            let _ = child.stdin.take().unwrap().write_all(b"from outside\n");
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{host}: {flags:?}");
        }
        for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::USR1, "USR1")] {
            let script = format!("trap 'echo got {name}; exit 33' {name}; echo ready; while :; do sleep 0.02; done");
            let mut started = Started::of(command(&host, &[], &["sh", "-c", &script]));
            started.signal(signal);
            let mut rest = String::new();
            started.output.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, format!("got {name}\n"), "{host}");
            assert_eq!(started.child.wait().unwrap().code(), Some(33), "{host}: {name}");
        }
        running.end();
    }
}

#[test]
fn a_command_has_a_terminal_of_the_container() {
    for host in hosts() {
        let running = start(&host, &[]);
        let mut desk = Desk::new();
        desk.resize(33, 101);
        let before = desk.modes();
        let exec =
            command(&host, &["-it"], &["sh", "-c", "tty; stty size; echo $TERM; read line; echo got $line; exit 5"]);
        let mut child = desk.spawn(exec);
        assert_eq!(desk.until("xterm\r\n"), "/dev/pts/0\r\n33 101\r\nxterm\r\n", "{host}");
        desk.master.write_all(b"keys\r").unwrap();
        desk.until("got keys\r\n");
        assert_eq!(child.wait().unwrap().code(), Some(5), "{host}");
        assert!(desk.modes() == before, "{host}: our terminal is as before");
        running.end();
    }
}

#[test]
fn keys_detach_from_a_command_that_runs_on() {
    for host in hosts() {
        let running = start(&host, &[]);
        for (flags, keys) in [(&["-it"][..], &b"\x10\x11"[..]), (&["-it", "--detach-keys", "a,ctrl-b"], b"a\x02")] {
            let mut desk = Desk::new();
            let before = desk.modes();
            let script = "echo first; sleep 0.5; echo unseen; echo on >/tmp/went; exec sleep 600";
            let mut child = desk.spawn(command(&host, flags, &["sh", "-c", script]));
            desk.until("first\r\n");
            desk.master.write_all(keys).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{host}: {flags:?}");
            assert!(desk.modes() == before, "{host}: our terminal is as before");
            until("the command goes on", || prints(&host, &[], "cat /tmp/went 2>/dev/null; true") == "on");
            prints(&host, &[], "rm /tmp/went");
        }
        running.end();
        host.leaves_no_process("exec");
    }
}

#[test]
fn a_command_ends_with_the_container_and_with_its_caller() {
    for host in hosts() {
        let running = start(&host, &[]);
        let mut waiting = Started::of(command(&host, &[], &["sh", "-c", "echo ready; sleep 600"]));
        let mut orphan = Started::of(command(&host, &[], &["sh", "-c", "echo ready; exec sleep 700"]));
        orphan.signal(Signal::KILL);
        orphan.child.wait().unwrap();
        until("the command of a caller that was killed ends", || {
            !prints(&host, &[], "cat /proc/[0-9]*/cmdline 2>/dev/null; true").contains("sleep\u{0}700")
        });
        running.end();
        assert_eq!(waiting.child.wait().unwrap().code(), Some(137), "{host}");
    }
}

#[test]
fn a_detached_command_runs_on() {
    for host in hosts() {
        let running = start(&host, &[]);
        let script = "echo lost; sleep 0.3; echo done > /tmp/done; exec sleep 600";
        let output = command(&host, &["-d"], &["sh", "-c", script]).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{host}: {output:?}");
        until("the detached command goes on", || prints(&host, &[], "cat /tmp/done 2>/dev/null; true") == "done");
        let output =
            command(&host, &["-dt"], &["sh", "-c", "tty > /tmp/tty; echo on the terminal; exec sleep 600"]).output();
        assert!(output.unwrap().status.success(), "{host}");
        until("it has a terminal", || prints(&host, &[], "cat /tmp/tty 2>/dev/null; true").starts_with("/dev/pts/"));
        running.end();
        host.leaves_no_process("exec");
    }
}

#[test]
fn without_subordinate_ids_there_is_no_other_user() {
    let Some(host) = ordinary(PLAIN_USER) else { return };
    let running = start(&host, &[]);
    let output = command(&host, &["-u", "app"], &["id"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("user 1000, group 1001 do not exist here"), "{}", said(&output));
    running.end();
}

#[test]
fn a_container_that_changes_its_own_root_is_entered_at_the_root() {
    for host in hosts_with(|_| Twist { files: vec![("jail/mark".into(), Vec::new())], ..Twist::default() }) {
        // Process 1 changes its own root directory.
        let script = format!(
            "mkdir /jail/bin; busybox cp /bin/busybox /jail/bin/sh; busybox cp /bin/busybox /jail/bin/sleep; exec busybox chroot /jail /bin/sh -c \"{RUN}\""
        );
        let running = host.start(&["--name", "box"], &script);
        assert_eq!(prints(&host, &[], "ls -d /jail/mark"), "/jail/mark", "{host}");
        running.end();
    }
}

#[test]
fn descriptors_of_the_caller_do_not_reach_the_command() {
    let Some(host) = root() else { return };
    let running = start(&host, &[]);
    let secret = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(prints(&host, &[], "ls /proc/self/fd"), "0\n1\n2\n3");
    running.end();
}
