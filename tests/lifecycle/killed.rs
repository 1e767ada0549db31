//! Who is killed by SIGKILL leaves no mount, no process and no lock, and the others tell the truth.

use std::fs;

use rustix::process::Signal;

use crate::host::hosts;
use crate::yard::{is_alive, until};

const WORK: &str = "echo written > /kept; sync; echo ready; sleep 600";

#[test]
fn a_killed_monitor_takes_the_container_with_it_and_the_upper_is_kept() {
    for host in hosts() {
        for flags in [&[][..], &["--init"]] {
            host.background("box", flags, WORK);
            host.until_logged("box", "ready");
            let first = host.first_process("box");
            host.kill_hard(host.monitor_of("box"));
            until("the container is gone with its monitor", || !is_alive(first));
            host.assert_state("box", "exited", 137);
            assert!(host.does(&["ps", "-a"]).contains("Exited (137)"), "{host}");
            assert!(!host.does(&["ps"]).contains("box"), "{host}");
            assert_eq!(host.does(&["wait", "box"]), "137", "{host}");
            host.assert_quiet();
            let upper = host.directory("box").join("upper/kept");
            assert_eq!(fs::read_to_string(upper).unwrap(), "written\n", "{host}");
            assert_eq!(host.does(&["start", "box"]), "box", "{host}");
            host.assert_state("box", "running", 0);
            host.does(&["rm", "-f", "box"]);
            host.assert_quiet();
        }
    }
}

#[test]
fn clients_of_a_killed_monitor_end_with_one_line() {
    for host in hosts() {
        let started = host.start(&["--name", "box"], "echo ready; sleep 600");
        let wait = host.overfuse().args(["wait", "box"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let follow = host.overfuse().args(["logs", "-f", "box"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        host.kill_hard(host.monitor_of("box"));
        let mut started = started;
        assert_eq!(started.child.wait().unwrap().code(), Some(125), "{host}");
        assert_eq!(wait.wait_with_output().unwrap().stdout, b"137\n", "{host}");
        assert!(follow.wait_with_output().unwrap().status.success(), "{host}");
        // It ran with --rm, and goes with the next command that lists containers.
        assert_eq!(host.containers(), 1, "{host}");
        assert!(!host.does(&["ps", "-a"]).contains("box"), "{host}");
        assert_eq!(host.containers(), 0, "{host}");
        host.assert_quiet();
    }
}

#[test]
fn a_killed_client_leaves_the_container_and_its_log_complete() {
    for host in hosts() {
        let script = "echo ready; read x < /go; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 4";
        let script = format!("busybox mkfifo /go; {script}");
        let mut client = host.overfuse().args(["run", "--name", "box", "tiny", "-c", &script]).spawn().unwrap();
        host.until_logged("box", "ready");
        client.kill().unwrap();
        client.wait().unwrap();
        host.assert_state("box", "running", 0);
        let wait = host.overfuse().args(["wait", "box"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let follow = host.overfuse().args(["logs", "-f", "box"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        host.does(&["exec", "box", "/bin/sh", "-c", "echo > /go"]);
        let logged = follow.wait_with_output().unwrap().stdout;
        let expected: String = (0..2000).map(|i| format!("line {i}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&logged), format!("ready\n{expected}"), "{host}");
        assert_eq!(wait.wait_with_output().unwrap().stdout, b"4\n", "{host}");
        host.assert_quiet();
    }
}

#[test]
fn a_killed_first_process_is_137() {
    for host in hosts() {
        host.background("box", &[], WORK);
        rustix::process::kill_process(host.first_process("box"), Signal::KILL).unwrap();
        assert_eq!(host.does(&["wait", "box"]), "137", "{host}");
        host.assert_state("box", "exited", 137);
        host.does(&["rm", "box"]);
        host.assert_quiet();
    }
}

#[test]
fn a_monitor_that_gets_sigterm_stops_its_container() {
    for host in hosts() {
        host.background("box", &[], "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done");
        host.until_logged("box", "ready");
        rustix::process::kill_process(host.monitor_of("box"), Signal::TERM).unwrap();
        assert_eq!(host.does(&["wait", "box"]), "5", "{host}");
        host.assert_quiet();
    }
}

#[test]
fn a_state_from_before_a_reboot_is_not_believed() {
    for host in hosts() {
        host.background("box", &[], "true");
        host.does(&["wait", "box"]);
        // What a host that lost power leaves: a record that says "running", and a socket that nobody listens to.
        let dir = host.directory("box");
        let path = dir.join("state.json");
        let mut state: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        state["status"] = "running".into();
        state["process"] = serde_json::json!({ "pid": std::process::id(), "start": 1 });
        fs::write(&path, state.to_string()).unwrap();
        // By way of a descriptor, because a socket's path must be short.
        let open = fs::File::open(&dir).unwrap();
        let socket = format!("/proc/self/fd/{}/socket", std::os::fd::AsRawFd::as_raw_fd(&open));
        let _ = fs::remove_file(&socket);
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        host.assert_state("box", "exited", 137);
        assert_eq!(host.says(&["kill", "box"]).code, 1, "{host}");
        assert_eq!(host.does(&["start", "-a", "box"]), "", "{host}");
        host.assert_state("box", "exited", 0);
        host.does(&["rm", "box"]);
    }
}
