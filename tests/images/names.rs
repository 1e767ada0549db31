//! Names of images: how the store keeps them, how they are shown, and which ones find an image.

use std::fs;

use overfuse::image::{Compression, Digest};
use overfuse::store::{Commit, Load, StoreError};
use serde_json::{Value, json};

use crate::parcel::{Image, Parcel};
use crate::shelf::{Shelf, names};

fn app() -> Image {
    Image::of(&[&[("a", "1")]])
}

fn index(shelf: &Shelf) -> Value {
    serde_json::from_slice(&fs::read(shelf.store.root().join("index.json")).unwrap()).unwrap()
}

/// A shelf with one image with this name.
fn with(name: &str) -> Shelf {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout(name, &app()));
    shelf
}

fn digest() -> String {
    Digest::of(b"an index of several platforms").to_string()
}

#[test]
fn the_store_keeps_registry_repository_tag_and_digest() {
    let by_digest = format!("host.example:5000/team/app@{}", digest());
    let both = format!("app:v1@{}", digest());
    for (given, familiar, whole) in [
        ("docker.io/library/debian:12", "debian:12", "docker.io/library/debian:12"),
        ("team/app:v1", "team/app:v1", "docker.io/team/app:v1"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
        (&by_digest, &by_digest, &by_digest),
        (&both, &both, &format!("docker.io/library/{both}")),
    ] {
        let shelf = with(given);
        let annotations = json!({
            "org.opencontainers.image.ref.name": familiar,
            "io.containerd.image.name": whole,
        });
        assert_eq!(index(&shelf)["manifests"][0]["annotations"], annotations, "{given}");
        let image = shelf.store.image(given).unwrap();
        assert_eq!(image.names[0].to_string(), familiar);
        assert_eq!(shelf.store.image(whole).unwrap(), image);
    }
}

#[test]
fn the_same_name_in_two_registries_is_two_names() {
    let shelf = Shelf::new();
    let images = ["one", "two", "three"].map(|content| Image::of(&[&[("a", content)]]));
    for (name, image) in ["app:v1", "localhost/app:v1", "host.example/library/app:v1"].iter().zip(&images) {
        shelf.load(&Parcel::layout(name, image));
    }
    for (name, image) in [
        ("app:v1", 0),
        ("library/app:v1", 0),
        ("docker.io/app:v1", 0),
        ("index.docker.io/library/app:v1", 0),
        ("localhost/app:v1", 1),
        ("host.example/library/app:v1", 2),
    ] {
        assert_eq!(shelf.store.image(name).unwrap().id, images[image].id(), "{name}");
    }
    assert!(matches!(shelf.store.image("host.example/app:v1"), Err(StoreError::UnknownImage { .. })));
    // An image that podman built is found by its short name if no other image has that name.
    shelf.store.remove_image("docker.io/library/app:v1", false).unwrap();
    assert_eq!(shelf.store.image("app:v1").unwrap().id, images[1].id());
}

#[test]
fn a_digest_finds_images_in_its_repository_only() {
    let shelf = with("app:v1");
    let image = shelf.store.image("app:v1").unwrap();
    let manifest = image.manifest.digest();
    for name in ["app", "app:v1", "docker.io/library/app"] {
        assert_eq!(shelf.store.image(&format!("{name}@{manifest}")).unwrap(), image, "{name}");
    }
    for (name, digest) in
        [("other", manifest.to_string()), ("host.example/app", manifest.to_string()), ("app", digest())]
    {
        let found = shelf.store.image(&format!("{name}@{digest}"));
        assert!(matches!(found, Err(StoreError::UnknownImage { .. })), "{name}@{digest}");
    }
    let with_both = with(&format!("app:v1@{}", digest()));
    for name in ["app:v1".to_owned(), format!("app@{}", digest())] {
        assert_eq!(with_both.store.image(&name).unwrap().id, image.id, "{name}");
    }
}

#[test]
fn a_digest_cannot_be_given_to_an_image() {
    let shelf = with("app:v1");
    let name = format!("mine@{}", digest()).parse().unwrap();
    let before = shelf.files();
    let options = Load { tag: Some(name), ..Load::default() };
    let error = shelf.load_stream(&Parcel::layout("app:v2", &app()).tar(), &options).unwrap_err();
    assert!(matches!(error, StoreError::NameWithDigest { .. }), "{error}");
    let commit = Commit {
        name: options.tag.unwrap(),
        message: None,
        created_by: "sh",
        changes: &[],
        compression: Compression::Zstd,
    };
    let base = shelf.store.image("app:v1").unwrap();
    let error = shelf.store.commit(&base, &commit, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, StoreError::NameWithDigest { .. }), "{error}");
    assert_eq!(shelf.files(), before);
}

/// Stores of earlier versions have only the familiar name.
#[test]
fn a_store_of_an_earlier_version_is_read() {
    let shelf = Shelf::new();
    shelf.load(&Parcel::docker(&["debian:12", "host.example/team/app:v1"], &app()));
    let mut old = index(&shelf);
    for manifest in old["manifests"].as_array_mut().unwrap() {
        let removed = manifest["annotations"].as_object_mut().unwrap().remove("io.containerd.image.name");
        assert!(removed.is_some());
    }
    fs::write(shelf.store.root().join("index.json"), old.to_string()).unwrap();
    let image = shelf.store.image("docker.io/library/debian:12").unwrap();
    let shown: Vec<_> = image.names.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["debian:12", "host.example/team/app:v1"]);
    // A name that moves to another image is also removed from an entry that has only the familiar name.
    assert_eq!(names(&shelf.load(&Parcel::layout("debian:12", &Image::of(&[&[("b", "2")]])))), ["debian:12"]);
    assert_eq!(shelf.store.image("host.example/team/app:v1").unwrap().names.len(), 1);
    shelf.store.remove_image("host.example/team/app:v1", false).unwrap();
    assert_eq!(shelf.store.images().unwrap().len(), 1);
}
