//! The program that connects a private network: it ends with the container, and its failures are one line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{private, refusal_of, run, soon};
use crate::host::hosts;

const WAIT: &str = "echo ready; sleep 600";

/// The number of processes of pasta that publish port 80 at `port`.
fn pastas(port: u16) -> usize {
    let marker = format!("127.0.0.1/{port}:80");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&marker)).count()
}

#[test]
fn the_program_does_not_outlive_a_killed_monitor() {
    for (host, program) in private() {
        let _running = run(&host, "web", &["--network", program, "-p", "127.0.0.1::80"], WAIT);
        let at = host.published("web", "80");
        assert!(std::net::TcpListener::bind(at).is_err(), "{host}: {program}: the program has the port");
        assert_eq!(pastas(at.port()), usize::from(program == "pasta"), "{host}: {program}");
        rustix::process::kill_process(host.monitor(), Signal::KILL).unwrap();
        soon("the program ends", || (pastas(at.port()) == 0).then_some(()));
        soon("the port is free", || std::net::TcpListener::bind(at).ok());
    }
}

#[test]
fn the_program_ends_with_the_container() {
    for (host, program) in private() {
        let flags = ["--network", program, "-p", "127.0.0.1::80"];
        let mut running = run(&host, "web", &flags, "echo ready; cat /dev/null; sleep 1");
        let at = host.published("web", "80");
        assert!(running.started.child.wait().unwrap().success(), "{host}: {program}");
        drop(std::net::TcpListener::bind(at).unwrap());
    }
}

#[test]
fn without_a_program_the_line_names_the_package() {
    for host in hosts() {
        for (network, expected) in [
            ("private", "a private network needs the program pasta: install the package passt (or slirp4netns)"),
            ("pasta", "there is no program pasta in PATH: install the package passt"),
            ("slirp4netns", "there is no program slirp4netns in PATH: install the package slirp4netns"),
        ] {
            let mut run = host.command(&["--network", network], &["-c", "true"]);
            let output = run.env("PATH", "/nowhere").output().unwrap();
            let said = refusal_of(&output);
            assert_eq!((output.status.code(), said), (Some(125), format!("overfuse: {expected}\n")), "{host}");
            assert_eq!(host.containers(), 0, "{host}");
        }
    }
}

#[test]
fn what_the_program_says_is_the_reason() {
    for host in hosts() {
        let dir = host.path("bin");
        fs::create_dir(&dir).unwrap();
        let path = std::env::var("PATH").unwrap();
        for (script, expected) in [
            (
                "echo noise >&2; echo 'the reason' >&2; exit 1",
                "pasta cannot connect the container's network: the reason",
            ),
            ("kill -9 $$", "pasta cannot connect the container's network"),
        ] {
            let program = dir.join("pasta");
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let mut run = host.command(&["--network", "pasta"], &["-c", "echo never"]);
            let output = run.env("PATH", format!("{}:{path}", dir.display())).output().unwrap();
            let said = refusal_of(&output);
            assert!(said.starts_with(&format!("overfuse: {expected}")) && said.lines().count() == 1, "{host}: {said}");
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]), "{host}");
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}
