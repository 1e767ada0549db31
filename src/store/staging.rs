//! Staging: blobs and layers that are written to `tmp/` before they are published.
//!
//! Each layer is read once: in one pass its blob is copied and hashed, decompressed, hashed again and
//! unpacked. Staged files are removed when the [`Staging`] is dropped. [`Staging::publish`] moves all of
//! them into the store, the names last.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use oci_spec::image::Descriptor;
use tempfile::TempPath;

use super::Store;
use super::blobs::LayerSize;
use super::error::{Result, StoreError, io_at};
use super::lock::Lock;
use super::scratch::ScratchDir;
use super::stream::{Hashed, Tap, decompress};
use super::toc;
use crate::image::{Blob, Compression, Digest, Layer, Reference};
use crate::layer::Policy;
use crate::sys::Dir;
use crate::tar::{self, Unpacked};

/// An event while images are loaded, for a progress display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Reading of a layer begins.
    Layer {
        /// The layer.
        diff_id: Digest,
        /// Bytes to be read, as stored (compressed).
        size: u64,
    },
    /// This many more bytes of the layer were read.
    Read(u64),
    /// The layer is complete.
    Done,
    /// The store had this layer already.
    Present {
        /// The layer.
        diff_id: Digest,
    },
}

pub(super) type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// Where the bytes of a layer are.
pub(super) struct Content {
    pub from: From,
    /// In bytes.
    pub size: u64,
    /// For messages.
    pub name: String,
}

pub(super) enum From {
    /// Outside the store: copied while it is read.
    Outside(Box<dyn Read>),
    /// In `tmp/` already: the blob becomes another name of it.
    Spooled(PathBuf),
    /// A blob of the store.
    Stored(PathBuf),
}

/// A blob that is verified to unpack to `diff_id`.
#[derive(Clone, Copy, Debug)]
struct Verified {
    layer: Layer,
    diff_id: Digest,
}

pub(super) struct Staging<'s> {
    store: &'s Store,
    policy: Policy,
    /// By digest of the blob.
    verified: HashMap<Digest, Verified>,
    blobs: BTreeMap<Digest, TempPath>,
    layers: BTreeMap<Digest, ScratchDir>,
    // The last field, so that staged files are removed before another process can sweep `tmp/`.
    _lock: Lock,
}

