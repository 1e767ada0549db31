//! Image configurations: the layers of an image, its history, and how to run it.

use oci_spec::image as oci;
use serde_json::Value;

use super::{Change, Digest, Error, Instant, Platform, change, from_json};

/// A configuration that was checked against its manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageConfig {
    /// The whole configuration.
    pub document: oci::ImageConfiguration,
    /// The digests of the uncompressed layers, bottom first.
    pub diff_ids: Vec<Digest>,
}

/// The layer that a commit adds.
#[derive(Clone, Debug)]
pub struct NewLayer<'a> {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The time when the layer was made.
    pub created: Instant,
    /// What made the layer, as `history` shows it: for example a command line.
    pub created_by: &'a str,
    /// The comment that `history` shows.
    pub comment: Option<&'a str>,
}

impl ImageConfig {
    /// Reads the configuration of an image whose manifest has `layers` layers.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Digest`], [`Error::RootFs`], [`Error::LayerCount`].
    pub fn parse(json: &[u8], layers: usize) -> Result<ImageConfig, Error> {
        let document: oci::ImageConfiguration = from_json("configuration", json)?;
        if document.rootfs().typ() != "layers" {
            return Err(Error::RootFs(document.rootfs().typ().clone()));
        }
        let diff_ids = document.rootfs().diff_ids().iter().map(|id| id.parse()).collect::<Result<Vec<_>, _>>()?;
        if diff_ids.len() != layers {
            return Err(Error::LayerCount { manifest: layers, config: diff_ids.len() });
        }
        Ok(ImageConfig { document, diff_ids })
    }

    /// The platform that the image is built for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.document.os().to_string(),
            architecture: self.document.architecture().to_string(),
            variant: self.document.variant().clone().filter(|variant| !variant.is_empty()),
        }
    }

    /// The configuration of an image that adds `layer` to the image with configuration `base`, then applies `changes`.
    ///
    /// Keeps fields of `base` that the specification does not define (`Healthcheck`, `OnBuild`, `Shell`).
    ///
    /// # Errors
    /// [`Error::Json`] when `base` is malformed.
    pub fn extend(base: &[u8], layer: &NewLayer<'_>, changes: &[Change]) -> Result<Vec<u8>, Error> {
        let all: Value = from_json("configuration", base)?;
        let mut document: oci::ImageConfiguration = from_json("configuration", base)?;
        let known = value_of(&document)?;

        let created = layer.created.to_string();
        let mut entry = oci::History::default();
        entry.set_created(Some(created.clone())).set_created_by(Some(layer.created_by.into()));
        entry.set_comment(layer.comment.map(Into::into));
        document.history_mut().get_or_insert_default().push(entry);
        document.rootfs_mut().diff_ids_mut().push(layer.diff_id.to_string());
        document.set_created(Some(created));
        let mut config = document.config().clone().unwrap_or_default();
        change::apply(changes, &mut config);
        document.set_config(Some(config));

        let mut changed = value_of(&document)?;
        carry(&all, &known, &mut changed);
        Ok(changed.to_string().into_bytes())
    }
}

/// The platform entry in an index for an image with this configuration.
pub fn platform_entry(config: &ImageConfig) -> oci::Platform {
    let mut platform = oci::Platform::default();
    platform.set_architecture(config.document.architecture().clone()).set_os(config.document.os().clone());
    platform.set_variant(config.platform().variant);
    platform
}

fn value_of(document: &oci::ImageConfiguration) -> Result<Value, Error> {
    serde_json::to_value(document).map_err(|e| Error::Json { what: "configuration", reason: e.to_string() })
}

/// Copies into `to` what `all` has and `known`, its parsed form, lacks.
fn carry(all: &Value, known: &Value, to: &mut Value) {
    let (Value::Object(all), Value::Object(to)) = (all, to) else { return };
    for (key, value) in all {
        match (known.get(key), to.get_mut(key)) {
            (None, None) => drop(to.insert(key.clone(), value.clone())),
            (Some(known), Some(to)) => carry(value, known, to),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"{
        "architecture": "amd64", "os": "linux", "docker_version": "27",
        "config": {"Env": ["A=1"], "Cmd": ["sh"], "Labels": null, "Healthcheck": {"Test": ["NONE"]}},
        "rootfs": {"type": "layers", "diff_ids": []}
    }"#;

    #[test]
    fn a_commit_keeps_unknown_fields() {
        let layer = NewLayer { diff_id: Digest::ZERO, created: Instant::EPOCH, created_by: "sh", comment: Some("why") };
        let json = ImageConfig::extend(BASE.as_bytes(), &layer, &["CMD [\"x\"]".parse().unwrap()]).unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        let expected = serde_json::json!({
            "architecture": "amd64", "os": "linux", "docker_version": "27", "created": "1970-01-01T00:00:00Z",
            "config": {"Env": ["A=1"], "Cmd": ["x"], "Labels": null, "Healthcheck": {"Test": ["NONE"]}},
            "rootfs": {"type": "layers", "diff_ids": [Digest::ZERO.to_string()]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "sh", "comment": "why"}],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_configuration_must_name_the_layers_of_its_manifest() {
        let count = Error::LayerCount { manifest: 2, config: 0 };
        assert_eq!(ImageConfig::parse(BASE.as_bytes(), 2), Err(count));
        let other = BASE.replace("layers", "tarball");
        assert_eq!(ImageConfig::parse(other.as_bytes(), 0), Err(Error::RootFs("tarball".into())));
    }
}
