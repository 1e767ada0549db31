//! Assembles a container's tree: its root with `/proc`, `/dev`, `/sys` and the user's mounts in it.
//!
//! Runs in the container's mount namespace before the switch to the new root, while the host's files can still be
//! reached. Every target is resolved inside the new root and every mount is attached by descriptor, so that no
//! symbolic link of an image decides where something is mounted.

use std::path::Path;

use super::error::{Doing, LaunchError};
use super::isolation::masks::HARMLESS;
use super::isolation::{Security, devices, masks};
use super::mounts::{self, Opened};
use super::plan::{Access, Sandbox};
use crate::sys::{Detached, Dir, Errno, Reach, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

/// The assembled tree.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) root: Root,
    /// `/dev`.
    pub(super) dev: Dir,
}

/// Mounts everything at `path`, in this process's mount namespace.
pub(super) fn assemble(path: &Path, sandbox: &Sandbox, opened: &[Opened<'_>], security: &Security) -> Result<Rootfs> {
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
    let dev = devices::mount(&root, sandbox.shm_size)?;
    if !security.privileged {
        masks::apply(&proc, &sys, &security.masks)?;
    }
    for one in opened {
        mounts::attach(&root, one)?;
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
