//! Ports: the texts of `--publish`, `--expose` and an image's `ExposedPorts`, and how published ports are shown. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The protocols whose ports can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A port of a container: `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    pub number: u16,
    pub protocol: Protocol,
}

/// Which port of the host leads to a container's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPort {
    /// Any free one.
    Any,
    /// The first free one of a range.
    Within(RangeInclusive<u16>),
}

/// A port of a container to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// An address of the host; `None` for all of them.
    pub address: Option<IpAddr>,
    pub host: HostPort,
    pub port: Port,
}

/// A port of the host that leads to a port of a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    pub port: Port,
    /// `0.0.0.0` for all addresses.
    pub host: SocketAddr,
}

/// Why a text names no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("{0:?} is not a port to publish: expected [ADDRESS:][HOSTPORT:]PORT[/tcp|udp]")]
    Form(String),
    #[error("{0:?} is not a port: expected a number from 1 to 65535, or a range such as 8000-8010")]
    Number(String),
    #[error("{0:?} is not an address of this host: expected numbers, such as 127.0.0.1 or [::1]")]
    Address(String),
    #[error("{0:?} is not a protocol whose ports can be published: expected tcp or udp")]
    Protocol(String),
    #[error("{0:?}: the two ranges have different lengths")]
    Lengths(String),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Protocol, PortError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(PortError::Protocol(text.to_owned())),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for Port {
    type Err = PortError;

    /// `PORT[/tcp|udp]`.
    fn from_str(text: &str) -> Result<Port, PortError> {
        match Port::range(text)?.as_slice() {
            [port] => Ok(*port),
            _ => Err(PortError::Number(text.to_owned())),
        }
    }
}

impl Port {
    /// `PORT[-PORT][/tcp|udp]`, as `--expose` and an image's `ExposedPorts` have it.
    ///
    /// # Errors
    /// [`PortError::Number`], [`PortError::Protocol`].
    pub fn range(text: &str) -> Result<Vec<Port>, PortError> {
        let (numbers, protocol) = split_protocol(text)?;
        let numbers = range(numbers)?;
        Ok(numbers.map(|number| Port { number, protocol }).collect())
    }
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), PortError> {
    match text.split_once('/') {
        None | Some((_, "")) => Ok((text.trim_end_matches('/'), Protocol::Tcp)),
        Some((rest, protocol)) => Ok((rest, protocol.parse()?)),
    }
}

/// `PORT` or `FIRST-LAST`.
fn range(text: &str) -> Result<RangeInclusive<u16>, PortError> {
    let wrong = || PortError::Number(text.to_owned());
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|&number| digits && number > 0).ok_or_else(wrong)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first <= last { Ok(first..=last) } else { Err(wrong()) }
}

impl Publish {
    /// `[ADDRESS:][HOSTPORT:]PORT[/tcp|udp]`, docker's syntax; each port can be a range. A range of the host's ports
    /// for one port of the container means the first free one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Vec<Publish>, PortError> {
        let form = || PortError::Form(text.to_owned());
        let (rest, protocol) = split_protocol(text)?;
        let (rest, inside) = rest.rsplit_once(':').map_or((None, rest), |(rest, inside)| (Some(rest), inside));
        if inside.is_empty() {
            return Err(form());
        }
        let inside = range(inside)?;
        let (address, host) = match rest.map(|rest| rest.rsplit_once(':').unwrap_or(("", rest))) {
            None => (None, ""),
            Some(("", "")) => return Err(form()),
            Some(("", host)) => (None, host),
            Some((address, host)) => (Some(self::address(address)?), host),
        };
        let host = if matches!(host, "" | "0") { None } else { Some(range(host)?) };
        let one = |number: u16, host: HostPort| Publish { address, host, port: Port { number, protocol } };
        Ok(match host {
            None => inside.map(|number| one(number, HostPort::Any)).collect(),
            Some(host) if inside.len() == 1 => vec![one(*inside.start(), HostPort::Within(host))],
            Some(host) if inside.len() != host.len() => return Err(PortError::Lengths(text.to_owned())),
            Some(host) => inside.zip(host).map(|(port, host)| one(port, HostPort::Within(host..=host))).collect(),
        })
    }

    /// The address to bind.
    pub(super) fn bind_address(&self) -> IpAddr {
        self.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }
}

fn address(text: &str) -> Result<IpAddr, PortError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| PortError::Address(text.to_owned()))
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.host, self.port)
    }
}

/// The ports of a container in one line, as `ps` shows them: published ones, then those only exposed. Neighbours become
/// ranges.
pub fn summary(published: &[Published], exposed: &[Port]) -> String {
    let mut published = published.to_vec();
    published.sort_by_key(|one| (one.host.ip(), one.port.protocol, one.port.number, one.host.port()));
    published.dedup();
    let is_published = |port: &Port| published.iter().any(|one| one.port == *port);
    let mut rest: Vec<Port> = exposed.iter().copied().filter(|port| !is_published(port)).collect();
    rest.sort_by_key(|port| (port.protocol, port.number));
    rest.dedup();

    let neighbours = |a: &Published, b: &Published| {
        a.host.ip() == b.host.ip() && follows(a.port, b.port) && a.host.port().checked_add(1) == Some(b.host.port())
    };
    let published = runs(&published, neighbours).map(|(first, last)| {
        let ip = SocketAddr::new(first.host.ip(), 0).to_string();
        let ip = ip.strip_suffix(":0").unwrap_or(&ip);
        let host = numbers(first.host.port(), last.host.port());
        format!("{ip}:{host}->{}/{}", numbers(first.port.number, last.port.number), first.port.protocol)
    });
    let exposed = runs(&rest, |a, b| follows(*a, *b))
        .map(|(first, last)| format!("{}/{}", numbers(first.number, last.number), first.protocol));
    published.chain(exposed).collect::<Vec<_>>().join(", ")
}

