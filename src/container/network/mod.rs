//! Networks of containers: which one a container uses, what it reaches, and under which names.
//!
//! ```text
//!   NetworkSettings ──plan──► Attachment (which namespace) + Link (what connects it) + names (/etc/hosts, …)
//! ```
#![doc = include_str!("network.md")]

mod link;
mod names;
mod ports;
mod program;

pub use names::{HostName, NameError, Resolver, host_name, word};
pub use ports::{HostPort, Port, PortError, Protocol, Publish, Published, summary};
pub use program::{Helper, Programs};

pub use link::Link;
pub(super) use link::Linked;

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::error::{Doing, LaunchError, number};
use super::settings::Settings;
use super::state::{State, Status};
use crate::store::{Container, StoreError};
use crate::sys::process::{self, ProcessId};
use crate::sys::{self, Errno, namespace};

/// Which network a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The host's.
    #[default]
    Host,
    /// Its own, with only the loopback interface.
    None,
    /// Its own, which a program connects to the host's; `None` takes the first that there is.
    Private(Option<Helper>),
    /// That of a running container, by its ID.
    Container(String),
}

/// The network settings of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    pub network: Network,
    pub publish: Vec<Publish>,
    /// Whether all exposed ports are published at any free ports of the host.
    pub publish_all: bool,
    /// The image's ports and the user's.
    pub expose: Vec<Port>,
    /// Lines for `/etc/hosts`.
    pub hosts: Vec<HostName>,
    pub resolver: Resolver,
    pub domain: Option<String>,
}

/// Why a container gets no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NetworkError {
    #[error("{}", no_program(*asked))]
    NoProgram { asked: Option<Helper> },
    #[error("cannot publish port {port} at {host}: {errno}{}", low_port(*errno))]
    Port {
        host: String,
        port: Port,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error("cannot publish {published}: slirp4netns publishes on IPv4 addresses only; pasta (package passt) on both")]
    Version6 { published: String },
    #[error("{program} cannot connect the container's network: {said}")]
    Failed { program: String, said: String },
    #[error("cannot start {program}: {errno}")]
    Start {
        program: String,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error("the process that connects the container's network was killed")]
    Ended,
    #[error("the process that connects the container's network sent an unreadable message: {0}")]
    Garbled(String),
    #[error("cannot record the published ports: {0}")]
    Record(String),
    #[error("cannot find {name}, whose network is to be used: {reason}")]
    Missing { name: String, reason: String },
    #[error("cannot use the network of {0}: it is not running")]
    NotRunning(String),
    #[error("host-gateway: the host cannot be reached from this network")]
    NoGateway,
    /// Docker's words for options that make no sense together.
    #[error("conflicting options: {0} and the container type network mode")]
    Conflict(String),
}

fn no_program(asked: Option<Helper>) -> &'static str {
    match asked {
        None => "a private network needs the program pasta: install the package passt (or slirp4netns)",
        Some(Helper::Pasta) => "there is no program pasta in PATH: install the package passt",
        Some(Helper::Slirp4netns) => "there is no program slirp4netns in PATH: install the package slirp4netns",
    }
}

fn low_port(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => "; only root publishes ports below 1024 (see net.ipv4.ip_unprivileged_port_start)",
        _ => "",
    }
}

impl NetworkError {
    fn start(program: &program::Program, error: &io::Error) -> NetworkError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        NetworkError::Start { program: program.helper.to_string(), errno }
    }
}

/// The network namespace of a container.
#[derive(Debug)]
pub enum Attachment {
    Host,
    /// A new one, with only the loopback interface.
    None,
    /// A new one, which a program connects.
    Private,
    /// Another container's; `None` where that is the one of this process.
    Joined(Option<OwnedFd>),
}

/// What a launch needs for the network.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) attachment: Attachment,
    pub(super) link: Option<Link>,
    pub(super) names: Names,
}

/// The files of names that a container sees.
#[derive(Debug)]
pub(super) enum Names {
    Own {
        hosts: String,
        resolv_conf: String,
    },
    /// Those in the directory of this container.
    Of(Container),
}

impl NetworkSettings {
    /// Adds the ports that an image exposes. Leaves out what is no port.
    pub fn add_image_ports(&mut self, image: Option<&Config>) {
        for text in image.and_then(|config| config.exposed_ports().as_ref()).into_iter().flatten() {
            match Port::range(text) {
                Ok(ports) => self.expose.extend(ports),
                Err(error) => tracing::warn!(%error, "left out a port that the image exposes"),
            }
        }
        self.expose.sort();
        self.expose.dedup();
    }

