//! `--sysctl`: settings of the kernel that each namespace has for itself.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A setting of the kernel, as `kernel.shmmax`, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    pub name: String,
    pub value: String,
}

/// Why a text is not a setting that a container may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    #[error("{0:?} is not a setting of the kernel: expected NAME=VALUE, for example kernel.msgmax=65536")]
    Form(String),
    #[error("the sysctl {0:?} belongs to the whole host, not to a container")]
    NotNamespaced(String),
}

/// The settings that docker allows: those of System V IPC, which are in the IPC namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The namespace that has a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Of {
    Ipc,
    Network,
}

impl FromStr for Sysctl {
    type Err = SysctlError;

    /// `NAME=VALUE`, docker's syntax.
    fn from_str(text: &str) -> Result<Sysctl, SysctlError> {
        let (name, value) = text.split_once('=').ok_or_else(|| SysctlError::Form(text.to_owned()))?;
        let sysctl = Sysctl { name: name.to_owned(), value: value.to_owned() };
        let is_plain = sysctl.path().split('/').all(|part| !part.is_empty() && part != "..");
        if !is_plain || name.contains('\0') {
            return Err(SysctlError::Form(text.to_owned()));
        }
        match sysctl.of() {
            Some(_) => Ok(sysctl),
            None => Err(SysctlError::NotNamespaced(name.to_owned())),
        }
    }
}

impl Sysctl {
    /// The path below `/proc/sys`. In a name with a slash, dots belong to names, such as those of interfaces.
    pub(in crate::container) fn path(&self) -> String {
        if self.name.contains('/') { self.name.clone() } else { self.name.replace('.', "/") }
    }

    pub(in crate::container) fn of(&self) -> Option<Of> {
        let dotted = self.path().replace('/', ".");
        match dotted.as_str() {
            name if IPC.contains(&name) || name.starts_with("fs.mqueue.") => Some(Of::Ipc),
            name if name.starts_with("net.") => Some(Of::Network),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_namespaces_alone_are_taken() {
        for (text, path, of) in [
            ("kernel.msgmax=5", "kernel/msgmax", Of::Ipc),
            ("fs.mqueue.msg_max=7", "fs/mqueue/msg_max", Of::Ipc),
            ("net.ipv4.ip_forward=1", "net/ipv4/ip_forward", Of::Network),
            ("net/ipv4/conf/eth0.1/forwarding=1", "net/ipv4/conf/eth0.1/forwarding", Of::Network),
        ] {
            let sysctl: Sysctl = text.parse().unwrap();
            assert_eq!((sysctl.path().as_str(), sysctl.of()), (path, Some(of)));
        }
        for name in ["kernel.panic", "vm.swappiness", "fs.file-max", "kernel.shm", "kernel.domainname"] {
            let refused = Err(SysctlError::NotNamespaced(name.into()));
            assert_eq!(format!("{name}=1").parse::<Sysctl>(), refused);
        }
        for text in ["", "net.ipv4", "net/../kernel/panic=1", "net..x=1", "=1"] {
            assert_eq!(text.parse::<Sysctl>(), Err(SysctlError::Form(text.into())));
        }
    }
}
