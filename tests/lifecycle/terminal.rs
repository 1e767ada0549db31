//! Clients with a terminal: detach and attach again, a new size, and a terminal that is closed.

use crate::desk::Desk;
use crate::host::{Host, hosts, root};
use crate::yard::until;

const SHELL: &str = "echo ready; while read line; do echo got $line; done; exit 3";

fn attach(host: &Host, desk: &Desk, args: &[&str]) -> std::process::Child {
    let mut command = host.overfuse();
    command.args(args);
    desk.start(command)
}

#[test]
fn a_user_detaches_and_comes_back() {
    for host in hosts() {
        let mut desk = Desk::new();
        let mut run = attach(&host, &desk, &["run", "-it", "--name", "box", "tiny", "-c", SHELL]);
        desk.until("ready\r\n");
        desk.type_keys(b"one\r");
        desk.until("got one\r\n");
        desk.type_keys(b"\x10\x11");
        assert_eq!(run.wait().unwrap().code(), Some(0), "{host}");
        assert!(!desk.is_raw(), "{host}: our terminal is as before");
        host.assert_state("box", "running", 0);

        let mut desk = Desk::new();
        desk.resize(41, 83);
        let mut back = attach(&host, &desk, &["attach", "--detach-keys", "ctrl-a,d", "box"]);
        // Control-P is a key like all others now.
        until("the client is attached", || desk.is_raw());
        desk.type_keys(b"two\r");
        desk.until("got two\r\n");
        desk.type_keys(b"\x01d");
        assert_eq!(back.wait().unwrap().code(), Some(0), "{host}");

        let mut desk = Desk::new();
        let mut last = attach(&host, &desk, &["attach", "box"]);
        until("the client is attached", || desk.is_raw());
        // Control-D ends the shell's input.
        desk.type_keys(b"\x04");
        assert_eq!(last.wait().unwrap().code(), Some(3), "{host}");
        host.assert_state("box", "exited", 3);
        host.does(&["rm", "box"]);
        host.assert_quiet();
    }
}

#[test]
fn a_new_client_brings_its_size() {
    for host in hosts() {
        host.background("box", &["-it"], "while read line; do stty size; done");
        for (rows, columns) in [(33, 101), (20, 60)] {
            let mut desk = Desk::new();
            desk.resize(rows, columns);
            let mut client = attach(&host, &desk, &["attach", "box"]);
            until("the client is attached", || desk.is_raw());
            // The size is sent before the client reads keys.
            desk.type_keys(b"\r");
            desk.until(&format!("{rows} {columns}\r\n"));
            desk.type_keys(b"\x10\x11");
            assert!(client.wait().unwrap().success(), "{host}");
        }
        host.does(&["rm", "-f", "box"]);
    }
}

#[test]
fn a_closed_terminal_leaves_a_container_that_can_be_attached_again() {
    for host in hosts() {
        let mut desk = Desk::new();
        let mut run = attach(&host, &desk, &["run", "-it", "--name", "box", "tiny", "-c", SHELL]);
        desk.until("ready\r\n");
        desk.close();
        assert!(!run.wait().unwrap().success(), "{host}");
        host.assert_state("box", "running", 0);
        let mut desk = Desk::new();
        let mut back = attach(&host, &desk, &["attach", "box"]);
        until("the client is attached", || desk.is_raw());
        desk.type_keys(b"again\r");
        desk.until("got again\r\n");
        desk.type_keys(b"\x04");
        assert_eq!(back.wait().unwrap().code(), Some(3), "{host}");
        host.does(&["rm", "box"]);
        host.assert_quiet();
    }
}

#[test]
fn the_hangup_of_a_terminal_reaches_a_command_that_handles_it() {
    let Some(host) = root() else { return };
    let mut desk = Desk::new();
    let script = "trap 'exit 8' HUP; echo ready; while :; do sleep 0.02; done";
    let mut run = attach(&host, &desk, &["run", "-it", "--name", "box", "tiny", "-c", script]);
    desk.until("ready\r\n");
    desk.close();
    run.wait().unwrap();
    assert_eq!(host.does(&["wait", "box"]), "8");
}

#[test]
fn control_c_ends_sleep_behind_an_init_and_stop_ends_it_always() {
    let Some(host) = root() else { return };
    let mut desk = Desk::new();
    let mut run = attach(&host, &desk, &["run", "--rm", "-it", "--init", "tiny", "-c", "echo ready; exec sleep 600"]);
    desk.until("ready\r\n");
    std::thread::sleep(std::time::Duration::from_millis(200));
    desk.type_keys(b"\x03");
    assert_eq!(run.wait().unwrap().code(), Some(130));

    let mut run = attach(&host, &desk, &["run", "-it", "--name", "box", "tiny", "-c", "echo ready; exec sleep 600"]);
    desk.until("ready\r\n");
    desk.type_keys(b"\x03");
    host.does(&["stop", "-t", "0", "box"]);
    assert_eq!(run.wait().unwrap().code(), Some(137));
    host.assert_quiet();
}