    /// Refuses settings that another container's network cannot have. `hostname` is the one that the user gave.
    ///
    /// # Errors
    /// [`NetworkError::Conflict`].
    pub fn check(&self, hostname: Option<&str>) -> Result<(), NetworkError> {
        let Network::Container(_) = self.network else { return Ok(()) };
        for (given, what) in [
            (hostname.is_some(), "hostname"),
            (self.domain.is_some(), "domainname"),
            (!self.resolver.servers.is_empty(), "dns"),
            (!self.resolver.search.is_empty() || !self.resolver.options.is_empty(), "dns"),
            (!self.hosts.is_empty(), "custom host-to-IP mapping"),
            (!self.publish.is_empty() || self.publish_all, "port publishing"),
            (!self.expose.is_empty(), "port exposing"),
        ] {
            if given {
                return Err(NetworkError::Conflict(what.to_owned()));
            }
        }
        Ok(())
    }

    /// Plans the network of one run of `container`.
    pub(super) fn plan(
        &self,
        container: &Container,
        hostname: &str,
        programs: &Programs,
    ) -> Result<Planned, LaunchError> {
        let planned = |attachment, link, names| Planned { attachment, link, names };
        Ok(match &self.network {
            Network::Host => planned(Attachment::Host, None, self.names(hostname)?.0),
            Network::None => planned(Attachment::None, None, self.names(hostname)?.0),
            Network::Private(through) => {
                let program = programs.choose(*through)?;
                let (names, forwards) = self.names(hostname)?;
                let link = Link { container: container.clone(), program, publish: self.to_publish(), forwards };
                planned(Attachment::Private, Some(link), names)
            }
            Network::Container(id) => {
                let target = beside(container, id)?;
                let attachment = Attachment::Joined(namespace_of(&target)?);
                planned(attachment, None, Names::Of(files_of(target)?))
            }
        })
    }

    /// The ports that the user asks for, and with `publish_all` the other exposed ones.
    fn to_publish(&self) -> Vec<Publish> {
        let mut all = self.publish.clone();
        if self.publish_all {
            let rest = self.expose.iter().filter(|port| self.publish.iter().all(|one| one.port != **port));
            all.extend(rest.map(|&port| Publish { address: None, host: HostPort::Any, port }));
        }
        all
    }

    /// The files of names, and whether they name the forwarder.
    fn names(&self, hostname: &str) -> Result<(Names, bool), LaunchError> {
        let of_host = |path: &str| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).ok();
        let own_names = names::own_names(hostname, self.domain.as_deref());
        let (hosts, own, forwarder) = match self.network {
            Network::Host | Network::Container(_) => (of_host("/etc/hosts"), None, None),
            Network::None => (None, Some(IpAddr::from(Ipv4Addr::LOCALHOST)), None),
            Network::Private(_) => (None, Some(program::ADDRESS.into()), Some(program::FORWARDER.into())),
        };
        let added = self.hosts.iter().map(|host| {
            let address = host.address.map_or_else(|| self.gateway(), Ok)?;
            Ok((host.name.as_str(), address))
        });
        let added = added.collect::<Result<Vec<_>, NetworkError>>()?;
        let hosts = names::hosts(hosts.as_deref(), own.map(|address| (address, own_names.as_str())), &added);
        let resolv_conf = of_host("/etc/resolv.conf").unwrap_or_default();
        let resolv_conf = names::resolv_conf(&resolv_conf, &self.resolver, forwarder);
        Ok((Names::Own { hosts, resolv_conf: resolv_conf.text }, resolv_conf.forwards))
    }

    /// An address under which the container reaches the host.
    fn gateway(&self) -> Result<IpAddr, NetworkError> {
        match self.network {
            Network::Host => Ok(Ipv4Addr::LOCALHOST.into()),
            Network::Private(_) => outer_address().ok_or(NetworkError::NoGateway),
            Network::None | Network::Container(_) => Err(NetworkError::NoGateway),
        }
    }
}

