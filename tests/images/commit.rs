//! Commits: an image with one more layer.

use std::fs;
use std::io::Write;
use std::process::Command;

use overfuse::image::history::steps;
use overfuse::image::{Compression, Digest};
use overfuse::store::{Commit, Image, StoreError};
use overfuse::tar;

use crate::parcel::{self, Parcel, layer};
use crate::shelf::Shelf;

fn base(shelf: &Shelf) -> Image {
    shelf.load(&Parcel::layout("base:v1", &parcel::Image::of(&[&[("a", "old")]])));
    shelf.store.image("base:v1").unwrap()
}

fn commit(shelf: &Shelf, base: &Image, name: &str, compression: Compression) -> Result<Image, StoreError> {
    let changes = [r#"CMD ["b"]"#.parse().unwrap(), "ENV B=2".parse().unwrap()];
    let new = Commit {
        name: name.parse().unwrap(),
        message: Some("added b"),
        created_by: "sh",
        changes: &changes,
        compression,
    };
    let tar = layer(&[("a", "new"), ("b", "added")]);
    let mut write = |to: &mut dyn Write| to.write_all(&tar).map_err(tar::Error::Read);
    shelf.store.commit(base, &new, &mut write)
}

#[test]
fn a_commit_is_the_base_with_a_layer_on_top() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let shelf = Shelf::new();
        let base = base(&shelf);
        let image = commit(&shelf, &base, "app", compression).unwrap();
        assert_eq!(image.names, ["app:latest".parse().unwrap()]);
        assert_eq!(image.layers, [base.layers[0], Digest::of(&layer(&[("a", "new"), ("b", "added")]))]);
        assert_eq!(shelf.read(&image, "a").as_deref(), Some("new"));
        assert_eq!(shelf.read(&base, "a").as_deref(), Some("old"));
        let config = image.config.config().clone().unwrap();
        assert_eq!(config.cmd(), &Some(vec!["b".into()]));
        assert_eq!(config.env(), &Some(vec!["A=1".into(), "B=2".into()]));
        let newest = steps(&image.config, image.layers.len())[0];
        assert_eq!(newest.layer, Some(1));
        assert_eq!(newest.entry.unwrap().comment().as_deref(), Some("added b"));
        assert_eq!(newest.entry.unwrap().created_by().as_deref(), Some("sh"));
    }
}

#[test]
fn a_commit_on_a_commit_keeps_both() {
    let shelf = Shelf::new();
    let first = commit(&shelf, &base(&shelf), "first", Compression::Zstd).unwrap();
    let second = commit(&shelf, &first, "second", Compression::Gzip).unwrap();
    assert_eq!(second.layers.len(), 3);
    assert_eq!(shelf.store.image("first").unwrap(), first);
}

#[test]
fn a_commit_that_fails_leaves_nothing() {
    let shelf = Shelf::new();
    let base = base(&shelf);
    let before = shelf.files();
    let new = Commit {
        name: "app".parse().unwrap(),
        message: None,
        created_by: "sh",
        changes: &[],
        compression: Compression::Zstd,
    };
    let garbage = |to: &mut dyn Write| to.write_all(&[b'x'; 1000]).map_err(tar::Error::Read);
    let broken = |_: &mut dyn Write| Err(tar::Error::DanglingExtension);
    let error = shelf.store.commit(&base, &new, &mut { garbage }).unwrap_err();
    assert!(matches!(error, StoreError::Unpack { .. }), "{error}");
    let error = shelf.store.commit(&base, &new, &mut { broken }).unwrap_err();
    assert!(matches!(error, StoreError::Pack(_)), "{error}");
    assert_eq!(shelf.files(), before);
}

#[test]
fn a_commit_on_an_image_that_was_removed_meanwhile_fails() {
    let shelf = Shelf::new();
    let base = base(&shelf);
    shelf.store.remove_image("base:v1", false).unwrap();
    let error = commit(&shelf, &base, "app", Compression::Zstd).unwrap_err();
    assert!(matches!(error, StoreError::UnknownImage { .. }), "{error}");
}

#[test]
fn other_tools_read_a_committed_image() {
    let shelf = Shelf::new();
    let base = base(&shelf);
    commit(&shelf, &base, "app:v1", Compression::Gzip).unwrap();
    let root = shelf.store.root().display();
    let bundle = shelf.dir.path().join("bundle").display().to_string();
    for tool in [
        vec!["skopeo".to_owned(), "inspect".into(), format!("oci:{root}:app:v1")],
        vec!["umoci".into(), "unpack".into(), "--rootless".into(), "--image".into(), format!("{root}:app:v1"), bundle],
    ] {
        let Ok(output) = Command::new(&tool[0]).args(&tool[1..]).output() else {
            eprintln!("skipped: needs {}", tool[0]);
            continue;
        };
        assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    if let Ok(found) = fs::read_to_string(shelf.dir.path().join("bundle/rootfs/a")) {
        assert_eq!(found, "new");
    }
}
