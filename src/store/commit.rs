//! Commit: makes a new image from an existing one and one more layer.

use std::io::{BufWriter, Write};

use oci_spec::image::MediaType;

use super::Store;
use super::error::{Result, StoreError, format_of, io_at, new_name};
use super::images::Image;
use super::staging::{Content, From, Staging};
use super::stream::{Compressor, Counted};
use crate::image::{
    Blob, Change, Compression, Digest, ImageConfig, Instant, Layer, NewLayer, Reference, platform_entry,
};
use crate::tar;

const BUFFER: usize = 128 << 10;

/// The name, history and configuration of the image that a commit makes.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// The name of the new image, without a digest: the digest comes from the content.
    pub name: Reference,
    /// Shown by `history` as the comment.
    pub message: Option<&'a str>,
    /// What made the layer, for instance a command line.
    pub created_by: &'a str,
    /// Changes to the configuration, applied in this order.
    pub changes: &'a [Change],
    /// How the new layer is stored.
    pub compression: Compression,
}

impl Store {
    /// Makes an image from `base` and one more layer, which `write_layer` writes as an uncompressed OCI layer
    /// tar. The layer is unpacked too, so that the image can be run.
    ///
    /// # Errors
    /// [`StoreError::Pack`] when `write_layer` fails; the errors of [`Store::load`] about layers; [`StoreError::Io`].
    pub fn commit(
        &self,
        base: &Image,
        new: &Commit<'_>,
        write_layer: &mut dyn FnMut(&mut dyn Write) -> Result<(), tar::Error>,
    ) -> Result<Image> {
        let name = new_name(&new.name)?;
        let mut staging = Staging::begin(self)?;
        // Looked up again under the lock: the image may have been removed meanwhile.
        let base = self.image(&base.id.to_string())?;
        let base_manifest: Digest = base.manifest.digest().try_into().map_err(format_of("the image"))?;
        let manifest = self.manifest(&base_manifest)?;
        let (layer, diff_id) = self.pack(&mut staging, new.compression, write_layer)?;

        let layer_of = NewLayer {
            diff_id,
            created: Instant::now(),
            created_by: new.created_by,
            comment: new.message.filter(|message| !message.is_empty()),
        };
        let old = self.document("configuration", &manifest.config().digest)?;
        let config = ImageConfig::extend(&old, &layer_of, new.changes).map_err(format_of("the configuration"))?;
        let platform = ImageConfig::parse(&config, manifest.layers().len() + 1).map(|config| platform_entry(&config));
        let platform = platform.map_err(format_of("the configuration"))?;
        let config = staging.document(&config)?;
        let manifest = manifest.with_layer(config, layer).map_err(format_of("the manifest"))?;
        let manifest = staging.document(&manifest.to_json())?;
        let mut descriptor = manifest.descriptor(MediaType::ImageManifest).map_err(format_of("the manifest"))?;
        descriptor.set_platform(Some(platform));
        staging.publish(&[(descriptor, vec![name])])?;
        self.image(&new.name.to_string())
    }

    /// Writes the layer's blob, then verifies and unpacks it as any other layer.
    pub(super) fn pack(
        &self,
        staging: &mut Staging<'_>,
        compression: Compression,
        write_layer: &mut dyn FnMut(&mut dyn Write) -> Result<(), tar::Error>,
    ) -> Result<(Layer, Digest)> {
        let file = self.empty_file()?;
        let failed = io_at("write a layer to", file.path());
        let compressor = Compressor::new(Counted::new(BufWriter::with_capacity(BUFFER, file.as_file())), compression);
        let mut tar = match compressor {
            Ok(compressor) => Counted::new(compressor),
            Err(error) => return Err(failed(error)),
        };
        write_layer(&mut tar).map_err(StoreError::Pack)?;
        let (compressor, diff_id, _) = tar.finish();
        let written = compressor.finish().and_then(|counted| {
            let (mut file, digest, size) = counted.finish();
            file.flush()?;
            Ok(Blob { digest, size })
        });
        let blob = written.map_err(failed)?;
        let content =
            Content { from: From::Spooled(file.path().into()), size: blob.size, name: blob.digest.to_string() };
        let layer = staging.ingest(content, Some(blob), diff_id, &mut |_| {})?;
        // The media type follows the requested compression, also when another image has this layer.
        Ok((Layer { compression, ..layer }, diff_id))
    }
}
