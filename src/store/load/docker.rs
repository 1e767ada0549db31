//! Archives of `docker save`: `manifest.json`, configurations, and layers of which only the diff IDs are known.

use std::path::Path;

use oci_spec::image::{Descriptor, MediaType};

use super::super::error::{Result, StoreError, format_of};
use super::super::staging::{OnProgress, Staging};
use super::source::Source;
use super::{Found, Parts};
use crate::image::docker::{self, Saved};
use crate::image::{Digest, ImageConfig, Manifest, Platform, Reference, platform_entry};

/// One image of the archive.
pub(super) struct Image {
    /// Paths in the archive, bottom first.
    layers: Vec<String>,
    config_json: Vec<u8>,
    config: ImageConfig,
}

/// The images that `manifest` lists.
pub(super) fn find(source: &Source, manifest: &[u8], platform: Option<&Platform>) -> Result<Vec<Found>> {
    let saved = docker::parse(manifest).map_err(format_of("manifest.json"))?;
    saved.into_iter().map(|saved| image(source, saved, platform)).collect()
}

fn image(source: &Source, saved: Saved, platform: Option<&Platform>) -> Result<Found> {
    let path = Path::new(&saved.config);
    let config_json = source.document(path)?.ok_or_else(|| StoreError::MissingMember { path: saved.config.clone() })?;
    let id = Digest::of(&config_json);
    // The file is named by its digest: `DIGEST.json`, or `DIGEST` in `blobs/sha256`.
    if let Some(expected) = path.file_stem().and_then(|stem| Digest::from_hex(stem.to_str()?))
        && expected != id
    {
        return Err(StoreError::DigestMismatch { what: "configuration", expected, found: id });
    }
    let config =
        ImageConfig::parse(&config_json, saved.layers.len()).map_err(format_of(format!("configuration {id}")))?;
    if let Some(wanted) = platform.filter(|wanted| wanted.rank(&config.platform()).is_none()) {
        return Err(StoreError::NoPlatform { wanted: wanted.clone(), found: config.platform().to_string() });
    }
    let named = |name: &String| {
        let parsed: Result<Reference, _> = name.parse();
        parsed.inspect_err(|error| tracing::warn!(%error, "left out a name")).ok()
    };
    let names = saved.repo_tags.iter().filter_map(named).collect();
    Ok(Found { names, id, parts: Parts::Docker(Box::new(Image { layers: saved.layers, config_json, config })) })
}

impl Image {
    /// Stages all parts and a new OCI manifest; returns the manifest's descriptor.
    pub(super) fn stage(
        &self,
        staging: &mut Staging<'_>,
        source: &Source,
        progress: OnProgress<'_>,
    ) -> Result<Descriptor> {
        let mut layers = Vec::new();
        for (path, diff_id) in self.layers.iter().zip(&self.config.diff_ids) {
            let missing = || StoreError::MissingMember { path: path.clone() };
            let open = || source.content(path.as_ref())?.ok_or_else(missing);
            layers.push(staging.layer_by_diff_id(*diff_id, open, progress)?);
        }
        let config = staging.document(&self.config_json)?;
        let manifest = Manifest::new(config, &layers).map_err(format_of("manifest"))?;
        let manifest = staging.document(&manifest.to_json())?;
        let mut descriptor = manifest.descriptor(MediaType::ImageManifest).map_err(format_of("manifest"))?;
        descriptor.set_platform(Some(platform_entry(&self.config)));
        Ok(descriptor)
    }
}
