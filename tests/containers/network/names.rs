//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::thread::spawn;
use std::time::Duration;

use super::{private, with_pasta};
use crate::host::{hosts, root};
use crate::need;

#[test]
fn a_container_knows_its_own_name() {
    let pasta = crate::support::need::all(&["pasta"]).then_some(("private", "10.209.83.100"));
    for host in hosts() {
        for (network, address) in [("none", "127.0.0.1")].into_iter().chain(pasta) {
            let flags = ["--network", network, "-h", "web", "--domainname", "example.org"];
            let script = "hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname; busybox tail -n 1 /etc/hosts";
            let expected = format!("web\nweb\nexample.org\n{address}\tweb.example.org web");
            assert_eq!(host.prints(&flags, script), expected, "{host}: {network}");
        }
        assert_eq!(host.prints(&["-h", "web"], "hostname; echo $HOSTNAME"), "web\nweb", "{host}");
    }
}

#[test]
fn names_are_added_to_those_of_the_network() {
    let of_host = fs::read_to_string("/etc/hosts").unwrap();
    for host in hosts() {
        let flags = ["--add-host", "db:10.1.2.3", "--add-host", "six:::6", "--add-host", "me:host-gateway"];
        let printed = host.prints(&flags, "cat /etc/hosts");
        let expected = format!("{}\n10.1.2.3\tdb\n::6\tsix\n127.0.0.1\tme", of_host.trim_end());
        assert_eq!(printed, expected, "{host}");
        let said = host.refusal(&["--network", "none", "--add-host", "me:host-gateway"]);
        assert_eq!(said, "overfuse: host-gateway: the host cannot be reached from this network\n", "{host}");
    }
}

#[test]
fn the_resolver_is_the_hosts_unless_the_user_changes_it() {
    let of_host = fs::read_to_string("/etc/resolv.conf").unwrap();
    for host in hosts() {
        assert_eq!(host.prints(&[], "cat /etc/resolv.conf"), of_host.trim_end(), "{host}");
        let flags = ["--dns", "10.1.2.3", "--dns", "::5", "--dns-search", "a.example", "--dns-option", "ndots:3"];
        let expected = "nameserver 10.1.2.3\nnameserver ::5\nsearch a.example\noptions ndots:3";
        assert_eq!(host.prints(&flags, "cat /etc/resolv.conf"), expected, "{host}");
    }
}

/// A command that runs in a mount namespace where the host's name server is on its loopback interface.
fn with_local_resolver(command: &Command, dir: &std::path::Path) -> Command {
    let resolv_conf = dir.join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.0.0.53\noptions edns0\n").unwrap();
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "sh", "-ec", "mount --bind \"$0\" /etc/resolv.conf; exec \"$@\""]);
    wrapped.arg(resolv_conf).arg(command.get_program()).args(command.get_args());
    wrapped
}

#[test]
fn a_name_server_on_the_hosts_loopback_interface_is_asked_through_a_forwarder() {
    need!(pasta);
    let Some(host) = root() else { return };
    // An address of its own, so that no resolver of the machine is in the way.
    let server = UdpSocket::bind("127.0.0.53:53").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    spawn(move || {
        let mut query = [0; 512];
        while let Ok((got, from)) = server.recv_from(&mut query) {
            // The query with an answer: 192.0.2.77 for whatever was asked.
            let mut answer = query[..got].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
            // Ignores the error: the test fails by what it does not receive.
            let _ = server.send_to(&answer, from);
        }
    });
    for program in ["pasta", "slirp4netns"].into_iter().filter(|program| crate::support::need::all(&[program])) {
        let script = "cat /etc/resolv.conf; busybox nslookup -type=a some.example 2>&1 | grep 192.0.2.77";
        let run = host.command(&["--network", program], &["-c", script]);
        let output = with_local_resolver(&run, &host.path(".")).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.starts_with("nameserver 10.209.83.3\noptions edns0\n"), "{program}: {output:?}");
        assert!(printed.contains("Address: 192.0.2.77"), "{program}: {output:?}");
    }
}

#[test]
fn a_container_may_change_its_own_name_files_until_the_next_start() {
    for (host, program) in private() {
        let script = "echo '10.9.9.9 x' >> /etc/hosts && busybox tail -n 1 /etc/hosts";
        assert_eq!(host.prints(&["--network", program], script), "10.9.9.9 x", "{host}: {program}");
    }
    for host in with_pasta() {
        assert_eq!(host.prints(&["--network", "private"], "grep -c 10.9.9.9 /etc/hosts || true"), "0", "{host}");
    }
}
