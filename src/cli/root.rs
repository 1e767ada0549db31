//! Finds and opens the store.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Global, ids};
use crate::store::Store;
use crate::{privilege, sys};

/// The root directory of the store. To be called before entering a user namespace, because every user is root in one.
///
/// # Errors
/// Neither `--root` nor the environment names a directory.
pub(super) fn path(global: &Global) -> Result<PathBuf> {
    if let Some(root) = &global.root {
        return Ok(root.clone());
    }
    if sys::effective_uid() == 0 {
        return Ok("/var/lib/overfuse".into());
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("overfuse"))
        .context("neither XDG_DATA_HOME nor HOME is set: name the store's directory with --root")
}

/// Opens the store for a command that changes it. Enters a user namespace with the user's subordinate ids, if there are
/// any, so that files can have the owners of the image.
///
/// # Errors
/// Those of [`path`], [`privilege::enter_for_store`] and [`Store::open`].
pub(super) fn open(global: &Global) -> Result<Store> {
    let path = path(global)?;
    privilege::enter_for_store(ids::programs().as_ref())?;
    Ok(Store::open(&path)?)
}

/// Opens the store for a command that only reads the store's own records.
///
/// # Errors
/// Those of [`path`] and [`Store::open`].
pub(super) fn open_to_read(global: &Global) -> Result<Store> {
    Ok(Store::open(&path(global)?)?)
}
