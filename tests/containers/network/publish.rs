//! Published ports: they lead to the container, `port` lists them, and they are refused where they are not free.

use std::net::TcpListener;

use super::{echoed_at, outer_address, private, private_with, run, said_at, soon, with_pasta};
use crate::escapes::probe;
use crate::host::{hosts, hosts_with};
use crate::image::Twist;
use crate::need;

/// Servers on the container's TCP ports 80 and 81, and UDP port 53.
const SERVERS: &str = "mkdir /a /b; echo eighty > /a/index.html; echo next > /b/index.html; \
    busybox httpd -p 80 -h /a; busybox httpd -p 81 -h /b; busybox test ! -e /bin/probe || probe echo-datagrams 53 & echo ready; sleep 600";

#[test]
fn published_ports_lead_to_the_container() {
    need!(cc);
    for (host, program) in private_with(|| probe::image().unwrap()) {
        let ports = ["-p", "127.0.0.1::80-81", "-p", "53/udp"];
        let container = run(&host, "web", &[&["--network", program][..], &ports].concat(), SERVERS);
        assert_eq!(said_at(host.published("web", "80")), "eighty\n", "{host}: {program}");
        assert_eq!(said_at(host.published("web", "81/tcp")), "next\n", "{host}: {program}");
        // Not from the loopback interface, to which slirp4netns and old versions of pasta send no answers.
        let outside = (outer_address(), host.published("web", "53/udp").port());
        assert_eq!(echoed_at(outside.into(), "asked"), "asked", "{host}: {program}");
        drop(container);
    }
}

#[test]
fn a_port_without_an_address_is_published_on_all_of_them() {
    for (host, program) in private() {
        let container = run(&host, "web", &["--network", program, "-p", "80"], SERVERS);
        let published = host.published("web", "80");
        assert!(published.ip().is_unspecified(), "{host}: {published}");
        for address in ["127.0.0.1".parse().unwrap(), outer_address()] {
            assert_eq!(said_at((address, published.port()).into()), "eighty\n", "{host}: {program}: {address}");
        }
        drop(container);
    }
}

#[test]
fn publishing_a_port_makes_the_network_private() {
    for host in with_pasta() {
        let container = run(&host, "web", &["-p", "127.0.0.1::80"], SERVERS);
        assert_eq!(said_at(host.published("web", "80")), "eighty\n", "{host}");
        drop(container);
    }
}

#[test]
fn all_exposed_ports_are_published_where_that_is_asked_for() {
    need!(cc, pasta);
    let exposed = serde_json::json!({ "80/tcp": {}, "53/udp": {} });
    let image = || Twist { config: Twist::says("ExposedPorts", exposed.clone()).config, ..probe::image().unwrap() };
    for host in hosts_with(|_| image()) {
        let container = run(&host, "web", &["-P", "--expose", "81-82"], SERVERS);
        assert_eq!(said_at(host.published("web", "80")), "eighty\n", "{host}");
        let outside = (outer_address(), host.published("web", "53/udp").port());
        assert_eq!(echoed_at(outside.into(), "asked"), "asked", "{host}");
        let listed = host.overfuse().args(["port", "web"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut ports: Vec<&str> = listed.lines().map(|line| line.split(" -> ").next().unwrap()).collect();
        ports.sort_unstable();
        assert_eq!(ports, ["53/udp", "80/tcp", "81/tcp", "82/tcp"], "{host}");
        drop(container);
    }
}

#[test]
fn a_container_that_does_not_run_publishes_nothing() {
    for host in with_pasta() {
        let flags = ["run", "--name", "short", "-p", "127.0.0.1::80", "tiny", "-c", "true"];
        assert!(host.overfuse().args(flags).status().unwrap().success(), "{host}");
        let all = host.overfuse().args(["port", "short"]).output().unwrap();
        assert!(all.status.success() && all.stdout.is_empty(), "{host}: {all:?}");
        let one = host.overfuse().args(["port", "short", "80"]).output().unwrap();
        let said = String::from_utf8(one.stderr).unwrap();
        assert_eq!((one.status.code(), said.as_str()), (Some(1), "overfuse: short publishes no port 80/tcp\n"));
    }
}

#[test]
fn a_busy_port_is_one_clear_line_and_no_container_runs() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = busy.local_addr().unwrap();
    for (host, program) in private() {
        let said = host.refusal(&["--network", program, "-p", &format!("127.0.0.1:{}:80", at.port())]);
        let expected = format!("overfuse: cannot publish port 80/tcp at {at}: Address already in use (os error 98)\n");
        assert_eq!(said, expected, "{host}: {program}");
        assert_eq!(host.containers(), 0, "{host}: {program}");
    }
}

#[test]
fn two_containers_do_not_get_the_same_port() {
    for host in with_pasta() {
        let one = run(&host, "one", &["-p", "127.0.0.1::80"], SERVERS);
        let port = host.published("one", "80").port();
        let said = host.refusal(&["-p", &format!("127.0.0.1:{port}:80")]);
        assert!(said.contains("Address already in use"), "{host}: {said}");
        // The first free port of a range.
        if let Some(next) = port.checked_add(20) {
            let range = format!("127.0.0.1:{port}-{next}:80");
            let two = run(&host, "two", &["-p", &range], SERVERS);
            let second = host.published("two", "80");
            assert!(second.port() > port && second.port() <= next, "{host}: {second}");
            assert_eq!(said_at(second), "eighty\n", "{host}");
            drop(two);
        }
        drop(one);
        soon("publish the port again", || {
            host.run(&["-p", &format!("127.0.0.1:{port}:80")], &["-c", "true"]).status.success().then_some(())
        });
    }
}

#[test]
fn ordinary_users_learn_why_they_do_not_get_a_low_port() {
    need!(pasta);
    for host in hosts().into_iter().filter(|host| !host.is_root()) {
        let said = host.refusal(&["-p", "127.0.0.1:79:80"]);
        let expected = "overfuse: cannot publish port 80/tcp at 127.0.0.1:79: Permission denied (os error 13); only root \
            publishes ports below 1024 (see net.ipv4.ip_unprivileged_port_start)\n";
        assert_eq!(said, expected, "{host}");
    }
}

#[test]
fn networks_without_ports_say_that_they_publish_none() {
    for host in hosts() {
        for network in ["host", "none"] {
            let output = host.run(&["--network", network, "-p", "80:80"], &["-c", "echo runs"]);
            let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
            let warning = format!("overfuse: warning: published ports are discarded with --network {network}\n");
            assert_eq!((out.as_str(), err), ("runs\n", warning), "{host}");
        }
    }
}