/// The host's address on the way to other hosts. Sends nothing: connecting a datagram socket only chooses addresses.
fn outer_address() -> Option<IpAddr> {
    /// Reserved for documentation, so on no local network.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The container `id` of the same store.
fn beside(container: &Container, id: &str) -> Result<Container, NetworkError> {
    let missing = |error: StoreError| NetworkError::Missing { name: id.to_owned(), reason: error.to_string() };
    container.beside(id).map_err(missing)
}

/// The container whose files of names `container` shows.
fn files_of(container: Container) -> Result<Container, NetworkError> {
    /// So that a ring of containers, which no command makes, ends too.
    const STEPS_MAX: usize = 16;
    let mut at = container;
    for _ in 0..STEPS_MAX {
        let name = at.name.clone();
        let settings = Settings::of(&at);
        let settings = settings.map_err(|error| NetworkError::Missing { name, reason: error.to_string() })?;
        match settings.network.network {
            Network::Container(id) => at = beside(&at, &id)?,
            _ => break,
        }
    }
    Ok(at)
}

/// A process of a container whose network another one is to use: the first one, or with our init its child. The init
/// hides from other processes, and with it its namespaces.
///
/// # Errors
/// [`NetworkError::NotRunning`].
pub fn process_of(container: &Container) -> Result<ProcessId, NetworkError> {
    let not_running = || NetworkError::NotRunning(container.name.clone());
    let state = State::of(container).map_err(|_| not_running())?;
    let runs = matches!(state.status, Status::Running | Status::Paused);
    let first = state.process.filter(|_| runs).ok_or_else(not_running)?;
    match Settings::of(container).map_err(|_| not_running())?.init {
        true => process::children(first).first().copied().ok_or_else(not_running),
        false => Ok(first),
    }
}

/// The network namespace of a running container; `None` where it is the one of this process.
fn namespace_of(container: &Container) -> Result<Option<OwnedFd>, LaunchError> {
    let process = process_of(container)?;
    let doing = || format!("open the network of {}", container.name);
    // While the descriptor of the process is open, its number is not reused.
    let Some(_alive) = process.open().doing(doing())? else {
        return Err(NetworkError::NotRunning(container.name.clone()).into());
    };
    let theirs = File::open(format!("/proc/{}/ns/net", process.pid)).doing(doing())?;
    let ours = File::open("/proc/self/ns/net").doing(doing())?;
    let same = sys::is_same_file(&ours, &theirs).doing(doing())?;
    Ok((!same).then(|| theirs.into()))
}

/// In the container's first process, in its new namespaces: enters another container's network, or sets up its own.
///
/// Closes the descriptor of the other container's network.
pub(super) fn enter(attachment: &mut Attachment) -> Result<(), LaunchError> {
    match attachment {
        Attachment::Host => Ok(()),
        Attachment::Joined(network) => match network.take() {
            Some(network) => namespace::join_network(network).doing("enter the other container's network"),
            None => Ok(()),
        },
        Attachment::None | Attachment::Private => {
            namespace::loopback_up().doing("switch the loopback interface on")?;
            // As docker does: no user needs a capability to use ports below 1024 or ping. Hosts where /proc/sys cannot be
            // written keep the kernel's defaults.
            let (_, groups) = namespace::mapped_ids().unwrap_or((1, 1));
            let last = groups.saturating_sub(1).min(i32::MAX as u64);
            for (name, value) in [("ping_group_range", format!("0 {last}")), ("ip_unprivileged_port_start", "0".into())]
            {
                let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
            }
            Ok(())
        }
    }
}

/// The ports that are published now; none where the container does not run.
///
/// # Errors
/// [`StoreError::Io`].
pub fn published(container: &Container) -> Result<Vec<Published>, StoreError> {
    let runs = matches!(State::of(container)?.status, Status::Running | Status::Paused);
    if !runs || !matches!(Settings::of(container)?.network.network, Network::Private(_)) {
        return Ok(Vec::new());
    }
    Ok(container.read_document(link::PORTS)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports_are_published_once() {
        let port = |text: &str| text.parse::<Port>().unwrap();
        let mut config = Config::default();
        config.set_exposed_ports(Some(vec!["80/tcp".into(), "53/udp".into(), "nonsense".into()]));
        let publish = Publish::parse("8080:80").unwrap();
        let mut settings = NetworkSettings { publish, expose: vec![port("90"), port("80")], ..Default::default() };
        settings.add_image_ports(Some(&config));
        assert_eq!(
            settings.expose,
            [port("53/udp"), port("80"), port("90")]
                .map(|p| p)
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(settings.to_publish().len(), 1);
        settings.publish_all = true;
        let ports: Vec<String> = settings.to_publish().iter().map(|one| one.port.to_string()).collect();
        assert_eq!(ports, ["80/tcp", "53/udp", "90/tcp"]);
    }

    #[test]
    fn another_containers_network_has_its_own_names_and_ports() {
        let of_container = NetworkSettings { network: Network::Container("x".into()), ..Default::default() };
        assert_eq!(of_container.check(None), Ok(()));
        assert_eq!(of_container.check(Some("web")), Err(NetworkError::Conflict("hostname".into())));
        let publish = NetworkSettings { publish: Publish::parse("80").unwrap(), ..of_container.clone() };
        assert_eq!(publish.check(None), Err(NetworkError::Conflict("port publishing".into())));
        let hosts = NetworkSettings { hosts: vec!["a:1.2.3.4".parse().unwrap()], ..of_container };
        assert_eq!(hosts.check(None), Err(NetworkError::Conflict("custom host-to-IP mapping".into())));
    }
}
