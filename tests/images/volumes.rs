//! Volumes: names, uses, and the first content of a new one.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use overfuse::store::{Container, NewContainer, NewVolume, StoreError, Volume};
use overfuse::sys::{Dir, Kind, Name};

use crate::parcel::{self, Parcel};
use crate::shelf::Shelf;

fn named(name: &str) -> NewVolume {
    NewVolume { name: Some(name.into()), ..NewVolume::default() }
}

fn anonymous(name: &str) -> NewVolume {
    NewVolume { anonymous: true, ..named(name) }
}

fn container(shelf: &Shelf, name: &str, volumes: &[NewVolume]) -> Container {
    if shelf.store.images().unwrap().is_empty() {
        shelf.load(&Parcel::layout("app:v1", &parcel::Image::of(&[&[("a", "1")]])));
    }
    let image = shelf.store.image("app:v1").unwrap();
    let new = NewContainer { name: Some(name), volumes, ..NewContainer::default() };
    shelf.store.create_container_with(&image, new).unwrap()
}

fn names(shelf: &Shelf) -> Vec<String> {
    shelf.store.volumes().unwrap().into_iter().map(|volume| volume.name).collect()
}

fn file(dir: &Dir, name: &str) {
    dir.make_node(Name::new(name).unwrap(), Kind::Regular, 0o644, 0).unwrap();
}

/// Fills a volume with two files and mode 750. Returns whether anything was copied.
fn fill(volume: &Volume) -> bool {
    let mut copied = false;
    let filled = volume.fill::<StoreError>(|to| {
        copied = true;
        file(to, "a");
        file(to, "b");
        to.set_own_perm(0o750).unwrap();
        Ok(())
    });
    filled.unwrap();
    copied
}

