//! Assembling: makes an image of another image's layers, perhaps one more layer, and a configuration that the caller
//! writes. Builds use it for each step.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use oci_spec::image::MediaType;

#[cfg(doc)]
use super::error::StoreError;
use super::error::{Result, format_of, io_at, new_name};
use super::staging::Staging;
use super::{Container, Image, InUse, Store};
use crate::image::{self, Compression, Digest, INTERMEDIATE, ImageConfig, Manifest, Reference, platform_entry};
use crate::tar;

/// An image to assemble.
#[derive(Clone, Debug)]
pub struct Assembly<'a> {
    /// The image whose layers come first; `None`: there are none.
    pub base: Option<&'a Image>,
    /// May be empty.
    pub names: &'a [Reference],
    /// Whether it is a step on the way to another image, which lists do not show.
    pub intermediate: bool,
    /// How the new layer is stored.
    pub compression: Compression,
    /// The time that files of the new layer have at most, in seconds since 1970.
    pub latest: Option<i64>,
}

/// Makes the whole configuration; gets the diff ID of the new layer.
pub type MakeConfig<'a> = &'a dyn Fn(Option<Digest>) -> Result<Vec<u8>, image::Error>;

/// Writes the uncompressed tar of a layer.
type WriteLayer<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), tar::Error>;

impl Store {
    /// Makes an image without a new layer.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`StoreError::Format`] when `config` fails or names other layers.
    pub fn assemble(&self, new: &Assembly<'_>, config: MakeConfig<'_>) -> Result<Image> {
        self.assemble_with(new, None, config)
    }

    /// Makes an image with the changes of `container` as its new layer. Nothing else may use the container meanwhile.
    ///
    /// # Errors
    /// As [`Store::assemble`] and [`Store::changes`].
    pub fn assemble_container(
        &self,
        container: &Container,
        _in_use: &InUse,
        new: &Assembly<'_>,
        config: MakeConfig<'_>,
    ) -> Result<Image> {
        let image = self.image(&container.image.to_string())?;
        let policy = self.policy()?;
        let stack = self.stack(container, &image)?;
        let latest = new.latest;
        self.assemble_with(new, Some(&mut |to| tar::pack_until(stack.over(), policy, latest, to).map(drop)), config)
    }

    fn assemble_with(
        &self,
        new: &Assembly<'_>,
        write_layer: Option<WriteLayer<'_>>,
        config: MakeConfig<'_>,
    ) -> Result<Image> {
        let names = new.names.iter().map(new_name).collect::<Result<Vec<_>>>()?;
        let mut staging = Staging::begin(self)?;
        let base = match new.base {
            None => None,
            // Looked up again under the lock: the image may have been removed meanwhile.
            Some(base) => {
                let digest = self.image(&base.id.to_string())?.manifest.digest().try_into();
                Some(self.manifest(&digest.map_err(format_of("the image"))?)?)
            }
        };
        let layer = match write_layer {
            Some(write) => Some(self.pack(&mut staging, new.compression, write)?),
            None => None,
        };
        let json = config(layer.map(|(_, diff_id)| diff_id)).map_err(format_of("the configuration"))?;
        let blob = staging.document(&json)?;
        let layer = layer.map(|(layer, _)| layer);
        let manifest = match base {
            Some(base) => base.with(blob, layer),
            None => Manifest::new(blob, layer.as_slice()),
        };
        let manifest = manifest.map_err(format_of("the manifest"))?;
        let platform = ImageConfig::parse(&json, manifest.layers().len()).map(|config| platform_entry(&config));
        let manifest = staging.document(&manifest.to_json())?;
        let mut descriptor = manifest.descriptor(MediaType::ImageManifest).map_err(format_of("the manifest"))?;
        descriptor.set_platform(Some(platform.map_err(format_of("the configuration"))?));
        if new.intermediate {
            descriptor.set_annotations(Some([(INTERMEDIATE.to_owned(), "true".to_owned())].into()));
        }
        staging.publish(&[(descriptor, names)])?;
        self.image(&blob.digest.to_string())
    }

    /// The configuration of `image`, as it is stored: with fields that this crate does not know.
    ///
    /// # Errors
    /// [`StoreError::MissingBlob`], [`StoreError::DigestMismatch`], [`StoreError::Io`].
    pub fn config_json(&self, image: &Image) -> Result<Vec<u8>> {
        self.document("configuration", &image.id)
    }

    /// The image that an earlier step with the same `key` made; `None` if there is none any more.
    pub fn cached(&self, key: &Digest) -> Option<Image> {
        let id = fs::read_to_string(self.cache_path(key)).ok()?;
        let image = self.image(id.trim()).ok()?;
        self.check_layers(&image).is_ok().then_some(image)
    }

    /// Records the image that a step with this `key` made.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn cache(&self, key: &Digest, image: &Image) -> Result<()> {
        let path = self.cache_path(key);
        let written = self.temp_file(image.id.to_string().as_bytes())?;
        written.persist(&path).map_err(|error| io_at("write", &path)(error.error)).map(drop)
    }

    /// Forgets all steps of builds.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn forget_cache(&self) -> Result<()> {
        let dir = self.root().join(CACHE);
        for entry in fs::read_dir(&dir).map_err(io_at("list", &dir))? {
            let path = entry.map_err(io_at("list", &dir))?.path();
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn cache_path(&self, key: &Digest) -> PathBuf {
        self.root().join(CACHE).join(key.hex())
    }
}

/// Which image each step of a build made, by the step's key.
pub(super) const CACHE: &str = "build-cache";
