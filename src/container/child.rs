//! The first process of a container, from the fork until the container's root is complete.
//!
//! It begins as a copy of the launcher, in new namespaces. It becomes the command or [`init`], or sends a
//! [`LaunchError`] over its channel. It never outlives the launcher.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::account::{Identity, UserSpec};
use super::cgroup::OwnedCgroup;
use super::command::Command;
use super::error::{Doing, LaunchError};
use super::init;
use super::isolation::Nodes;
use super::mounts;
use super::network::{self, Attachment};
use super::plan::{First, Input, Isolation, Plan, Sandbox};
use super::rootfs::{self, Rootfs};
use super::runtime;
use crate::sys::pty::{self, Pair};
use crate::sys::{
    Channel, Detached, Dir, Errno, Kind, Name, Namespaces, Reach, Refuse, Root, keyring, namespace, process,
};

type Result<T> = std::result::Result<T, LaunchError>;

/// The messages besides errors: the launcher sends that the root is served, the child sends its terminal.
pub(super) const GO: &[u8] = b"go";
pub(super) const CONSOLE: &[u8] = b"console";
/// With a descriptor of the container's first process, when that is not this child.
pub(super) const PROCESS: &[u8] = b"process";

/// The exit status of a process that never became the command. The launcher uses the error from the channel instead.
pub(super) const FAILED: i32 = 125;

/// At most this many bytes of an image's `/etc/passwd` or `/etc/group` are read.
const ACCOUNTS_MAX: u64 = 16 << 20;

/// The namespaces that the process starts in. It makes its mount namespace later, when its root is mounted, and its cgroup
/// namespace, when it has joined the cgroup that is to be the root there.
pub(super) fn namespaces(isolation: &Isolation) -> Namespaces {
    let all = Namespaces::PID.and(Namespaces::IPC).and(Namespaces::UTS);
    match isolation {
        Isolation::Chroot => Namespaces::empty(),
        // The runtime makes the others.
        Isolation::Namespaces(Sandbox { runtime: Some(_), .. }) => Namespaces::PID,
        Isolation::Namespaces(Sandbox { network: Attachment::Host | Attachment::Joined(_), .. }) => all,
        Isolation::Namespaces(Sandbox { network: Attachment::None | Attachment::Private, .. }) => {
            all.and(Namespaces::NET)
        }
    }
}

/// Runs the process. Returns its exit status if it does not become the command.
pub(super) fn run(plan: Plan, cgroup: &OwnedCgroup, channel: Channel) -> i32 {
    if let Isolation::Namespaces(Sandbox { runtime: Some(runtime), .. }) = &plan.isolation {
        let runtime = runtime.clone();
        return runtime::run(plan, runtime, channel);
    }
    let first = match &plan.isolation {
        Isolation::Namespaces(sandbox) => sandbox.first,
        Isolation::Chroot => First::Command,
    };
    let command = match prepare(plan, cgroup, &channel) {
        Ok(Some(command)) => command,
        Ok(None) => return FAILED,
        Err(error) => return report(&channel, &error),
    };
    match first {
        First::Command => report(&channel, &command.execute(&channel)),
        First::Init => init::run(move || report(&channel, &command.execute(&channel))),
    }
}

pub(super) fn report(channel: &Channel, error: &LaunchError) -> i32 {
    let message = serde_json::to_vec(error).unwrap_or_else(|e| e.to_string().into_bytes());
    // Ignores the error: it only means that the launcher is gone.
    let _ = channel.send(&message, None);
    FAILED
}

/// `None` when the launcher is gone or closed the channel before the root was served.
fn prepare(mut plan: Plan, cgroup: &OwnedCgroup, channel: &Channel) -> Result<Option<Command>> {
    process::die_with_parent().doing("tie the container to this process")?;
    if let Isolation::Namespaces(sandbox) = &mut plan.isolation {
        network::enter(&mut sandbox.network)?;
    }
    // An inherited descriptor of a host directory would give the container access to the host.
    process::close_all_but(channel).doing("close the descriptors of others")?;
    keyring::join_new_session().doing("begin a keyring")?;
    cgroup.cgroup().join_v1()?;
    plan.resources.set_oom_score()?;
    if channel.receive().doing("wait for the root")?.is_none() {
        return Ok(None);
    }
    // So that the files below get exactly the modes given.
    process::set_umask(0);
    let null = File::open("/dev/null").doing("open /dev/null")?;
    let may_set_groups = namespace::may_set_groups();
    let mapped = namespace::mapped_ids().doing("read /proc/self/uid_map")?;

    let root = match &plan.isolation {
        Isolation::Namespaces(sandbox) => Place::Pivot(enter(&plan, sandbox)?),
        Isolation::Chroot => {
            let root = Dir::open_host(&plan.root).doing(format!("open {}", plan.root.display()))?;
            if !plan.security.allows_nodes() {
                let refused = Detached::refuse(&root, Refuse::DEVICES, Reach::Top);
                refused.doing(format!("refuse devices on {}", plan.root.display()))?;
            }
            Place::Chroot(Root::from(root))
        }
    };
    if !may_set_groups && !plan.security.group_add.is_empty() {
        return Err(LaunchError::NoGroups);
    }
    let identity = resolve(root.root(), &plan.process.user, &plan.security.group_add)?;
    let terminal = match plan.process.terminal {
        // A virtual user is root to the terminal.
        true => Some(terminal(&plan, &root, if plan.virtual_ids { 0 } else { identity.uid }, channel)?),
        false => None,
    };
    let workdir = &plan.process.workdir;
    let workdir = root.root().make_dirs(workdir).doing(format!("make the working directory {}", workdir.display()))?;
    root.switch(&plan.isolation)?;
    let nodes = if cgroup.limits_devices() { Nodes::Limited } else { Nodes::Unlimited };
    let capabilities = plan.security.capabilities(plan.isolation.is_alone(), nodes)?;

    let input = match (&terminal, plan.input) {
        (None, Input::Nothing) => Some(null),
        _ => None,
    };
    Ok(Some(Command {
        capabilities,
        security: plan.security,
        resources: plan.resources,
        process: plan.process,
        workdir,
        identity,
        may_set_groups,
        mapped,
        virtual_ids: plan.virtual_ids,
        terminal,
        input,
    }))
}

