//! Volumes: directories that containers share, and that outlive them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::containers::file_bytes;
use super::error::{Result, StoreError, io_at};
use super::lock::Lock;
use super::{Container, Store, container_names};
use crate::image::{Digest, Instant};
use crate::sys::Dir;

/// The volume's record.
const RECORD: &str = "volume.json";
/// What containers see.
pub(super) const DATA: &str = "data";
/// A file that exists until the volume got its first content.
pub(super) const FRESH: &str = "fresh";
/// Held while the volume gets its first content.
pub(super) const LOCK: &str = "lock";

/// A volume that the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Unique in the store.
    pub name: String,
    /// When the volume was made.
    pub created: Instant,
    /// What the user noted about it.
    pub labels: BTreeMap<String, String>,
    /// Whether it was made without a name, for one container.
    pub anonymous: bool,
    pub(super) dir: PathBuf,
}

/// A volume that a container uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUse {
    /// The volume's name.
    pub name: String,
    /// Whether the container did not ask for it by name. Such a volume can be removed with the container.
    pub anonymous: bool,
}

/// What a new volume is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// `None`: a generated name.
    pub name: Option<String>,
    /// What the user notes about it.
    pub labels: BTreeMap<String, String>,
    /// Whether it is made for one container.
    pub anonymous: bool,
}

/// The content of `volume.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    created: Instant,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    anonymous: bool,
}

impl Volume {
    /// The directory that containers see.
    pub fn data(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// Whether `name` can be the name of a volume: a letter or digit, then letters, digits, `_`, `.` and `-`; 2 to 255
    /// characters, by Docker's rule.
    pub fn is_name(name: &str) -> bool {
        container_names::is_container_name(name)
    }

    /// A name for a volume that gets none: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn generate_name() -> Result<String> {
        let random = container_names::random::<32>().map_err(io_at("read", Path::new("/dev/urandom")))?;
        Ok(Digest::of(&random).hex())
    }

    fn read(dir: PathBuf) -> Result<Volume> {
        let path = dir.join(RECORD);
        let json = fs::read(&path).map_err(io_at("read", &path))?;
        let record: Record = serde_json::from_slice(&json).map_err(io_at("read", &path))?;
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Record { created, labels, anonymous } = record;
        Ok(Volume { name, created, labels, anonymous, dir })
    }
}

impl Container {
    /// The volume `name` of the store that holds this container.
    ///
    /// # Errors
    /// [`StoreError::UnknownVolume`]; [`StoreError::Io`].
    pub fn volume(&self, name: &str) -> Result<Volume> {
        // The container is `containers/<id>` of the store.
        let root = self.dir().parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        find(root, name)?.ok_or_else(|| StoreError::UnknownVolume { name: name.into(), nearest: None })
    }
}

impl Store {
    /// All volumes, sorted by name.
    ///
    /// # Errors
    /// When the directory cannot be read. A volume that cannot be read is left out, with a warning.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let path = self.volumes_dir();
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_at("list", &path))? {
            let dir = entry.map_err(io_at("list", &path))?.path();
            match Volume::read(dir) {
                Ok(volume) => volumes.push(volume),
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "left out a volume"),
            }
        }
        volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(volumes)
    }

    /// The volume with this name.
    ///
    /// # Errors
    /// [`StoreError::UnknownVolume`] with the nearest name; [`StoreError::Io`].
    pub fn volume(&self, name: &str) -> Result<Volume> {
        if let Some(found) = find(self.root(), name)? {
            return Ok(found);
        }
        let volumes = self.volumes()?;
        let nearest = container_names::nearest(name, volumes.iter().map(|volume| volume.name.as_str()));
        Err(StoreError::UnknownVolume { name: name.into(), nearest })
    }

    /// Makes a volume. One that exists already is returned as it is.
    ///
    /// # Errors
    /// [`StoreError::VolumeName`]; [`StoreError::Io`].
    pub fn create_volume(&self, new: NewVolume) -> Result<Volume> {
        let _lock = self.lock_shared()?;
        let _names = Lock::names(self.root())?;
        self.ensure_volume(new)
    }

    /// As [`create_volume`](Self::create_volume); the caller holds the locks for adding and for names.
    pub(super) fn ensure_volume(&self, new: NewVolume) -> Result<Volume> {
        let name = new.name.map_or_else(Volume::generate_name, Ok)?;
        if !Volume::is_name(&name) {
            return Err(StoreError::VolumeName { name });
        }
        if let Some(found) = find(self.root(), &name)? {
            return Ok(found);
        }
        let scratch = self.scratch_dir()?;
        scratch.make_dir(DATA)?;
        for file in [FRESH, LOCK] {
            let path = scratch.path().join(file);
            File::create(&path).map_err(io_at("make", &path))?;
        }
        let NewVolume { labels, anonymous, .. } = new;
        let record = Record { created: Instant::now(), labels, anonymous };
        let path = scratch.path().join(RECORD);
        let json = serde_json::to_vec_pretty(&record).map_err(io_at("write", &path))?;
        fs::write(&path, json).map_err(io_at("write", &path))?;
        let dir = self.volumes_dir().join(&name);
        scratch.publish(&dir)?;
        Volume::read(dir)
    }

    /// The names of the containers that use a volume.
    ///
    /// # Errors
    /// As [`Store::containers`].
    pub fn volume_users(&self, name: &str) -> Result<Vec<String>> {
        let uses = |container: &Container| container.volumes.iter().any(|volume| volume.name == name);
        Ok(self.containers()?.into_iter().filter(uses).map(|container| container.name).collect())
    }

    /// Removes a volume and everything in it.
    ///
    /// # Errors
    /// [`StoreError::VolumeInUse`] with the names of the containers, also of those that do not run; the errors of
    /// [`Store::volume`].
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let _lock = self.lock_shared()?;
        let names = Lock::names(self.root())?;
        let volume = self.volume(name)?;
        let by = self.volume_users(name)?;
        if !by.is_empty() {
            return Err(StoreError::VolumeInUse { name: name.into(), by });
        }
        // Only the rename needs the lock: removing the files may take long.
        let scratch = self.scratch_dir()?;
        fs::rename(&volume.dir, scratch.path().join(name)).map_err(io_at("remove", &volume.dir))?;
        drop(names);
        scratch.remove()
    }

    /// Removes the volumes that were made without a name for `container`, which is removed already. A volume that
    /// another container uses, or that is gone, is no error.
    ///
    /// # Errors
    /// As [`remove_volume`](Self::remove_volume).
    pub fn remove_volumes_of(&self, container: &Container) -> Result<()> {
        for volume in container.volumes.iter().filter(|volume| volume.anonymous) {
            match self.remove_volume(&volume.name) {
                Err(StoreError::VolumeInUse { .. } | StoreError::UnknownVolume { .. }) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Bytes of all files in a volume.
    ///
    /// # Errors
    /// [`StoreError::Io`]; a file that vanishes meanwhile is not an error.
    pub fn volume_bytes(&self, volume: &Volume) -> Result<u64> {
        let data = volume.data();
        Dir::open_host(&data).and_then(|dir| file_bytes(&dir)).map_err(io_at("read", &data))
    }

    fn volumes_dir(&self) -> PathBuf {
        self.root().join("volumes")
    }
}

/// The volume `name` of the store at `root`; `None` also for what can be no name, so that no path leaves the store.
fn find(root: &Path, name: &str) -> Result<Option<Volume>> {
    if !Volume::is_name(name) {
        return Ok(None);
    }
    match Volume::read(root.join("volumes").join(name)) {
        Ok(volume) => Ok(Some(volume)),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
