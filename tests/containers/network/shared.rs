//! `--network container:NAME`: two containers in one network.

use super::{run, with_pasta};
use crate::host::{Host, hosts};

const SERVER: &str = "echo first > /tmp/index.html; busybox httpd -p 8080 -h /tmp; echo ready; sleep 600";

/// Prints names, interfaces and what the first container serves.
const LOOK: &str =
    "hostname; cat /etc/hostname; busybox tail -n 1 /etc/hosts; busybox wget -qO- http://127.0.0.1:8080/";

#[test]
fn a_container_joins_the_network_and_names_of_another() {
    for host in with_pasta() {
        for flags in [&["--network", "private"][..], &["--network", "private", "--init"]] {
            let first = run(&host, "first", &[flags, &["-h", "web"]].concat(), SERVER);
            let joins = ["--network", "container:first"];
            assert_eq!(host.prints(&joins, LOOK), "web\nweb\n10.209.83.100\tweb\nfirst", "{host}: {flags:?}");
            assert_eq!(host.prints(&joins, "readlink /proc/self/ns/net"), network_of(&host, "first"), "{host}");
            drop(first);
        }
    }
}

/// The network namespace of a container.
fn network_of(host: &Host, name: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{}/ns/net", host.first_process(name)));
    link.unwrap_or_else(|error| panic!("{host}: {name}: {error}")).display().to_string()
}

#[test]
fn a_network_that_leads_nowhere_can_be_shared_too() {
    for host in hosts() {
        for network in ["none", "host"] {
            let first = run(&host, "first", &["--network", network], "echo ready; sleep 600");
            let joins = ["--network", "container:first"];
            let shared = host.prints(&joins, "readlink /proc/self/ns/net");
            assert_eq!(shared, network_of(&host, "first"), "{host}: {network}");
            drop(first);
        }
    }
}

#[test]
fn what_another_containers_network_cannot_have_is_refused_in_dockers_words() {
    for host in hosts() {
        let first = run(&host, "first", &["--network", "none"], "echo ready; sleep 600");
        for (flag, value, what) in [
            ("-h", "x", "hostname"),
            ("--dns", "1.1.1.1", "dns"),
            ("--add-host", "a:1.1.1.1", "custom host-to-IP mapping"),
            ("-p", "80", "port publishing"),
            ("--expose", "80", "port exposing"),
        ] {
            let said = host.refusal(&["--network", "container:first", flag, value]);
            let expected = format!("overfuse: conflicting options: {what} and the container type network mode\n");
            assert_eq!(said, expected, "{host}");
        }
        drop(first);
    }
}

#[test]
fn only_a_running_container_shares_its_network() {
    for host in hosts() {
        let said = host.refusal(&["--network", "container:gone"]);
        assert!(said.starts_with("overfuse: there is no container \"gone\""), "{host}: {said}");
        assert!(host.overfuse().args(["run", "--name", "ended", "tiny", "-c", "true"]).status().unwrap().success());
        let said = host.refusal(&["--network", "container:ended"]);
        assert_eq!(said, "overfuse: cannot use the network of ended: it is not running\n", "{host}");
    }
}
