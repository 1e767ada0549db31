//! `--network container:NAME`: two containers in one network.

use super::{end, soon, with_pasta};
use crate::host::hosts;

const SERVER: &str = "busybox nc -ll -p 8080 -e echo first & echo ready; sleep 600";

/// Prints names, interfaces and what the first container serves.
const LOOK: &str =
    "hostname; cat /etc/hostname; busybox tail -n 1 /etc/hosts; busybox nc -w 2 127.0.0.1 8080 </dev/null";

#[test]
fn a_container_joins_the_network_and_names_of_another() {
    for host in with_pasta() {
        for flags in [&["--network", "private"][..], &["--network", "private", "--init"]] {
            let first = host.start(&[flags, &["--name", "first", "-h", "web"]].concat(), SERVER);
            let joins = ["--network", "container:first"];
            let printed = soon("reach the first container", || {
                let output = host.run(&joins, &["-c", LOOK]);
                output.status.success().then_some(String::from_utf8(output.stdout).unwrap())
            });
            assert_eq!(printed, "web\nweb\n10.209.83.100\tweb\nfirst\n", "{host}: {flags:?}");
            assert_eq!(host.prints(&joins, "readlink /proc/self/ns/net"), link_of(&host, "first", &joins), "{host}");
            end(first);
        }
    }
}

/// The network namespace of a container, as another one in it sees it.
fn link_of(host: &crate::host::Host, name: &str, joins: &[&str]) -> String {
    let state = std::fs::read_dir(host.path("store/containers")).unwrap().find_map(|entry| {
        let dir = entry.unwrap().path();
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).ok()?).ok()?;
        (config["name"] == name).then(|| dir.join("state.json"))
    });
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(state.unwrap()).unwrap()).unwrap();
    let pid = state["process"]["pid"].as_u64().unwrap();
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net"));
    link.unwrap_or_else(|error| panic!("{host}: {joins:?}: {error}")).display().to_string()
}

#[test]
fn a_network_that_leads_nowhere_can_be_shared_too() {
    for host in hosts() {
        for network in ["none", "host"] {
            let first = host.start(&["--name", "first", "--network", network], "echo ready; sleep 600");
            let joins = ["--network", "container:first"];
            let shared = host.prints(&joins, "readlink /proc/self/ns/net");
            assert_eq!(shared, link_of(&host, "first", &joins), "{host}: {network}");
            end(first);
        }
    }
}

#[test]
fn what_another_containers_network_cannot_have_is_refused_in_dockers_words() {
    for host in hosts() {
        let first = host.start(&["--name", "first", "--network", "none"], "echo ready; sleep 600");
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
        end(first);
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
