//! Indexes: lists of manifests, by name or by platform.

use std::collections::HashSet;

use oci_spec::image as oci;

use super::{Error, MediaKind, Platform, Reference, from_json, to_json};

/// The annotation with the full name of an image, with registry and repository, as containerd and docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The annotation of an image that is only a step on the way to another one.
pub const INTERMEDIATE: &str = "io.github.overfuse.intermediate";

/// The image name in a descriptor's annotations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A repository, perhaps with a tag.
    Whole(String),
    /// Only a tag, or another text that the writer of the layout put there.
    Tag(String),
    /// No name.
    Not,
}

/// An index, or the list of images of a layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    document: oci::ImageIndex,
}

impl Index {
    /// An index of `manifests`.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn new(manifests: Vec<oci::Descriptor>) -> Result<Index, Error> {
        let document = oci::ImageIndexBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::ImageIndex)
            .manifests(manifests)
            .build()
            .map_err(|e| Error::Json { what: "index", reason: e.to_string() })?;
        Ok(Index { document })
    }

    /// Reads an OCI index or a docker manifest list.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::MediaType`] when the document has another media type.
    pub fn parse(json: &[u8]) -> Result<Index, Error> {
        let document: oci::ImageIndex = from_json("index", json)?;
        if let Some(found) = document.media_type()
            && MediaKind::of(found)? != MediaKind::Index
        {
            return Err(Error::MediaType { what: "index", found: found.to_string() });
        }
        Ok(Index { document })
    }

    /// The document, with its keys sorted: equal indexes have equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.document)
    }

    /// All manifests, in the order in which the document lists them.
    pub fn manifests(&self) -> &[oci::Descriptor] {
        self.document.manifests()
    }

    /// Keeps only the manifests for which `keep` returns true.
    pub fn retain(&mut self, keep: impl FnMut(&oci::Descriptor) -> bool) {
        let mut manifests = self.manifests().to_vec();
        manifests.retain(keep);
        self.document.set_manifests(manifests);
    }

    /// Lists `manifest` under `names`, or under none.
    ///
    /// A manifest that had one of the names loses it. A manifest that loses its last name stays in the index without a
    /// name.
    pub fn add(&mut self, manifest: &oci::Descriptor, names: &[Reference]) {
        let mut manifests = self.manifests().to_vec();
        for old in &mut manifests {
            if name_of(old).is_some_and(|name| names.contains(&name)) {
                old.set_annotations(None);
            }
        }
        manifests.extend(names.iter().map(|name| {
            let mut named = manifest.clone();
            // Users of skopeo and podman type the familiar name after the path of the layout.
            let annotations =
                [(oci::ANNOTATION_REF_NAME.to_owned(), name.to_string()), (CONTAINERD_NAME.to_owned(), name.whole())];
            named.set_annotations(Some(annotations.into()));
            named
        }));
        manifests.push(manifest.clone());
        // A manifest has an entry without a name only if it has no other entry, and only once.
        let mut seen: HashSet<_> =
            manifests.iter().filter(|d| name_of(d).is_some()).map(|d| d.digest().clone()).collect();
        manifests.retain(|d| name_of(d).is_some() || seen.insert(d.digest().clone()));
        self.document.set_manifests(manifests);
    }
}

/// The manifests among `offered` that may serve `wanted`, the best first.
///
/// Manifests without a platform come last: only their configurations name it.
pub fn candidates<'a>(offered: &[&'a oci::Descriptor], wanted: &Platform) -> Vec<&'a oci::Descriptor> {
    let rank = |descriptor: &oci::Descriptor| match descriptor.platform() {
        Some(platform) => wanted.rank(&platform.into()).map(|rank| rank + 1),
        None => Some(0),
    };
    let mut ranked: Vec<_> = offered.iter().filter_map(|d| Some((rank(d)?, *d))).collect();
    // The sort is stable: among equals the first one listed wins.
    ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    ranked.into_iter().map(|(_, descriptor)| descriptor).collect()
}

