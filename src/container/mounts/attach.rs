//! Mounts what a container shows besides its root.
//!
//! Every target is resolved inside the new root and every mount is attached by descriptor, so that no symbolic link of
//! an image or in a volume decides where something is mounted.

use std::os::fd::AsFd;

use super::fill::copy_tree;
use super::{Bind, Mount, MountKind, Propagation, Submounts, Tmpfs, VolumeMount};
use crate::container::error::{Doing, LaunchError};
use crate::container::isolation::Security;
use crate::container::plan::{Access, Sandbox};
use crate::store::Volume;
use crate::sys::{self, Detached, Dir, Kind, Reach, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

/// A mount whose source is open, and that is not attached yet.
#[derive(Debug)]
pub(in crate::container) struct Opened<'a> {
    mount: &'a Mount,
    source: Detached,
    /// The volume, if it is one.
    volume: Option<&'a Volume>,
}

/// Opens the sources of all mounts. To be called before this process's mounts become private: afterwards the host's
/// later mounts would not reach the sources any more.
pub(in crate::container) fn open<'a>(sandbox: &'a Sandbox, security: &Security) -> Result<Vec<Opened<'a>>> {
    let mut mounts: Vec<&Mount> = sandbox.mounts.iter().collect();
    // A mount inside another mount is attached after it.
    mounts.sort_by_key(|mount| mount.target.components().count());
    mounts.into_iter().map(|mount| open_one(mount, &sandbox.volumes, security)).collect()
}

fn open_one<'a>(mount: &'a Mount, volumes: &'a [Volume], security: &Security) -> Result<Opened<'a>> {
    if mount.target.starts_with("/proc") {
        return Err(LaunchError::OverProc(mount.target.clone()));
    }
    let name = describe(mount);
    let (source, volume) = match &mount.kind {
        MountKind::Bind(bind) => (open_bind(bind)?, None),
        MountKind::Volume(volume) => {
            let found = volumes.iter().find(|found| Some(found.name.as_str()) == volume.name.name());
            let found = found.ok_or_else(|| LaunchError::Volume(format!("there is no {name}")))?;
            (open_volume(volume, found)?, Some(found))
        }
        MountKind::Tmpfs(tmpfs) => (open_tmpfs(tmpfs)?, None),
    };
    if !security.allows_nodes() {
        source.set(Refuse::DEVICES, Reach::Tree).doing(format!("refuse devices in {name}"))?;
    }
    if mount.access == Access::ReadOnly {
        let reach = match &mount.kind {
            MountKind::Bind(Bind { submounts: Submounts::Writable, .. }) => Reach::Top,
            _ => Reach::Tree,
        };
        source.set(Refuse::WRITING, reach).doing(format!("make {name} read-only"))?;
    }
    Ok(Opened { mount, source, volume })
}

fn open_bind(bind: &Bind) -> Result<Detached> {
    let source = bind.source.display();
    let mount = match bind.submounts {
        Submounts::Absent => Detached::bind_host_alone(&bind.source),
        Submounts::Alike | Submounts::Writable => Detached::bind_host(&bind.source),
    };
    let mount = mount.doing(format!("bind {source}"))?;
    let separated = match bind.propagation {
        Propagation::Private => mount.separate(),
        Propagation::Slave => mount.follow_host(),
    };
    separated.doing(format!("set the propagation of {source}"))?;
    Ok(mount)
}

fn open_volume(mount: &VolumeMount, volume: &Volume) -> Result<Detached> {
    let doing = || format!("open volume {}", volume.name);
    let opened = match &mount.subpath {
        None => Detached::bind_host(&volume.data()).doing(doing())?,
        Some(path) => {
            // Containers write to the volume, so a link in it must not lead out.
            let data = Root::from(Dir::open_host(&volume.data()).doing(doing())?);
            let at = data.open_path(path).doing(format!("open {} in volume {}", path.display(), volume.name))?;
            Detached::bind(at).doing(doing())?
        }
    };
    opened.separate().doing(doing())?;
    Ok(opened)
}

fn open_tmpfs(tmpfs: &Tmpfs) -> Result<Detached> {
    let refuse = [(tmpfs.execution, Refuse::EXECUTION), (tmpfs.set_id, Refuse::SET_ID)];
    let refuse = refuse.into_iter().filter(|(allowed, _)| !allowed).fold(Refuse::DEVICES, |all, (_, one)| all.and(one));
    let options: Vec<(&str, &str)> = tmpfs.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Detached::new(c"tmpfs", &options, refuse).doing("make a tmpfs")
}

/// Attaches an open mount at its target.
pub(in crate::container) fn attach(root: &Root, opened: &Opened<'_>) -> Result<()> {
    let Opened { mount, source, volume } = opened;
    let name = describe(mount);
    let doing = || format!("mount {name} on {}", mount.target.display());
    let is_dir = source.kind().doing(format!("look at {name}"))? == Kind::Directory;
    // Checks and mounts on the same descriptor, so that a link that changes in between has no effect.
    if is_dir {
        let exists = root.open_dir(&mount.target).is_ok();
        let at = root.make_dirs(&mount.target).doing(doing())?;
        refuse_target(root, &at, mount)?;
        if let (MountKind::Volume(wanted), Some(volume)) = (&mount.kind, volume) {
            if wanted.copy && exists {
                fill(root, &at, volume)?;
            } else {
                volume.finish_fill()?;
            }
        }
        source.attach(at).doing(doing())
    } else {
        let at = root.make_file(&mount.target).doing(doing())?;
        refuse_target(root, &at, mount)?;
        source.attach(at).doing(doing())
    }
}

/// Gives the new volumes of a container that another program makes the files of `root`, where nothing is mounted yet.
pub(in crate::container) fn fill_volumes(root: &Root, sandbox: &Sandbox) -> Result<()> {
    for mount in &sandbox.mounts {
        let MountKind::Volume(wanted) = &mount.kind else { continue };
        let found = sandbox.volumes.iter().find(|found| Some(found.name.as_str()) == wanted.name.name());
        match (found, root.open_dir(&mount.target)) {
            (Some(volume), Ok(at)) if wanted.copy => fill(root, &at, volume)?,
            (Some(volume), _) => volume.finish_fill()?,
            (None, _) => {}
        }
    }
    Ok(())
}

/// Gives a new volume the files of `at`, unless these are not the image's but of another mount.
fn fill(root: &Root, at: &Dir, volume: &Volume) -> Result<()> {
    let doing = || format!("copy the image's files to volume {}", volume.name);
    let is_of_image = sys::is_on_same_device(root, at).doing(doing())?;
    if is_of_image { volume.fill(|to| copy_tree(at, to).doing(doing())) } else { Ok(volume.finish_fill()?) }
}

/// Refuses a mount over the root, or over `/proc` or a file in it: the latter could fake or unmask the kernel's files.
fn refuse_target(root: &Root, at: impl AsFd, mount: &Mount) -> Result<()> {
    let doing = || format!("look at {}", mount.target.display());
    if sys::is_on_proc(&at).doing(doing())? {
        return Err(LaunchError::OverProc(mount.target.clone()));
    }
    if sys::is_same_file(root, &at).doing(doing())? {
        return Err(LaunchError::OverRoot(mount.target.clone()));
    }
    Ok(())
}

/// The source, for messages.
fn describe(mount: &Mount) -> String {
    match &mount.kind {
        MountKind::Bind(bind) => bind.source.display().to_string(),
        MountKind::Volume(volume) => format!("volume {}", volume.name.name().unwrap_or("without a name")),
        MountKind::Tmpfs(_) => "a tmpfs".into(),
    }
}
