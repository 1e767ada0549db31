//! The plan of a container: everything that a launch needs, in one value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::isolation::Security;
use super::spec::Process;
use crate::sys::pty::WindowSize;

/// A container that is ready to be launched over a prepared root directory.
#[derive(Debug)]
pub struct Plan {
    /// A directory of this host that becomes the root; usually a mount point.
    pub root: PathBuf,
    pub process: Process,
    pub isolation: Isolation,
    pub security: Security,
    /// Whether processes may become users that the user namespace lacks, and give files to them.
    pub virtual_ids: bool,
    pub input: Input,
    /// The size that the container's terminal starts with.
    pub window: Option<WindowSize>,
}

/// How the container is separated from the host.
#[derive(Debug)]
pub enum Isolation {
    Namespaces(Sandbox),
    /// `chroot(2)` alone: for root, on hosts that allow no namespaces.
    Chroot,
}

/// The settings of a container with its own namespaces.
#[derive(Debug)]
pub struct Sandbox {
    pub hostname: String,
    pub network: Network,
    /// Access to the root mount. Does not apply to volumes, `/dev` and `/dev/shm`.
    pub root: Access,
    pub volumes: Vec<Volume>,
    pub first: First,
}

/// Which process is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The command, as with `docker run`: signals that it does not handle do nothing, and it inherits orphans.
    Command,
    /// A small init of Overfuse, as with `docker run --init`: forwards signals and reaps orphans.
    Init,
}

/// The network that a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    #[default]
    Host,
    /// Its own network namespace, with only the loopback interface.
    None,
}

/// Whether a mount can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// A file or directory of the host that is mounted in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    pub access: Access,
}

/// Where the command's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The launcher's standard input.
    Attached,
    /// `/dev/null`; with a terminal: no input.
    Nothing,
}

/// Why a text is not a valid volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    #[error("{0:?} is not a volume: expected SOURCE:TARGET or SOURCE:TARGET:ro")]
    Form(String),
    #[error("{0:?}: a volume's target is an absolute path other than /")]
    Target(String),
    #[error("{0:?}: named volumes are not supported: the source must be a path with a slash in it")]
    Source(String),
    #[error("{option:?} in {volume:?} is not an option of a volume: expected ro or rw")]
    Option { option: String, volume: String },
}

impl std::str::FromStr for Volume {
    type Err = VolumeError;

    /// `SOURCE:TARGET[:ro|rw]`, docker's syntax.
    fn from_str(text: &str) -> Result<Volume, VolumeError> {
        let mut parts = text.split(':');
        let (Some(source), Some(target), options, None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VolumeError::Form(text.to_owned()));
        };
        if !source.contains('/') {
            return Err(VolumeError::Source(text.to_owned()));
        }
        let target = PathBuf::from(target);
        if !target.is_absolute() || !target.components().any(|c| matches!(c, std::path::Component::Normal(_))) {
            return Err(VolumeError::Target(text.to_owned()));
        }
        let mut access = Access::ReadWrite;
        for option in options.into_iter().flat_map(|o| o.split(',')) {
            access = match option {
                "ro" => Access::ReadOnly,
                "rw" => Access::ReadWrite,
                // SELinux labels: ignored.
                "z" | "Z" => continue,
                other => return Err(VolumeError::Option { option: other.to_owned(), volume: text.to_owned() }),
            };
        }
        Ok(Volume { source: PathBuf::from(source), target, access })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_read_as_docker_reads_it() {
        let volume =
            |source: &str, target: &str, access| Ok(Volume { source: source.into(), target: target.into(), access });
        for (text, expected) in [
            ("/a:/b", volume("/a", "/b", Access::ReadWrite)),
            ("./a:/b:ro", volume("./a", "/b", Access::ReadOnly)),
            ("/a:/b:rw", volume("/a", "/b", Access::ReadWrite)),
            ("/a:/b:Z,ro", volume("/a", "/b", Access::ReadOnly)),
            ("/a", Err(VolumeError::Form("/a".into()))),
            ("/a:/b:ro:x", Err(VolumeError::Form("/a:/b:ro:x".into()))),
            ("data:/b", Err(VolumeError::Source("data:/b".into()))),
            (":/b", Err(VolumeError::Source(":/b".into()))),
            ("/a:b", Err(VolumeError::Target("/a:b".into()))),
            ("/a:/", Err(VolumeError::Target("/a:/".into()))),
            ("/a:/..", Err(VolumeError::Target("/a:/..".into()))),
            ("/a:/b:x", Err(VolumeError::Option { option: "x".into(), volume: "/a:/b:x".into() })),
        ] {
            assert_eq!(text.parse::<Volume>(), expected, "{text}");
        }
    }
}
