//! A store in a scratch directory, with helpers for tests.

use std::fs;
use std::path::{Path, PathBuf};

use overfuse::image::Digest;
use overfuse::store::{Image, Input, Load, Loaded, Store, StoreError};
use tempfile::TempDir;

use crate::parcel::Parcel;
use crate::support::scratch;

pub struct Shelf {
    pub dir: TempDir,
    pub store: Store,
}

impl Shelf {
    pub fn new() -> Shelf {
        let dir = scratch();
        let store = Store::open(&dir.path().join("store")).expect("open a store");
        Shelf { dir, store }
    }

    /// Loads an archive from a file called `name`.
    pub fn load_file(&self, name: &str, archive: &[u8], options: &Load) -> Result<Vec<Loaded>, StoreError> {
        let path = self.dir.path().join(name);
        fs::write(&path, archive).expect("write an archive");
        self.store.load(Input::Path(&path), options, &mut |_| {})
    }

    pub fn load_stream(&self, mut archive: &[u8], options: &Load) -> Result<Vec<Loaded>, StoreError> {
        self.store.load(Input::Stream(&mut archive), options, &mut |_| {})
    }

    pub fn load_dir(&self, name: &str, parcel: &Parcel) -> Result<Vec<Loaded>, StoreError> {
        let path = self.dir.path().join(name);
        parcel.write(&path);
        self.store.load(Input::Path(&path), &Load::default(), &mut |_| {})
    }

    /// Loads a valid archive.
    pub fn load(&self, parcel: &Parcel) -> Vec<Loaded> {
        self.load_stream(&parcel.tar(), &Load::default()).expect("load a good archive")
    }

    /// Every file of the store, without the content of layers.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        list(self.store.root(), self.store.root(), &mut files);
        files.sort();
        files
    }

    /// The content of the file `path` in the image, from the topmost layer that has it.
    pub fn read(&self, image: &Image, path: &str) -> Option<String> {
        for dir in self.store.lower_dirs(image) {
            match fs::symlink_metadata(dir.join(path)) {
                Ok(found) if found.is_file() => return fs::read_to_string(dir.join(path)).ok(),
                Ok(_) => return None,
                Err(_) => {}
            }
        }
        None
    }

    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.store.root().join("layers/sha256").join(diff_id.hex()).join("fs")
    }
}

fn list(root: &Path, dir: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("list the store") {
        let path = entry.expect("list the store").path();
        let relative = path.strip_prefix(root).expect("below the store").display().to_string();
        if path.is_dir() && !relative.ends_with("/fs") {
            list(root, &path, files);
        }
        // Leaves out lock files, which appear at the first use.
        if !relative.ends_with("lock") {
            files.push(relative);
        }
    }
}

/// An error and its causes, as the command line prints them.
pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// The names that were loaded, as text.
pub fn names(loaded: &[Loaded]) -> Vec<String> {
    loaded.iter().flat_map(|image| image.names.iter().map(ToString::to_string)).collect()
}
