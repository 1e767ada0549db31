//! Published blobs and layers: their paths, and reading manifests, indexes and configurations.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::error::{Result, StoreError, format_of, io_at};
use crate::image::{Digest, ImageConfig, Index, Manifest};

/// The maximum size of a manifest, an index or a configuration, in bytes; registries accept no more.
pub(super) const DOCUMENT_MAX: u64 = 4 << 20;

/// The content of `layer.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerSize {
    pub entries: u64,
    pub bytes: u64,
}

impl Store {
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers/sha256").join(diff_id.hex())
    }

    /// The directory of the unpacked layer.
    pub(super) fn layer_fs(&self, diff_id: &Digest) -> PathBuf {
        self.layer_path(diff_id).join("fs")
    }

    /// Bytes of file content in the unpacked layer; 0 if the layer is not in the store.
    pub fn layer_bytes(&self, diff_id: &Digest) -> u64 {
        let read = std::fs::read(self.layer_path(diff_id).join("layer.json"));
        let size = read.ok().and_then(|json| serde_json::from_slice::<LayerSize>(&json).ok());
        size.map_or(0, |size| size.bytes)
    }

    /// Reads the document with this digest and verifies it.
    pub(super) fn document(&self, what: &'static str, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::MissingBlob { what, digest: *digest });
            }
            other => other.map_err(io_at("open", &path))?,
        };
        let bytes = read_document(file, &format!("{what} {digest}"), &path)?;
        match Digest::of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(StoreError::DigestMismatch { what, expected: *digest, found }),
        }
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        Manifest::parse(&self.document("manifest", digest)?).map_err(format_of(format!("manifest {digest}")))
    }

    pub(super) fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let digest = manifest.config().digest;
        let json = self.document("configuration", &digest)?;
        ImageConfig::parse(&json, manifest.layers().len()).map_err(format_of(format!("configuration {digest}")))
    }

    pub(super) fn index(&self) -> Result<Index> {
        let path = self.root.join("index.json");
        let file = File::open(&path).map_err(io_at("open", &path))?;
        let json = read_document(file, "index.json", &path)?;
        Index::parse(&json).map_err(format_of(path.display().to_string()))
    }
}

/// Reads all of `from`; an error if it is larger than [`DOCUMENT_MAX`].
pub(super) fn read_document(from: impl Read, what: &str, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).map_err(io_at("read", path))?;
    match bytes.len() as u64 {
        size if size > DOCUMENT_MAX => Err(StoreError::TooLarge { what: what.into(), size, limit: DOCUMENT_MAX }),
        _ => Ok(bytes),
    }
}
