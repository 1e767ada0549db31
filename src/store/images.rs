//! Images: listing, finding and removing them.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::PathBuf;

use oci_spec::image::{Descriptor, ImageConfiguration};

use super::error::{Result, StoreError, io_at, list};
use super::lock::Lock;
use super::{Store, container_names};
use crate::image::{Digest, INTERMEDIATE, Index, Instant, MediaKind, Reference, name_of};

/// An image that the store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Sorted; empty if it has no name, for instance because its name was given to another image.
    pub names: Vec<Reference>,
    /// The digest of the configuration.
    pub id: Digest,
    /// The manifest's descriptor, with the annotations of one of the names.
    pub manifest: Descriptor,
    /// The configuration.
    pub config: ImageConfiguration,
    /// Diff IDs, bottom first.
    pub layers: Vec<Digest>,
}

/// Keeps an image from being removed until it is dropped in this process and in those forked from it.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// The result of [`Store::remove_image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The names that were removed.
    pub untagged: Vec<Reference>,
    /// The image, if its last name was removed.
    pub deleted: Option<Digest>,
    /// The layers that were removed, because no other image has them.
    pub layers: Vec<Digest>,
}

/// One manifest that `index.json` lists.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub descriptor: Descriptor,
    pub manifest: Digest,
    pub name: Option<Reference>,
}

impl Image {
    /// The name that lists and messages show: the first name, or else the beginning of the ID.
    pub fn display_name(&self) -> String {
        self.names.first().map_or_else(|| self.id.short(), Reference::to_string)
    }

    /// Whether it is only a step of a build on the way to another image.
    pub fn is_intermediate(&self) -> bool {
        let annotations = self.manifest.annotations().as_ref();
        self.names.is_empty() && annotations.is_some_and(|all| all.contains_key(INTERMEDIATE))
    }

    /// When it was built; `None` if the configuration does not tell.
    pub fn created(&self) -> Option<Instant> {
        self.config.created().as_ref()?.parse().ok().filter(Instant::is_told)
    }
}

impl Store {
    /// All images, newest first.
    ///
    /// # Errors
    /// When `index.json` cannot be read. An image that cannot be read is left out, with a warning.
    pub fn images(&self) -> Result<Vec<Image>> {
        let mut images: BTreeMap<Digest, Image> = BTreeMap::new();
        for listed in self.listed()? {
            match self.read_image(&listed) {
                Ok(image) => images.entry(image.id).or_insert(image).names.extend(listed.name),
                Err(error) => tracing::warn!(manifest = %listed.manifest, %error, "left out an image"),
            }
        }
        let mut images: Vec<_> = images.into_values().collect();
        for image in &mut images {
            image.names.sort();
        }
        images.sort_by_key(|image| std::cmp::Reverse(image.created()));
        Ok(images)
    }

    /// The image that `reference` names: `NAME[:TAG]`, `NAME@DIGEST`, an ID or the beginning of one.
    ///
    /// # Errors
    /// [`StoreError::UnknownImage`] with the nearest name, [`StoreError::AmbiguousImage`].
    pub fn image(&self, reference: &str) -> Result<Image> {
        self.find_image(reference).map(|(image, _)| image)
    }

