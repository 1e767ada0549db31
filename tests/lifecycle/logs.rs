//! `logs`: what was printed, by whom, when, and as it grows.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::host::{hosts, root};

#[test]
fn logs_keep_the_two_outputs_apart_and_foreground_containers_have_one_too() {
    for host in hosts() {
        let said = host.says(&["run", "--name", "box", "tiny", "-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (3, "out", "err"), "{host}");
        let said = host.says(&["logs", "box"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "out", "err"), "{host}");
        assert_eq!(host.does(&["logs", "--tail", "0", "box"]), "", "{host}");
        let line = host.does(&["logs", "-t", "box"]);
        let (time, text) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && text == "out", "{host}: {line}");
        host.does(&["rm", "box"]);
    }
}

#[test]
fn tail_since_and_until_choose_lines() {
    let Some(host) = root() else { return };
    host.does(&["run", "--name", "box", "tiny", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.05; done"]);
    let lines = host.does(&["logs", "-t", "box"]);
    let times: Vec<_> = lines.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    for (flags, expected) in [
        (&["--tail", "2"][..], "3\n4"),
        (&["-n", "all"], "1\n2\n3\n4"),
        (&["--since", times[2]], "3\n4"),
        (&["--until", times[1]], "1\n2"),
        (&["--since", times[1], "--until", times[2]], "2\n3"),
        (&["--since", "1h"], "1\n2\n3\n4"),
        (&["--until", "1h"], ""),
        (&["--tail", "3", "--until", times[2]], "2\n3"),
    ] {
        assert_eq!(host.does(&[&["logs"], flags, &["box"]].concat()), expected, "{flags:?}");
    }
    for flags in [&["--since", "yesterday"][..], &["--tail", "x"]] {
        assert_eq!(host.says(&[&["logs"], flags, &["box"]].concat()).code, 125, "{flags:?}");
    }
}

#[test]
fn follow_shows_lines_as_they_come_and_ends_with_the_container() {
    for host in hosts() {
        host.background("box", &[], "echo old; trap 'echo last; exit 0' TERM; while :; do sleep 0.02; done");
        host.until_logged("box", "old");
        let mut follow = host.overfuse().args(["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "old", "{host}");
        host.does(&["stop", "box"]);
        let rest: Vec<_> = lines.map(Result::unwrap).collect();
        assert_eq!(rest, ["last"], "{host}");
        assert!(follow.wait().unwrap().success(), "{host}");
        assert_eq!(host.does(&["logs", "-f", "box"]), "old\nlast", "{host}: one that has ended is not waited for");
    }
}

#[test]
fn a_log_with_a_largest_size_keeps_the_newest_lines() {
    let Some(host) = root() else { return };
    let flags = ["--log-opt", "max-size=10k", "--log-opt", "max-file=2"];
    host.background("box", &flags, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
    host.does(&["wait", "box"]);
    let logged = host.does(&["logs", "box"]);
    let first: usize = logged.lines().next().unwrap()["line ".len()..].parse().unwrap();
    let count = logged.lines().count();
    assert!(logged.ends_with("line 1999") && first + count == 2000 && count < 400, "{first} {count}");
    for bad in ["max-size=x", "max-file=0", "color=red"] {
        assert_eq!(host.says(&["run", "--rm", "--log-opt", bad, "tiny"]).code, 125, "{bad}");
    }
}

#[test]
fn a_log_that_is_not_kept_is_empty_and_the_output_is_shown() {
    let Some(host) = root() else { return };
    let said = host.says(&["run", "--name", "box", "--log-driver", "none", "tiny", "-c", "echo shown"]);
    assert_eq!(said.out, "shown");
    assert_eq!(host.does(&["logs", "box"]), "");
}

#[test]
fn a_prompt_without_a_newline_is_logged_at_the_end() {
    let Some(host) = root() else { return };
    host.does(&["run", "--name", "box", "tiny", "-c", "echo -n no newline"]);
    assert_eq!(host.does(&["logs", "box"]), "no newline");
}
