//! The programs that connect a private network to the host's, and their command lines. Pure, but for finding them and asking for
//! a version.
//!
//! Each serves packets of the container as ordinary sockets of the host. The caller makes the network namespace standard
//! input (pasta) or output (slirp4netns), because both take it as a path, and a path through `/proc/self` cannot lead to
//! another process's.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::NetworkError;
use super::ports::{Protocol, Published};

/// The container's own address.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 209, 83, 100);
/// A name server that asks the host's, where those are reachable from the host alone.
pub(super) const FORWARDER: Ipv4Addr = Ipv4Addr::new(10, 209, 83, 3);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 209, 83, 2);
const NETWORK: &str = "10.209.83.0/24";
const PREFIX: &str = "24";
/// Used where the host has IPv6. Of a random local prefix.
const ADDRESS_6: &str = "fdf5:7a1d:883::100";
const GATEWAY_6: &str = "fe80::2";
/// The largest that both programs take, so that few packets carry much.
const MTU: &str = "65520";

/// slirp4netns's control socket, in its working directory.
pub(super) const CONTROL_SOCKET: &str = "slirp4netns.sock";

/// Which program connects a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Helper {
    Pasta,
    Slirp4netns,
}

impl Helper {
    /// The name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Helper::Pasta => "pasta",
            Helper::Slirp4netns => "slirp4netns",
        }
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The programs of this host that can connect a private network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs(Vec<(Helper, PathBuf)>);

impl Programs {
    /// Finds each program in the first of `dirs` (those of `PATH`) that has it. Skips relative directories.
    pub fn find(dirs: &[PathBuf]) -> Programs {
        let find = |helper: Helper| {
            let dirs = dirs.iter().filter(|dir| dir.is_absolute());
            dirs.map(|dir| dir.join(helper.name())).find(|path| path.is_file()).map(|path| (helper, path))
        };
        Programs([Helper::Pasta, Helper::Slirp4netns].into_iter().filter_map(find).collect())
    }

    /// The program that was asked for; else pasta. slirp4netns where there is no pasta, or one so old that slirp4netns
    /// is better.
    ///
    /// # Errors
    /// [`NetworkError::NoProgram`].
    pub(super) fn choose(&self, asked: Option<Helper>) -> Result<Program, NetworkError> {
        let mut found = self.0.iter().filter(|(helper, _)| asked.is_none_or(|asked| asked == *helper));
        let first = found.next().ok_or(NetworkError::NoProgram { asked })?;
        let (helper, path) = match found.next() {
            Some(second) if is_old(&version(&first.1)) => second,
            _ => first,
        };
        Ok(Program { helper: *helper, path: path.clone() })
    }
}

/// What a program says about its version; empty where it says nothing.
fn version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").env_clear().stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Whether this pasta is older than the rewrite of its flows in 2024. Those send data again and again after the
/// container has closed its half of a connection, and lose answers to datagrams from the loopback interface to a remapped port.
///
/// Versions are dates: `pasta 2024_12_11.09478d5`, in Debian `pasta 0.0~git20250503.587980c-2`. Debian 12 has
/// `pasta unknown version`.
fn is_old(version: &str) -> bool {
    const REWRITTEN: u32 = 20_240_821;
    let digits: String = version.lines().next().unwrap_or("").chars().filter(|&c| c != '_').collect();
    let mut numbers = digits.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() == 8);
    numbers.find_map(|number| number.parse::<u32>().ok()).is_none_or(|date| date < REWRITTEN)
}

/// The program for one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) helper: Helper,
    pub(super) path: PathBuf,
}

/// What pasta is to do.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) published: &'a [Published],
    /// Whether [`FORWARDER`] answers.
    pub(super) forwards: bool,
    /// Whether this process is root of the host. pasta would become `nobody`, who may not enter the network namespace.
    pub(super) as_root: bool,
}

/// pasta's arguments. It goes to the background when the network is ready.
///
/// pasta's defaults give the container the host's own address and make the gateway's address lead to the host's loopback
/// interface, and forward every port that is bound on either side: all that is turned off.
pub(super) fn pasta(connection: &Connection<'_>) -> Vec<OsString> {
    let mut args: Vec<String> = ["--config-net", "--quiet", "--no-map-gw", "--no-netns-quit"].map(String::from).into();
    let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    option("--netns", "/proc/self/fd/0");
    option("--ns-ifname", "eth0");
    option("--mtu", MTU);
    option("--address", &ADDRESS.to_string());
    option("--netmask", PREFIX);
    option("--gateway", &GATEWAY.to_string());
    option("--address", ADDRESS_6);
    option("--gateway", GATEWAY_6);
    // From the container to the host's loopback interface.
    option("--tcp-ns", "none");
    option("--udp-ns", "none");
    if connection.forwards {
        option("--dns-forward", &FORWARDER.to_string());
    }
    if connection.as_root {
        option("--runas", "0");
    }
    for (name, protocol) in [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)] {
        let mut ports = connection.published.iter().filter(|one| one.port.protocol == protocol).peekable();
        if ports.peek().is_none() {
            option(name, "none");
        }
        for one in ports {
            // Without an address, pasta listens on IPv4 and IPv6.
            let address = match one.host.ip() {
                all if all.is_unspecified() => String::new(),
                address => format!("{address}/"),
            };
            option(name, &format!("{address}{}:{}", one.host.port(), one.port.number));
        }
    }
    args.into_iter().map(OsString::from).collect()
}

