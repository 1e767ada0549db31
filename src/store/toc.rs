//! Tables of contents: the file `toc` beside each unpacked layer, so that a mount need not read the layer.
//!
//! A mount works without a table, only slower. A table that is missing, damaged, or older than its layer is written
//! anew when the layer is next mounted. If it cannot be written, the mount uses no table for this layer.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::error::{Result, io_at};
use super::images::Image;
use super::scratch::ScratchDir;
use crate::image::Digest;
use crate::layer::toc::{self, Unfit, Viewer};
use crate::layer::{Policy, Tables, Toc};
use crate::sys::{Dir, Errno};

/// The table's file name in the layer's directory of the store.
pub(super) const TABLE: &str = "toc";
/// The file name that older versions used; a table with this name is renamed when the layer is next mounted.
const OLD_TABLE: &str = "index";

impl Store {
    /// The tables of the layers of `image`, in the order of [`Store::lower_dirs`], for a union that keeps owners and
    /// marks as `policy` says. Writes a table that is missing or does not fit; a layer without one gets `None`.
    pub fn tables(&self, image: &Image, policy: Policy) -> Tables {
        let Ok(viewer) = Viewer::new(policy) else { return Tables::None };
        let known = |diff_id| match self.layer_toc(diff_id, &viewer) {
            Ok(toc) => Some(Arc::new(toc)),
            Err(error) => {
                tracing::debug!(%diff_id, %error, "the layer has no table of contents");
                None
            }
        };
        Tables::Known(image.layers.iter().rev().map(known).collect())
    }

    fn table_path(&self, diff_id: &Digest) -> PathBuf {
        self.layer_path(diff_id).join(TABLE)
    }

    fn layer_toc(&self, diff_id: &Digest, viewer: &Viewer) -> Result<Toc> {
        let (fs, path) = (self.layer_fs(diff_id), self.table_path(diff_id));
        let root = Dir::open_host(&fs).map_err(io_at("open", &fs))?;
        let open = || Toc::open(&path, diff_id.hex().as_bytes(), &root, viewer);
        match open() {
            Ok(toc) => return Ok(toc),
            Err(Unfit::Io(Errno::NOENT)) => tracing::debug!(%diff_id, "writing the layer's table of contents"),
            Err(error) => tracing::warn!(%diff_id, %error, "writing the layer's table of contents anew"),
        }
        let _lock = self.lock_shared()?;
        let old = self.layer_path(diff_id).join(OLD_TABLE);
        if matches!(std::fs::symlink_metadata(&path), Err(error) if error.kind() == io::ErrorKind::NotFound)
            && std::fs::rename(&old, &path).is_ok()
        {
            match open() {
                Ok(toc) => return Ok(toc),
                Err(error) => tracing::warn!(%diff_id, %error, "writing the layer's table of contents anew"),
            }
        }
        let mut file = self.empty_file()?;
        write(file.as_file_mut(), diff_id, &root, viewer).map_err(io_at("write", &path))?;
        file.persist(&path).map_err(|error| io_at("write", &path)(error.error))?;
        open().map_err(|error| io_at("use", &path)(io::Error::other(error)))
    }
}

/// Writes the table of a layer that is staged in `scratch`. A failure is only logged: the layer works without a table.
pub(super) fn stage(scratch: &ScratchDir, diff_id: &Digest, policy: Policy) {
    let path = scratch.path().join(TABLE);
    let stage = |path: &Path| -> io::Result<()> {
        let root = Dir::open_host(&scratch.path().join("fs"))?;
        write(&mut std::fs::File::create(path)?, diff_id, &root, &Viewer::new(policy)?)
    };
    if let Err(error) = stage(&path) {
        tracing::warn!(%diff_id, %error, "left out the layer's table of contents");
        // Removes a half-written table: the next mount writes it again.
        drop(std::fs::remove_file(&path));
    }
}

fn write(file: &mut std::fs::File, diff_id: &Digest, root: &Dir, viewer: &Viewer) -> io::Result<()> {
    toc::write(&mut BufWriter::new(file), diff_id.hex().as_bytes(), root, viewer)
}
