//! Everything that a launch needs to know, in one value.

use std::path::PathBuf;

use super::isolation::Security;
use super::spec::Process;
use crate::sys::pty::WindowSize;

/// A container that is ready to be launched over a prepared root directory.
#[derive(Debug)]
pub struct Plan {
    /// A directory of this host, usually a mount, that becomes the root.
    pub root: PathBuf,
    pub process: Process,
    pub isolation: Isolation,
    pub security: Security,
    pub input: Input,
    /// The size that the container's terminal starts with.
    pub window: Option<WindowSize>,
}

/// What stands between the container and the host.
#[derive(Debug)]
pub enum Isolation {
    Namespaces(Sandbox),
    /// `chroot(2)` alone: for root, on hosts where namespaces are not to be had.
    Chroot,
}

/// What a container with namespaces of its own looks like from inside.
#[derive(Debug)]
pub struct Sandbox {
    pub hostname: String,
    pub network: Network,
    /// Of the root directory; volumes, `/dev` and `/dev/shm` stay as they are.
    pub root: Access,
    pub volumes: Vec<Volume>,
    pub first: First,
}

/// Which process is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The command, as with `docker run`: signals that it does not handle do nothing, and it inherits orphans.
    Command,
    /// A process of ours, as with `docker run --init`: passes signals on and takes orphans away when they end.
    Init,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Host,
    /// A network of its own, with nothing in it but the loopback interface.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// A file or directory of the host, seen in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub source: PathBuf,
    /// In the container; absolute.
    pub target: PathBuf,
    pub access: Access,
}

/// Where the command's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// From ours.
    Attached,
    /// From `/dev/null`; with a terminal: from nobody.
    Nothing,
}

/// Why a text is no volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    #[error("{0:?} is no volume: expected SOURCE:TARGET or SOURCE:TARGET:ro")]
    Form(String),
    #[error("{0:?}: a volume's target is an absolute path other than /")]
    Target(String),
    #[error("{0:?}: volumes have no names here: the source is a path with a slash in it")]
    Source(String),
    #[error("{option:?} in {volume:?} is no option of a volume: expected ro or rw")]
    Option { option: String, volume: String },
}

impl std::str::FromStr for Volume {
    type Err = VolumeError;

    /// `SOURCE:TARGET[:ro|rw]`, as docker has it.
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
                // Labels for SELinux: nothing is labelled here.
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
