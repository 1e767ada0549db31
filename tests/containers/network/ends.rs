//! The program that connects a private network: it ends with the container, and its failures are one line.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{private, soon};
use crate::host::{Host, hosts};

/// The processes in the network of `host`'s containers or that serve it: those whose command line has `marker`.
fn helpers(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(marker) && (line.contains("pasta") || line.contains("slirp4netns"))).collect()
}

/// Starts a container with a port that names its helper, and returns the marker.
fn start(host: &Host, program: &str) -> (crate::host::Started, String) {
    let flags = ["--name", "web", "--network", program, "-p", "127.0.0.1::80", "--rm"];
    let started = host.start(&flags, "echo ready; sleep 600");
    match program {
        "pasta" => {
            let port = host.published("web", "80").port();
            (started, format!("127.0.0.1/{port}:80"))
        }
        // slirp4netns has no ports on its command line; it holds the socket in the container's directory.
        _ => (started, String::new()),
    }
}

#[test]
fn the_program_does_not_outlive_a_killed_launcher() {
    for (host, program) in private().into_iter().filter(|(_, program)| *program == "pasta") {
        let (mut started, marker) = start(&host, program);
        assert_eq!(helpers(&marker).len(), 1, "{host}: {marker}");
        started.signal(Signal::KILL);
        started.child.wait().unwrap();
        soon("the program ends", || helpers(&marker).is_empty().then_some(()));
    }
}

#[test]
fn a_published_port_is_free_again_when_the_container_has_ended_or_was_killed() {
    for (host, program) in private() {
        for signal in [Signal::KILL, Signal::TERM] {
            let (mut started, _) = start(&host, program);
            let at = host.published("web", "80");
            started.signal(signal);
            if signal == Signal::TERM {
                // The shell of the container does not handle it: end it another way.
                started.child.kill().unwrap();
            }
            started.child.wait().unwrap();
            soon("the port is free", || std::net::TcpListener::bind(at).ok());
            let _ = host.overfuse().args(["rm", "web"]).output().unwrap();
        }
        // And after a normal end, at once.
        let output = host.run(&["--network", program, "-p", "127.0.0.1::80"], &["-c", "true"]);
        assert!(output.status.success(), "{host}: {program}: {output:?}");
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
            let said = String::from_utf8(output.stderr).unwrap();
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
            let mut run = host.command(&["--network", "private"], &["-c", "echo never"]);
            let output = run.env("PATH", format!("{}:{path}", dir.display())).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.starts_with(&format!("overfuse: {expected}")) && said.lines().count() == 1, "{host}: {said}");
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]), "{host}");
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}