    /// The image, and its name if `reference` is a name.
    fn find_image(&self, reference: &str) -> Result<(Image, Option<Reference>)> {
        let listed = self.listed()?;
        if let Ok(name) = reference.parse::<Reference>() {
            // Podman gives the images that it builds the name `localhost/NAME`.
            let local = format!("localhost/{reference}").parse::<Reference>().ok();
            if let Some(found) = named(&listed, &name).or_else(|| named(&listed, local.as_ref()?)) {
                return Ok((self.whole_image(self.read_image(found)?, &listed), found.name.clone()));
            }
            if let Some(found) = by_digest(&listed, &name) {
                return Ok((self.whole_image(self.read_image(found)?, &listed), None));
            }
        }
        let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let mut found: Vec<Image> = Vec::new();
        for entry in listed.iter().filter(|_| is_hex) {
            let Ok(manifest) = self.manifest(&entry.manifest) else { continue };
            let id = manifest.config().digest;
            let fits = id.hex().starts_with(hex) || entry.manifest.hex().starts_with(hex);
            if fits && found.iter().all(|image| image.id != id) {
                found.push(self.read_image(entry)?);
            }
        }
        match <[Image; 1]>::try_from(found) {
            Ok([image]) => Ok((self.whole_image(image, &listed), None)),
            Err(found) if found.is_empty() => {
                Err(StoreError::UnknownImage { name: reference.into(), nearest: nearest(reference, &listed) })
            }
            Err(found) => {
                let matches = found.iter().map(|image| image.id.short()).collect::<Vec<_>>().join(", ");
                Err(StoreError::AmbiguousImage { id: reference.into(), matches })
            }
        }
    }

    /// Fills in all names of `image`.
    fn whole_image(&self, mut image: Image, listed: &[Listed]) -> Image {
        let same = |listed: &&Listed| match self.manifest(&listed.manifest) {
            Ok(manifest) => manifest.config().digest == image.id,
            Err(_) => false,
        };
        image.names = listed.iter().filter(same).filter_map(|listed| listed.name.clone()).collect();
        image.names.sort();
        image
    }

    fn read_image(&self, listed: &Listed) -> Result<Image> {
        let manifest = self.manifest(&listed.manifest)?;
        let config = self.config(&manifest)?;
        Ok(Image {
            names: Vec::new(),
            id: manifest.config().digest,
            manifest: listed.descriptor.clone(),
            config: config.document,
            layers: config.diff_ids,
        })
    }

    /// The manifests of `index.json`; entries of other kinds, which other tools may have added, are skipped.
    pub(super) fn listed(&self) -> Result<Vec<Listed>> {
        let index = self.index()?;
        let manifests = index.manifests().iter().filter_map(|descriptor| {
            let is_manifest = MediaKind::of(descriptor.media_type()) == Ok(MediaKind::Manifest);
            let manifest = descriptor.digest().try_into().ok().filter(|_| is_manifest)?;
            Some(Listed { descriptor: descriptor.clone(), manifest, name: name_of(descriptor) })
        });
        Ok(manifests.collect())
    }

    /// The configuration of `image` as it was written, with fields that [`Image::config`] does not have.
    ///
    /// # Errors
    /// [`StoreError::MissingBlob`], [`StoreError::DigestMismatch`], [`StoreError::Io`].
    pub fn configuration(&self, image: &Image) -> Result<Vec<u8>> {
        self.document("configuration", &image.id)
    }

    /// The unpacked layers of `image`, topmost first: the lower directories of a union.
    pub fn lower_dirs(&self, image: &Image) -> Vec<PathBuf> {
        image.layers.iter().rev().map(|diff_id| self.layer_fs(diff_id)).collect()
    }

    /// Bytes of file content in all layers of `image`, including layers that other images share.
    pub fn image_bytes(&self, image: &Image) -> u64 {
        image.layers.iter().map(|diff_id| self.layer_bytes(diff_id)).sum()
    }

    /// Keeps `image` from being removed, for a mount without a container.
    ///
    /// # Errors
    /// [`StoreError::UnknownImage`] when it was removed meanwhile; [`StoreError::MissingLayer`]; [`StoreError::Io`].
    pub fn hold(&self, image: &Image) -> Result<Held> {
        let _lock = self.lock_shared()?;
        self.image(&image.id.to_string())?;
        self.check_layers(image)?;
        let path = self.blob_path(&image.id);
        let file = File::open(&path).map_err(io_at("open", &path))?;
        file.lock_shared().map_err(io_at("lock", &path))?;
        Ok(Held { _file: file })
    }

