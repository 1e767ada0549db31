//! Options about the network.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::Result;
use clap::{ArgAction, Args};

use crate::container::network::{Helper, HostName, Port, PortError, Publish, Resolver, host_name, word};
use crate::container::{Network, NetworkSettings};

// `-h` is the host name, as in docker, so that help has its long form only.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(in crate::cli::container) struct NetworkArgs {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Network of the container: `host`, this host's; `none`, a loopback interface and nothing else; `private`, its own,
    /// connected by the program pasta or slirp4netns; or `container:NAME`, that of a running container [default: host;
    /// with -p or -P, private]
    ///
    /// `private` takes the first program that it finds; `pasta` or `slirp4netns` take that one. `bridge` is the same as
    /// `private`, and `default` the same as leaving the option out.
    #[arg(long, visible_alias = "net", value_name = "NETWORK", conflicts_with = "chroot")]
    network: Option<NetworkName>,
    /// Publish a port of the container at a port of this host [default: any free one]; ranges are allowed
    #[arg(short, long, value_name = "[[ADDRESS:]HOSTPORT:]PORT[/udp]", value_parser = PublishArg::from_str, conflicts_with = "chroot")]
    publish: Vec<PublishArg>,
    /// Publish all exposed ports, each at any free port of this host
    #[arg(short = 'P', long, conflicts_with = "chroot")]
    publish_all: bool,
    /// Expose a port or a range of ports, besides those of the image
    #[arg(long, value_name = "PORT[-PORT][/udp]", value_parser = ExposeArg::from_str, conflicts_with = "chroot")]
    expose: Vec<ExposeArg>,
    /// Add a name to /etc/hosts; `host-gateway` stands for this host's address
    #[arg(long, value_name = "NAME:ADDRESS", conflicts_with = "chroot")]
    add_host: Vec<HostName>,
    /// Name server to use instead of this host's
    #[arg(long, value_name = "ADDRESS", conflicts_with = "chroot")]
    dns: Vec<IpAddr>,
    /// Domain in which to search names, instead of this host's; `.` for none
    #[arg(long, value_name = "DOMAIN", value_parser = word, conflicts_with = "chroot")]
    dns_search: Vec<String>,
    /// Option of the resolver (see resolv.conf(5)), instead of this host's
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION", value_parser = word, conflicts_with = "chroot")]
    dns_option: Vec<String>,
    /// Host name of the container [default: this host's; with another network, the container's id]
    #[arg(short = 'h', long, value_name = "NAME", value_parser = host_name, conflicts_with = "chroot")]
    hostname: Option<String>,
    /// Domain name of the container
    #[arg(long, value_name = "NAME", value_parser = host_name, conflicts_with = "chroot")]
    domainname: Option<String>,
}

/// The ports of one `--publish`.
#[derive(Clone, Debug)]
struct PublishArg(Vec<Publish>);

impl FromStr for PublishArg {
    type Err = PortError;

    fn from_str(text: &str) -> Result<PublishArg, PortError> {
        Publish::parse(text).map(PublishArg)
    }
}

/// The ports of one `--expose`.
#[derive(Clone, Debug)]
struct ExposeArg(Vec<Port>);

impl FromStr for ExposeArg {
    type Err = PortError;

    fn from_str(text: &str) -> Result<ExposeArg, PortError> {
        Port::range(text).map(ExposeArg)
    }
}

/// What the user calls the network.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NetworkName {
    Default,
    Named(Network),
}

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> Result<NetworkName, String> {
        let network = match text {
            "default" => return Ok(NetworkName::Default),
            "host" => Network::Host,
            "none" => Network::None,
            "private" | "bridge" => Network::Private(None),
            "pasta" => Network::Private(Some(Helper::Pasta)),
            "slirp4netns" => Network::Private(Some(Helper::Slirp4netns)),
            _ => match text.split_once(':') {
                Some(("container", name)) if !name.is_empty() => Network::Container(name.to_owned()),
                Some((program @ ("pasta" | "slirp4netns"), _)) => {
                    return Err(format!("options of {program} cannot be set here"));
                }
                _ => {
                    return Err("expected host, none, private or container:NAME; there are no other networks".into());
                }
            },
        };
        Ok(NetworkName::Named(network))
    }
}

impl NetworkArgs {
    /// # Errors
    /// Options that another container's network cannot have.
    pub(in crate::cli::container) fn network(&self) -> Result<NetworkSettings> {
        let publishes = !self.publish.is_empty() || self.publish_all;
        let network = match &self.network {
            Some(NetworkName::Named(network)) => network.clone(),
            _ if publishes => Network::Private(None),
            _ => Network::Host,
        };
        let settings = NetworkSettings {
            network,
            publish: self.publish.iter().flat_map(|arg| arg.0.clone()).collect(),
            publish_all: self.publish_all,
            expose: self.expose.iter().flat_map(|arg| arg.0.clone()).collect(),
            hosts: self.add_host.clone(),
            resolver: Resolver {
                servers: self.dns.clone(),
                search: self.dns_search.clone(),
                options: self.dns_option.clone(),
            },
            domain: self.domainname.clone(),
        };
        settings.check(self.hostname.as_deref())?;
        Ok(settings)
    }

    pub(in crate::cli::container) fn hostname(&self) -> Option<String> {
        self.hostname.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_names_that_people_type() {
        let named = |network| Ok(NetworkName::Named(network));
        let unknown = || Err("expected host, none, private or container:NAME; there are no other networks".to_owned());
        for (text, expected) in [
            ("host", named(Network::Host)),
            ("none", named(Network::None)),
            ("private", named(Network::Private(None))),
            ("bridge", named(Network::Private(None))),
            ("default", Ok(NetworkName::Default)),
            ("pasta", named(Network::Private(Some(Helper::Pasta)))),
            ("slirp4netns", named(Network::Private(Some(Helper::Slirp4netns)))),
            ("container:web", named(Network::Container("web".into()))),
            ("container:", unknown()),
            ("mynet", unknown()),
            ("", unknown()),
            ("pasta:-4", Err("options of pasta cannot be set here".into())),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }
}
