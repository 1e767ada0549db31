//! Loading of bad input: one clear line, and an unchanged store.

use overfuse::image::{Compression, Digest};
use overfuse::store::Load;
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::{Value, json};
use tar::EntryType;

use crate::need;
use crate::parcel::{self, CONFIG, Image, MANIFEST, Parcel, compress, descriptor, named, path};
use crate::shelf::{Shelf, chain};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn app() -> Image {
    Image::of(&[&[("etc/a", "1")], &[("etc/b", "2")]])
}

/// Loads `archive` in every way; each must fail with the `expected` error and leave the store unchanged.
#[track_caller]
fn refuse(archive: &[u8], expected: &str) {
    let shelf = Shelf::new();
    shelf.load(&Parcel::layout("other:v1", &Image::of(&[&[("x", "y")]])));
    let before = shelf.files();
    let index = std::fs::read(shelf.store.root().join("index.json")).unwrap();
    for result in [shelf.load_stream(archive, &Load::default()), shelf.load_file("bad.tar", archive, &Load::default())]
    {
        let error = chain(&result.expect_err("a bad archive was loaded"));
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(!error.contains('\n'), "{error:?}");
        assert_eq!(shelf.files(), before);
        assert_eq!(std::fs::read(shelf.store.root().join("index.json")).unwrap(), index);
    }
}

/// A layout whose only image is `app`, after `spoil` has changed it.
fn spoilt(spoil: impl FnOnce(&mut Parcel)) -> Vec<u8> {
    let mut parcel = Parcel::layout("app:v1", &app());
    spoil(&mut parcel);
    parcel.tar()
}

/// The path of the blob of the lower layer of `app`.
fn layer_path() -> String {
    path(&Digest::of(&compress(&app().layers[0], Compression::Gzip)))
}

/// A layout with this configuration and these layers; each is a media type and its bytes.
fn made_of(config: (&str, &[u8]), layers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut parcel = Parcel::default();
    let config = parcel.blob(config.0, config.1);
    let layers: Vec<_> = layers.iter().map(|(kind, bytes)| parcel.blob(kind, bytes)).collect();
    let manifest = parcel.manifest(&config, &layers);
    parcel.list(&[named(manifest, "app:v1")]);
    parcel.tar()
}

/// A layout that lists `bytes` as a manifest.
fn manifest(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let mut parcel = Parcel::default();
    let manifest = parcel.blob(kind, bytes);
    parcel.list(&[manifest]);
    parcel.tar()
}

#[test]
fn input_that_is_not_an_archive() {
    refuse(b"", "holds neither an OCI image layout (index.json) nor what `docker save` writes (manifest.json)");
    refuse(&[b'x'; 2000], "is no archive of an image: not a tar archive");
    refuse(b"short", "is cut short");
    refuse(&parcel::layer(&[("etc/passwd", "x")]), "holds neither");
    refuse(&compress(b"text", Compression::Gzip), "is cut short");
    refuse(&[&[0x1f, 0x8b][..], &[7; 100]].concat(), "cannot read");
    refuse(&[&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 100]].concat(), "cannot read");
}

