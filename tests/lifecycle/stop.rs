//! How containers are ended: the stop signal, then SIGKILL; asserted by exit codes.

use std::time::{Duration, Instant};

use crate::host::{Host, hosts, root};
use crate::image::Twist;

const PATIENT: &str =
    "trap 'exit 5' TERM; trap 'exit 6' USR1; trap 'exit 7' QUIT; echo ready; while :; do sleep 0.02; done";
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.02; done";

fn ready(host: &Host, flags: &[&str], script: &str) {
    host.background("box", flags, script);
    host.until_logged("box", "ready");
}

#[test]
fn a_command_that_handles_its_stop_signal_ends_by_itself() {
    for host in hosts() {
        for (flags, stop, code) in [
            (&[][..], &["stop"][..], 5),
            (&["--stop-signal", "USR1"], &["stop"], 6),
            (&["--stop-signal", "USR1"], &["stop", "-s", "QUIT"], 7),
            (&["--stop-timeout", "-1"], &["stop"], 5),
            (&[], &["stop", "-t", "-1"], 5),
        ] {
            ready(&host, flags, PATIENT);
            host.does(&[stop, &["box"]].concat());
            host.assert_state("box", "exited", code);
            host.does(&["rm", "box"]);
        }
        host.assert_quiet();
    }
}

#[test]
fn a_command_that_ignores_its_stop_signal_is_killed_after_the_timeout() {
    for host in hosts() {
        for (flags, stop) in
            [(&[][..], &["stop", "-t", "1"][..]), (&["--stop-timeout", "1"], &["stop"]), (&[], &["stop", "-t", "0"])]
        {
            ready(&host, flags, DEAF);
            host.does(&[stop, &["box"]].concat());
            host.assert_state("box", "exited", 137);
            host.does(&["rm", "box"]);
        }
    }
}

#[test]
fn the_images_stop_signal_is_used() {
    if root().is_none() {
        return;
    }
    let host = Host::root_with(|_| Twist::says("StopSignal", "SIGQUIT"));
    ready(&host, &[], PATIENT);
    host.does(&["stop", "box"]);
    host.assert_state("box", "exited", 7);
    host.does(&["rm", "box"]);
}

#[test]
fn a_stop_goes_on_when_its_client_is_killed_and_others_see_its_end() {
    let Some(host) = root() else { return };
    ready(&host, &[], DEAF);
    let mut stop = host.overfuse().args(["stop", "-t", "2", "box"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    stop.kill().unwrap();
    stop.wait().unwrap();
    assert_eq!(host.does(&["wait", "box"]), "137");
    host.does(&["rm", "box"]);
}

#[test]
fn a_shorter_stop_overtakes_a_longer_one() {
    let Some(host) = root() else { return };
    ready(&host, &[], DEAF);
    let mut patient = host.overfuse().args(["stop", "-t", "600", "box"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    host.does(&["stop", "-t", "0", "box"]);
    assert!(patient.wait().unwrap().success());
    host.assert_state("box", "exited", 137);
}

#[test]
fn several_are_stopped_at_once() {
    let Some(host) = root() else { return };
    let names = ["a1", "a2", "a3", "a4", "a5", "a6"];
    for name in names {
        host.background(name, &[], DEAF);
    }
    let begun = Instant::now();
    host.does(&[&["stop", "-t", "10"][..], &names].concat());
    assert!(begun.elapsed() < Duration::from_secs(50), "one after the other they need a minute");
    host.does(&[&["rm"][..], &names].concat());
    host.assert_quiet();
}

#[test]
fn kill_sends_any_signal_and_refuses_what_does_not_run() {
    for host in hosts() {
        for (kill, code) in [(&["kill", "-s", "USR1"][..], 6), (&["kill", "-s", "3"], 7), (&["kill"], 137)] {
            ready(&host, &[], PATIENT);
            host.does(&[kill, &["box"]].concat());
            assert_eq!(host.does(&["wait", "box"]), code.to_string(), "{host}: {kill:?}");
            let said = host.says(&["kill", "box"]);
            assert_eq!((said.code, said.err.lines().count()), (1, 1), "{host}: {}", said.err);
            host.does(&["rm", "box"]);
        }
        assert_eq!(host.says(&["kill", "-s", "NONE", "box"]).code, 125, "{host}");
    }
}

#[test]
fn stop_of_a_container_that_does_not_run_changes_nothing() {
    let Some(host) = root() else { return };
    host.does(&["create", "--name", "box", "tiny", "-c", "exit 3"]);
    assert_eq!(host.does(&["stop", "box"]), "box");
    host.assert_state("box", "created", 0);
    host.says(&["start", "-a", "box"]);
    assert_eq!(host.does(&["stop", "box"]), "box");
    host.assert_state("box", "exited", 3);
}

#[test]
fn rm_refuses_a_running_container_and_with_f_kills_it() {
    for host in hosts() {
        ready(&host, &[], DEAF);
        let said = host.says(&["rm", "box"]);
        assert_eq!((said.code, said.err.lines().count()), (1, 1), "{host}: {}", said.err);
        assert!(said.err.contains("running"), "{host}: {}", said.err);
        host.assert_state("box", "running", 0);
        host.does(&["rm", "-f", "box"]);
        assert_eq!(host.containers(), 0, "{host}");
        host.assert_quiet();
    }
}
