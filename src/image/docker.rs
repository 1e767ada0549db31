//! The `manifest.json` in an archive written by `docker save`.

use serde::Deserialize;

use super::{Error, from_json};

/// One image of the archive; paths are paths of archive members.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    /// The path of the configuration.
    pub config: String,
    /// Names in the form `REPOSITORY:TAG`; empty for an image that was saved by its ID.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub repo_tags: Vec<String>,
    /// The paths of the layers, bottom first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<String>,
}

/// Reads the list of images.
///
/// # Errors
/// [`Error::Json`].
pub fn parse(json: &[u8]) -> Result<Vec<Saved>, Error> {
    from_json("manifest.json", json)
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_names_has_null_for_tags() {
        let json = br#"[{"Config": "a.json", "RepoTags": null, "Layers": ["a/layer.tar"]}]"#;
        let saved = Saved { config: "a.json".into(), repo_tags: vec![], layers: vec!["a/layer.tar".into()] };
        assert_eq!(parse(json), Ok(vec![saved]));
    }
}
