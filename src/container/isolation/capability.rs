//! `--cap-add` and `--cap-drop`: changes to the capabilities of a container's root. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys::Capabilities;

/// One capability, or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapabilityName {
    All,
    /// With `CAP_`, in upper case; the kernel has one of this name.
    One(String),
}

/// The text is not a capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a capability: expected a name as in capabilities(7), such as NET_ADMIN, or ALL")]
pub struct CapabilityError(String);

impl FromStr for CapabilityName {
    type Err = CapabilityError;

    /// In upper or lower case, with or without `CAP_`.
    fn from_str(text: &str) -> Result<CapabilityName, CapabilityError> {
        let name = text.to_ascii_uppercase();
        if name == "ALL" || name == "CAP_ALL" {
            return Ok(CapabilityName::All);
        }
        let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
        match Capabilities::named(&name) {
            Some(_) => Ok(CapabilityName::One(name)),
            None => Err(CapabilityError(text.to_owned())),
        }
    }
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CapabilityName::All => "ALL",
            CapabilityName::One(name) => name,
        })
    }
}

/// Docker's rule: what is dropped goes from the default set, then what is added comes. `ALL` stands for every
/// capability, and one that is named beside it is the exception.
pub(super) fn changed(default: Capabilities, add: &[CapabilityName], drop: &[CapabilityName]) -> Capabilities {
    let named = |names: &[CapabilityName]| {
        let ones = names.iter().filter_map(|name| match name {
            CapabilityName::All => None,
            CapabilityName::One(name) => Capabilities::named(name),
        });
        ones.fold(Capabilities::NONE, Capabilities::and)
    };
    let (added, dropped) = (named(add), named(drop));
    if add.contains(&CapabilityName::All) {
        return Capabilities::ALL.without(dropped);
    }
    if drop.contains(&CapabilityName::All) {
        return added;
    }
    default.without(dropped).and(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("ALL", Some(CapabilityName::All)),
            ("all", Some(CapabilityName::All)),
            ("NET_ADMIN", Some(CapabilityName::One("CAP_NET_ADMIN".into()))),
            ("cap_net_admin", Some(CapabilityName::One("CAP_NET_ADMIN".into()))),
            ("NET_ADMINS", None),
            ("CAP_", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn additions_and_drops_combine_as_in_docker() {
        let set = |names: &str| {
            let names = names.split_whitespace().map(|name| Capabilities::named(&format!("CAP_{name}")).unwrap());
            names.fold(Capabilities::NONE, Capabilities::and)
        };
        let default = set("CHOWN KILL");
        for (add, drop, expected) in [
            ("", "", default),
            ("SYS_ADMIN", "", set("CHOWN KILL SYS_ADMIN")),
            ("", "KILL", set("CHOWN")),
            ("", "ALL", Capabilities::NONE),
            ("KILL", "ALL", set("KILL")),
            ("ALL", "", Capabilities::ALL),
            ("ALL", "KILL", Capabilities::ALL.without(set("KILL"))),
            ("ALL", "ALL", Capabilities::ALL),
            ("KILL", "KILL", default),
        ] {
            let names = |text: &str| text.split_whitespace().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
            assert_eq!(changed(default, &names(add), &names(drop)), expected, "+{add} -{drop}");
        }
    }
}
