//! Containers: an image, a name, and the directories for the container's changes.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{io, thread};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Result, StoreError, io_at};
use super::images::Image;
use super::lock::Lock;
use super::scratch::ScratchDir;
use super::{NewVolume, Store, VolumeUse, container_names};
use crate::image::{Digest, Instant};
use crate::layer::marks::OVERRIDE_STAT;
use crate::layer::{Walk, walk};
use crate::sys::xattr::{self, Of};
use crate::sys::{Dir, Errno, Kind};

/// A container that the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique in the store.
    pub name: String,
    /// The ID of its image.
    pub image: Digest,
    /// The image as it was asked for when the container was made.
    pub image_name: String,
    /// When the container was made.
    pub created: Instant,
    /// The command that it runs; empty for one that is only mounted.
    pub command: Vec<String>,
    /// The volumes that it uses.
    pub volumes: Vec<VolumeUse>,
    dir: PathBuf,
}

/// The container's lock, held until this value is dropped in this process and in those forked from it. It means that
/// the container is mounted or running.
#[derive(Debug)]
pub struct InUse {
    _file: File,
}

/// What a new container is made with.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewContainer<'a> {
    /// `None`: a generated name.
    pub name: Option<&'a str>,
    /// The image's name as it was asked for; `None`: the first of its names.
    pub image_name: Option<&'a str>,
    /// The command that it runs, as listings show it.
    pub command: &'a [String],
    /// Documents for [`Container::read_document`]: name and JSON. They are there from the start.
    pub documents: &'a [(&'a str, Vec<u8>)],
    /// The volumes that it uses; those that do not exist are made. Each has a name.
    pub volumes: &'a [NewVolume],
}

/// The name of the container's record.
const CONFIG: &str = "config.json";

/// The content of `config.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    name: String,
    image: Digest,
    image_name: String,
    created: Instant,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    volumes: Vec<VolumeUse>,
}

impl Record {
    fn of(container: &Container) -> Record {
        Record {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image,
            image_name: container.image_name.clone(),
            created: container.created,
            command: container.command.clone(),
            volumes: container.volumes.clone(),
        }
    }
}

impl Container {
    /// The container's own directory, removed with it. Other files about the container may be kept here too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The upper directory: the container's changes, in overlayfs's format.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// The work directory that belongs to [`Container::upper`].
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The mount point for the container's root.
    pub fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    /// The container with the ID `id` of the same store.
    ///
    /// # Errors
    /// [`StoreError::UnknownContainer`], [`StoreError::Io`].
    pub fn beside(&self, id: &str) -> Result<Container> {
        let unknown = || StoreError::UnknownContainer { name: id.into(), nearest: None };
        let is_id = id.len() == self.id.len() && id.bytes().all(|b| b.is_ascii_hexdigit());
        let dir = self.dir.parent().filter(|_| is_id).ok_or_else(unknown)?.join(id);
        match Container::read(dir) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Err(unknown()),
            other => other,
        }
    }

    /// Locks the container for a mount or a run.
    ///
    /// # Errors
    /// [`StoreError::ContainerInUse`] when another process holds the lock; [`StoreError::Io`].
    pub fn lock(&self) -> Result<InUse> {
        // Several tries, because `is_in_use` of another process holds the lock for a moment.
        const TRIES: u32 = 5;
        let path = self.dir.join("lock");
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(io_at("open", &path))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(InUse { _file: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::Error(error)) => return Err(io_at("lock", &path)(error)),
            }
        }
        Err(StoreError::ContainerInUse { name: self.name.clone() })
    }

    /// Whether a process holds [`Container::lock`] now.
    pub fn is_in_use(&self) -> bool {
        let file = File::open(self.dir.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Reads a document that another module keeps in the container's directory; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`], also when it is not a `T`.
    pub fn read_document<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => {
                let json = read.map_err(io_at("read", &path))?;
                serde_json::from_slice(&json).map(Some).map_err(io_at("read", &path))
            }
        }
    }

    /// Replaces a document in the container's directory by one rename.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_document<T: Serialize>(&self, name: &str, document: &T) -> Result<()> {
        let path = self.dir.join(name);
        let json = serde_json::to_vec_pretty(document).map_err(io_at("write", &path))?;
        // A name of its own, because another process may write the same document at the same time.
        let next = self.dir.join(format!("{name}.{}", std::process::id()));
        fs::write(&next, json).map_err(io_at("write", &next))?;
        fs::rename(&next, &path).map_err(io_at("write", &path))
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(&Record::of(self)).map_err(io_at("write", &self.dir))
    }

    fn read(dir: PathBuf) -> Result<Container> {
        let path = dir.join(CONFIG);
        let json = fs::read(&path).map_err(io_at("read", &path))?;
        let record: Record = serde_json::from_slice(&json).map_err(io_at("read", &path))?;
        let Record { id, name, image, image_name, created, command, volumes } = record;
        Ok(Container { id, name, image, image_name, created, command, volumes, dir })
    }
}