/// The new root, before this process switches to it.
enum Place {
    Pivot(Rootfs),
    Chroot(Root),
}

impl Place {
    fn root(&self) -> &Root {
        match self {
            Place::Pivot(rootfs) => &rootfs.root,
            Place::Chroot(root) => root,
        }
    }

    fn devpts(&self) -> std::result::Result<Dir, Errno> {
        match self {
            Place::Pivot(rootfs) => rootfs.dev.open_dir("pts"),
            Place::Chroot(_) => Dir::open_host(Path::new("/dev/pts")),
        }
    }

    /// Switches to the new root. Afterwards the host's files cannot be reached.
    fn switch(self, isolation: &Isolation) -> Result<()> {
        match (self, isolation) {
            (Place::Pivot(rootfs), Isolation::Namespaces(sandbox)) => {
                rootfs::restrict(&rootfs.root, sandbox.root)?;
                namespace::pivot_root(&rootfs.root).doing("switch to the new root")
            }
            (place, _) => process::change_root(place.root()).doing("chroot"),
        }
    }
}

fn enter(plan: &Plan, sandbox: &Sandbox) -> Result<Rootfs> {
    namespace::enter_new(Namespaces::MOUNT.and(Namespaces::CGROUP)).doing("make a mount and a cgroup namespace")?;
    let opened = mounts::open(sandbox, &plan.security)?;
    namespace::make_mounts_private().doing("make mounts private")?;
    namespace::set_host_name(&sandbox.hostname).doing(format!("set the host name {:?}", sandbox.hostname))?;
    if let Some(domain) = &sandbox.domain {
        namespace::set_domain_name(domain).doing(format!("set the domain name {domain:?}"))?;
    }
    plan.resources.set_sysctls(sandbox)?;
    rootfs::assemble(&plan.root, sandbox, &opened, &plan.security)
}

/// The user by the image's own files, and groups in addition.
pub(super) fn resolve(root: &Root, user: &UserSpec, more_groups: &[String]) -> Result<Identity> {
    let passwd = accounts(root, "/etc/passwd")?;
    let group = accounts(root, "/etc/group")?;
    Ok(user.resolve(&passwd, &group)?.with_groups(more_groups, &group)?)
}

/// The text of a file of the image; empty where there is no such file.
fn accounts(root: &Root, path: &str) -> Result<String> {
    let file = match root.open_file(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        other => other.doing(format!("open the image's {path}"))?,
    };
    let mut text = Vec::new();
    let file = std::fs::File::from(file);
    file.take(ACCOUNTS_MAX).read_to_end(&mut text).doing(format!("read the image's {path}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A terminal from the container's devpts: its programs get the slave end, the launcher the master end.
fn terminal(plan: &Plan, place: &Place, owner: u32, channel: &Channel) -> Result<OwnedFd> {
    let pair = place.devpts().and_then(|devpts| Pair::open(&devpts)).doing("make a terminal")?;
    let set_up = || -> std::result::Result<(), Errno> {
        pty::set_owner(&pair.slave, owner)?;
        if let Some(size) = plan.window {
            pty::set_window_size(&pair.master, size)?;
        }
        if let Place::Pivot(rootfs) = place {
            let console = Name::new("console")?;
            rootfs.dev.make_node(console, Kind::Regular, 0o600, 0)?;
            let slave = rootfs.dev.open_path(format!("pts/{}", pair.number))?;
            Detached::bind(slave)?.attach(rootfs.dev.open_path("console")?)?;
        }
        channel.send(CONSOLE, Some(pair.master.as_fd()))
    };
    set_up().doing("set up the terminal")?;
    Ok(pair.slave)
}
