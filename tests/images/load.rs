//! Loading of valid images, in all forms of archives.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use overfuse::image::{Compression, Digest};
use overfuse::store::{Load, Progress};
use serde_json::json;
use tar::EntryType;

use crate::parcel::{Image, Parcel, compress, descriptor, for_platform, layer, link, named, path};
use crate::shelf::{Shelf, names};
use crate::support::scratch;

const FORMS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn app() -> Image {
    Image::of(&[&[("etc/a", "below"), ("etc/b", "gone")], &[("etc/a", "above"), ("etc/.wh.b", "")]])
}

fn tag(name: &str) -> Load {
    Load { tag: Some(name.parse().unwrap()), platform: None }
}

fn platform(text: &str) -> Load {
    Load { tag: None, platform: Some(text.parse().unwrap()) }
}

#[test]
fn every_form_of_an_archive_gives_the_same_image() {
    for layers in FORMS {
        let image = app().compressed(layers);
        for parcel in [Parcel::layout("app:v1", &image), Parcel::docker(&["app:v1"], &image)] {
            for archive in FORMS {
                let shelf = Shelf::new();
                let loaded = [
                    shelf.load_file("x.tar", &compress(&parcel.tar(), archive), &Load::default()).unwrap(),
                    shelf.load_stream(&compress(&parcel.tar(), archive), &Load::default()).unwrap(),
                    shelf.load_stream(&compress(&parcel.reversed_tar(), archive), &Load::default()).unwrap(),
                    shelf.load_dir("x", &parcel).unwrap(),
                ];
                for loaded in loaded {
                    assert_eq!((loaded[0].id, names(&loaded)), (image.id(), vec!["app:v1".to_owned()]));
                }
                let found = shelf.store.image("app:v1").unwrap();
                assert_eq!(found.id, image.id());
                assert_eq!(shelf.read(&found, "etc/a").as_deref(), Some("above"));
                assert_eq!(shelf.read(&found, "etc/b"), None);
                assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
            }
        }
    }
}