    fn is_held(&self, id: &Digest) -> bool {
        let file = File::open(self.blob_path(id));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Checks that all layers are unpacked. Those of an image that another tool put into the layout are not.
    pub(super) fn check_layers(&self, image: &Image) -> Result<()> {
        match image.layers.iter().find(|diff_id| !self.layer_fs(diff_id).is_dir()) {
            Some(diff_id) => Err(StoreError::MissingLayer { image: image.display_name(), diff_id: *diff_id }),
            None => Ok(()),
        }
    }

    /// Removes a name of an image, and the image itself with its last name.
    ///
    /// An ID means the image's only name, or with `force` all its names.
    ///
    /// # Errors
    /// [`StoreError::ImageInUse`] with the names of the containers, [`StoreError::ImageMounted`],
    /// [`StoreError::SeveralNames`], and the errors of [`Store::image`].
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Removed> {
        let _lock = self.lock_exclusive()?;
        let _names = Lock::names(self.root())?;
        let (image, name) = self.find_image(reference)?;
        let untagged = match name {
            Some(name) => vec![name],
            None if image.names.len() > 1 && !force => {
                return Err(StoreError::SeveralNames { id: image.id.short(), names: list(&image.names) });
            }
            None => image.names.clone(),
        };
        let last = untagged.len() == image.names.len();
        if last {
            let by: Vec<_> = self.containers()?.into_iter().filter(|c| c.image == image.id).map(|c| c.name).collect();
            if !by.is_empty() {
                return Err(StoreError::ImageInUse { image: image.display_name(), by });
            }
            if self.is_held(&image.id) {
                return Err(StoreError::ImageMounted { image: image.display_name() });
            }
        }
        let of_image = |listed: &Listed| self.manifest(&listed.manifest).is_ok_and(|m| m.config().digest == image.id);
        let doomed = |listed: &Listed| match &listed.name {
            Some(name) => untagged.contains(name),
            None => last && of_image(listed),
        };
        let doomed: Vec<_> = self.listed()?.into_iter().filter(doomed).map(|listed| listed.descriptor).collect();
        let mut index = self.index()?;
        index.retain(|descriptor| !doomed.contains(descriptor));
        let reached = self.reached(&index)?;
        self.write_index(&index)?;
        let layers = self.collect(&reached)?;
        Ok(Removed { untagged, deleted: last.then_some(image.id), layers })
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<()> {
        let path = self.root().join("index.json");
        let written = self.temp_file(&index.to_json())?;
        written.persist(&path).map_err(|error| io_at("write", &path)(error.error))?;
        Ok(())
    }
}

/// The entry named `wanted`. If there is none and `wanted` has no digest: the entry with its repository and tag, and
/// with any digest.
fn named<'a>(listed: &'a [Listed], wanted: &Reference) -> Option<&'a Listed> {
    let find = |is: &dyn Fn(&Reference) -> bool| listed.iter().find(|listed| listed.name.as_ref().is_some_and(is));
    let tagged = |name: &Reference| name.is_beside(wanted) && name.tag() == wanted.tag();
    find(&|name| name == wanted).or_else(|| find(&tagged).filter(|_| wanted.digest().is_none()))
}

/// The entry with the repository and the digest of `wanted`. The tag is ignored, as in Docker.
fn by_digest<'a>(listed: &'a [Listed], wanted: &Reference) -> Option<&'a Listed> {
    let digest = wanted.digest()?;
    listed.iter().find(|listed| {
        let name = listed.name.as_ref().filter(|name| name.is_beside(wanted));
        name.is_some_and(|name| listed.manifest == digest || name.digest() == Some(digest))
    })
}

/// The listed name nearest to `typed`, which may leave out the tag `latest`.
fn nearest(typed: &str, listed: &[Listed]) -> Option<String> {
    let names = listed.iter().filter_map(|listed| listed.name.as_ref());
    let spelled: Vec<String> = names
        .flat_map(|name| {
            let short = (name.tag() == Some("latest")).then(|| name.familiar_name());
            [Some(name.to_string()), short]
        })
        .flatten()
        .collect();
    container_names::nearest(typed, spelled.iter().map(String::as_str))
}