#[test]
fn truncated_input() {
    // So large that half of the archive ends inside of a layer with every compression.
    let noise: String = (0..40_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let archive = Parcel::layout("app:v1", &Image::of(&[&[("noise", &noise)]])).tar();
    refuse(&archive[..archive.len() / 2], "is cut short");
    for compression in [Compression::Gzip, Compression::Zstd] {
        let compressed = compress(&archive, compression);
        refuse(&compressed[..compressed.len() / 2], "is cut short");
    }
    let whole = compress(&parcel::layer(&[("noise", &noise)]), Compression::Gzip);
    let image = Image { layers: vec![parcel::layer(&[("noise", &noise)])], ..app() };
    let config = image.config().to_string();
    let half = &whole[..whole.len() / 2];
    refuse(&made_of((CONFIG, config.as_bytes()), &[(GZIP, half)]), "cannot unpack layer sha256:");
}

#[test]
fn blobs_with_a_wrong_digest() {
    let flip = |parcel: &mut Parcel, path: &str| parcel.files.get_mut(path).unwrap()[20] ^= 1;
    refuse(&spoilt(|parcel| flip(parcel, &layer_path())), "layer is damaged: its digest should be sha256:");
    let config = path(&app().id());
    refuse(&spoilt(|parcel| flip(parcel, &config)), "configuration is damaged: its digest should be sha256:");
    let longer = |parcel: &mut Parcel| parcel.files.get_mut(&layer_path()).unwrap().push(0);
    refuse(&spoilt(longer), "bytes and has");

    let mut docker = Parcel::docker(&["app:v1"], &app());
    flip(&mut docker, &format!("{}.json", app().id().hex()));
    refuse(&docker.tar(), "configuration is damaged: its digest should be sha256:");
}

#[test]
fn layers_with_a_wrong_diff_id() {
    let other = compress(&parcel::layer(&[("other", "")]), Compression::Gzip);
    let image = Image { layers: vec![app().layers.remove(0)], ..app() };
    let config = image.config().to_string();
    refuse(&made_of((CONFIG, config.as_bytes()), &[(GZIP, &other)]), "its diff ID should be sha256:");

    let mut docker = Parcel::docker(&["app:v1"], &app());
    docker.files.insert("1/layer.tar".into(), parcel::layer(&[("other", "")]));
    refuse(&docker.tar(), "its diff ID should be sha256:");
}

#[test]
fn a_known_layer_is_refused_for_another_diff_id() {
    let shelf = Shelf::new();
    let (one, two) = (Image::of(&[&[("x", "1")]]), Image::of(&[&[("x", "2")]]));
    shelf.load(&Parcel::layout("one:v1", &one));
    shelf.load(&Parcel::layout("two:v1", &two));
    let before = shelf.files();
    let crossed =
        made_of((CONFIG, one.config().to_string().as_bytes()), &[(GZIP, &compress(&two.layers[0], Compression::Gzip))]);
    let error = shelf.load_stream(&crossed, &Load::default()).unwrap_err().to_string();
    assert!(error.contains("its diff ID should be"), "{error}");
    assert_eq!(shelf.files(), before);
}

#[test]
fn missing_parts() {
    refuse(&spoilt(|parcel| drop(parcel.files.remove(&layer_path()))), "layer sha256:");
    refuse(&spoilt(|parcel| drop(parcel.files.remove(&path(&app().id())))), "configuration sha256:");
    refuse(&spoilt(|parcel| parcel.list(&[descriptor(MANIFEST, b"gone")])), "manifest sha256:");
    refuse(&spoilt(|parcel| parcel.list(&[])), "holds no image");
    let mut docker = Parcel::docker(&["app:v1"], &app());
    docker.files.remove("1/layer.tar");
    refuse(&docker.tar(), "`1/layer.tar`, which manifest.json names, is missing");
    docker.save(&json!([{"Config": "../../etc/passwd", "Layers": []}]));
    refuse(&docker.tar(), "`../../etc/passwd`, which manifest.json names, is missing");
}

#[test]
fn unknown_media_types() {
    let config = app().config().to_string();
    let unknown = |what: &str| format!("unknown media type `text/plain` of a {what}");
    refuse(&made_of((CONFIG, config.as_bytes()), &[("text/plain", b""), (GZIP, b"")]), &unknown("layer"));
    refuse(&made_of(("text/plain", config.as_bytes()), &[]), &unknown("configuration"));
    refuse(&manifest("text/plain", b"{}"), &unknown("manifest"));
    let foreign = config.replace("\"layers\"", "\"zip\"");
    refuse(&made_of((CONFIG, foreign.as_bytes()), &[(GZIP, b""), (GZIP, b"")]), "root file system of type `zip`");
    let sha512 = json!({"mediaType": MANIFEST, "digest": format!("sha512:{}", "0".repeat(128)), "size": 2});
    refuse(&spoilt(|parcel| parcel.list(&[sha512])), "digest algorithm `sha512` is not supported");
}

#[test]
fn invalid_documents() {
    refuse(&spoilt(|parcel| drop(parcel.files.insert("index.json".into(), b"{".to_vec()))), "malformed index");
    refuse(&manifest(MANIFEST, b"[]"), "malformed manifest");
    refuse(&manifest(MANIFEST, "[".repeat(100_000).as_bytes()), "malformed manifest");
    refuse(&made_of((CONFIG, b"null"), &[]), "malformed configuration");
    refuse(&made_of((CONFIG, app().config().to_string().as_bytes()), &[]), "has 0 layers, its configuration 2");
    let mut docker = Parcel::docker(&["app:v1"], &app());
    docker.save(&json!({"Config": 1}));
    refuse(&docker.tar(), "malformed manifest.json");
    let bad_id = app().config().to_string().replacen("sha256:", "sha256:../", 1);
    refuse(&made_of((CONFIG, bad_id.as_bytes()), &[(GZIP, b""), (GZIP, b"")]), "malformed digest `sha256:../");
}

#[test]
fn documents_that_are_too_large_or_too_deep() {
    const MOST: &str = "more than 4194304 are never needed";
    let large = vec![b' '; (4 << 20) + 1];
    refuse(&spoilt(|parcel| drop(parcel.files.insert("index.json".into(), large.clone()))), MOST);
    refuse(&manifest(MANIFEST, &large), MOST);
    refuse(&made_of((CONFIG, &large), &[]), MOST);
    let mut parcel = Parcel::default();
    let mut inner: Value = parcel.add(&app());
    for _ in 0..6 {
        inner = parcel.index(&[inner]);
    }
    parcel.list(&[inner]);
    refuse(&parcel.tar(), "indexes are nested more than 4 deep");
}

#[test]
fn layers_that_would_leave_their_directory() {
    for (layer, expected) in [
        (parcel::link(EntryType::Link, "passwd", "../../../../etc/passwd"), "leaves the layer"),
        (parcel::link(EntryType::Regular, "../../../../tmp/x", ""), "the name leaves the layer"),
        (parcel::link(EntryType::Symlink, "./", "/etc"), "the root of a layer must be a directory"),
    ] {
        let image = Image { layers: vec![layer], ..app() };
        refuse(&Parcel::layout("app:v1", &image).tar(), expected);
        refuse(&Parcel::docker(&["app:v1"], &image).tar(), expected);
    }
}

#[test]
fn one_bad_image_makes_the_whole_archive_fail() {
    let mut parcel = Parcel::default();
    let good = parcel.add(&Image::of(&[&[("good", "")]]));
    let bad = parcel.add(&app());
    parcel.files.remove(&layer_path());
    parcel.list(&[named(good, "good:v1"), named(bad, "bad:v1")]);
    refuse(&parcel.tar(), "is missing");
}

#[test]
fn a_full_disk() {
    need!(root);
    let shelf = Shelf::new();
    let at = shelf.dir.path().join("small");
    std::fs::create_dir(&at).unwrap();
    rustix::mount::mount("tmpfs", &at, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
    let zeros = "0".repeat(3 << 20);
    // Compressed, the blob fits and its content does not; uncompressed, the blob does not fit.
    for compression in [Compression::Gzip, Compression::None] {
        let store = overfuse::store::Store::open(&at.join("store")).unwrap();
        let shelf = Shelf { store, dir: crate::support::scratch() };
        let before = shelf.files();
        let archive = Parcel::layout("app:v1", &Image::of(&[&[("zeros", &zeros)]]).compressed(compression)).tar();
        let error = shelf.load_file("x.tar", &archive, &Load::default()).map_err(|error| chain(&error));
        assert!(error.as_ref().is_err_and(|error| error.contains("No space left on device")), "{error:?}");
        assert_eq!(shelf.files(), before);
    }
    rustix::mount::unmount(&at, UnmountFlags::DETACH).unwrap();
}