/// slirp4netns's arguments. It writes to standard input when the network is ready, and then takes [`publish`] at its
/// control socket.
pub(super) fn slirp4netns(forwards: bool) -> Vec<OsString> {
    let mut args = vec!["--configure", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"];
    args.extend(["--mtu", MTU, "--cidr", NETWORK, "--api-socket", CONTROL_SOCKET, "--ready-fd", "0"]);
    if !forwards {
        args.push("--disable-dns");
    }
    args.extend(["--netns-type", "path", "/proc/self/fd/1", "eth0"]);
    args.into_iter().map(OsString::from).collect()
}

/// The request that makes slirp4netns publish a port.
///
/// # Errors
/// [`NetworkError::Version6`]: it publishes on IPv4 addresses alone.
pub(super) fn publish(one: &Published) -> Result<serde_json::Value, NetworkError> {
    let IpAddr::V4(address) = one.host.ip() else {
        return Err(NetworkError::Version6 { published: one.to_string() });
    };
    Ok(serde_json::json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": one.port.protocol,
            "host_addr": address,
            "host_port": one.host.port(),
            "guest_port": one.port.number,
        },
    }))
}

/// The reason why a program ended, from what it wrote: its last line without noise.
pub(super) fn reason(log: &str, program: &Path) -> String {
    let is_noise = |line: &str| {
        line.is_empty()
            || line.starts_with("Failed to send")
            || line.starts_with("Don't run as root")
            || line.contains("nameserver address")
            || line.contains("seccomp is experimental")
    };
    match log.lines().map(str::trim).rfind(|line| !is_noise(line)) {
        Some(line) => line.to_owned(),
        None => format!("{} ended without a reason", program.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(host: &str, port: &str) -> Published {
        Published { host: host.parse().unwrap(), port: port.parse().unwrap() }
    }

    fn line(args: &[OsString]) -> String {
        args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pasta_opens_nothing_that_was_not_asked_for() {
        let always = "--config-net --quiet --no-map-gw --no-netns-quit --netns /proc/self/fd/0 --ns-ifname eth0 \
            --mtu 65520 --address 10.209.83.100 --netmask 24 --gateway 10.209.83.2 --address fdf5:7a1d:883::100 \
            --gateway fe80::2 --tcp-ns none --udp-ns none";
        let ports = [published("0.0.0.0:8080", "80"), published("127.0.0.1:53", "54/udp"), published("[::1]:7", "8")];
        for (published, forwards, as_root, rest) in [
            (&[][..], false, false, "--tcp-ports none --udp-ports none"),
            (&[], true, true, "--dns-forward 10.209.83.3 --runas 0 --tcp-ports none --udp-ports none"),
            (&ports, false, false, "--tcp-ports 8080:80 --tcp-ports ::1/7:8 --udp-ports 127.0.0.1/53:54"),
        ] {
            let got = pasta(&Connection { published, forwards, as_root });
            assert_eq!(line(&got), format!("{always} {rest}"));
        }
    }

    #[test]
    fn slirp4netns_hides_the_hosts_loopback_interface() {
        let got = line(&slirp4netns(false));
        assert!(got.contains("--disable-host-loopback") && got.contains("--disable-dns"), "{got}");
        assert!(!line(&slirp4netns(true)).contains("--disable-dns"));
        let asked = publish(&published("127.0.0.1:53", "54/udp")).unwrap();
        let expected = r#"{"arguments":{"guest_port":54,"host_addr":"127.0.0.1","host_port":53,"proto":"udp"},"execute":"add_hostfwd"}"#;
        assert_eq!(asked.to_string(), expected);
        assert!(matches!(publish(&published("[::1]:7", "8")), Err(NetworkError::Version6 { .. })));
    }

    #[test]
    fn the_programs_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [PathBuf::from("relative"), dir.path().to_path_buf()];
        let chosen = |asked| Programs::find(&dirs).choose(asked).map(|program| program.helper);
        assert_eq!(chosen(None), Err(NetworkError::NoProgram { asked: None }));
        std::fs::write(dir.path().join("slirp4netns"), "").unwrap();
        assert_eq!(chosen(None), Ok(Helper::Slirp4netns));
        let asked = Some(Helper::Pasta);
        assert_eq!(chosen(asked), Err(NetworkError::NoProgram { asked }));
        let pasta = dir.path().join("pasta");
        let install = |version: &str| {
            std::fs::write(&pasta, format!("#!/bin/sh\necho pasta {version}\n")).unwrap();
            std::fs::set_permissions(&pasta, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        };
        install("unknown version");
        assert_eq!(chosen(None), Ok(Helper::Slirp4netns));
        install("2025_05_03.587980c");
        assert_eq!(chosen(None), Ok(Helper::Pasta));
        assert_eq!(chosen(Some(Helper::Slirp4netns)), Ok(Helper::Slirp4netns));
    }

    #[test]
    fn the_version_of_pasta_is_a_date() {
        for (version, old) in [
            ("pasta unknown version\nCopyright Red Hat\n", true),
            ("pasta 0.0~git20230309.7c7625d-1", true),
            ("pasta 2024_06_24.1ee2eca", true),
            ("pasta 2024_12_11.09478d5", false),
            ("pasta 0.0~git20250503.587980c-2\nCopyright 20230101", false),
            ("", true),
        ] {
            assert_eq!(is_old(version), old, "{version}");
        }
    }

    #[test]
    fn the_last_line_that_says_something_is_the_reason() {
        let log = "Don't run as root. Changing to nobody...\nFailed to open tun\nFailed to send 9 bytes to syslog\n\n";
        assert_eq!(reason(log, Path::new("pasta")), "Failed to open tun");
        assert_eq!(reason("", Path::new("/bin/pasta")), "/bin/pasta ended without a reason");
    }
}
