//! Large outputs: no byte is lost and the order is kept, with a terminal and without, shown and logged.

use std::process::Stdio;

use crate::desk::Desk;
use crate::host::root;

const SIZE: usize = 100 << 20;

/// Counted lines, so that a lost or exchanged piece shows.
const PRINT: &str = "busybox seq 1000000000 1009532509 | head -c 104857600";

fn expected() -> Vec<u8> {
    let mut all: Vec<u8> = Vec::with_capacity(SIZE + 11);
    for number in 1_000_000_000u64.. {
        all.extend_from_slice(number.to_string().as_bytes());
        all.push(b'\n');
        if all.len() >= SIZE {
            break;
        }
    }
    all.truncate(SIZE);
    all
}

#[test]
fn a_hundred_megabytes_come_through_a_pipe_and_the_log() {
    let Some(host) = root() else { return };
    let expected = expected();
    let output = host.overfuse().args(["run", "--name", "box", "tiny", "-c", PRINT]).output().unwrap();
    assert!(output.status.success() && output.stdout == expected, "{} bytes", output.stdout.len());
    let logged = host.overfuse().args(["logs", "box"]).output().unwrap().stdout;
    assert!(logged == expected, "{} bytes are logged", logged.len());
    let tail = host.does(&["logs", "--tail", "2", "box"]);
    assert_eq!(
        tail,
        String::from_utf8_lossy(&expected)
            .trim_end()
            .rsplitn(3, '\n')
            .take(2)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn a_hundred_megabytes_come_through_a_terminal() {
    let Some(host) = root() else { return };
    let mut desk = Desk::new();
    let script = format!("stty -opost; {PRINT}");
    let mut child = desk.start(host.command(&["-it", "--log-driver", "none"], &["-c", &script]));
    let seen = desk.take(SIZE);
    assert!(seen == expected());
    assert!(child.wait().unwrap().success());
}

#[test]
fn both_outputs_are_complete_when_the_command_ends_at_once() {
    let Some(host) = root() else { return };
    for _ in 0..20 {
        let script = "busybox seq 20000; busybox seq 20000 >&2";
        let child = host.command(&[], &["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let expected: String = (1..=20000).map(|i| format!("{i}\n")).collect();
        assert!(output.stdout == expected.as_bytes() && output.stderr == expected.as_bytes());
    }
}
