//! Media types: the format of the blob that a descriptor points to.

use oci_spec::image::MediaType;

use super::Error;

/// How the tar of a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip, which every tool reads.
    Gzip,
    /// zstd, smaller and faster than gzip.
    #[default]
    Zstd,
}

/// The kind of a document in an image layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A manifest: one image for one platform.
    Manifest,
    /// An index: manifests by platform.
    Index,
}

impl Compression {
    /// The number of bytes that [`Compression::sniff`] needs.
    pub const MAGIC: usize = 4;

    /// Tells the compression from the first bytes of a stream. Trust them, not the media type: some tools mislabel
    /// layers.
    pub fn sniff(magic: &[u8]) -> Compression {
        match magic {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A zstd frame, or the skippable frame that some writers put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The OCI media type of a layer with this compression.
    pub fn layer_type(self) -> MediaType {
        match self {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        }
    }

    /// The compression that the media type of a layer names.
    pub(super) fn of_layer(media_type: &MediaType) -> Result<Compression, Error> {
        use MediaType as M;
        match media_type {
            M::ImageLayer | M::ImageLayerNonDistributable => Ok(Compression::None),
            M::ImageLayerGzip | M::ImageLayerNonDistributableGzip => Ok(Compression::Gzip),
            M::ImageLayerZstd | M::ImageLayerNonDistributableZstd => Ok(Compression::Zstd),
            M::Other(name) => match name.strip_prefix("application/vnd.docker.image.rootfs.") {
                Some("diff.tar") => Ok(Compression::None),
                Some("diff.tar.gzip" | "foreign.diff.tar.gzip") => Ok(Compression::Gzip),
                Some("diff.tar.zstd") => Ok(Compression::Zstd),
                _ => Err(unknown("layer", media_type)),
            },
            _ => Err(unknown("layer", media_type)),
        }
    }
}

impl MediaKind {
    /// The kind that `media_type` names.
    ///
    /// # Errors
    /// [`Error::MediaType`] for any other type, for example an artifact.
    pub fn of(media_type: &MediaType) -> Result<MediaKind, Error> {
        match media_type {
            MediaType::ImageManifest => Ok(MediaKind::Manifest),
            MediaType::ImageIndex => Ok(MediaKind::Index),
            MediaType::Other(name) => match name.as_str() {
                "application/vnd.docker.distribution.manifest.v2+json" => Ok(MediaKind::Manifest),
                "application/vnd.docker.distribution.manifest.list.v2+json" => Ok(MediaKind::Index),
                _ => Err(unknown("manifest", media_type)),
            },
            _ => Err(unknown("manifest", media_type)),
        }
    }
}

/// Checks that `media_type` is the type of an image configuration.
pub(super) fn check_config(media_type: &MediaType) -> Result<(), Error> {
    match media_type {
        MediaType::ImageConfig => Ok(()),
        MediaType::Other(name) if name == "application/vnd.docker.container.image.v1+json" => Ok(()),
        _ => Err(unknown("configuration", media_type)),
    }
}

fn unknown(what: &'static str, found: &MediaType) -> Error {
    Error::MediaType { what, found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_docker_and_oci_are_known() {
        for (media_type, compression) in [
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.docker.image.rootfs.diff.tar", Compression::None),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compression::Gzip),
        ] {
            assert_eq!(Compression::of_layer(&media_type.into()), Ok(compression), "{media_type}");
        }
    }

    #[test]
    fn an_error_names_the_unknown_layer_type() {
        for media_type in ["application/wasm", "application/vnd.oci.image.config.v1+json", ""] {
            let error = Compression::of_layer(&media_type.into()).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown media type `{media_type}` of a layer"));
        }
    }

    #[test]
    fn magic_bytes_tell_the_compression() {
        assert_eq!(Compression::sniff(&[0x1f, 0x8b, 8, 0]), Compression::Gzip);
        assert_eq!(Compression::sniff(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(Compression::sniff(b"etc/"), Compression::None);
        assert_eq!(Compression::sniff(b""), Compression::None);
    }
}