impl<'s> Staging<'s> {
    pub(super) fn begin(store: &'s Store) -> Result<Staging<'s>> {
        let lock = store.lock_shared()?;
        let policy = store.probe()?;
        let verified = store.verified_layers()?;
        Ok(Staging { store, policy, verified, blobs: BTreeMap::new(), layers: BTreeMap::new(), _lock: lock })
    }

    /// Stages a document.
    pub(super) fn document(&mut self, bytes: &[u8]) -> Result<Blob> {
        let blob = Blob::of(bytes);
        if !self.has_blob(&blob.digest) {
            let file = self.store.temp_file(bytes)?;
            self.blobs.insert(blob.digest, file.into_temp_path());
        }
        Ok(blob)
    }

    /// Stages the layer with the blob `blob` and the expected `diff_id`; `open` opens its bytes if they are needed.
    pub(super) fn layer(
        &mut self,
        blob: Blob,
        diff_id: Digest,
        open: impl FnOnce() -> Result<Option<Content>>,
        progress: OnProgress<'_>,
    ) -> Result<()> {
        if let Some(known) = self.verified.get(&blob.digest) {
            let found = known.layer.blob.size;
            if found != blob.size {
                return Err(size_mismatch(blob, found));
            }
            if known.diff_id != diff_id {
                return Err(StoreError::DiffIdMismatch { layer: blob.digest, expected: diff_id, found: known.diff_id });
            }
            if self.has_layer(&diff_id) && self.has_blob(&blob.digest) {
                progress(Progress::Present { diff_id });
                return Ok(());
            }
        }
        let content = match self.blob_content(&blob)? {
            Some(content) => content,
            None => open()?.ok_or(StoreError::MissingBlob { what: "layer", digest: blob.digest })?,
        };
        self.ingest(content, Some(blob), diff_id, progress).map(drop)
    }

    /// Stages a layer of which only the diff ID is known.
    pub(super) fn layer_by_diff_id(
        &mut self,
        diff_id: Digest,
        open: impl FnOnce() -> Result<Content>,
        progress: OnProgress<'_>,
    ) -> Result<Layer> {
        let known = self.verified.values().find(|known| known.diff_id == diff_id).copied();
        if let Some(known) = known
            && self.has_layer(&diff_id)
            && self.has_blob(&known.layer.blob.digest)
        {
            progress(Progress::Present { diff_id });
            return Ok(known.layer);
        }
        self.ingest(open()?, None, diff_id, progress)
    }

    /// Reads `content` once. Stages its blob and its layer, each if the store does not have it yet.
    pub(super) fn ingest(
        &mut self,
        content: Content,
        expected: Option<Blob>,
        diff_id: Digest,
        progress: OnProgress<'_>,
    ) -> Result<Layer> {
        if let Some(blob) = expected.filter(|blob| blob.size != content.size) {
            return Err(size_mismatch(blob, content.size));
        }
        progress(Progress::Layer { diff_id, size: content.size });
        let name = expected.map_or(content.name, |blob| blob.digest.to_string());
        let (reader, spooled, mut copy): (Box<dyn Read>, _, _) = match content.from {
            From::Outside(reader) => (reader, None, Some(self.store.empty_file()?)),
            From::Spooled(path) => (Box::new(open(&path)?), Some(path), None),
            From::Stored(path) => (Box::new(open(&path)?), None, None),
        };
        let scratch = if self.has_layer(&diff_id) { None } else { Some(self.store.scratch_dir()?) };
        let into = scratch.as_ref().map(|scratch| scratch.make_dir("fs")).transpose()?;

        let mut on_read = |bytes| progress(Progress::Read(bytes));
        let to = copy.as_mut().map(|file| file.as_file_mut() as &mut dyn Write);
        let mut tap = Tap::new(reader, to, &mut on_read);
        let unpacked = self.unpack(&mut tap, into.as_ref());
        let passed = tap.finish().map_err(|source| StoreError::Read { input: format!("layer {name}"), source })?;
        passed.copied.map_err(io_at("write a blob to", &self.store.tmp()))?;

        // Checks the digest before it reports an error of unpacking: a damaged blob usually fails to unpack, and
        // the wrong digest is the cause.
        let blob = Blob { digest: passed.digest, size: passed.bytes };
        if let Some(expected) = expected {
            check(blob, expected)?;
        }
        let (found, unpacked, compression) = unpacked.map_err(|source| StoreError::Unpack { layer: name, source })?;
        if found != diff_id {
            return Err(StoreError::DiffIdMismatch { layer: blob.digest, expected: diff_id, found });
        }
        if let Some(scratch) = scratch {
            self.stage_layer(scratch, diff_id, unpacked)?;
        }
        if !self.has_blob(&blob.digest) {
            let staged = match (copy, spooled) {
                (Some(copy), _) => copy.into_temp_path(),
                (None, Some(path)) => self.link(&path)?,
                (None, None) => return Err(StoreError::MissingBlob { what: "layer", digest: blob.digest }),
            };
            self.blobs.insert(blob.digest, staged);
        }
        let layer = Layer { blob, compression };
        self.verified.insert(blob.digest, Verified { layer, diff_id });
        progress(Progress::Done);
        Ok(layer)
    }

    /// Unpacks a compressed layer `into` a directory; without one only computes its diff ID.
    fn unpack(&self, from: impl Read, into: Option<&Dir>) -> Result<(Digest, Unpacked, Compression), tar::Error> {
        let (reader, compression) = decompress(from).map_err(tar::Error::Read)?;
        let mut hashed = Hashed::new(reader);
        let unpacked = match into {
            Some(dir) => tar::unpack(&mut hashed, dir, self.policy)?,
            None => Unpacked::default(),
        };
        let diff_id = hashed.finish().map_err(tar::Error::Read)?;
        Ok((diff_id, unpacked, compression))
    }

    fn stage_layer(&mut self, scratch: ScratchDir, diff_id: Digest, unpacked: Unpacked) -> Result<()> {
        let size = LayerSize { entries: unpacked.entries, bytes: unpacked.bytes };
        let path = scratch.path().join("layer.json");
        let json = serde_json::to_vec(&size).map_err(io_at("write", &path))?;
        fs::write(&path, json).map_err(io_at("write", &path))?;
        toc::stage(&scratch, &diff_id, self.policy);
        self.layers.insert(diff_id, scratch);
        Ok(())
    }

    /// Gives a file in `tmp/` a second name there.
    fn link(&self, path: &std::path::Path) -> Result<TempPath> {
        let linked = tempfile::Builder::new().prefix("").make_in(self.store.tmp(), |to| fs::hard_link(path, to));
        linked.map(tempfile::NamedTempFile::into_temp_path).map_err(io_at("link", path))
    }

    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.store.blob_path(digest).exists()
    }

    fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layers.contains_key(diff_id) || self.store.layer_path(diff_id).exists()
    }

    /// The bytes of a blob that is staged or in the store.
    fn blob_content(&self, blob: &Blob) -> Result<Option<Content>> {
        if !self.has_blob(&blob.digest) {
            return Ok(None);
        }
        let staged = self.blobs.get(&blob.digest).map(|path| path.to_path_buf());
        let path = staged.unwrap_or_else(|| self.store.blob_path(&blob.digest));
        let size = fs::metadata(&path).map_err(io_at("open", &path))?.len();
        Ok(Some(Content { from: From::Stored(path), size, name: blob.digest.to_string() }))
    }

    /// Publishes everything staged, and then `images` (manifest and names).
    pub(super) fn publish(self, images: &[(Descriptor, Vec<Reference>)]) -> Result<()> {
        let Staging { store, blobs, layers, _lock, .. } = self;
        let _names = Lock::names(store.root())?;
        let mut index = store.index()?;
        for (manifest, names) in images {
            index.add(manifest, names);
        }
        // All writes that may fail for lack of disk space come before the first rename.
        let written = store.temp_file(&index.to_json())?;
        if !layers.is_empty() || !blobs.is_empty() {
            store.tmp_dir()?.sync_filesystem().map_err(io_at("write to the disk", store.root()))?;
        }
        for (digest, staged) in blobs {
            let path = store.blob_path(&digest);
            staged.persist(&path).map_err(|error| io_at("write", &path)(error.error))?;
        }
        for (diff_id, staged) in layers {
            if !staged.publish(&store.layer_path(&diff_id))? {
                tracing::debug!(%diff_id, "somebody else unpacked the same layer first");
            }
        }
        let path = store.root().join("index.json");
        written.persist(&path).map_err(|error| io_at("write", &path)(error.error))?;
        Ok(())
    }
}

impl Store {
    /// The layers of all images in the store, by the digest of the blob.
    fn verified_layers(&self) -> Result<HashMap<Digest, Verified>> {
        let mut verified = HashMap::new();
        for listed in self.listed()? {
            let Ok(manifest) = self.manifest(&listed.manifest) else { continue };
            let Ok(config) = self.config(&manifest) else { continue };
            let layers = manifest.layers().iter().zip(config.diff_ids);
            verified.extend(layers.map(|(&layer, diff_id)| (layer.blob.digest, Verified { layer, diff_id })));
        }
        Ok(verified)
    }
}

/// Whether `found` is what was `expected`.
fn check(found: Blob, expected: Blob) -> Result<()> {
    if found.size != expected.size {
        return Err(size_mismatch(expected, found.size));
    }
    if found.digest != expected.digest {
        let (expected, found) = (expected.digest, found.digest);
        return Err(StoreError::DigestMismatch { what: "layer", expected, found });
    }
    Ok(())
}

fn size_mismatch(blob: Blob, found: u64) -> StoreError {
    StoreError::SizeMismatch { what: "layer", digest: blob.digest, expected: blob.size, found }
}

fn open(path: &std::path::Path) -> Result<File> {
    File::open(path).map_err(io_at("open", path))
}