/// The name in the annotations of `descriptor`, an entry of a layout's index.
pub fn named(descriptor: &oci::Descriptor) -> Named {
    let annotation = |key: &str| descriptor.annotations().as_ref()?.get(key).filter(|name| !name.is_empty()).cloned();
    if let Some(name) = annotation(CONTAINERD_NAME) {
        return Named::Whole(name);
    }
    match annotation(oci::ANNOTATION_REF_NAME) {
        Some(name) if name.contains([':', '/']) => Named::Whole(name),
        Some(tag) => Named::Tag(tag),
        None => Named::Not,
    }
}

/// The name of `descriptor` in the index of a store; `None` when it has none or a malformed one.
pub fn name_of(descriptor: &oci::Descriptor) -> Option<Reference> {
    match named(descriptor) {
        Named::Whole(name) | Named::Tag(name) => name.parse().ok(),
        Named::Not => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(json: &str) -> oci::Descriptor {
        let digest = super::super::Digest::ZERO;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let all = format!(r#"{{"mediaType": "{kind}", "digest": "{digest}", "size": 1 {json}}}"#);
        serde_json::from_str(&all).unwrap()
    }

    fn platform(os: &str, architecture: &str) -> oci::Descriptor {
        descriptor(&format!(r#", "platform": {{"os": "{os}", "architecture": "{architecture}"}}"#))
    }

    #[test]
    fn manifests_of_other_platforms_are_no_candidates() {
        let [arm, amd, attestation, untold] =
            [platform("linux", "arm64"), platform("linux", "amd64"), platform("unknown", "unknown"), descriptor("")];
        let wanted = "linux/amd64".parse().unwrap();
        assert_eq!(candidates(&[&untold, &arm, &amd, &attestation], &wanted), [&amd, &untold]);
    }

    #[test]
    fn the_whole_name_of_containerd_goes_before_the_tag() {
        for (annotations, name) in [
            ("", Named::Not),
            (r#""org.opencontainers.image.ref.name": "v1""#, Named::Tag("v1".into())),
            (r#""org.opencontainers.image.ref.name": "app:v1""#, Named::Whole("app:v1".into())),
            (
                r#""org.opencontainers.image.ref.name": "v1", "io.containerd.image.name": "docker.io/library/app:v1""#,
                Named::Whole("docker.io/library/app:v1".into()),
            ),
        ] {
            assert_eq!(named(&descriptor(&format!(r#", "annotations": {{{annotations}}}"#))), name);
        }
    }

    #[test]
    fn an_index_that_says_it_is_a_manifest_is_refused() {
        let json =
            br#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "manifests": []}"#;
        assert!(matches!(Index::parse(json), Err(Error::MediaType { what: "index", .. })));
        let empty = Index::new(Vec::new()).unwrap();
        assert_eq!(Index::parse(&empty.to_json()), Ok(empty));
    }

    #[test]
    fn a_name_that_moves_leaves_its_image_without_one() {
        let name = |text: &str| text.parse::<Reference>().unwrap();
        let [old, new] = [b"old", b"new"].map(|text| {
            let kind = oci::MediaType::ImageManifest;
            super::super::Blob::of(text).descriptor(kind).unwrap()
        });
        let mut index = Index::new(Vec::new()).unwrap();
        let mut listed = |manifest: &oci::Descriptor, names: &[Reference]| -> Vec<_> {
            index.add(manifest, names);
            let which = |d: &oci::Descriptor| if d.digest() == old.digest() { "old" } else { "new" };
            let name = |d: &oci::Descriptor| name_of(d).map_or("-".into(), |name| name.to_string());
            index.manifests().iter().map(|d| format!("{} {}", which(d), name(d))).collect()
        };
        assert_eq!(listed(&old, &[]), ["old -"]);
        assert_eq!(listed(&old, &[]), ["old -"]);
        assert_eq!(listed(&old, &[name("a"), name("b")]), ["old a:latest", "old b:latest"]);
        assert_eq!(listed(&new, &[name("a")]), ["old b:latest", "new a:latest"]);
        assert_eq!(listed(&new, &[name("b")]), ["old -", "new a:latest", "new b:latest"]);
    }
}
