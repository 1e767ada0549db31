//! Many containers at once.

use std::process::Stdio;

use crate::host::{hosts, root};

#[test]
fn twenty_containers_run_at_once_and_leave_nothing() {
    for host in hosts() {
        let script = "echo $HOSTNAME > /own; sleep 1; cat /own | wc -l; exit 3";
        let children: Vec<_> =
            (0..20).map(|_| host.command(&[], &["-c", script]).stdout(Stdio::piped()).spawn().unwrap()).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"1\n"[..]), "{host}");
        }
        assert_eq!(host.containers(), 0, "{host}");
        host.assert_quiet();
    }
}

#[test]
fn of_many_starts_of_one_container_one_wins_and_all_are_content() {
    let Some(host) = root() else { return };
    host.does(&["create", "--name", "box", "tiny", "-c", "echo >> /runs; sleep 600"]);
    let starts: Vec<_> =
        (0..10).map(|_| host.overfuse().args(["start", "box"]).stderr(Stdio::piped()).spawn().unwrap()).collect();
    let ends: Vec<_> = starts.into_iter().map(|start| start.wait_with_output().unwrap()).collect();
    assert!(ends.iter().any(|end| end.status.success()));
    for end in ends.iter().filter(|end| !end.status.success()) {
        let said = String::from_utf8_lossy(&end.stderr);
        assert!(said.lines().count() == 1 && said.contains("in use"), "{said}");
    }
    let runs = std::fs::read_to_string(host.directory("box").join("upper/runs")).unwrap();
    assert_eq!(runs, "\n", "the command was started once");
    host.does(&["rm", "-f", "box"]);
    host.assert_quiet();
}
