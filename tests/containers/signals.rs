//! Signals to the process outside are passed on to the container.

use std::io::Read;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::{hosts, root};

#[test]
fn signals_are_passed_on_to_the_command() {
    for host in hosts() {
        for (signal, name) in [
            (Signal::TERM, "TERM"),
            (Signal::INT, "INT"),
            (Signal::HUP, "HUP"),
            (Signal::QUIT, "QUIT"),
            (Signal::USR1, "USR1"),
            (Signal::USR2, "USR2"),
            (Signal::WINCH, "WINCH"),
        ] {
            let script = format!("trap 'echo got {name}; exit 33' {name}; echo ready; while :; do sleep 0.02; done");
            let mut started = host.start(&[], &script);
            started.signal(signal);
            let mut rest = String::new();
            started.output.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, format!("got {name}\n"), "{host}");
            assert_eq!(started.child.wait().unwrap().code(), Some(33), "{host}: {name}");
        }
    }
}

#[test]
fn a_command_that_handles_no_signal_is_ended_by_one_only_behind_an_init() {
    let Some(host) = root() else { return };
    for (flags, code) in [(&[][..], 4), (&["--init"], 143)] {
        let mut started = host.start(flags, "echo ready; sleep 0.5; exit 4");
        started.signal(Signal::TERM);
        assert_eq!(started.child.wait().unwrap().code(), Some(code), "{flags:?}");
    }
}

#[test]
fn a_command_begins_with_no_signal_ignored_or_blocked() {
    let Some(host) = root() else { return };
    // This includes SIGPIPE, which Overfuse itself ignores.
    let output = host.run(&["--entrypoint", "grep"], &["-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn an_init_takes_orphans_away_when_they_end() {
    let Some(host) = root() else { return };
    let script = "sh -c 'sleep 0.1 & exit 0'; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ' Z '; true";
    assert_eq!(host.prints(&["--init"], script), "0");
}

#[test]
fn when_the_command_ends_so_does_all_that_it_started() {
    for host in hosts() {
        for flags in [&[][..], &["--init"]] {
            let begun = Instant::now();
            host.prints(flags, "sleep 60 > /dev/null & true");
            assert!(begun.elapsed() < Duration::from_secs(30), "{host}: {flags:?}");
        }
    }
}
