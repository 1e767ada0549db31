//! Manifests: the list of blobs that make up an image.

use oci_spec::image as oci;

use super::{Compression, Digest, Error, MediaKind, from_json, media, to_json};

/// The digest and size of a blob, from its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The digest of the stored bytes.
    pub digest: Digest,
    /// The number of stored bytes.
    pub size: u64,
}

impl Blob {
    /// The blob that holds `bytes`.
    pub fn of(bytes: &[u8]) -> Blob {
        Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    /// A descriptor of this blob with media type `kind`.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn descriptor(self, kind: oci::MediaType) -> Result<oci::Descriptor, Error> {
        let digest = self.digest.to_string();
        let digest = oci::Digest::try_from(digest.as_str()).map_err(|_| Error::Digest(digest))?;
        Ok(oci::Descriptor::new(kind, self.size, digest))
    }
}

impl TryFrom<&oci::Descriptor> for Blob {
    type Error = Error;

    fn try_from(descriptor: &oci::Descriptor) -> Result<Blob, Error> {
        Ok(Blob { digest: descriptor.digest().try_into()?, size: descriptor.size() })
    }
}

/// One layer: its tar, perhaps compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob of the compressed tar.
    pub blob: Blob,
    /// The compression of the tar.
    pub compression: Compression,
}

/// A checked manifest: every part has a type that this crate can read.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    document: oci::ImageManifest,
    config: Blob,
    layers: Vec<Layer>,
}

impl Manifest {
    /// Reads an OCI manifest or a docker schema 2 manifest.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::MediaType`] for the manifest, the configuration or a layer; [`Error::Digest`] or
    /// [`Error::Algorithm`] for a digest.
    pub fn parse(json: &[u8]) -> Result<Manifest, Error> {
        Manifest::check(from_json("manifest", json)?)
    }

    /// An OCI manifest; `layers` are given bottom first.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn new(config: Blob, layers: &[Layer]) -> Result<Manifest, Error> {
        let layers = layers.iter().map(|layer| layer.blob.descriptor(layer.compression.layer_type()));
        let document = oci::ImageManifestBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::ImageManifest)
            .config(config.descriptor(oci::MediaType::ImageConfig)?)
            .layers(layers.collect::<Result<Vec<_>, _>>()?)
            .build()
            .map_err(|e| Error::Json { what: "manifest", reason: e.to_string() })?;
        Manifest::check(document)
    }

    /// The manifest of an image that adds `layer` on top, with the new configuration `config`.
    ///
    /// Converts docker's media types to OCI's, because readers refuse manifests that mix them.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn with_layer(&self, config: Blob, layer: Layer) -> Result<Manifest, Error> {
        self.with(config, Some(layer))
    }

    /// As [`with_layer`](Self::with_layer), perhaps without a new layer.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn with(&self, config: Blob, layer: Option<Layer>) -> Result<Manifest, Error> {
        let mut document = self.document.clone();
        document.set_schema_version(oci::SCHEMA_VERSION).set_media_type(Some(oci::MediaType::ImageManifest));
        document.set_config(config.descriptor(oci::MediaType::ImageConfig)?);
        for layer in document.layers_mut() {
            let kind = Compression::of_layer(layer.media_type())?.layer_type();
            layer.set_media_type(kind);
        }
        if let Some(layer) = layer {
            document.layers_mut().push(layer.blob.descriptor(layer.compression.layer_type())?);
        }
        Manifest::check(document)
    }

    fn check(document: oci::ImageManifest) -> Result<Manifest, Error> {
        if document.schema_version() != oci::SCHEMA_VERSION {
            let reason = format!("schema version {} is not supported: only 2 is", document.schema_version());
            return Err(Error::Json { what: "manifest", reason });
        }
        // Otherwise one reader could take the document for a manifest and another for an index.
        if let Some(found) = document.media_type()
            && MediaKind::of(found)? != MediaKind::Manifest
        {
            return Err(Error::MediaType { what: "manifest", found: found.to_string() });
        }
        media::check_config(document.config().media_type())?;
        let config = Blob::try_from(document.config())?;
        let layers = document.layers().iter().map(|layer| {
            Ok(Layer { compression: Compression::of_layer(layer.media_type())?, blob: layer.try_into()? })
        });
        let layers = layers.collect::<Result<_, Error>>()?;
        Ok(Manifest { document, config, layers })
    }

    /// The blob of the image's configuration.
    pub fn config(&self) -> Blob {
        self.config
    }

    /// The layers, bottom first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The document, with its keys sorted: equal manifests have equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Blob = Blob { digest: Digest::ZERO, size: 7 };
    const GZIPPED: Layer = Layer { blob: BLOB, compression: Compression::Gzip };

    fn manifest(schema: u32, kind: &str, config: &str, layer: &str) -> Result<Manifest, Error> {
        let digest = BLOB.digest;
        let json = format!(
            r#"{{"schemaVersion": {schema}, "mediaType": "{kind}",
                "config": {{"mediaType": "{config}", "digest": "{digest}", "size": 7}},
                "layers": [{{"mediaType": "{layer}", "digest": "{digest}", "size": 7}}]}}"#
        );
        Manifest::parse(json.as_bytes())
    }

    const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    #[test]
    fn a_written_manifest_reads_back_equal() {
        let written = Manifest::new(BLOB, &[GZIPPED]).unwrap();
        assert_eq!(Manifest::parse(&written.to_json()), Ok(written.clone()));
        assert_eq!(manifest(2, KIND, CONFIG, GZIP), Ok(written));
    }

    #[test]
    fn a_layer_added_to_a_docker_image_gives_an_oci_manifest() {
        let zstd = Layer { blob: BLOB, compression: Compression::Zstd };
        let docker = manifest(
            2,
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        );
        let top = docker.unwrap().with_layer(BLOB, zstd).unwrap();
        let expected = Manifest::new(BLOB, &[GZIPPED, zstd]).unwrap();
        assert_eq!(top, expected);
    }

    #[test]
    fn unreadable_manifests_are_refused() {
        for (given, error) in [
            (manifest(1, KIND, CONFIG, GZIP), "malformed manifest: schema version 1 is not supported: only 2 is"),
            (manifest(2, CONFIG, CONFIG, GZIP), &*format!("unknown media type `{CONFIG}` of a manifest")),
            (manifest(2, KIND, "text/plain", GZIP), "unknown media type `text/plain` of a configuration"),
            (manifest(2, KIND, CONFIG, "text/plain"), "unknown media type `text/plain` of a layer"),
            (Manifest::parse(b"{"), "malformed manifest: EOF while parsing an object at line 1 column 1"),
        ] {
            assert_eq!(given.unwrap_err().to_string(), error);
        }
    }
}