fn follows(a: Port, b: Port) -> bool {
    a.protocol == b.protocol && a.number.checked_add(1) == Some(b.number)
}

/// The first and last of each run of neighbours.
fn runs<T: Copy>(all: &[T], neighbours: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = (T, T)> {
    all.chunk_by(neighbours).filter_map(|run| Some((*run.first()?, *run.last()?)))
}

fn numbers(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(address: &str, host: HostPort, port: &str) -> Publish {
        Publish { address: address.parse().ok(), host, port: port.parse().unwrap() }
    }

    #[test]
    fn ports_to_publish_are_read_as_docker_reads_them() {
        let within = |first, last| HostPort::Within(first..=last);
        for (text, expected) in [
            ("80", Ok(vec![publish("", HostPort::Any, "80/tcp")])),
            ("80/", Ok(vec![publish("", HostPort::Any, "80/tcp")])),
            ("53/udp", Ok(vec![publish("", HostPort::Any, "53/udp")])),
            ("53/UDP", Ok(vec![publish("", HostPort::Any, "53/udp")])),
            ("8080:80", Ok(vec![publish("", within(8080, 8080), "80/tcp")])),
            ("0:80", Ok(vec![publish("", HostPort::Any, "80/tcp")])),
            ("127.0.0.1:8080:80", Ok(vec![publish("127.0.0.1", within(8080, 8080), "80/tcp")])),
            ("127.0.0.1::80", Ok(vec![publish("127.0.0.1", HostPort::Any, "80/tcp")])),
            ("[::1]:8080:80", Ok(vec![publish("::1", within(8080, 8080), "80/tcp")])),
            ("::1:8080:80", Ok(vec![publish("::1", within(8080, 8080), "80/tcp")])),
            ("8000-8009:80", Ok(vec![publish("", within(8000, 8009), "80/tcp")])),
            ("7-8:17-18/udp", Ok(vec![publish("", within(7, 7), "17/udp"), publish("", within(8, 8), "18/udp")])),
            ("7-8", Ok(vec![publish("", HostPort::Any, "7/tcp"), publish("", HostPort::Any, "8/tcp")])),
            ("65535:65535", Ok(vec![publish("", within(65535, 65535), "65535/tcp")])),
            ("", Err(PortError::Form(String::new()))),
            (":80", Err(PortError::Form(":80".into()))),
            ("80:", Err(PortError::Form("80:".into()))),
            ("80:x", Err(PortError::Number("x".into()))),
            ("80:+8", Err(PortError::Number("+8".into()))),
            ("0", Err(PortError::Number("0".into()))),
            ("65536:80", Err(PortError::Number("65536".into()))),
            ("9-8:80", Err(PortError::Number("9-8".into()))),
            ("7-9:7-8", Err(PortError::Lengths("7-9:7-8".into()))),
            ("localhost:80:80", Err(PortError::Address("localhost".into()))),
            ("1.2.3:80:80", Err(PortError::Address("1.2.3".into()))),
            ("80/sctp", Err(PortError::Protocol("sctp".into()))),
        ] {
            assert_eq!(Publish::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn exposed_ports_are_numbers_and_ranges() {
        let ports = |numbers: &[u16], protocol| Ok(numbers.iter().map(|&number| Port { number, protocol }).collect());
        for (text, expected) in [
            ("80", ports(&[80], Protocol::Tcp)),
            ("80/tcp", ports(&[80], Protocol::Tcp)),
            ("7-9/udp", ports(&[7, 8, 9], Protocol::Udp)),
            ("80:80", Err(PortError::Number("80:80".into()))),
            ("", Err(PortError::Number(String::new()))),
        ] {
            assert_eq!(Port::range(text), expected, "{text:?}");
        }
        assert_eq!("7-8".parse::<Port>(), Err(PortError::Number("7-8".into())));
    }

    #[test]
    fn a_line_of_ports_is_short() {
        let published = |host: &str, port: &str| Published { host: host.parse().unwrap(), port: port.parse().unwrap() };
        let port = |text: &str| text.parse::<Port>().unwrap();
        for (published, exposed, expected) in [
            (vec![], vec![], ""),
            (vec![published("0.0.0.0:8080", "80")], vec![port("80")], "0.0.0.0:8080->80/tcp"),
            (vec![published("[::1]:8080", "80/udp")], vec![port("80")], "[::1]:8080->80/udp, 80/tcp"),
            (
                vec![published("0.0.0.0:9", "8"), published("0.0.0.0:8", "7"), published("0.0.0.0:20", "9")],
                vec![port("100"), port("99"), port("101/udp")],
                "0.0.0.0:8-9->7-8/tcp, 0.0.0.0:20->9/tcp, 99-100/tcp, 101/udp",
            ),
            (
                vec![published("0.0.0.0:80", "80"), published("127.0.0.1:81", "81")],
                vec![],
                "0.0.0.0:80->80/tcp, 127.0.0.1:81->81/tcp",
            ),
            (
                vec![published("0.0.0.0:65535", "65535"), published("0.0.0.0:1", "1")],
                vec![],
                "0.0.0.0:1->1/tcp, 0.0.0.0:65535->65535/tcp",
            ),
        ] {
            assert_eq!(summary(&published, &exposed), expected);
        }
    }
}