fn entries(volume: &Volume) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(volume.data()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A path in the volume's own directory.
fn beside(volume: &Volume, name: &str) -> PathBuf {
    volume.data().with_file_name(name)
}

#[test]
fn a_volume_is_made_once_and_keeps_its_labels() {
    let shelf = Shelf::new();
    let labels: BTreeMap<String, String> = [("tier".into(), "db".into())].into();
    let made = shelf.store.create_volume(NewVolume { labels: labels.clone(), ..named("data") }).unwrap();
    assert_eq!((made.name.as_str(), &made.labels, made.anonymous), ("data", &labels, false));
    fs::write(made.data().join("kept"), "x").unwrap();
    let again = shelf.store.create_volume(named("data")).unwrap();
    assert_eq!(again, made);
    assert_eq!(entries(&again), ["kept"]);
    assert_eq!(shelf.store.volume("data").unwrap(), made);
    let generated = shelf.store.create_volume(NewVolume::default()).unwrap();
    assert_eq!(generated.name.len(), 64);
    assert_eq!(fs::metadata(generated.data()).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_dir(shelf.store.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn no_name_leads_out_of_the_store() {
    let shelf = Shelf::new();
    fs::create_dir_all(shelf.dir.path().join("outside/data")).unwrap();
    fs::write(shelf.dir.path().join("outside/volume.json"), r#"{"created":"2024-01-01T00:00:00Z"}"#).unwrap();
    for name in ["../../outside", "..", ".", "", "a", "/etc", "a/b", "-ab", "a b", &"x".repeat(256)] {
        assert!(matches!(shelf.store.create_volume(named(name)), Err(StoreError::VolumeName { .. })), "{name:?}");
        assert!(matches!(shelf.store.volume(name), Err(StoreError::UnknownVolume { .. })), "{name:?}");
        assert!(matches!(shelf.store.remove_volume(name), Err(StoreError::UnknownVolume { .. })), "{name:?}");
    }
    assert!(shelf.dir.path().join("outside/data").exists());
}

#[test]
fn a_volume_that_a_container_uses_stays() {
    let shelf = Shelf::new();
    let web = container(&shelf, "web", &[named("data"), anonymous("hidden")]);
    assert_eq!(names(&shelf), ["data", "hidden"]);
    let found = shelf.store.container("web").unwrap();
    assert_eq!(found, web);
    assert_eq!(found.volume("data").unwrap(), shelf.store.volume("data").unwrap());
    let refused = shelf.store.remove_volume("data").unwrap_err().to_string();
    assert_eq!(refused, "volume data is in use by container web");
    let unknown = shelf.store.remove_volume("dta").unwrap_err().to_string();
    assert_eq!(unknown, r#"there is no volume "dta": did you mean "data"?"#);
    shelf.store.remove_container(&web).unwrap();
    shelf.store.remove_volume("data").unwrap();
    assert_eq!(names(&shelf), ["hidden"]);
}

#[test]
fn anonymous_volumes_go_with_their_last_container_and_named_ones_stay() {
    let shelf = Shelf::new();
    let one = container(&shelf, "one", &[named("data"), anonymous("hidden"), anonymous("shared")]);
    // The second takes one over from the first, and names the other: so it does not own that.
    let two = container(&shelf, "two", &[anonymous("shared"), named("hidden")]);
    for (removed, left) in [(&one, &["data", "hidden", "shared"][..]), (&two, &["data", "hidden"])] {
        shelf.store.remove_container(removed).unwrap();
        shelf.store.remove_volumes_of(removed).unwrap();
        assert_eq!(names(&shelf), left, "{}", removed.name);
    }
    shelf.store.remove_volumes_of(&two).unwrap();
}

#[test]
fn a_new_volume_is_filled_once() {
    let shelf = Shelf::new();
    let volume = shelf.store.create_volume(named("data")).unwrap();
    assert!(fill(&volume));
    assert_eq!(entries(&volume), ["a", "b"]);
    assert_eq!(fs::metadata(volume.data()).unwrap().mode() & 0o7777, 0o750);
    for name in ["a", "b"] {
        fs::remove_file(volume.data().join(name)).unwrap();
    }
    assert!(!fill(&volume), "what was removed stays removed");
    let used = shelf.store.create_volume(named("used")).unwrap();
    fs::write(used.data().join("own"), "").unwrap();
    assert!(!fill(&used));
    fs::remove_file(used.data().join("own")).unwrap();
    assert!(!fill(&used), "it had files when it was mounted");
    for volume in [volume, used] {
        assert_eq!(entries(&volume), [""; 0]);
        for left in ["fresh", "filling", "filled"] {
            assert!(!beside(&volume, left).exists(), "{left}");
        }
    }
}

#[test]
fn a_copy_that_failed_or_was_interrupted_leaves_no_half_of_it() {
    let shelf = Shelf::new();
    let volume = shelf.store.create_volume(named("data")).unwrap();
    let failed = volume.fill(|to| {
        file(to, "half");
        Err(StoreError::ContainerName { name: "x".into() })
    });
    assert!(failed.is_err());
    assert_eq!(entries(&volume), [""; 0]);
    assert!(!beside(&volume, "filling").exists());
    // As a process that was killed while it copied leaves it; the mode locks an ordinary user out.
    let left = beside(&volume, "filling");
    fs::create_dir_all(left.join("half")).unwrap();
    fs::write(left.join("half/file"), "").unwrap();
    fs::set_permissions(left.join("half"), Permissions::from_mode(0o000)).unwrap();
    volume.finish_fill().unwrap();
    assert_eq!(entries(&volume), [""; 0]);
    assert!(fill(&volume));
    assert_eq!(entries(&volume), ["a", "b"]);
}

#[test]
fn an_interrupted_move_is_finished_and_overwrites_nothing() {
    let shelf = Shelf::new();
    let volume = shelf.store.create_volume(named("data")).unwrap();
    // As a process that was killed leaves it that had moved one of three entries.
    let filled = beside(&volume, "filled");
    fs::create_dir(&filled).unwrap();
    fs::set_permissions(&filled, Permissions::from_mode(0o711)).unwrap();
    fs::write(volume.data().join("a"), "moved").unwrap();
    fs::write(filled.join("b"), "image").unwrap();
    fs::write(filled.join("c"), "image").unwrap();
    // And a container that has the volume mounted made this one.
    fs::write(volume.data().join("c"), "container").unwrap();
    assert!(!fill(&volume));
    assert_eq!(entries(&volume), ["a", "b", "c"]);
    let read = |name: &str| fs::read_to_string(volume.data().join(name)).unwrap();
    assert_eq!((read("a"), read("b"), read("c")), ("moved".into(), "image".into(), "container".into()));
    assert_eq!(fs::metadata(volume.data()).unwrap().mode() & 0o7777, 0o711);
    assert!(!filled.exists() && !beside(&volume, "fresh").exists());
}
