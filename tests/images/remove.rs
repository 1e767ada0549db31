//! Removing of images: names first, then blobs and layers that no image needs.

use std::fs;

use overfuse::store::StoreError;

use crate::parcel::{Image, Parcel};
use crate::shelf::Shelf;

const BASE: &[(&str, &str)] = &[("base", "x")];

#[test]
fn removing_the_last_name_removes_the_image() {
    let shelf = Shelf::new();
    let empty = shelf.files();
    let image = Image::of(&[BASE]);
    shelf.load(&Parcel::docker(&["app:v1", "app:v2"], &image));
    let first = shelf.store.remove_image("app:v1", false).unwrap();
    assert_eq!((first.untagged, first.deleted), (vec!["app:v1".parse().unwrap()], None));
    assert_eq!(shelf.store.image("app:v2").unwrap().id, image.id());
    let second = shelf.store.remove_image("app:v2", false).unwrap();
    assert_eq!((second.deleted, second.layers.len()), (Some(image.id()), 1));
    assert_eq!(shelf.files(), empty);
}

#[test]
fn layers_that_other_images_have_stay() {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout("one:v1", &Image::of(&[BASE, &[("one", "1")]])));
    let before = shelf.files();
    shelf.load(&Parcel::layout("two:v1", &Image::of(&[BASE, &[("two", "2")]])));
    let removed = shelf.store.remove_image("two:v1", false).unwrap();
    assert_eq!(removed.layers.len(), 1);
    assert_eq!(shelf.files(), before);
    assert_eq!(shelf.read(&shelf.store.image("one:v1").unwrap(), "base").as_deref(), Some("x"));
}

#[test]
fn an_image_that_containers_use_stays_and_the_error_names_them() {
    let shelf = Shelf::new();
    shelf.load(&Parcel::docker(&["app:v1", "app:v2"], &Image::of(&[BASE])));
    let image = shelf.store.image("app:v1").unwrap();
    let containers = ["web", "job"].map(|name| shelf.store.create_container(&image, Some(name)).unwrap());
    // A name can be removed as long as another is left.
    shelf.store.remove_image("app:v1", false).unwrap();
    let error = shelf.store.remove_image("app:v2", true).unwrap_err().to_string();
    assert_eq!(error, "image app:v2 is used by containers job, web");
    shelf.store.remove_container(&containers[0]).unwrap();
    let error = shelf.store.remove_image("app:v2", false).unwrap_err().to_string();
    assert_eq!(error, "image app:v2 is used by container job");
    shelf.store.remove_container(&containers[1]).unwrap();
    shelf.store.remove_image("app:v2", false).unwrap();
}

#[test]
fn an_image_that_is_held_stays() {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout("app:v1", &Image::of(&[BASE])));
    let image = shelf.store.image("app:v1").unwrap();
    let held = shelf.store.hold(&image).unwrap();
    let error = shelf.store.remove_image("app:v1", false).unwrap_err().to_string();
    assert_eq!(error, "image app:v1 is mounted: unmount it first");
    drop(held);
    shelf.store.remove_image("app:v1", false).unwrap();
    assert!(matches!(shelf.store.hold(&image), Err(StoreError::UnknownImage { .. })));
}

#[test]
fn loading_and_removing_at_once_leave_a_complete_store() {
    let shelf = Shelf::new();
    let image = |n: usize| Image::of(&[BASE, &[("n", &n.to_string())]]);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let shelf = &shelf;
            scope.spawn(move || {
                let name = format!("app:v{n}");
                for round in 0..5 {
                    shelf.load(&Parcel::layout(&name, &image(n)));
                    let found = shelf.store.image(&name).unwrap();
                    assert_eq!(shelf.read(&found, "base").as_deref(), Some("x"));
                    if round < 4 {
                        shelf.store.remove_image(&name, false).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(shelf.store.images().unwrap().len(), 4);
    assert_eq!(fs::read_dir(shelf.store.root().join("layers/sha256")).unwrap().count(), 5);
    assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_id_means_the_only_name_or_with_force_all_names() {
    let shelf = Shelf::new();
    let image = Image::of(&[BASE]);
    shelf.load(&Parcel::docker(&["app:v1", "app:v2"], &image));
    let id = image.id().short();
    let error = shelf.store.remove_image(&id, false).unwrap_err();
    assert!(matches!(error, StoreError::SeveralNames { .. }), "{error}");
    let removed = shelf.store.remove_image(&id, true).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (2, Some(image.id())));
}

#[test]
fn nothing_is_removed_if_a_document_of_the_index_cannot_be_read() {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout("one:v1", &Image::of(&[&[("one", "1")]])));
    shelf.load(&Parcel::layout("two:v1", &Image::of(&[&[("two", "2")]])));
    let two = shelf.store.image("two:v1").unwrap();
    fs::remove_file(shelf.store.root().join("blobs/sha256").join(two.id.hex())).unwrap();
    let before = shelf.files();
    assert!(matches!(shelf.store.remove_image("one:v1", false), Err(StoreError::MissingBlob { .. })));
    assert_eq!(shelf.files(), before);
    assert!(shelf.store.image("one:v1").is_ok());
}

#[test]
fn images_are_found_by_the_beginning_of_an_id() {
    let shelf = Shelf::new();
    let images: Vec<_> = (0..17).map(|n| Image::of(&[&[("n", &n.to_string())]])).collect();
    for (n, image) in images.iter().enumerate() {
        shelf.load(&Parcel::layout(&format!("app:v{n}"), image));
    }
    assert_eq!(shelf.store.image(&images[3].id().short()).unwrap().id, images[3].id());
    // Of seventeen digests, at least two begin with the same digit.
    let ambiguous =
        |digit: &char| matches!(shelf.store.image(&digit.to_string()), Err(StoreError::AmbiguousImage { .. }));
    assert!("0123456789abcdef".chars().any(|digit| ambiguous(&digit)));
    assert_eq!(shelf.store.images().unwrap().len(), 17);
}
