//! What a container reaches: the table of `network.md`, row by row.

use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::{fetch, outer_address, private, run, serve, soon, with_pasta};
use crate::escapes::probe;
use crate::host::{Host, hosts, hosts_with};
use crate::need;
use crate::support::need;

/// What a container on `network` gets from a server of the host.
fn got(host: &Host, network: &str, at: &str, port: u16) -> String {
    host.prints(&["--network", network], &fetch(at, port))
}

#[test]
fn the_hosts_network_reaches_all_that_the_host_reaches() {
    let port = serve("127.0.0.1", "loopback");
    for host in hosts() {
        assert_eq!(got(&host, "host", "127.0.0.1", port), "loopback", "{host}");
    }
}

#[test]
fn no_network_reaches_nothing_of_the_host() {
    let (loopback, all) = (serve("127.0.0.1", "loopback"), serve("0.0.0.0", "all"));
    for host in hosts() {
        assert_eq!(got(&host, "none", "127.0.0.1", loopback), "nothing", "{host}");
        assert_eq!(got(&host, "none", &outer_address().to_string(), all), "nothing", "{host}");
    }
}

#[test]
fn a_private_network_reaches_the_hosts_outer_address_and_not_its_loopback_interface() {
    let (loopback, all) = (serve("127.0.0.1", "loopback"), serve("0.0.0.0", "all"));
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let udp = datagrams.local_addr().unwrap().port();
    let outer = outer_address().to_string();
    for (host, program) in private() {
        assert_eq!(got(&host, program, &outer, all), "all", "{host}: {program}");
        let script = ["127.0.0.1", "10.209.83.2", "10.209.83.3", &outer].map(|at| {
            let fetch = fetch(at, loopback);
            let send = format!("busybox timeout 1 busybox tftp -g -l /tmp/x -r x {at} {udp} 2>/dev/null");
            format!("({fetch}) & {send} &")
        });
        let printed = host.prints(&["--network", program], &format!("{} wait", script.concat()));
        assert_eq!(printed, "nothing\nnothing\nnothing\nnothing", "{host}: {program}");
        let received = datagrams.recv(&mut [0; 9]).map_err(|error| error.kind());
        assert_eq!(received, Err(std::io::ErrorKind::WouldBlock), "{host}: {program}");
    }
}

#[test]
fn a_private_network_reaches_no_ipv6_loopback_interface_of_the_host() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    for (host, program) in private() {
        let gateway = "busybox ip -6 route | busybox sed -n 's/^default via \\([^ ]*\\).*/\\1%eth0/p'";
        let script =
            format!("for at in ::1 $({gateway}); do busybox nc -w 1 $at {port} </dev/null 2>/dev/null; done; true");
        host.prints(&["--network", program], &script);
        assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn the_hosts_server_can_be_named_by_host_gateway() {
    let all = serve("0.0.0.0", "all");
    for (host, program) in private() {
        let flags = ["--network", program, "--add-host", "host.docker.internal:host-gateway"];
        assert_eq!(host.prints(&flags, &fetch("host.docker.internal", all)), "all", "{host}: {program}");
    }
}

#[test]
fn abstract_sockets_of_the_host_are_reached_through_its_own_network_only() {
    need!(cc);
    let name = format!("overfuse-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let pasta = need::all(&["pasta"]).then_some(("private", "Connection refused"));
    for host in hosts_with(|_| probe::image().unwrap()) {
        for (network, answer) in [("host", "ok"), ("none", "Connection refused")].into_iter().chain(pasta) {
            let output = host.run(&["--network", network, "--entrypoint", "probe"], &["abstract", &name]);
            let printed = String::from_utf8(output.stdout).unwrap();
            assert_eq!(printed, format!("abstract: {answer}\n"), "{host}: {network}");
        }
    }
}

/// pasta and slirp4netns take any address from a packet, also one of the host's loopback interface.
#[test]
fn raw_packets_do_not_lead_around_the_rules() {
    need!(cc, pasta);
    for host in hosts_with(|_| probe::image().unwrap()) {
        let output = host.run(&["--network", "private", "--entrypoint", "probe"], &["packet", "", "raw", ""]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, "packet: Operation not permitted\nraw: Operation not permitted\n", "{host}");
    }
}

#[test]
fn containers_with_private_networks_do_not_reach_each_other_unless_published() {
    for host in with_pasta() {
        let script = "echo other > /tmp/index.html; busybox httpd -p 80 -h /tmp; echo ready; sleep 600";
        let other = run(&host, "other", &["-p", "80"], script);
        let port = host.published("other", "80").port();
        // Its own address is the same as the other one's.
        assert_eq!(got(&host, "private", "10.209.83.100", 80), "nothing", "{host}");
        let outer = outer_address().to_string();
        soon("reach the other container", || (got(&host, "private", &outer, port) == "other").then_some(()));
        drop(other);
    }
}

#[test]
fn every_user_of_a_container_may_use_low_ports_of_its_own_network() {
    for host in with_pasta() {
        let script = "echo mine > /tmp/index.html; busybox httpd -p 80 -h /tmp; busybox wget -qO- http://127.0.0.1/";
        let user: &[&str] = if host.has_users() { &["-u", "1000"] } else { &[] };
        assert_eq!(host.prints(&[&["--network", "private"], user].concat(), script), "mine", "{host}");
    }
}
