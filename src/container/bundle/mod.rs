//! OCI runtime bundles: the same container as the launcher's, for another program to run.
//!
//! Owns the one mapping from a launch plan to a runtime's `config.json`.
#![doc = include_str!("bundle.md")]

mod limits;
mod spec;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::Spec;
use serde_json::Value;

use super::child;
use super::error::{Doing, LaunchError};
use super::isolation::FilterError;
use super::mounts::{self, MountKind};
use super::plan::{Isolation, Plan};
use crate::sys::{Capabilities, Dir, IdKind, IdMaps, Root};

/// The annotation with the ID of the container that keeps the changes.
pub const CONTAINER: &str = "org.overfuse.container";

/// The names in a bundle.
pub const CONFIG: &str = "config.json";
pub const ROOTFS: &str = "rootfs";

/// Who starts the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The host's root.
    Root,
    /// Another user of the host. The runtime makes a user namespace with these ids.
    User(IdMaps),
    /// Root of a user namespace, which has these ids. The runtime stays in it.
    Namespace(IdMaps),
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a bundle of overfuse", .0.display())]
    Foreign(PathBuf),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("--chroot: an OCI runtime always makes namespaces")]
    Chroot,
    #[error("--init: an OCI runtime has no init to run as process 1")]
    Init,
    /// An option whose meaning the runtime's configuration does not have.
    #[error("{0}: only the own launcher can do that, not an OCI runtime")]
    Option(&'static str),
    #[error("{}: an OCI runtime cannot mount a part of a volume safely", .0.display())]
    Subpath(PathBuf),
    #[error("{}: without root, a bundle has no volumes; bind a directory instead", .0.display())]
    Volumes(PathBuf),
    #[error("{0:?} is not Unicode, as all text for an OCI runtime must be")]
    NotUnicode(OsString),
    #[error("{} is not a device", .0.display())]
    NoDevice(PathBuf),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("the configuration cannot be made: {0}")]
    Spec(#[from] OciSpecError),
    #[error("the configuration cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Runner {
    fn ids(&self) -> Option<&IdMaps> {
        match self {
            Runner::Root => None,
            Runner::User(ids) | Runner::Namespace(ids) => Some(ids),
        }
    }

    fn has_group(&self, gid: u32) -> bool {
        self.ids().is_none_or(|ids| ids.has(IdKind::Group, gid))
    }

    /// Whether the runtime sets supplementary groups. Not where a user mapped only itself.
    fn may_set_groups(&self) -> bool {
        match self {
            Runner::Root => true,
            Runner::User(_) => false,
            Runner::Namespace(ids) => ids.count(IdKind::Group) > 1,
        }
    }

    /// Those of the capabilities that a runtime can give. In a user namespace that it makes, that is all.
    fn may_give(&self, capabilities: Capabilities) -> Result<Capabilities, LaunchError> {
        match self {
            Runner::User(_) => Ok(capabilities),
            Runner::Root | Runner::Namespace(_) => capabilities.held().doing("read the capabilities of this process"),
        }
    }

    /// Refuses a user or group that the container does not have.
    fn check(&self, uid: u32, gid: u32) -> Result<(), LaunchError> {
        match self.ids() {
            Some(ids) if !ids.has(IdKind::User, uid) || !ids.has(IdKind::Group, gid) => {
                let (users, groups) = (ids.count(IdKind::User), ids.count(IdKind::Group));
                Err(LaunchError::Unmapped { uid, gid, users, groups })
            }
            _ => Ok(()),
        }
    }
}

/// A configuration, and what had to be left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// The content of `config.json`.
    pub spec: Spec,
    /// Supplementary groups of the user: runc refuses any when an ordinary user starts it.
    pub groups_left_out: Vec<u32>,
}

