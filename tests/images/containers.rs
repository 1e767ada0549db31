//! Containers: names, directories and locks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use overfuse::store::{Image, NewContainer, StoreError};

use crate::parcel::{self, Parcel};
use crate::shelf::Shelf;

fn image(shelf: &Shelf) -> Image {
    shelf.load(&Parcel::layout("app:v1", &parcel::Image::of(&[&[("a", "1")]])));
    shelf.store.image("app:v1").unwrap()
}

#[test]
fn a_container_is_found_by_name_and_by_the_beginning_of_its_id() {
    let shelf = Shelf::new();
    let image = image(&shelf);
    let made = shelf.store.create_container(&image, Some("web")).unwrap();
    assert_eq!(made.id.len(), 64);
    assert_eq!((made.image, made.image_name.as_str()), (image.id, "app:v1"));
    for name in ["web", &made.id, &made.id[..6]] {
        assert_eq!(shelf.store.container(name).unwrap(), made);
    }
    for dir in [made.upper(), made.work(), made.merged()] {
        assert!(dir.is_dir(), "{dir:?}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let shelf = Shelf::new();
    let image = image(&shelf);
    shelf.store.create_container(&image, Some("webserver")).unwrap();
    for (name, error) in [
        ("webservr", r#"there is no container "webservr": did you mean "webserver"?"#),
        ("database", r#"there is no container "database""#),
    ] {
        assert_eq!(shelf.store.container(name).unwrap_err().to_string(), error);
    }
    for (name, error) in [
        ("ap:v1", r#"there is no image "ap:v1": did you mean "app:v1"?"#),
        ("debian", r#"there is no image "debian""#),
        ("../etc", r#"there is no image "../etc""#),
    ] {
        assert_eq!(shelf.store.image(name).unwrap_err().to_string(), error);
    }
}

#[test]
fn names_are_unique_and_generated_if_none_is_given() {
    let shelf = Shelf::new();
    let image = image(&shelf);
    let first = shelf.store.create_container(&image, Some("web")).unwrap();
    let error = shelf.store.create_container(&image, Some("web")).unwrap_err().to_string();
    assert_eq!(error, format!(r#"the name "web" is taken by container {}"#, &first.id[..12]));
    let error = shelf.store.create_container(&image, Some("a/b")).unwrap_err();
    assert!(matches!(error, StoreError::ContainerName { .. }), "{error}");
    let (one, two) =
        (shelf.store.create_container(&image, None).unwrap(), shelf.store.create_container(&image, None).unwrap());
    assert_ne!(one.name, two.name);
    assert_eq!(shelf.store.containers().unwrap().len(), 3);
    assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_container_in_use_cannot_be_locked_or_removed() {
    let shelf = Shelf::new();
    let container = shelf.store.create_container(&image(&shelf), Some("web")).unwrap();
    assert!(!container.is_in_use());
    let in_use = container.lock().unwrap();
    assert!(container.is_in_use());
    for error in [container.lock().map(drop).unwrap_err(), shelf.store.remove_container(&container).unwrap_err()] {
        assert_eq!(error.to_string(), "container web is in use");
    }
    drop(in_use);
    assert!(!container.is_in_use());
    shelf.store.remove_container(&container).unwrap();
    assert!(shelf.store.containers().unwrap().is_empty());
}

#[test]
fn the_command_and_the_documents_are_kept() {
    let shelf = Shelf::new();
    let command = ["sh".into(), "-c".into(), "exit 3".into()];
    let documents = [("settings.json", b"[1]".to_vec())];
    let new = NewContainer { name: Some("web"), command: &command, documents: &documents, ..NewContainer::default() };
    let container = shelf.store.create_container_with(&image(&shelf), new).unwrap();
    let found = shelf.store.container("web").unwrap();
    assert_eq!(found.command, command);
    assert_eq!(found, container);
    assert_eq!(found.read_document("settings.json").unwrap(), Some(vec![1]));
    found.write_document("settings.json", &[2]).unwrap();
    assert_eq!(container.read_document("settings.json").unwrap(), Some(vec![2]));
    assert_eq!(container.read_document::<u8>("missing.json").unwrap(), None);
}

#[test]
fn files_without_permissions_are_removed_with_their_container() {
    let shelf = Shelf::new();
    let container = shelf.store.create_container(&image(&shelf), Some("web")).unwrap();
    let locked = container.upper().join("locked");
    fs::create_dir_all(locked.join("inner")).unwrap();
    fs::write(locked.join("inner/file"), "x").unwrap();
    for path in ["locked/inner/file", "locked/inner", "locked"] {
        fs::set_permissions(container.upper().join(path), Permissions::from_mode(0o000)).unwrap();
    }
    fs::create_dir_all(container.work().join("work")).unwrap();
    fs::set_permissions(container.work().join("work"), Permissions::from_mode(0o000)).unwrap();
    shelf.store.remove_container(&container).unwrap();
    assert!(!container.upper().exists());
    assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_root_of_a_container_has_mode_and_owner_of_the_images_root() {
    let shelf = Shelf::new();
    let image = image(&shelf);
    let top = shelf.layer(&image.layers[0]);
    fs::set_permissions(&top, Permissions::from_mode(0o1750)).unwrap();
    let container = shelf.store.create_container(&image, None).unwrap();
    assert_eq!(fs::metadata(container.upper()).unwrap().permissions().mode() & 0o7777, 0o1750);
}

#[test]
fn no_container_is_made_of_an_image_without_its_layers() {
    let shelf = Shelf::new();
    let image = image(&shelf);
    fs::remove_dir_all(shelf.layer(&image.layers[0])).unwrap();
    let error = shelf.store.create_container(&image, None).unwrap_err();
    assert!(matches!(error, StoreError::MissingLayer { .. }), "{error}");
}
