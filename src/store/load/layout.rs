//! OCI image layouts: finds the manifests for the wanted platform, beginning at `index.json`.

use std::collections::HashSet;
use std::path::PathBuf;

use oci_spec::image::Descriptor;

use super::super::error::{Result, StoreError, format_of};
use super::super::staging::{OnProgress, Staging};
use super::source::Source;
use super::{Found, Parts};
use crate::image::{
    Blob, Digest, Error, ImageConfig, Index, Manifest, MediaKind, Named, Platform, Reference, candidates, named,
    platform_entry,
};

/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;

/// One image of a layout.
pub(super) struct Image {
    descriptor: Descriptor,
    manifest_json: Vec<u8>,
    manifest: Manifest,
    config_json: Vec<u8>,
    config: ImageConfig,
}

/// The images that `index` lists, each for the wanted platform.
pub(super) fn find(source: &Source, index: &[u8], platform: Option<&Platform>) -> Result<Vec<Found>> {
    let index = Index::parse(index).map_err(format_of("index.json"))?;
    let mut found: Vec<Found> = Vec::new();
    let mut refused = None;
    for (name, group) in groups(index.manifests()) {
        let mut search = Search::new(source, platform, group.len() == 1);
        let Some(image) = search.select(&group, 0)? else {
            refused = refused.or(Some(search.refusal()));
            continue;
        };
        let names = reference(name, source.stem());
        let id = image.manifest.config().digest;
        match found.iter_mut().find(|other| other.id == id) {
            Some(other) => other.names.extend(names),
            None => found.push(Found { names: names.into_iter().collect(), id, parts: Parts::Layout(Box::new(image)) }),
        }
    }
    match refused {
        Some(error) if found.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(%error, "left out a part of the layout");
            Ok(found)
        }
        None => Ok(found),
    }
}

/// Groups the manifests that are one image for several platforms: those with the same name, and those that have a
/// platform but no name. A manifest with neither is a group of its own.
fn groups(manifests: &[Descriptor]) -> Vec<(Named, Vec<&Descriptor>)> {
    let mut groups: Vec<(Named, Vec<&Descriptor>)> = Vec::new();
    for manifest in manifests {
        let name = named(manifest);
        let alone = name == Named::Not && manifest.platform().is_none();
        match groups.iter_mut().find(|(other, _)| !alone && *other == name) {
            Some((_, group)) => group.push(manifest),
            None => groups.push((name, vec![manifest])),
        }
    }
    groups
}

/// The name that an image gets. If the layout gives only a tag, the repository is the layout's file name.
fn reference(name: Named, stem: Option<&str>) -> Option<Reference> {
    let parsed = match &name {
        Named::Not => return None,
        Named::Whole(name) => name.parse(),
        Named::Tag(tag) => match stem.map(|stem| Reference::new(&stem.to_lowercase(), tag)) {
            Some(Ok(reference)) => Ok(reference),
            _ => tag.parse(),
        },
    };
    parsed.inspect_err(|error| tracing::warn!(%error, "left out a name")).ok()
}

/// A search from an index down to one manifest.
struct Search<'a> {
    source: &'a Source,
    wanted: Platform,
    /// Accept a manifest for another platform: it is the only one, and the user asked for no platform.
    lenient: bool,
    visited: HashSet<Digest>,
    /// The other platforms that were found.
    others: Vec<String>,
    /// The first error about a manifest that is not an image and was skipped.
    no_image: Option<StoreError>,
}