impl Store {
    /// Makes a container of `image`, with the given name or else a generated one.
    ///
    /// # Errors
    /// As [`create_container_with`](Self::create_container_with).
    pub fn create_container(&self, image: &Image, name: Option<&str>) -> Result<Container> {
        self.create_container_with(image, NewContainer { name, ..NewContainer::default() })
    }

    /// Makes a container of `image`.
    ///
    /// # Errors
    /// [`StoreError::ContainerName`], [`StoreError::NameTaken`], [`StoreError::VolumeName`],
    /// [`StoreError::MissingLayer`], and
    /// [`StoreError::UnknownImage`] when the image was removed meanwhile.
    pub fn create_container_with(&self, image: &Image, new: NewContainer<'_>) -> Result<Container> {
        let NewContainer { name, image_name, command, documents, volumes } = new;
        if let Some(name) = name.filter(|name| !container_names::is_container_name(name)) {
            return Err(StoreError::ContainerName { name: name.into() });
        }
        let _lock = self.lock_shared()?;
        self.image(&image.id.to_string())?;
        self.check_layers(image)?;
        let id = container_names::random::<32>().map_err(io_at("read", Path::new("/dev/urandom")))?;
        let id = Digest::of(&id).hex();
        let scratch = self.scratch_dir()?;
        self.fill(&scratch, image)?;

        let _names = Lock::names(self.root())?;
        let taken = self.containers()?;
        let name = self.free_name(name, &taken)?;
        let volumes = volumes.iter().map(|volume| {
            let made = self.ensure_volume(volume.clone())?;
            Ok(VolumeUse { name: made.name, anonymous: volume.anonymous })
        });
        let volumes = volumes.collect::<Result<_>>()?;
        let dir = self.root().join("containers").join(&id);
        let container = Container {
            id,
            name,
            image: image.id,
            image_name: image_name.map_or_else(|| image.display_name(), Into::into),
            created: Instant::now(),
            command: command.to_vec(),
            volumes,
            dir,
        };
        let path = scratch.path().join(CONFIG);
        fs::write(&path, container.to_json()?).map_err(io_at("write", &path))?;
        for (name, document) in documents {
            let path = scratch.path().join(name);
            fs::write(&path, document).map_err(io_at("write", &path))?;
        }
        scratch.publish(&container.dir)?;
        Ok(container)
    }

    /// Makes the directories of a container. The upper's root gets mode and owner of the topmost layer's root.
    fn fill(&self, scratch: &ScratchDir, image: &Image) -> Result<()> {
        let upper = scratch.make_dir("upper")?;
        scratch.make_dir("merged")?;
        let work = scratch.path().join("work");
        fs::DirBuilder::new().mode(0o700).create(&work).map_err(io_at("make", &work))?;
        let lock = scratch.path().join("lock");
        File::create(&lock).map_err(io_at("make", &lock))?;
        match image.layers.last() {
            Some(top) => {
                let top = self.layer_fs(top);
                Dir::open_host(&top).and_then(|top| copy_root(&top, &upper)).map_err(io_at("copy the root of", &top))
            }
            None => Ok(()),
        }
    }

    fn free_name(&self, wanted: Option<&str>, taken: &[Container]) -> Result<String> {
        let holder = |name: &str| taken.iter().find(|container| container.name == name);
        if let Some(name) = wanted {
            return match holder(name) {
                Some(other) => Err(StoreError::NameTaken { name: name.into(), id: short(&other.id) }),
                None => Ok(name.into()),
            };
        }
        let mut attempt = 0;
        loop {
            let name = container_names::generate(attempt).map_err(io_at("read", Path::new("/dev/urandom")))?;
            if holder(&name).is_none() {
                return Ok(name);
            }
            attempt += 1;
        }
    }

