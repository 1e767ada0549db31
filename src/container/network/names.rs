//! The contents of a container's `/etc/hosts` and `/etc/resolv.conf`, and the texts of the options that change them.
//! Pure: the caller reads the host's files.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `/etc/hosts` where the host's own is not used.
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// A line to add to `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostName {
    pub name: String,
    /// `None` for `host-gateway`: an address under which the container reaches the host.
    pub address: Option<IpAddr>,
}

/// Why a text is no host name or name server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{0:?} is not a host to add: expected NAME:ADDRESS or NAME:host-gateway")]
    Host(String),
    #[error("{0:?} is not a host name: expected at most 63 letters, digits, dots, hyphens and underscores")]
    Name(String),
    #[error("{0:?} is not a search domain or option of a resolver: it has a space or is empty")]
    Word(String),
}

impl FromStr for HostName {
    type Err = NameError;

    /// `NAME:ADDRESS`, docker's syntax; newer versions of docker take `=` too.
    fn from_str(text: &str) -> Result<HostName, NameError> {
        let wrong = || NameError::Host(text.to_owned());
        let (name, address) = text.split_once([':', '=']).ok_or_else(wrong)?;
        let is_word =
            |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#');
        if !is_word(name) {
            return Err(wrong());
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = match bare {
            "host-gateway" => None,
            bare => Some(bare.parse().map_err(|_| wrong())?),
        };
        Ok(HostName { name: name.to_owned(), address })
    }
}

/// Checks a host name or domain name: the kernel takes 64 bytes of anything, but files and programs do not.
///
/// # Errors
/// [`NameError::Name`].
pub fn host_name(text: &str) -> Result<String, NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let edge = |c: char| matches!(c, '.' | '-');
    let fits = (1..=63).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with(edge);
    if fits { Ok(text.to_owned()) } else { Err(NameError::Name(text.to_owned())) }
}

/// Checks a search domain or a resolver's option: one word.
///
/// # Errors
/// [`NameError::Word`].
pub fn word(text: &str) -> Result<String, NameError> {
    let fits = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if fits { Ok(text.to_owned()) } else { Err(NameError::Word(text.to_owned())) }
}

/// `/etc/hosts`: the host's own with its network, else the standard names; then the container's own name; then the
/// names that the user adds.
pub(super) fn hosts(of_host: Option<&str>, own: Option<(IpAddr, &str)>, added: &[(&str, IpAddr)]) -> String {
    let mut text = of_host.unwrap_or(LOCAL).to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (address, names) in own.into_iter().chain(added.iter().map(|&(name, address)| (address, name))) {
        text += &format!("{address}\t{names}\n");
    }
    text
}

/// The names of a container in its `/etc/hosts`: with its domain, and alone.
pub(super) fn own_names(hostname: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("{hostname}.{domain} {hostname}"),
        None => match hostname.split_once('.') {
            Some((first, _)) => format!("{hostname} {first}"),
            None => hostname.to_owned(),
        },
    }
}

/// The user's wishes for the resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolver {
    /// Replace the host's.
    pub servers: Vec<IpAddr>,
    /// Replace the host's; `.` alone removes them.
    pub search: Vec<String>,
    /// Replace the host's.
    pub options: Vec<String>,
}

/// A finished `/etc/resolv.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) text: String,
    /// Whether the forwarder is among the name servers.
    pub(super) forwards: bool,
}

/// `/etc/resolv.conf`. With a `forwarder`, the container has a loopback interface of its own: name servers on the
/// host's are replaced by the forwarder.
pub(super) fn resolv_conf(of_host: &str, wishes: &Resolver, forwarder: Option<IpAddr>) -> ResolvConf {
    let values = |key: &str| -> Vec<String> {
        // Of several lines, resolvers use the last one.
        let last = of_host.lines().rev().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(key)).then(|| words.map(str::to_owned).collect::<Vec<_>>())
        });
        last.unwrap_or_default()
    };
    let of_host_servers = of_host.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    let (unreachable, mut servers): (Vec<&str>, Vec<&str>) =
        of_host_servers.partition(|server| forwarder.is_some() && stays_on_host(server));
    let forwards = wishes.servers.is_empty() && servers.is_empty() && !unreachable.is_empty();
    if *wishes == Resolver::default() && unreachable.is_empty() {
        return ResolvConf { text: of_host.to_owned(), forwards };
    }

    let given: Vec<String> = wishes.servers.iter().map(IpAddr::to_string).collect();
    let forwarder = forwarder.map(|address| address.to_string());
    if !given.is_empty() {
        servers = given.iter().map(String::as_str).collect();
    } else if forwards {
        servers.extend(forwarder.as_deref());
    }
    let search = match wishes.search.as_slice() {
        [] => {
            let search = values("search");
            if search.is_empty() { values("domain") } else { search }
        }
        [dot] if dot == "." => Vec::new(),
        given => given.to_vec(),
    };
    let options = if wishes.options.is_empty() { values("options") } else { wishes.options.clone() };
    let mut text = String::new();
    for server in servers {
        text += &format!("nameserver {server}\n");
    }
    for (key, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            text += &format!("{key} {}\n", values.join(" "));
        }
    }
    ResolvConf { text, forwards }
}

