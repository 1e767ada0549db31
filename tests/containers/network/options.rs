//! The words of the options: what they mean, and what is refused.

use crate::host::{hosts, root};

#[test]
fn networks_that_do_not_exist_are_refused_by_name() {
    let Some(host) = root() else { return };
    for network in ["mynet", "container:", "ns:/proc/1/ns/net"] {
        let said = host.refusal(&["--network", network]);
        assert!(said.contains("there are no other networks"), "{said}");
    }
    let said = host.refusal(&["--network", "slirp4netns:mtu=9000"]);
    assert!(said.contains("options of slirp4netns cannot be set here"), "{said}");
    let said = host.refusal(&["--ip", "10.0.0.5"]);
    assert!(said.contains("unknown flag --ip"), "{said}");
}

#[test]
fn other_names_mean_the_same_networks() {
    for host in hosts() {
        let of_host = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
        let network = |flags: &[&str]| host.prints(flags, "readlink /proc/self/ns/net");
        assert_eq!(network(&["--network", "default"]), of_host, "{host}");
        assert_eq!(network(&["--net=host"]), of_host, "{host}");
        assert_ne!(network(&["--net", "none"]), of_host, "{host}");
    }
}

#[test]
fn h_is_the_host_name_and_help_has_its_long_form() {
    let Some(host) = root() else { return };
    assert_eq!(host.prints(&["-h", "web"], "hostname"), "web");
    let help = host.overfuse().args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("-h, --hostname") && help.contains("--publish") && help.contains("Print help"), "{help}");
    for name in ["-x", "a b", "a\nb"] {
        let said = host.refusal(&["--hostname", name]);
        assert!(said.contains("is not a host name") || said.contains("unknown flag -x"), "{said}");
    }
}

#[test]
fn ports_and_names_that_are_none_are_refused() {
    let Some(host) = root() else { return };
    for (flag, value, expected) in [
        ("-p", "80:x", "\"x\" is not a port"),
        ("-p", "80/sctp", "\"sctp\" is not a protocol"),
        ("-p", "1-3:1-2", "different lengths"),
        ("--expose", "0", "\"0\" is not a port"),
        ("--add-host", "db", "is not a host to add"),
        ("--dns", "resolver", "invalid IP address syntax"),
        ("--dns-search", "a b", "is not a search domain"),
    ] {
        let said = host.refusal(&[flag, value]);
        assert!(said.contains(expected), "{flag} {value}: {said}");
    }
}
