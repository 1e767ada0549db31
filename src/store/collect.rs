//! Collection: removes the blobs and layers that no image reaches.

use std::collections::HashSet;
use std::fs;

use super::Store;
use super::error::{Result, StoreError, format_of, io_at};
use crate::image::{Digest, Index, MediaKind};

/// How deep indexes may nest; deeper nesting is a mistake or an attack.
const DEPTH_MAX: usize = 8;

/// The blobs and layers that are in use.
#[derive(Debug, Default)]
pub(super) struct Reached {
    blobs: HashSet<Digest>,
    layers: HashSet<Digest>,
}

impl Store {
    /// The blobs and layers that `index` reaches.
    ///
    /// # Errors
    /// When a document that the index reaches cannot be read: then it is unknown what is unused.
    pub(super) fn reached(&self, index: &Index) -> Result<Reached> {
        let mut reached = Reached::default();
        self.reach(index, &mut reached, 0)?;
        Ok(reached)
    }

    /// Removes what is not `reached`, and returns the removed layers. The caller holds the exclusive lock.
    pub(super) fn collect(&self, reached: &Reached) -> Result<Vec<Digest>> {
        let mut removed = Vec::new();
        for digest in self.names_in("layers/sha256")? {
            if !reached.layers.contains(&digest) {
                self.discard(&self.layer_path(&digest))?;
                removed.push(digest);
            }
        }
        for digest in self.names_in("blobs/sha256")? {
            if !reached.blobs.contains(&digest) {
                let path = self.blob_path(&digest);
                fs::remove_file(&path).map_err(io_at("remove", &path))?;
            }
        }
        Ok(removed)
    }

    fn reach(&self, index: &Index, reached: &mut Reached, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(StoreError::TooDeep { limit: DEPTH_MAX });
        }
        for descriptor in index.manifests() {
            let digest = Digest::try_from(descriptor.digest()).map_err(format_of("index.json"))?;
            if !reached.blobs.insert(digest) {
                continue;
            }
            match MediaKind::of(descriptor.media_type()) {
                Ok(MediaKind::Manifest) => self.reach_manifest(&digest, reached)?,
                Ok(MediaKind::Index) => {
                    let json = self.document("index", &digest)?;
                    let nested = Index::parse(&json).map_err(format_of(format!("index {digest}")))?;
                    self.reach(&nested, reached, depth + 1)?;
                }
                Err(error) => return Err(format_of("index.json")(error)),
            }
        }
        Ok(())
    }

    fn reach_manifest(&self, digest: &Digest, reached: &mut Reached) -> Result<()> {
        let manifest = self.manifest(digest)?;
        reached.blobs.insert(manifest.config().digest);
        reached.blobs.extend(manifest.layers().iter().map(|layer| layer.blob.digest));
        reached.layers.extend(self.config(&manifest)?.diff_ids);
        Ok(())
    }

    /// How many blobs there are, and how many bytes they have.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn blobs_size(&self) -> Result<(usize, u64)> {
        let (mut count, mut bytes) = (0, 0u64);
        for digest in self.names_in("blobs/sha256")? {
            // One that is removed meanwhile does not count.
            if let Ok(blob) = fs::metadata(self.blob_path(&digest)) {
                (count, bytes) = (count + 1, bytes.saturating_add(blob.len()));
            }
        }
        Ok((count, bytes))
    }

    /// The entries of the store's directory `dir` whose name is a digest; other entries are ignored.
    fn names_in(&self, dir: &str) -> Result<Vec<Digest>> {
        let path = self.root().join(dir);
        let mut digests = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_at("list", &path))? {
            let name = entry.map_err(io_at("list", &path))?.file_name();
            digests.extend(name.to_str().and_then(Digest::from_hex));
        }
        digests.sort();
        Ok(digests)
    }
}