    /// All containers, newest first.
    ///
    /// # Errors
    /// When the directory cannot be read. A container that cannot be read is left out, with a warning.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let path = self.root().join("containers");
        let mut containers = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_at("list", &path))? {
            let dir = entry.map_err(io_at("list", &path))?.path();
            match Container::read(dir) {
                Ok(container) => containers.push(container),
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "left out a container"),
            }
        }
        containers.sort_by_key(|container| std::cmp::Reverse(container.created));
        Ok(containers)
    }

    /// The container with this name, or the one whose ID begins with `name`.
    ///
    /// # Errors
    /// [`StoreError::UnknownContainer`] with the nearest name, [`StoreError::AmbiguousContainer`].
    pub fn container(&self, name: &str) -> Result<Container> {
        let containers = self.containers()?;
        if let Some(found) = containers.iter().find(|container| container.name == name) {
            return Ok(found.clone());
        }
        let mut found = containers.iter().filter(|container| !name.is_empty() && container.id.starts_with(name));
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found.clone()),
            (None, _) => {
                let nearest =
                    container_names::nearest(name, containers.iter().map(|container| container.name.as_str()));
                Err(StoreError::UnknownContainer { name: name.into(), nearest })
            }
            (Some(first), Some(second)) => {
                let matches = [first, second].into_iter().chain(found).map(|container| short(&container.id));
                let matches = matches.collect::<Vec<_>>().join(", ");
                Err(StoreError::AmbiguousContainer { id: name.into(), matches })
            }
        }
    }

    /// Gives the container another name.
    ///
    /// # Errors
    /// [`StoreError::ContainerName`], [`StoreError::NameTaken`], [`StoreError::Io`].
    pub fn rename_container(&self, container: &Container, name: &str) -> Result<()> {
        if !container_names::is_container_name(name) {
            return Err(StoreError::ContainerName { name: name.into() });
        }
        let _names = Lock::names(self.root())?;
        let name = self.free_name(Some(name), &self.containers()?)?;
        let record = Record { name, ..Record::of(container) };
        container.write_document(CONFIG, &record)
    }

    /// Removes the container and its changes.
    ///
    /// # Errors
    /// [`StoreError::ContainerInUse`], [`StoreError::Mounted`], or [`StoreError::Io`] with the path that cannot be
    /// removed.
    pub fn remove_container(&self, container: &Container) -> Result<()> {
        let _lock = self.lock_shared()?;
        let _in_use = container.lock()?;
        if is_mounted(&container.merged(), &container.dir) {
            return Err(StoreError::Mounted { name: container.name.clone(), at: container.merged() });
        }
        self.discard(&container.dir)
    }

    /// Bytes of the files that the container added or changed: each file's size, or what is allocated for it if that is
    /// less. Directories do not count, and a file with several names counts once, as in docker.
    ///
    /// # Errors
    /// [`StoreError::Io`]; a file that vanishes meanwhile is not an error.
    pub fn container_bytes(&self, container: &Container) -> Result<u64> {
        let upper = container.upper();
        Dir::open_host(&upper).and_then(|dir| file_bytes(&dir)).map_err(io_at("read", &upper))
    }
}

/// Copies mode and owner of a directory. Where the owner is recorded in an xattr, copies that instead of the owner.
fn copy_root(from: &Dir, to: &Dir) -> Result<(), Errno> {
    let stat = from.stat_self()?;
    let to = to.to_path_fd()?;
    if let Some(recorded) = xattr::get(Of::fd(from), OVERRIDE_STAT.as_ref())? {
        xattr::set(Of::fd(&to), OVERRIDE_STAT.as_ref(), &recorded, xattr::Set::Any)?;
    } else {
        to.set_owner(Some(stat.uid), Some(stat.gid))?;
    }
    to.set_perm(stat.perm)
}

/// Bytes of all files below `dir`. A copy of attributes alone has a size, and nothing is allocated for it.
pub(super) fn file_bytes(dir: &Dir) -> Result<u64, Errno> {
    let mut bytes = 0;
    let mut counted = HashSet::new();
    walk(dir, |dir, _, entries| {
        for entry in entries {
            match dir.stat(entry.name.as_name()) {
                Err(Errno::NOENT) => {}
                stat => {
                    let stat = stat?;
                    let again = stat.nlink > 1 && !counted.insert((stat.dev, stat.ino));
                    if stat.kind != Kind::Directory && !again {
                        bytes += stat.size.min(stat.blocks.saturating_mul(512));
                    }
                }
            }
        }
        Ok(Walk::Deeper)
    })?;
    Ok(bytes)
}

/// Whether something is mounted at `at`, which is in `dir`; also true when the process that served it has died.
fn is_mounted(at: &Path, dir: &Path) -> bool {
    match (fs::symlink_metadata(at), fs::symlink_metadata(dir)) {
        (Ok(at), Ok(dir)) => at.dev() != dir.dev(),
        (Err(error), Ok(_)) => error.kind() == io::ErrorKind::NotConnected,
        _ => false,
    }
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