#[test]
fn whiteouts_become_overlayfs_whiteouts() {
    let shelf = Shelf::new();
    let image = app();
    shelf.load(&Parcel::layout("app:v1", &image));
    let whiteout = fs::symlink_metadata(shelf.layer(&Digest::of(&image.layers[1])).join("etc/b")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
}

#[test]
fn the_layout_is_used_if_docker_save_writes_both_forms() {
    let shelf = Shelf::new();
    let mut parcel = Parcel::layout("v1", &app());
    parcel.save(&json!([{"Config": "nowhere", "RepoTags": ["app:v2"], "Layers": []}]));
    let index = String::from_utf8(parcel.files["index.json"].clone()).unwrap();
    let both = r#""annotations":{"io.containerd.image.name":"docker.io/library/app:v1","#;
    parcel.files.insert("index.json".into(), index.replace(r#""annotations":{"#, both).into_bytes());
    assert_eq!(names(&shelf.load(&parcel)), ["app:v1"]);
}

#[test]
fn layers_that_old_docker_save_replaces_by_links_are_found() {
    let shelf = Shelf::new();
    let same = layer(&[("x", "same")]);
    let image = Image { layers: vec![same.clone(), same], ..Image::of(&[]) };
    let mut parcel = Parcel::docker(&[], &image);
    parcel.files.remove("1/layer.tar");
    let mut archive = parcel.tar();
    archive.truncate(archive.len() - 1024);
    archive.extend(link(EntryType::Symlink, "1/layer.tar", "../0/layer.tar"));
    for loaded in [
        shelf.load_stream(&archive, &Load::default()).unwrap(),
        shelf.load_file("x.tar", &archive, &Load::default()).unwrap(),
    ] {
        assert!(loaded[0].names.is_empty());
        assert_eq!(shelf.store.image(&loaded[0].id.to_string()).unwrap().layers.len(), 2);
    }
}

#[test]
fn a_layer_is_unpacked_once_and_shared() {
    let shelf = Shelf::new();
    let base: &[(&str, &str)] = &[("base", "x")];
    let inode = || fs::metadata(shelf.layer(&Digest::of(&layer(base)))).unwrap().ino();
    shelf.load(&Parcel::layout("one:v1", &Image::of(&[base, &[("one", "1")]])));
    let before = inode();
    shelf.load(&Parcel::layout("two:v1", &Image::of(&[base, &[("two", "2")]])));
    // The same layer with another compression is another blob, but still the same layer.
    shelf.load(&Parcel::layout("three:v1", &Image::of(&[base]).compressed(Compression::Zstd)));
    shelf.load(&Parcel::docker(&["four:v1"], &Image::of(&[base, &[("four", "4")]])));
    assert_eq!(inode(), before);
    assert_eq!(fs::read_dir(shelf.store.root().join("layers/sha256")).unwrap().count(), 4);
}

#[test]
fn progress_reports_every_byte_of_new_layers() {
    let shelf = Shelf::new();
    let parcel = Parcel::layout("app:v1", &app());
    let watch = |archive: &[u8]| {
        let (mut sizes, mut read, mut present) = (0, 0, 0);
        let mut stream = archive;
        let mut on = |progress| match progress {
            Progress::Layer { size, .. } => sizes += size,
            Progress::Read(bytes) => read += bytes,
            Progress::Done => {}
            Progress::Present { .. } => present += 1,
        };
        shelf.store.load(overfuse::store::Input::Stream(&mut stream), &Load::default(), &mut on).unwrap();
        (sizes, read, present)
    };
    let (sizes, read, present) = watch(&parcel.tar());
    assert!(sizes > 0);
    assert_eq!((read, present), (sizes, 0));
    assert_eq!(watch(&parcel.tar()), (0, 0, 2));
}

#[test]
fn a_layer_of_several_gzip_members_is_read_to_its_end() {
    let shelf = Shelf::new();
    let clear = layer(&[("a", "1"), ("b", "2")]);
    let (front, back) = clear.split_at(700);
    let blob = [compress(front, Compression::Gzip), compress(back, Compression::Gzip)].concat();
    let image = Image { layers: vec![clear], ..Image::of(&[]) };
    let mut parcel = Parcel::default();
    let layer = parcel.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &blob);
    let config = parcel.blob("application/vnd.docker.container.image.v1+json", image.config().to_string().as_bytes());
    let manifest = parcel.manifest(&config, &[layer]);
    parcel.list(&[named(manifest, "app:v1")]);
    shelf.load(&parcel);
    assert_eq!(shelf.read(&shelf.store.image("app:v1").unwrap(), "b").as_deref(), Some("2"));
}

#[test]
fn of_several_platforms_the_hosts_is_loaded() {
    let here = Image::of(&[&[("where", "here")]]);
    let there = Image::of(&[&[("where", "there")]]).for_architecture("vax");
    let host = here.architecture.as_str();
    let mut parcel = Parcel::default();
    let (there_manifest, here_manifest) = (parcel.add(&there), parcel.add(&here));
    let attestation = for_platform(descriptor("text/plain", b"not even there"), "unknown", "unknown");
    let both = [
        for_platform(there_manifest.clone(), "linux", "vax"),
        attestation,
        for_platform(here_manifest.clone(), "linux", host),
    ];
    let nested = parcel.index(&both);
    let flat: Vec<_> = both.iter().map(|manifest| named(manifest.clone(), "app:v1")).collect();
    // The platform is given by a nested index, by the layout's index, or only by the configurations.
    let unnamed = parcel.index(&[there_manifest, here_manifest]);
    for manifests in [vec![named(nested, "app:v1")], flat, vec![named(unnamed, "app:v1")]] {
        parcel.list(&manifests);
        for (options, id) in [(Load::default(), here.id()), (platform("linux/vax"), there.id())] {
            let shelf = Shelf::new();
            assert_eq!(shelf.load_stream(&parcel.tar(), &options).unwrap()[0].id, id);
        }
        let error = Shelf::new().load_stream(&parcel.tar(), &platform("linux/z80")).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no image for linux/z80, only for linux/vax, linux/{host}"));
    }
}

#[test]
fn an_image_for_another_platform_is_loaded_if_it_is_the_only_one() {
    let image = app().for_architecture("vax");
    for parcel in [Parcel::layout("app:v1", &image), Parcel::docker(&["app:v1"], &image)] {
        let shelf = Shelf::new();
        shelf.load(&parcel);
        let error = shelf.load_stream(&parcel.tar(), &platform("linux/z80")).unwrap_err();
        assert_eq!(error.to_string(), "there is no image for linux/z80, only for linux/vax");
    }
}

#[test]
fn names_come_from_annotations_and_a_bare_tag_gets_the_files_name() {
    for (file, annotation, name) in [
        ("app.tar", "v1", "app:v1"),
        ("App.oci.tar.gz", "latest", "app:latest"),
        ("app.tar", "team/tool:v2", "team/tool:v2"),
        ("app.tar", "docker.io/library/debian:12", "debian:12"),
        ("not a name.tar", "tool", "tool:latest"),
    ] {
        let shelf = Shelf::new();
        let parcel = Parcel::layout(annotation, &app());
        let loaded = shelf.load_file(file, &parcel.tar(), &Load::default()).unwrap();
        assert_eq!(names(&loaded), [name], "{annotation} in {file}");
        assert_eq!(names(&shelf.load_file(file, &parcel.tar(), &tag("mine")).unwrap()), ["mine:latest"]);
    }
}

#[test]
fn an_archive_may_hold_several_images() {
    let shelf = Shelf::new();
    let mut parcel = Parcel::default();
    let (one, two) = (parcel.add(&Image::of(&[&[("1", "")]])), parcel.add(&Image::of(&[&[("2", "")]])));
    parcel.list(&[named(one.clone(), "one:v1"), named(two, "two:v1"), named(one, "uno:v1")]);
    let error = shelf.load_stream(&parcel.tar(), &tag("mine")).unwrap_err().to_string();
    assert!(error.ends_with("holds 2 images (one:v1, uno:v1, two:v1): a tag can be given to one only"), "{error}");
    assert_eq!(names(&shelf.load(&parcel)), ["one:v1", "uno:v1", "two:v1"]);
    assert_eq!(shelf.store.images().unwrap().len(), 2);
}

#[test]
fn a_name_moves_to_the_image_that_was_loaded_last() {
    let shelf = Shelf::new();
    let (old, new) = (Image::of(&[&[("x", "old")]]), Image::of(&[&[("x", "new")]]));
    shelf.load(&Parcel::layout("app:v1", &old));
    shelf.load(&Parcel::layout("app:v1", &new));
    assert_eq!(shelf.store.image("app:v1").unwrap().id, new.id());
    assert!(shelf.store.image(&old.id().to_string()).unwrap().names.is_empty());
}

#[test]
fn a_signature_beside_the_image_is_left_out() {
    let shelf = Shelf::new();
    let mut parcel = Parcel::default();
    let image = parcel.add(&app());
    let config = parcel.blob("application/vnd.oci.empty.v1+json", b"{}");
    let signature = parcel.manifest(&config, &[]);
    parcel.list(&[named(signature, "app:v1.sig"), named(image, "app:v1")]);
    assert_eq!(names(&shelf.load(&parcel)), ["app:v1"]);
}

#[test]
fn the_rest_of_an_interrupted_command_is_removed() {
    let shelf = Shelf::new();
    let left = shelf.store.root().join("tmp/left/fs/dir");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("file"), "x").unwrap();
    shelf.load(&Parcel::layout("app:v1", &app()));
    assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_store_is_a_layout_that_another_store_can_load() {
    let (shelf, other) = (Shelf::new(), Shelf::new());
    shelf.load(&Parcel::docker(&["app:v1", "app:v2"], &app()));
    let input = overfuse::store::Input::Path(shelf.store.root());
    let loaded = other.store.load(input, &Load::default(), &mut |_| {}).unwrap();
    assert_eq!(names(&loaded), ["app:v1", "app:v2"]);
}

#[test]
fn links_do_not_leave_a_directory() {
    let outside = scratch();
    let image = app();
    let parcel = Parcel::layout("app:v1", &image);
    let blob = path(&Digest::of(&compress(&image.layers[0], Compression::Gzip)));
    fs::write(outside.path().join("blob"), &parcel.files[&blob]).unwrap();
    let shelf = Shelf::new();
    let dir = shelf.dir.path().join("x");
    parcel.write(&dir);
    fs::remove_file(dir.join(&blob)).unwrap();
    std::os::unix::fs::symlink(outside.path().join("blob"), dir.join(&blob)).unwrap();
    let load = || shelf.store.load(overfuse::store::Input::Path(&dir), &Load::default(), &mut |_| {});
    let error = load().unwrap_err().to_string();
    assert!(error.starts_with("layer sha256:") && error.ends_with(" is missing"), "{error}");
    fs::write(dir.join("inside"), &parcel.files[&blob]).unwrap();
    fs::remove_file(dir.join(&blob)).unwrap();
    std::os::unix::fs::symlink("../../inside", dir.join(&blob)).unwrap();
    assert_eq!(names(&load().unwrap()), ["app:v1"]);
}
