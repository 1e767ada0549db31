//! Restart policies, and the command `restart`.

use std::fs;

use crate::host::{hosts, root};
use crate::yard::until;

#[test]
fn on_failure_starts_again_until_the_command_succeeds() {
    for host in hosts() {
        let script = "echo run; [ -e /two ] && exit 0; [ -e /one ] && echo > /two; echo > /one; exit 9";
        host.background("box", &["--restart", "on-failure"], script);
        assert_eq!(host.does(&["wait", "box"]), "0", "{host}");
        assert_eq!(host.does(&["logs", "box"]), "run\nrun\nrun", "{host}");
        host.assert_state("box", "exited", 0);
        host.assert_quiet();
    }
}

#[test]
fn on_failure_n_gives_up() {
    for host in hosts() {
        host.background("box", &["--restart", "on-failure:2"], "echo run; exit 9");
        assert_eq!(host.does(&["wait", "box"]), "9", "{host}");
        assert_eq!(host.does(&["logs", "box"]), "run\nrun\nrun", "{host}");
        host.assert_state("box", "exited", 9);
    }
}

#[test]
fn always_starts_again_until_it_is_stopped_or_killed() {
    for host in hosts() {
        for end in [&["stop", "-t", "0"][..], &["kill"], &["rm", "-f"]] {
            host.background("box", &["--restart", "always"], "echo >> /runs; [ $(wc -l < /runs) -lt 3 ] || sleep 600");
            let runs = host.directory("box").join("upper/runs");
            until("it has started three times", || fs::read_to_string(&runs).is_ok_and(|runs| runs.len() == 3));
            host.assert_state("box", "running", 0);
            host.does(&[end, &["box"]].concat());
            if end[0] != "rm" {
                host.does(&["wait", "box"]);
                host.assert_state("box", "exited", 137);
                host.does(&["rm", "box"]);
            }
            host.assert_quiet();
        }
    }
}

#[test]
fn a_container_that_waits_for_its_next_start_can_be_stopped_and_is_not_removed_by_chance() {
    let Some(host) = root() else { return };
    host.background("box", &["--restart", "always"], "exit 3");
    until("it waits for its next start", || host.state("box").0 == "restarting");
    let said = host.says(&["rm", "box"]);
    assert_eq!((said.code, said.err.lines().count()), (1, 1), "{}", said.err);
    host.does(&["stop", "box"]);
    host.assert_state("box", "exited", 3);
    host.assert_quiet();
}

#[test]
fn restart_stops_and_starts_with_the_same_upper() {
    for host in hosts() {
        for flags in [&[][..], &["--rm"]] {
            let script = "trap 'exit 0' TERM; echo >> /runs; echo run $(wc -l < /runs); while :; do sleep 0.02; done";
            host.background("box", flags, script);
            host.until_logged("box", "run 1");
            assert_eq!(host.does(&["restart", "box"]), "box", "{host}");
            host.until_logged("box", "run 2");
            host.assert_state("box", "running", 0);
            host.does(&["rm", "-f", "box"]);
            assert_eq!(host.containers(), 0, "{host}");
        }
        host.does(&["create", "--name", "box", "tiny", "-c", "sleep 600"]);
        host.does(&["restart", "box"]);
        host.assert_state("box", "running", 0);
        host.does(&["rm", "-f", "box"]);
    }
}

#[test]
fn the_limit_of_open_files_is_the_same_in_every_run() {
    let Some(host) = root() else { return };
    host.background("box", &["--restart", "on-failure:1"], "ulimit -Sn; exit 1");
    host.does(&["wait", "box"]);
    let logged = host.does(&["logs", "box"]);
    let limits: Vec<_> = logged.lines().collect();
    assert!(limits.len() == 2 && limits[0] == limits[1], "{logged}");
}
