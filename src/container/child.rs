//! The first process of a container, from the fork until everything around the command stands.
//!
//! It begins as a copy of ours, in new namespaces. It ends as the command, as its [`init`], or with a
//! [`LaunchError`] that it sends over its channel; and never later than the process that made it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::account::{Identity, UserSpec};
use super::command::Command;
use super::error::{Doing, LaunchError};
use super::init;
use super::isolation::Security;
use super::plan::{First, Input, Isolation, Network, Plan, Sandbox};
use super::rootfs::{self, Rootfs};
use crate::sys::pty::{self, Pair};
use crate::sys::{
    Channel, Detached, Dir, Errno, Kind, Name, Namespaces, Reach, Refuse, Root, keyring, namespace, process,
};

type Result<T> = std::result::Result<T, LaunchError>;

/// What the two sides tell each other beside errors: that the root is served, and which terminal was made.
pub(super) const GO: &[u8] = b"go";
pub(super) const CONSOLE: &[u8] = b"console";

/// The exit status of a process that never became the command. Nobody reads it.
const FAILED: i32 = 125;

/// The most that is read of an image's `/etc/passwd` or `/etc/group`, in bytes.
const ACCOUNTS_MAX: u64 = 16 << 20;

/// The namespaces that the process is to be made in. That of mounts comes when there is a root to be mounted.
pub(super) fn namespaces(isolation: &Isolation) -> Namespaces {
    let all = Namespaces::PID.and(Namespaces::IPC).and(Namespaces::UTS).and(Namespaces::CGROUP);
    match isolation {
        Isolation::Chroot => Namespaces::empty(),
        Isolation::Namespaces(Sandbox { network: Network::Host, .. }) => all,
        Isolation::Namespaces(Sandbox { network: Network::None, .. }) => all.and(Namespaces::NET),
    }
}

/// What the process does; answers its exit status, should it come to that.
pub(super) fn run(plan: Plan, channel: Channel) -> i32 {
    let first = match &plan.isolation {
        Isolation::Namespaces(sandbox) => sandbox.first,
        Isolation::Chroot => First::Command,
    };
    let command = match prepare(plan, &channel) {
        Ok(Some(command)) => command,
        Ok(None) => return FAILED,
        Err(error) => return report(&channel, &error),
    };
    match first {
        First::Command => report(&channel, &command.execute(&channel)),
        First::Init => init::run(move || report(&channel, &command.execute(&channel))),
    }
}

fn report(channel: &Channel, error: &LaunchError) -> i32 {
    let message = serde_json::to_vec(error).unwrap_or_else(|e| e.to_string().into_bytes());
    // When nobody listens any more, nobody is to be told.
    let _ = channel.send(&message, None);
    FAILED
}

/// `None` when the process that made this one changed its mind, or is gone.
fn prepare(plan: Plan, channel: &Channel) -> Result<Option<Command>> {
    process::die_with_parent().doing("tie the container to this process")?;
    // Else a directory of the host would be in reach for as long as this process is ours.
    process::close_all_but(channel).doing("close the descriptors of others")?;
    keyring::join_new_session().doing("begin a keyring")?;
    if channel.receive().doing("wait for the root")?.is_none() {
        return Ok(None);
    }
    // The modes below are meant as they are written.
    process::set_umask(0);
    let null = File::open("/dev/null").doing("open /dev/null")?;
    let may_set_groups = namespace::may_set_groups();
    let mapped = namespace::mapped_ids().doing("read /proc/self/uid_map")?;

    let root = match &plan.isolation {
        Isolation::Namespaces(sandbox) => Place::Pivot(enter(&plan.root, sandbox, &plan.security)?),
        Isolation::Chroot => {
            let root = Dir::open_host(&plan.root).doing(format!("open {}", plan.root.display()))?;
            if !plan.security.allows_nodes() {
                let refused = Detached::refuse(&root, Refuse::DEVICES, Reach::Top);
                refused.doing(format!("refuse devices on {}", plan.root.display()))?;
            }
            Place::Chroot(Root::from(root))
        }
    };
    let identity = resolve(root.root(), &plan.process.user)?;
    let terminal = match plan.process.terminal {
        true => Some(terminal(&plan, &root, identity.uid, channel)?),
        false => None,
    };
    let workdir = &plan.process.workdir;
    let workdir = root.root().make_dirs(workdir).doing(format!("make the working directory {}", workdir.display()))?;
    root.switch(&plan.isolation)?;
    let capabilities = plan.security.capabilities(&plan.isolation);

    let input = match (&terminal, plan.input) {
        (None, Input::Nothing) => Some(null),
        _ => None,
    };
    Ok(Some(Command {
        capabilities,
        security: plan.security,
        process: plan.process,
        workdir,
        identity,
        may_set_groups,
        mapped,
        terminal,
        input,
    }))
}

/// The new root while it can still be seen from outside.
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

    /// From here on there is no host.
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

fn enter(path: &Path, sandbox: &Sandbox, security: &Security) -> Result<Rootfs> {
    namespace::enter_new(Namespaces::MOUNT).doing("make a mount namespace")?;
    namespace::make_mounts_private().doing("make mounts private")?;
    namespace::set_host_name(&sandbox.hostname).doing(format!("set the host name {:?}", sandbox.hostname))?;
    if sandbox.network == Network::None {
        namespace::loopback_up().doing("switch the loopback interface on")?;
    }
    rootfs::assemble(path, sandbox, security)
}

fn resolve(root: &Root, user: &UserSpec) -> Result<Identity> {
    let passwd = accounts(root, "/etc/passwd")?;
    let group = accounts(root, "/etc/group")?;
    Ok(user.resolve(&passwd, &group)?)
}

/// The text of one of the image's own files; empty where it has none.
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

/// A terminal of the container's own: its programs get one end, our process the other.
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
