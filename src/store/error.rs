//! Errors of the store and of its input.

use std::io;
use std::path::{Path, PathBuf};

use crate::image::{self, Digest, Platform, Reference};
use crate::tar;

/// Why an operation of the store failed. A failed operation leaves nothing half done.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum StoreError {
    #[error("cannot {action} {path:?}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error(
        "{input} is no image: it holds neither an OCI image layout (index.json) nor what `docker save` writes (manifest.json)"
    )]
    NotAnImage { input: String },
    #[error("{input} is no archive of an image")]
    NotAnArchive {
        input: String,
        #[source]
        source: tar::Error,
    },
    #[error("{input} is cut short")]
    Truncated { input: String },
    #[error("cannot read {input}")]
    Read {
        input: String,
        #[source]
        source: io::Error,
    },
    #[error("{input} holds no image")]
    Empty { input: String },
    #[error("{what} has {size} bytes: more than {limit} are never needed")]
    TooLarge { what: String, size: u64, limit: u64 },
    #[error("{what} {digest} is missing")]
    MissingBlob { what: &'static str, digest: Digest },
    #[error("`{path}`, which manifest.json names, is missing")]
    MissingMember { path: String },
    #[error("{what} is damaged: its digest should be {expected} and is {found}")]
    DigestMismatch { what: &'static str, expected: Digest, found: Digest },
    #[error("{what} {digest} should have {expected} bytes and has {found}")]
    SizeMismatch { what: &'static str, digest: Digest, expected: u64, found: u64 },
    #[error("layer {layer} is not what its image says: its diff ID should be {expected} and is {found}")]
    DiffIdMismatch { layer: Digest, expected: Digest, found: Digest },
    #[error("cannot unpack layer {layer}")]
    Unpack {
        layer: String,
        #[source]
        source: tar::Error,
    },
    #[error("cannot use {what}")]
    Format {
        what: String,
        #[source]
        source: image::Error,
    },
    #[error("indexes are nested more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("there is no image for {wanted}, only for {found}")]
    NoPlatform { wanted: Platform, found: String },
    #[error("{input} holds {count} images ({names}): a tag can be given to one only")]
    SeveralImages { input: String, count: usize, names: String },

    #[error("an image cannot be given the name {name}: its digest is made from its content")]
    NameWithDigest { name: String },
    #[error("there is no image {name:?}{}", did_you_mean(.nearest))]
    UnknownImage { name: String, nearest: Option<String> },
    #[error("{id:?} stands for several images: {matches}")]
    AmbiguousImage { id: String, matches: String },
    #[error("image {id} has several names ({names}): remove them one by one, or all with --force")]
    SeveralNames { id: String, names: String },
    #[error("image {image} is used by {}", containers(.by))]
    ImageInUse { image: String, by: Vec<String> },
    #[error("image {image} is mounted: unmount it first")]
    ImageMounted { image: String },
    #[error("layer {diff_id} of image {image} is not unpacked: load the image again")]
    MissingLayer { image: String, diff_id: Digest },

    #[error("there is no container {name:?}{}", did_you_mean(.nearest))]
    UnknownContainer { name: String, nearest: Option<String> },
    #[error("{id:?} stands for several containers: {matches}")]
    AmbiguousContainer { id: String, matches: String },
    #[error("{name:?} is no name for a container: letters and digits, then also `_`, `.` and `-`")]
    ContainerName { name: String },
    #[error("the name {name:?} is taken by container {id}")]
    NameTaken { name: String, id: String },
    #[error("container {name} is in use")]
    ContainerInUse { name: String },
    #[error("container {name} is still mounted at {at:?}: unmount it first")]
    Mounted { name: String, at: PathBuf },
    #[error("there is no volume {name:?}{}", did_you_mean(.nearest))]
    UnknownVolume { name: String, nearest: Option<String> },
    #[error(
        "{name:?} is no name for a volume: letters and digits, then also `_`, `.` and `-`; a path of this host begins \
         with `/` or `./`"
    )]
    VolumeName { name: String },
    #[error("volume {name} is in use by {}", containers(.by))]
    VolumeInUse { name: String, by: Vec<String> },
    #[error("cannot pack the layer")]
    Pack(#[source] tar::Error),
    /// The container's files could not be compared with those of its image.
    #[error(transparent)]
    Compare(tar::Error),
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(": did you mean {name:?}?")).unwrap_or_default()
}

fn containers(names: &[String]) -> String {
    let noun = if names.len() == 1 { "container" } else { "containers" };
    format!("{noun} {}", names.join(", "))
}

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// For `map_err`: `action` failed on `path`.
pub(super) fn io_at<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Io { action, path: path.into(), source: source.into() }
}

/// For `map_err`: `what` has a wrong format.
pub(super) fn format_of(what: impl Into<String>) -> impl FnOnce(image::Error) -> StoreError {
    move |source| StoreError::Format { what: what.into(), source }
}

/// Checks a name that a user gives to an image.
///
/// # Errors
/// [`StoreError::NameWithDigest`]: the digest of an image is made from its content.
pub(super) fn new_name(name: &Reference) -> Result<Reference> {
    match name.digest() {
        None => Ok(name.clone()),
        Some(_) => Err(StoreError::NameWithDigest { name: name.to_string() }),
    }
}

/// The names, separated by commas, for a message.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a Reference>) -> String {
    names.into_iter().map(Reference::to_string).collect::<Vec<_>>().join(", ")
}
