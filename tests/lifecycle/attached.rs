//! Clients without a terminal: input, signals, and several clients of one container.

use std::io::{Read, Write};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, hosts, root};
use crate::yard::until;

fn with_input(host: &Host, args: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut child = host.overfuse().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (output.status.code(), output.stdout)
}

#[test]
fn input_reaches_the_command_to_its_end() {
    for host in hosts() {
        let input: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let (code, output) = with_input(&host, &["run", "--rm", "-i", "tiny", "-c", "cat; exit 3"], &input);
        assert!(code == Some(3) && output == input, "{host}: {code:?}, {} bytes", output.len());
        let without = host.run(&[], &["-c", "cat; echo end"]);
        assert_eq!(without.stdout, b"end\n", "{host}: without -i there is no input");
    }
}

#[test]
fn input_that_nobody_reads_holds_up_neither_signals_nor_the_end() {
    for host in hosts() {
        let script = "trap 'exit 6' TERM; echo ready; while :; do sleep 0.02; done";
        let mut child = host
            .command(&["-i", "--name", "box"], &["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 4 << 20]).is_err());
        host.until_logged("box", "ready");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(6), "{host}");
        assert!(writer.join().unwrap(), "{host}: the writer sees that nobody reads");
    }
}

#[test]
fn start_ai_gives_input_again_and_an_attached_client_without_input_ends_none() {
    for host in hosts() {
        host.does(&["create", "-i", "--name", "box", "tiny", "-c", "cat; echo end"]);
        for text in ["one\n", "two\n"] {
            let (code, output) = with_input(&host, &["start", "-ai", "box"], text.as_bytes());
            assert_eq!((code, output), (Some(0), format!("{text}end\n").into_bytes()), "{host}");
        }
        // In the background, input stays open for one client after the other.
        host.background("open", &["-i"], "read a; echo got $a; read b; echo got $b; read c; echo got $c");
        for text in ["1\n", "2\n"] {
            let mut client =
                host.overfuse().args(["attach", "open"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            client.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            host.until_logged("open", &format!("got {}", text.trim()));
            client.kill().unwrap();
            client.wait().unwrap();
        }
        host.assert_state("open", "running", 0);
        host.does(&["rm", "-f", "open"]);
    }
}

#[test]
fn eight_clients_see_the_same_output_and_the_same_end() {
    for host in hosts() {
        let script = "read x; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 7";
        host.background("box", &["-i"], script);
        let attach = |more: &[&str]| {
            let mut command = host.overfuse();
            command.arg("attach").args(more).arg("box").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        };
        let mut clients: Vec<_> = (0..8).map(|_| attach(&["--no-stdin"])).collect();
        // An attached client has a thread for signals.
        let is_attached =
            |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() == 2);
        let ids: Vec<_> = clients.iter().map(std::process::Child::id).collect();
        until("all clients are attached", || ids.iter().all(|&pid| is_attached(pid)));
        let mut ninth = attach(&[]);
        ninth.stdin.take().unwrap().write_all(b"go\n").unwrap();
        clients.push(ninth);
        let readers: Vec<_> =
            clients.into_iter().map(|client| std::thread::spawn(move || client.wait_with_output().unwrap())).collect();
        let expected: String = (0..3000).map(|i| format!("line {i}\n")).collect();
        for reader in readers {
            let output = reader.join().unwrap();
            assert_eq!(output.status.code(), Some(7), "{host}");
            assert!(output.stdout == expected.as_bytes(), "{host}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn a_client_that_is_stopped_or_killed_does_not_stop_the_container_for_ever() {
    let Some(host) = root() else { return };
    host.background("box", &[], "while [ ! -e /go ]; do sleep 0.02; done; busybox yes | head -c 5000000; exit 4");
    let mut client = host.overfuse().args(["attach", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    until("the client is attached", || {
        std::fs::read_dir(format!("/proc/{}/task", client.id())).is_ok_and(|tasks| tasks.count() == 2)
    });
    kill_process(Pid::from_child(&client), Signal::STOP).unwrap();
    std::fs::write(format!("/proc/{}/root/go", host.first_process("box").as_raw_nonzero()), "").unwrap();
    // The container waits for the client, and others are answered meanwhile.
    host.assert_state("box", "running", 0);
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(host.does(&["wait", "box"]), "4");
    assert_eq!(host.overfuse().args(["logs", "box"]).output().unwrap().stdout.len(), 5_000_000, "no line is lost");
}

#[test]
fn the_second_interrupt_ends_a_command_that_the_kernel_spares() {
    for host in hosts() {
        for signal in [Signal::INT, Signal::TERM] {
            let mut started = host.start(&["--name", "box"], "echo ready; exec sleep 600");
            until("sleep runs", || {
                let first = host.first_process("box").as_raw_nonzero();
                std::fs::read_to_string(format!("/proc/{first}/comm")).is_ok_and(|comm| comm == "sleep\n")
            });
            started.signal(signal);
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(started.child.try_wait().unwrap().is_none(), "{host}: the first one does nothing, as in docker");
            started.signal(signal);
            assert_eq!(started.child.wait().unwrap().code(), Some(137), "{host}");
            assert_eq!(host.containers(), 0, "{host}");
        }
        host.assert_quiet();
    }
}

#[test]
fn the_third_interrupt_leaves_a_command_that_ignores_it() {
    let Some(host) = root() else { return };
    let mut started = host.start(&["--name", "box"], "trap '' INT; echo ready; while :; do sleep 0.02; done");
    for _ in 0..3 {
        started.signal(Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(started.child.wait().unwrap().code(), Some(130));
    host.assert_state("box", "running", 0);
    host.does(&["rm", "-f", "box"]);
}

#[test]
fn without_sig_proxy_a_signal_ends_the_client_only() {
    for host in hosts() {
        let script = "trap 'echo got it' TERM; echo ready; while :; do sleep 0.02; done";
        let mut started = host.start(&["--name", "box", "--sig-proxy=false"], script);
        started.signal(Signal::TERM);
        assert_eq!(started.child.wait().unwrap().code(), Some(143), "{host}");
        let mut rest = String::new();
        started.output.read_to_string(&mut rest).unwrap();
        host.assert_state("box", "running", 0);
        assert_eq!(host.does(&["logs", "box"]), "ready", "{host}");
        host.does(&["rm", "-f", "box"]);
    }
}

#[test]
fn attach_refuses_what_does_not_run() {
    let Some(host) = root() else { return };
    host.does(&["create", "--name", "box", "tiny"]);
    let said = host.says(&["attach", "box"]);
    assert_eq!((said.code, said.err.lines().count()), (1, 1), "{}", said.err);
}

#[test]
fn a_reader_that_is_gone_ends_the_client_and_not_the_container() {
    let Some(host) = root() else { return };
    let mut child = host.command(&["--name", "box"], &["-c", "busybox yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 100];
    child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    host.assert_state("box", "running", 0);
    host.does(&["rm", "-f", "box"]);
    host.assert_quiet();
}