impl<'a> Search<'a> {
    fn new(source: &'a Source, platform: Option<&Platform>, only: bool) -> Search<'a> {
        Search {
            source,
            wanted: platform.cloned().unwrap_or_else(Platform::host),
            lenient: platform.is_none() && only,
            visited: HashSet::new(),
            others: Vec::new(),
            no_image: None,
        }
    }

    /// The image among `offered` that fits the platform best; also searches nested indexes.
    fn select(&mut self, offered: &[&Descriptor], depth: usize) -> Result<Option<Image>> {
        if depth > DEPTH_MAX {
            return Err(StoreError::TooDeep { limit: DEPTH_MAX });
        }
        let chosen = candidates(offered, &self.wanted);
        for other in offered.iter().filter(|other| !chosen.contains(other)) {
            self.others.extend(other.platform().as_ref().map(|platform| Platform::from(platform).to_string()));
        }
        for descriptor in chosen {
            let what = descriptor.digest().to_string();
            let blob = Blob::try_from(descriptor).map_err(format_of(what.as_str()))?;
            // Visits each digest once: an index that is listed thousands of times would take for ever.
            if !self.visited.insert(blob.digest) {
                continue;
            }
            let selected = match MediaKind::of(descriptor.media_type()) {
                Ok(MediaKind::Index) => {
                    let index = Index::parse(&document(self.source, "index", blob)?).map_err(format_of(what))?;
                    self.lenient = false;
                    self.select(&index.manifests().iter().collect::<Vec<_>>(), depth + 1)?
                }
                Ok(MediaKind::Manifest) => self.image(descriptor, blob)?,
                Err(error) => {
                    self.no_image.get_or_insert(format_of(what)(error));
                    None
                }
            };
            if selected.is_some() {
                return Ok(selected);
            }
        }
        Ok(None)
    }

    /// The image with the manifest `blob`, if it is an image and fits the platform.
    fn image(&mut self, descriptor: &Descriptor, blob: Blob) -> Result<Option<Image>> {
        let what = format!("manifest {}", blob.digest);
        let manifest_json = document(self.source, "manifest", blob)?;
        let manifest = match Manifest::parse(&manifest_json) {
            // Not an image, but for instance a signature or a Helm chart.
            Err(error @ Error::MediaType { .. }) => {
                self.no_image.get_or_insert(format_of(what)(error));
                return Ok(None);
            }
            other => other.map_err(format_of(what))?,
        };
        let config_json = document(self.source, "configuration", manifest.config())?;
        let what = format!("configuration {}", manifest.config().digest);
        let config = ImageConfig::parse(&config_json, manifest.layers().len()).map_err(format_of(what))?;
        // If the index names the platform, `candidates` has checked it already.
        if descriptor.platform().is_none() && self.wanted.rank(&config.platform()).is_none() {
            if !self.lenient {
                self.others.push(config.platform().to_string());
                return Ok(None);
            }
            tracing::warn!(platform = %config.platform(), "the image is for another kind of machine");
        }
        Ok(Some(Image { descriptor: descriptor.clone(), manifest_json, manifest, config_json, config }))
    }

    /// The error for a search that selected nothing.
    fn refusal(self) -> StoreError {
        let mut others = self.others;
        others.retain(|platform| platform != "unknown/unknown");
        others.dedup();
        match self.no_image {
            Some(error) if others.is_empty() => error,
            _ if others.is_empty() => StoreError::Empty { input: self.source.name().into() },
            _ => StoreError::NoPlatform { wanted: self.wanted, found: others.join(", ") },
        }
    }
}

impl Image {
    /// Stages all parts; returns the manifest's descriptor.
    pub(super) fn stage(
        &self,
        staging: &mut Staging<'_>,
        source: &Source,
        progress: OnProgress<'_>,
    ) -> Result<Descriptor> {
        for (layer, diff_id) in self.manifest.layers().iter().zip(&self.config.diff_ids) {
            let open = || source.content(&path(&layer.blob.digest));
            staging.layer(layer.blob, *diff_id, open, progress)?;
        }
        staging.document(&self.config_json)?;
        let manifest = staging.document(&self.manifest_json)?;
        let kind = self.descriptor.media_type().clone();
        let mut descriptor = manifest.descriptor(kind).map_err(format_of("manifest"))?;
        descriptor.set_platform(Some(platform_entry(&self.config)));
        Ok(descriptor)
    }
}

fn path(digest: &Digest) -> PathBuf {
    PathBuf::from("blobs/sha256").join(digest.hex())
}

/// Reads the document `blob` and verifies its size and digest.
fn document(source: &Source, what: &'static str, blob: Blob) -> Result<Vec<u8>> {
    let missing = StoreError::MissingBlob { what, digest: blob.digest };
    let bytes = source.document(&path(&blob.digest))?.ok_or(missing)?;
    let found = Blob::of(&bytes);
    if found.size != blob.size {
        let (digest, expected, found) = (blob.digest, blob.size, found.size);
        return Err(StoreError::SizeMismatch { what, digest, expected, found });
    }
    if found.digest != blob.digest {
        return Err(StoreError::DigestMismatch { what, expected: blob.digest, found: found.digest });
    }
    Ok(bytes)
}
