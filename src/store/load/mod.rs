//! Loading: brings the images of an archive or a directory into the store, all of them or none.
//!
//! The input is an OCI image layout or the output of `docker save`. Current versions of `docker save` write
//! both into one archive; then the layout is used. Loading has two steps: the first reads only documents and
//! makes a list of [`Found`] images; the second stages their layers one by one.

mod docker;
mod layout;
mod source;

use std::io::Read;
use std::path::Path;

use oci_spec::image::Descriptor;

use super::Store;
use super::error::{Result, StoreError, list, new_name};
use super::staging::{OnProgress, Progress, Staging};
use crate::image::{Digest, Platform, Reference};
use source::Source;

/// Where images come from.
pub enum Input<'a> {
    /// A directory, or an archive that may be compressed.
    Path(&'a Path),
    /// An archive; its members may come in any order.
    Stream(&'a mut dyn Read),
}

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// The name for the image, in place of the names in the input.
    pub tag: Option<Reference>,
    /// The platform to load; `None` means the host's.
    pub platform: Option<Platform>,
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The names that it got; may be empty.
    pub names: Vec<Reference>,
    /// The digest of its configuration.
    pub id: Digest,
}

/// An image of the input, ready to be staged.
struct Found {
    names: Vec<Reference>,
    id: Digest,
    parts: Parts,
}

enum Parts {
    Layout(Box<layout::Image>),
    Docker(Box<docker::Image>),
}

impl Store {
    /// Loads every image of `input`.
    ///
    /// # Errors
    /// What is wrong with the input, with the digests that differ. The store is then unchanged.
    pub fn load(&self, input: Input<'_>, options: &Load, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Loaded>> {
        let mut staging = Staging::begin(self)?;
        let source = Source::open(self, input)?;
        let mut found = if let Some(index) = source.document("index.json".as_ref())? {
            layout::find(&source, &index, options.platform.as_ref())?
        } else if let Some(manifest) = source.document("manifest.json".as_ref())? {
            docker::find(&source, &manifest, options.platform.as_ref())?
        } else {
            return Err(StoreError::NotAnImage { input: source.name().into() });
        };
        if found.is_empty() {
            return Err(StoreError::Empty { input: source.name().into() });
        }
        if let Some(tag) = &options.tag {
            give(tag, &mut found, source.name())?;
        }
        let mut images = Vec::new();
        let mut loaded = Vec::new();
        for Found { names, id, parts } in found {
            let manifest = stage(&mut staging, &source, &parts, progress)?;
            loaded.push(Loaded { names: names.clone(), id });
            images.push((manifest, names));
        }
        staging.publish(&images)?;
        Ok(loaded)
    }
}

fn stage(staging: &mut Staging<'_>, source: &Source, parts: &Parts, progress: OnProgress<'_>) -> Result<Descriptor> {
    match parts {
        Parts::Layout(image) => image.stage(staging, source, progress),
        Parts::Docker(image) => image.stage(staging, source, progress),
    }
}

/// Gives the one image of `input` the name `tag`.
fn give(tag: &Reference, found: &mut [Found], input: &str) -> Result<()> {
    let count = found.len();
    match found {
        [image] => {
            image.names = vec![new_name(tag)?];
            Ok(())
        }
        several => {
            let names = list(several.iter().flat_map(|image| &image.names));
            Err(StoreError::SeveralImages { input: input.into(), count, names })
        }
    }
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Input::Stream(_) => f.write_str("Stream"),
        }
    }
}