/// The configuration of a container whose files are mounted at the plan's root. `root` is the path of that directory
/// for the runtime: absolute, or relative to the bundle. New volumes get their first files.
///
/// # Errors
/// The image lacks the user, or the plan has what no runtime can do.
pub fn configuration(
    plan: Plan,
    runner: &Runner,
    root: &Path,
    annotations: HashMap<String, String>,
) -> Result<Configuration, BundleError> {
    let files = Dir::open_host(&plan.root).map_err(|errno| file_error(&plan.root)(errno.into()))?;
    let files = Root::from(files);
    let mut identity = child::resolve(&files, &plan.process.user, &plan.security.group_add)?;
    if let Isolation::Namespaces(sandbox) = &plan.isolation {
        let volume = sandbox.mounts.iter().find(|mount| matches!(mount.kind, MountKind::Volume(_)));
        match (runner, volume) {
            // The owners of the files of a new volume could not be set.
            (Runner::User(_), Some(mount)) => return Err(BundleError::Volumes(mount.target.clone())),
            _ => mounts::fill_volumes(&files, sandbox)?,
        }
    }
    let groups_left_out = match runner.may_set_groups() {
        true => Vec::new(),
        false => std::mem::take(&mut identity.groups),
    };
    Ok(Configuration { spec: spec::spec(plan, identity, runner, root, annotations)?, groups_left_out })
}

/// What an image says of itself, as annotations: its labels, and the names that the OCI image specification gives to
/// parts of its configuration.
pub fn annotations(image: &ImageConfiguration) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            all.insert(format!("org.opencontainers.image.{name}"), value.to_owned());
        }
    };
    put("os", &image.os().to_string());
    put("architecture", &image.architecture().to_string());
    put("author", image.author().as_deref().unwrap_or(""));
    put("created", image.created().as_deref().unwrap_or(""));
    if let Some(config) = image.config() {
        put("stopSignal", config.stop_signal().as_deref().unwrap_or(""));
        put("exposedPorts", &config.exposed_ports().as_deref().unwrap_or_default().join(","));
        all.extend(config.labels().clone().unwrap_or_default());
    }
    // A runtime refuses an annotation without a name.
    all.remove("");
    all
}

/// Writes `config.json` into the directory `bundle`, by one rename.
///
/// # Errors
/// The file cannot be written.
pub fn write(spec: &Spec, bundle: &Path) -> Result<(), BundleError> {
    let mut json = serde_json::to_value(spec)?;
    // Sets have no order of their own; equal containers have equal files.
    if let Some(sets) = json.pointer_mut("/process/capabilities").and_then(Value::as_object_mut) {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    let path = bundle.join(CONFIG);
    let next = bundle.join(".config.json");
    let write = || -> io::Result<()> {
        let mut file = File::create(&next)?;
        serde_json::to_writer_pretty(&mut file, &json)?;
        file.write_all(b"\n")?;
        fs::rename(&next, &path)
    };
    write().map_err(file_error(&path))
}

/// The ID of the container that keeps the changes of the bundle in directory `bundle`.
///
/// # Errors
/// The directory has no `config.json`, or one of another program.
pub fn container_of(bundle: &Path) -> Result<String, BundleError> {
    let path = bundle.join(CONFIG);
    let json = fs::read(&path).map_err(file_error(&path))?;
    let foreign = || BundleError::Foreign(bundle.to_owned());
    let json: Value = serde_json::from_slice(&json).map_err(|_| foreign())?;
    let id = json.get("annotations").and_then(|all| all.get(CONTAINER)).and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(foreign)
}

/// Makes the directories of a bundle, `bundle` and `rootfs` in it. Returns whether `bundle` itself was made.
///
/// # Errors
/// `bundle` exists and is not an empty directory.
pub fn make_dirs(bundle: &Path) -> Result<bool, BundleError> {
    let made = match fs::create_dir(bundle) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(file_error(bundle)(error)),
    };
    if fs::read_dir(bundle).map_err(file_error(bundle))?.next().is_some() {
        return Err(BundleError::NotEmpty(bundle.to_owned()));
    }
    let rootfs = bundle.join(ROOTFS);
    fs::create_dir(&rootfs).map_err(file_error(&rootfs))?;
    Ok(made)
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |error| BundleError::File { path, error }
}
