//! Where the store is, and opening it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Global, ids};
use crate::store::Store;
use crate::{privilege, sys};

/// The root of the store. To be asked before a user namespace is entered, in which everybody is root.
///
/// # Errors
/// When neither `--root` nor the environment tells.
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
        .context("neither XDG_DATA_HOME nor HOME is set: say with --root where the store is")
}

/// The store, for a command that changes it: with the owners of the images, as far as this user may.
///
/// # Errors
/// Those of [`path`], [`privilege::enter_for_store`] and [`Store::open`].
pub(super) fn open(global: &Global) -> Result<Store> {
    let path = path(global)?;
    privilege::enter_for_store(ids::programs().as_ref())?;
    Ok(Store::open(&path)?)
}

/// The store, for a command that only looks at what the store itself wrote.
///
/// # Errors
/// Those of [`path`] and [`Store::open`].
pub(super) fn open_to_read(global: &Global) -> Result<Store> {
    Ok(Store::open(&path(global)?)?)
}
