//! Assembles a container's tree: its root with `/proc`, `/dev`, `/sys` and volumes mounted in it.
//!
//! Runs in the container's mount namespace before the switch to the new root, while the host's files can still be
//! reached. Every target is resolved inside the new root and every mount is attached by descriptor, so that no
//! symbolic link of an image decides where something is mounted.

use std::os::fd::AsFd;
use std::path::Path;

use super::error::{Doing, LaunchError};
use super::isolation::masks::HARMLESS;
use super::isolation::{Security, devices, masks};
use super::plan::{Access, Sandbox, Volume};
use crate::sys::{self, Detached, Dir, Errno, Kind, Reach, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

/// The assembled tree.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) root: Root,
    /// `/dev`.
    pub(super) dev: Dir,
}

/// Mounts everything at `path`, in this process's mount namespace.
pub(super) fn assemble(path: &Path, sandbox: &Sandbox, security: &Security) -> Result<Rootfs> {
    // Binds the directory over itself: the new root must be a mount, and refusals must apply to this mount only.
    let top = Detached::bind_host(path).doing(format!("bind {}", path.display()))?;
    if !security.allows_nodes() {
        top.set(Refuse::DEVICES, Reach::Top).doing(format!("refuse devices on {}", path.display()))?;
    }
    let below = Dir::open_host(path).doing(format!("open {}", path.display()))?;
    top.attach(&below).doing(format!("mount {}", path.display()))?;
    let root = Root::from(top.into_dir());

    let proc = proc(&root)?;
    let sys = sys(&root, security)?;
    let dev = devices::mount(&root)?;
    if !security.privileged {
        masks::apply(&proc, &sys, &security.masks)?;
    }
    let mut volumes: Vec<&Volume> = sandbox.volumes.iter().collect();
    // A volume inside another volume is mounted after it.
    volumes.sort_by_key(|volume| volume.target.components().count());
    for one in volumes {
        volume(&root, one, security)?;
    }
    for one in &security.devices {
        devices::give(&root, one)?;
    }
    masks::apply_more(&root, &security.masks)?;
    Ok(Rootfs { root, dev })
}

/// Makes the root read-only if `access` asks for it. To be called after everything is mounted.
pub(super) fn restrict(root: &Root, access: Access) -> Result<()> {
    match access {
        Access::ReadWrite => Ok(()),
        Access::ReadOnly => Detached::refuse(root, Refuse::WRITING, Reach::Top).doing("make the root read-only"),
    }
}

fn attach(mount: Detached, root: &Root, target: &str) -> Result<Root> {
    let at = root.make_dirs(target).doing(format!("make {target}"))?;
    mount.attach(at).doing(format!("mount {target}"))?;
    Ok(Root::from(mount.into_dir()))
}

fn proc(root: &Root) -> Result<Root> {
    let proc = Detached::new(c"proc", &[], HARMLESS).doing("mount /proc (is this itself a container?)")?;
    attach(proc, root, "/proc")
}

/// Mounts a new sysfs. An ordinary user may do that only with a network namespace of its own, so with the host's
/// network the host's `/sys` is bind-mounted instead.
fn sys(root: &Root, security: &Security) -> Result<Root> {
    let is_open = security.privileged || !security.masks.keep_defaults();
    let refuse = if is_open { HARMLESS } else { HARMLESS.and(Refuse::WRITING) };
    match Detached::new(c"sysfs", &[], refuse) {
        Err(Errno::PERM) => {
            let host = Detached::bind_host(Path::new("/sys")).doing("bind /sys")?;
            host.set(refuse, Reach::Tree).doing("make /sys read-only")?;
            let sys = attach(host, root, "/sys")?;
            // The bind mount includes the host's cgroup mounts, which show cgroups outside our cgroup namespace.
            masks::mask(&sys, "/sys", "fs/cgroup")?;
            Ok(sys)
        }
        other => attach(other.doing("mount /sys")?, root, "/sys"),
    }
}

fn volume(root: &Root, volume: &Volume, security: &Security) -> Result<()> {
    let (source, target) = (volume.source.display(), volume.target.display());
    if volume.target.starts_with("/proc") {
        return Err(LaunchError::OverProc(volume.target.clone()));
    }
    let mount = Detached::bind_host(&volume.source).doing(format!("bind {source}"))?;
    if !security.allows_nodes() {
        mount.set(Refuse::DEVICES, Reach::Tree).doing(format!("refuse devices in {source}"))?;
    }
    if volume.access == Access::ReadOnly {
        mount.set(Refuse::WRITING, Reach::Tree).doing(format!("make {source} read-only"))?;
    }
    let is_dir = mount.kind().doing(format!("look at {source}"))? == Kind::Directory;
    let doing = || format!("mount {source} on {target}");
    // Checks and mounts on the same descriptor, so that a link that changes in between has no effect.
    if is_dir {
        let at = root.make_dirs(&volume.target).doing(doing())?;
        refuse_target(root, &at, volume)?;
        mount.attach(at).doing(doing())
    } else {
        let at = root.make_file(&volume.target).doing(doing())?;
        refuse_target(root, &at, volume)?;
        mount.attach(at).doing(doing())
    }
}

/// Refuses a volume over the root, or over `/proc` or a file in it: the latter could fake or unmask the kernel's files.
fn refuse_target(root: &Root, at: impl AsFd, volume: &Volume) -> Result<()> {
    let doing = || format!("look at {}", volume.target.display());
    if sys::is_on_proc(&at).doing(doing())? {
        return Err(LaunchError::OverProc(volume.target.clone()));
    }
    if sys::is_same_file(root, &at).doing(doing())? {
        return Err(LaunchError::OverRoot(volume.target.clone()));
    }
    Ok(())
}
