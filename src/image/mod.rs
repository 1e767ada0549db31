//! The image formats in memory: manifests, configurations, indexes and names.
//!
//! Parses bytes or text into values, and the values are checked: a [`Digest`] is 64 hexadecimal digits, a [`Manifest`]
//! holds only layers that can be unpacked, an [`ImageConfig`] has as many layers as its manifest. The serialized types
//! come from `oci-spec`. Knows nothing of files, archives or where an image came from.

pub mod change;
mod config;
mod digest;
pub mod docker;
pub mod history;
mod index;
mod manifest;
mod media;
mod platform;
mod reference;
mod time;

pub use change::Change;
pub use config::{ImageConfig, NewLayer, platform_entry};
pub use digest::{Digest, Hasher};
pub use index::{INTERMEDIATE, Index, Named, candidates, name_of, named};
pub use manifest::{Blob, Layer, Manifest};
pub use media::{Compression, MediaKind};
pub use platform::Platform;
pub use reference::Reference;
pub use time::Instant;

/// Why a document, a name or an instruction is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    #[error("malformed digest `{0}`: expected `sha256:` and 64 hexadecimal digits")]
    Digest(String),
    #[error("digest algorithm `{0}` is not supported: only sha256 is")]
    Algorithm(String),
    #[error("malformed image name `{name}`: {reason}")]
    Reference { name: String, reason: &'static str },
    #[error("malformed platform `{0}`: expected OS/ARCH or OS/ARCH/VARIANT")]
    Platform(String),
    #[error("malformed {what}: {reason}")]
    Json { what: &'static str, reason: String },
    #[error("unknown media type `{found}` of a {what}")]
    MediaType { what: &'static str, found: String },
    #[error("the manifest has {manifest} layers, its configuration {config}")]
    LayerCount { manifest: usize, config: usize },
    #[error("root file system of type `{0}`: only `layers` is known")]
    RootFs(String),
    #[error("cannot apply `{instruction}`: {reason}")]
    Change { instruction: String, reason: String },
}

/// Parses a JSON document; an error calls it `what`.
fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|e| Error::Json { what, reason: e.to_string() })
}

/// Serializes `value` with sorted keys, so that equal values have equal digests.
fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    // A `serde_json::Value` sorts its keys; maps with string keys cannot fail to serialize.
    serde_json::to_value(value).map(|value| value.to_string().into_bytes()).unwrap_or_default()
}
