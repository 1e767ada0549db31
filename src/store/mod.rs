//! The content-addressed store of images, layers and containers.
//!
//! ```text
//! ROOT/
//!   oci-layout index.json    an OCI image layout, which other tools can read as it is
//!   blobs/sha256/<digest>    manifests, configurations and compressed layers
//!   layers/sha256/<diff id>/
//!     fs/                    one unpacked layer, ready to be a lower directory
//!     toc                    its table of contents, from which mounts answer lookups
//!     layer.json             how many entries and bytes it has
//!   containers/<id>/
//!     config.json            name, image and command
//!     settings.json state.json   of module `container`: how to run it, and how its last run went
//!     upper/ work/ merged/   the container's changes; overlay's work directory; a mount point
//!     lock                   held while the container is mounted or running
//!   volumes/<name>/
//!     volume.json            when it was made, its labels, whether it was made without a name
//!     data/                  what containers see
//!     fresh filling/ filled/ lock   how it gets its first content, see `fill`
//!   build-cache/<key>        the ID of the image that a step of a build made
//!   tmp/                     what is being written
//!   lock names.lock          see below
//! ```
//!
//! What holds:
//!
//! - Everything outside `tmp/` is complete. It was built in `tmp/` and published by one rename. An interrupted
//!   process may leave files in `tmp/`; the next process that is alone in the store removes them.
//! - A blob's digest is verified before the blob is published. A layer's diff ID is verified before the layer is
//!   published, against the same blob that its manifest names. A published layer never changes. Its table of
//!   contents may be replaced, by one rename; a process that has the old table open keeps using it.
//! - What `index.json` reaches is kept: its manifests, their configurations and layers. The rest is removed
//!   when an image is removed. An image that a container uses cannot be removed, nor can a volume.
//! - Locks: a process that adds holds `lock` shared, a process that removes holds it exclusively, and
//!   `names.lock` is held while names change. Readers need no lock. A container in use has its own lock. The
//!   configuration of an image that is mounted without a container is locked shared.
//!
//! Deliberately absent: printing, the environment, registries, and any knowledge of mounts beyond the
//! directories that they need.
#![doc = include_str!("store.md")]

mod assemble;
mod blobs;
mod changes;
mod collect;
mod commit;
mod container_names;
mod containers;
mod error;
mod fill;
mod images;
mod load;
mod lock;
mod scratch;
mod staging;
mod stream;
mod toc;
mod volumes;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::image::Index;
use crate::layer::Policy;
use crate::sys::Dir;

pub use assemble::{Assembly, MakeConfig};
pub use changes::Meanwhile;
pub use commit::Commit;
pub use containers::{Container, InUse, NewContainer};
pub use error::StoreError;
pub use images::{Held, Image, Removed};
pub use load::{Input, Load, Loaded};
pub use staging::Progress;
pub use stream::decompress;
pub use volumes::{NewVolume, Volume, VolumeUse};

use error::{Result, format_of, io_at};
use lock::Lock;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A store, open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`, and creates it if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Store> {
        // Mode 0700: users of the host must not be able to run set-user-ID programs from images.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(io_at("make", root))?;
        // Absolute, because a process that serves a mount may change its current directory.
        let root = root.canonicalize().map_err(io_at("open", root))?;
        let store = Store { root };
        for dir in ["blobs/sha256", "layers/sha256", "containers", "volumes", assemble::CACHE, "tmp"] {
            let path = store.root.join(dir);
            fs::create_dir_all(&path).map_err(io_at("make", &path))?;
        }
        store.make_document("oci-layout", LAYOUT)?;
        let empty = Index::new(Vec::new()).map_err(format_of("an empty index"))?;
        store.make_document("index.json", &empty.to_json())?;
        Ok(store)
    }

    /// The store's directory, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Publishes a document at the root unless it exists already.
    fn make_document(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        if path.exists() {
            return Ok(());
        }
        let written = self.temp_file(content)?;
        match written.persist_noclobber(&path) {
            Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(io_at("write", &path)(error.error))
            }
            _ => Ok(()),
        }
    }

    /// The lock for adding. Empties `tmp/` first if no other process holds the lock.
    fn lock_shared(&self) -> Result<Lock> {
        Lock::shared(&self.root, || self.sweep())
    }

    /// The lock for removing.
    fn lock_exclusive(&self) -> Result<Lock> {
        let lock = Lock::exclusive(&self.root)?;
        self.sweep()?;
        Ok(lock)
    }

    /// How this process can keep owners and marks in the store's layers; found by trying it in `tmp/`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn policy(&self) -> Result<Policy> {
        let _lock = self.lock_shared()?;
        self.probe()
    }

    /// As [`policy`](Self::policy); the caller holds the lock.
    fn probe(&self) -> Result<Policy> {
        let scratch = self.scratch_dir()?;
        let tried = scratch.make_dir("policy")?;
        let policy = Policy::probe(&tried).map_err(io_at("try what can be kept in", scratch.path()))?;
        scratch.remove()?;
        Ok(policy)
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn tmp_dir(&self) -> Result<Dir> {
        Dir::open_host(&self.tmp()).map_err(io_at("open", &self.tmp()))
    }
}
