//! Why an option does not describe a mount.

use std::path::PathBuf;

use super::size::SizeError;

/// Why an option does not describe a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    #[error("expected [SOURCE:]TARGET[:OPTIONS]")]
    Form,
    #[error("the target is {0:?}, and must be an absolute path other than /")]
    Target(String),
    #[error(
        "the source is {0:?}: a path of this host begins with / or ./; the name of a volume is letters and digits, then also _.-"
    )]
    Source(String),
    #[error("there are options but no source: an anonymous volume takes none")]
    AnonymousOptions,
    #[error("{option:?} is not an option of a {of}: expected {expected}")]
    Option { option: String, of: &'static str, expected: &'static str },
    #[error("{one} and {other} contradict each other")]
    Contradiction { one: String, other: String },
    #[error("{0}: mounts of a container never reach this host; expected rprivate or rslave")]
    Shared(String),
    #[error("expected a list of KEY=VALUE, separated by commas")]
    List,
    #[error("{0:?} is not a key of a mount")]
    Key(String),
    #[error("{0:?} needs a value")]
    NoValue(String),
    #[error("{value:?} is no value of {key}: expected {expected}")]
    Value { key: String, value: String, expected: &'static str },
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error("a mount needs {0}")]
    Missing(&'static str),
    #[error("{key} belongs to a mount of type {of}, not {not}")]
    OtherType { key: String, of: &'static str, not: &'static str },
    #[error("{0} is not supported")]
    NotSupported(String),
    #[error("{} is the target of two mounts", .0.display())]
    Duplicate(PathBuf),
}
