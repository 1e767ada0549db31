//! Containers in the background: `run -d`, `create` and `start`, and the ends of their commands.

use std::fs;

use crate::host::{hosts, root};
use crate::yard::until;

#[test]
fn run_d_prints_the_id_and_ends_once_the_command_runs() {
    for host in hosts() {
        let id = host.background("web", &[], "echo up; sleep 600");
        assert_eq!(id.len(), 64, "{host}: {id}");
        host.assert_state("web", "running", 0);
        host.until_logged("web", "up");
        assert_eq!(host.does(&["rm", "-f", "web"]), "web", "{host}");
        host.assert_quiet();
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_has_dockers_exit_code_and_one_line() {
    for host in hosts() {
        for (program, code) in [("gone", 127), ("/etc/passwd", 126)] {
            for flags in [&["-d"][..], &[]] {
                let args = [&["run", "--name", "bad"], flags, &["--entrypoint", program, "tiny"]].concat();
                let said = host.says(&args);
                assert_eq!((said.code, said.out.as_str()), (code, ""), "{host}: {args:?}: {}", said.err);
                assert_eq!(said.err.lines().count(), 1, "{host}: {}", said.err);
                host.assert_state("bad", "created", code as u64);
                host.does(&["rm", "bad"]);
            }
        }
        host.assert_quiet();
    }
}

#[test]
fn start_finds_the_upper_as_it_was() {
    for host in hosts() {
        let script =
            "[ -e /count ] && echo again || { echo first; mkdir /d; rm /etc/group; }; echo x >> /count; wc -l < /count";
        let id = host.does(&["create", "--name", "work", "tiny", "-c", script]);
        host.assert_state("work", "created", 0);
        assert_eq!(host.does(&["start", "-a", "work"]), "first\n1", "{host}");
        assert_eq!(host.does(&["start", &id[..12]]), id[..12], "{host}");
        assert_eq!(host.does(&["wait", "work"]), "0", "{host}");
        assert_eq!(host.does(&["start", "-a", "work"]), "again\n3", "{host}");
        let upper = host.directory("work").join("upper");
        assert!(upper.join("d").is_dir() && upper.join("count").is_file(), "{host}");
        assert_eq!(host.does(&["logs", "work"]), "first\n1\nagain\n2\nagain\n3", "{host}: the log of all runs");
    }
}

#[test]
fn start_does_nothing_to_a_container_that_runs() {
    let Some(host) = root() else { return };
    host.background("web", &[], "sleep 600");
    let first = host.first_process("web");
    assert_eq!(host.does(&["start", "web"]), "web");
    assert_eq!(host.first_process("web"), first);
    host.does(&["rm", "-f", "web"]);
}

#[test]
fn several_names_are_each_tried_and_one_that_fails_makes_the_exit_code_1() {
    let Some(host) = root() else { return };
    host.background("one", &[], "sleep 600");
    host.background("two", &[], "sleep 600");
    for command in [&["stop", "-t", "0"][..], &["start"], &["restart", "-t", "0"], &["kill"], &["wait"], &["rm", "-f"]]
    {
        let said = host.says(&[command, &["one", "nobody", "two"]].concat());
        // rm -f does not mind a container that does not exist, as docker's.
        let expected = match command[0] {
            "wait" => (1, "137\n137"),
            "rm" => (0, "one\nnobody\ntwo"),
            _ => (1, "one\ntwo"),
        };
        assert_eq!((said.code, said.out.as_str()), expected, "{command:?}: {}", said.err);
        let lines = if command[0] == "rm" { 0 } else { 1 };
        assert_eq!(said.err.lines().count(), lines, "{command:?}: {}", said.err);
    }
    host.assert_quiet();
}

#[test]
fn the_id_goes_to_a_file_that_must_not_exist() {
    for host in hosts() {
        let file = host.path("id");
        let path = file.to_str().unwrap();
        let id = host.does(&["run", "-d", "--rm", "--cidfile", path, "tiny", "-c", "true"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), id, "{host}");
        let said = host.says(&["run", "--rm", "--cidfile", path, "tiny", "-c", "true"]);
        assert_eq!((said.code, said.err.lines().count()), (125, 1), "{host}: {}", said.err);
        assert_eq!(fs::read_to_string(&file).unwrap(), id, "{host}: it is left as it was");
        until("the containers are removed", || host.containers() == 0);
    }
}

#[test]
fn a_container_with_rm_is_gone_when_it_has_ended() {
    for host in hosts() {
        host.background("brief", &["--rm"], "read x < /dev/zero; sleep 600");
        host.does(&["stop", "-t", "0", "brief"]);
        assert_eq!(host.containers(), 0, "{host}");
        assert_eq!(host.says(&["wait", "brief"]).code, 1, "{host}");
        host.assert_quiet();
    }
}

#[test]
fn nobody_waits_for_the_output_of_a_container_in_the_background() {
    // The monitor must not keep the pipe open that the client printed the ID to: `does` reads to its end.
    for host in hosts() {
        host.does(&["run", "-d", "--name", "long", "tiny", "-c", "sleep 600"]);
        host.does(&["restart", "-t", "0", "long"]);
        host.does(&["rm", "-f", "long"]);
    }
}