/// Whether a name server's address leads nowhere from another network namespace: a loopback address, or one that names
/// an interface.
fn stays_on_host(server: &str) -> bool {
    server.contains('%') || server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_to_add_have_a_name_and_an_address() {
        let host = |name: &str, address: &str| Ok(HostName { name: name.into(), address: address.parse().ok() });
        let wrong = |text: &str| Err(NameError::Host(text.into()));
        for (text, expected) in [
            ("db:10.0.0.1", host("db", "10.0.0.1")),
            ("db=10.0.0.1", host("db", "10.0.0.1")),
            ("db:::1", host("db", "::1")),
            ("db:[::1]", host("db", "::1")),
            ("host.docker.internal:host-gateway", host("host.docker.internal", "")),
            ("db", wrong("db")),
            ("db:", wrong("db:")),
            (":10.0.0.1", wrong(":10.0.0.1")),
            ("db:10.0.0", wrong("db:10.0.0")),
            ("d b:10.0.0.1", wrong("d b:10.0.0.1")),
            ("d\nb:10.0.0.1", wrong("d\nb:10.0.0.1")),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }

    #[test]
    fn host_names_are_plain() {
        let long = "x".repeat(64);
        for text in ["web", "web-1", "a.b.example", "under_score", &long[1..]] {
            assert_eq!(host_name(text), Ok(text.to_owned()));
        }
        for text in ["", "-x", ".x", "a b", "a\nb", "ä", &long] {
            assert_eq!(host_name(text), Err(NameError::Name(text.to_owned())));
        }
    }

    #[test]
    fn the_hosts_file_has_the_own_name_and_the_added_ones() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(hosts(None, None, &[]), LOCAL);
        assert_eq!(hosts(Some("1.2.3.4 x"), None, &[("db", ip("::2"))]), "1.2.3.4 x\n::2\tdb\n");
        assert_eq!(hosts(Some(""), Some((ip("10.0.0.1"), "me")), &[]), "10.0.0.1\tme\n");
        assert_eq!(hosts(None, Some((ip("10.0.0.1"), "me")), &[]), format!("{LOCAL}10.0.0.1\tme\n"));
    }

    #[test]
    fn a_container_knows_itself_with_and_without_domain() {
        for (hostname, domain, expected) in [
            ("web", None, "web"),
            ("web", Some("example.org"), "web.example.org web"),
            ("web.example.org", None, "web.example.org web"),
        ] {
            assert_eq!(own_names(hostname, domain), expected);
        }
    }

    #[test]
    fn the_resolver_reaches_its_servers() {
        let plain = "# a comment\nnameserver 10.0.0.53\nsearch a b\noptions ndots:2\n";
        let stub = "nameserver 127.0.0.53\nnameserver fe80::1%eth0\noptions edns0\ndomain home\n";
        let mixed = "nameserver 127.0.0.1\nnameserver 10.0.0.53\n";
        let wishes = |servers: &[&str], search: &[&str], options: &[&str]| Resolver {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            search: search.iter().map(|&word| word.to_owned()).collect(),
            options: options.iter().map(|&word| word.to_owned()).collect(),
        };
        let none = || wishes(&[], &[], &[]);
        for (of_host, wishes, private, expected, forwards) in [
            (plain, none(), false, plain, false),
            (plain, none(), true, plain, false),
            (stub, none(), false, stub, false),
            (stub, none(), true, "nameserver 10.1.1.3\nsearch home\noptions edns0\n", true),
            (mixed, none(), true, "nameserver 10.0.0.53\n", false),
            ("", none(), true, "", false),
            (
                stub,
                wishes(&["1.1.1.1", "::1"], &[], &[]),
                true,
                "nameserver 1.1.1.1\nnameserver ::1\nsearch home\noptions edns0\n",
                false,
            ),
            (plain, wishes(&[], &["c"], &[]), false, "nameserver 10.0.0.53\nsearch c\noptions ndots:2\n", false),
            (plain, wishes(&[], &["."], &["use-vc"]), false, "nameserver 10.0.0.53\noptions use-vc\n", false),
            (stub, wishes(&[], &["c"], &[]), true, "nameserver 10.1.1.3\nsearch c\noptions edns0\n", true),
        ] {
            let forwarder = private.then(|| "10.1.1.3".parse().unwrap());
            let got = resolv_conf(of_host, &wishes, forwarder);
            assert_eq!(got, ResolvConf { text: expected.to_owned(), forwards }, "{of_host:?} {wishes:?} {private}");
        }
    }
}
