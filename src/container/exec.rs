//! Runs another command in a container that runs.
//!
//! ```text
//!   caller ──fork──► keeper ──fork──► command
//!                    owns our end of the terminal, forwards signals, waits
//! ```
//!
//! The caller stays outside of the container's namespaces. The keeper joins the user namespace and the PID namespace; only
//! the command joins the rest. So nothing of the host can be reached from inside: the command's process closes all
//! descriptors before it joins, and the keeper is not visible there. The command dies with the container, because the
//! kernel ends all processes of a PID namespace together, and with the keeper. The caller must run from a protected copy
//! of this program, as for a new container.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::attach::DetachKeys;
use super::child::{CONSOLE, FAILED, GO, report, resolve};
use super::command::Command;
use super::enter::{EnterError, Inside, Place};
use super::error::{Doing, LaunchError};
use super::isolation::{Nodes, Security};
use super::plan::Input;
use super::relay::{Relay, host_window};
use super::resources::Resources;
use super::settings::Settings;
use super::spec::{Process, SpecError, Variable};
use super::state::{State, Status};
use crate::store::{Container, StoreError};
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child, Stream};
use crate::sys::pty::{self, Pair, WindowSize};
use crate::sys::signal::Messages;
use crate::sys::{self, Channel, Dir, Errno, Namespaces, Root, keyring, namespace};

/// A command for a running container. `None` values are the container's own.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    pub command: Vec<OsString>,
    /// Changes to the container's environment.
    pub env: Vec<Variable>,
    pub workdir: Option<PathBuf>,
    pub user: Option<String>,
    pub terminal: bool,
    /// Whether the caller's standard input is passed on.
    pub interactive: bool,
    /// The keys that detach from the command's terminal.
    pub detach_keys: DetachKeys,
    /// Whether to return when the command has started.
    pub detached: bool,
    /// Whether the command has every capability, and no filter of system calls unless the user gave the container one.
    pub privileged: bool,
}

/// How an exec ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    Ended(process::Status),
    /// The command runs on.
    Detached,
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error(transparent)]
    Enter(#[from] EnterError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// The capability's number, as in `linux/capability.h`.
const CAP_MKNOD: u32 = 27;

/// What the keeper sends to the caller.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Failed(LaunchError),
    Started,
    Detached,
}

/// Runs `exec` in `container`, whose image has the configuration `image`. The process must have one thread.
///
/// # Errors
/// The command did not start.
pub fn exec(container: &Container, image: Option<&Config>, exec: &Exec) -> Result<Executed, ExecError> {
    let settings = Settings::of(container)?;
    let state = State::of(container)?;
    // As the container's first process: it may make nodes if a cgroup limits which devices it can open.
    let nodes = match state.process.is_some_and(|process| process.bounds(CAP_MKNOD)) {
        true => Nodes::Limited,
        false => Nodes::Unlimited,
    };
    if state.status == Status::Paused {
        return Err(EnterError::Paused(container.name.clone()).into());
    }
    let process = process_of(&settings, image, &container.id, exec)?;
    let inside = Inside::of(container, &settings)?;
    let messages = Messages::receive().doing("receive signals")?;
    let security =
        Security { privileged: settings.security.privileged || exec.privileged, ..settings.security.clone() };
    let input = if exec.interactive { Input::Attached } else { Input::Nothing };
    let plan = Plan {
        place: inside.place(),
        process,
        security,
        nodes,
        resources: settings.resources.clone(),
        chroot: settings.chroot,
        alone: settings.is_alone(),
        input,
        window: host_window(),
        detach_keys: exec.detach_keys.clone(),
        detached: exec.detached,
    };
    let spawned = process::spawn_connected(Namespaces::empty(), |caller| keep(&inside, plan, &caller));
    let (keeper, channel) = spawned.doing("start a process")?;
    attend(&messages, keeper, &channel, exec.detached)
}

/// The process to run: as the container's own, with the differences that `exec` names.
fn process_of(settings: &Settings, image: Option<&Config>, id: &str, exec: &Exec) -> Result<Process, SpecError> {
    let mut wishes = settings.wishes.clone();
    wishes.command.clone_from(&exec.command);
    // The image's entrypoint is not for other commands.
    wishes.entrypoint = Some("".into());
    wishes.env.extend(exec.env.iter().cloned());
    wishes.workdir = exec.workdir.clone().or(wishes.workdir);
    wishes.user = exec.user.clone().or(wishes.user);
    wishes.terminal = exec.terminal;
    Settings { wishes, ..settings.clone() }.process(image, id)
}

/// In the caller: forwards signals to the keeper until it ends, or until the command has started if it is detached.
fn attend(messages: &Messages, keeper: Child, channel: &Channel, detached: bool) -> Result<Executed, ExecError> {
    let mut failure = None;
    let mut open = true;
    loop {
        let mut waited = vec![(messages.as_fd(), Interest::Read), (keeper.as_fd(), Interest::Read)];
        waited.extend(open.then_some((channel.as_fd(), Interest::Read)));
        let ready = poll::wait(&waited).doing("wait for the command")?;
        if ready.first() == Some(&true) {
            while let Some(signal) = messages.next().doing("receive signals")? {
                keeper.signal(signal).doing(format!("pass signal {signal} on"))?;
            }
        }
        if ready.get(2) == Some(&true) {
            match channel.receive().doing("receive from the command")? {
                None => open = false,
                Some((message, _)) => match serde_json::from_slice(&message) {
                    Ok(Message::Detached) => return Ok(Executed::Detached),
                    Ok(Message::Started) if detached => return Ok(Executed::Detached),
                    Ok(Message::Started) => {}
                    Ok(Message::Failed(error)) => failure = Some(error),
                    Err(_) => failure = Some(LaunchError::Garbled(String::from_utf8_lossy(&message).into_owned())),
                },
            }
        } else if ready.get(1) == Some(&true) {
            break;
        }
    }
    let status = keeper.wait().doing("wait for the command")?;
    failure.map_or(Ok(Executed::Ended(status)), |error| Err(error.into()))
}

/// What the keeper and the command's process need. It owns no descriptor, because the latter closes them all.
struct Plan {
    place: Place,
    process: Process,
    security: Security,
    nodes: Nodes,
    resources: Resources,
    chroot: bool,
    /// Whether the container has a network that leads nowhere.
    alone: bool,
    input: Input,
    window: Option<WindowSize>,
    detach_keys: DetachKeys,
    detached: bool,
}

/// The keeper. Returns the command's exit code.
fn keep(inside: &Inside, plan: Plan, caller: &Channel) -> i32 {
    let tell = |message: Message| {
        let message = serde_json::to_vec(&message).unwrap_or_default();
        // Ignores the error: the caller is gone.
        let _ = caller.send(&message, None);
    };
    match serve(inside, plan, tell) {
        Ok(status) => status.code().into(),
        Err(error) => {
            tell(Message::Failed(error));
            FAILED
        }
    }
}

fn serve(inside: &Inside, plan: Plan, tell: impl Fn(Message)) -> Result<process::Status, LaunchError> {
    // So that the keys of a terminal signal the caller alone, which passes signals on.
    process::new_session().doing("begin a session")?;
    if plan.detached {
        close_streams().doing("close standard input and output")?;
    } else {
        process::die_with_parent().doing("tie the command to this process")?;
    }
    inside.join_users_and_processes().doing("enter the container's namespaces")?;
    let messages = Messages::receive().doing("receive signals")?;
    let (input, detach_keys) = (plan.input, plan.detach_keys.clone());
    let spawned = process::spawn_connected(Namespaces::empty(), |channel| become_command(plan, &channel));
    let (child, channel) = spawned.doing("start a process in the container")?;
    // Ignores the error: a child that is already gone reported why on the channel or by its status.
    let _ = channel.send(GO, Some(inside.as_fd()));
    let mut master = None;
    // The channel closes when the child becomes the command.
    while let Some((message, fd)) = channel.receive().doing("receive from the container")? {
        if message == CONSOLE {
            master = fd;
        } else {
            let garbled = |_| LaunchError::Garbled(String::from_utf8_lossy(&message).into_owned());
            return Err(serde_json::from_slice(&message).unwrap_or_else(garbled));
        }
    }
    tell(Message::Started);
    let relay =
        |master, input, keys| Relay::of_running(&child, &messages, master, input, keys).doing("use the terminal");
    if let Some(master) = relay(master, input, detach_keys)?.run_or_detach()? {
        // The caller has its own terminal back by now. This process keeps the command's terminal open, and reads it.
        process::outlive_parent().doing("leave the command alone")?;
        close_streams().doing("close standard input and output")?;
        tell(Message::Detached);
        relay(Some(master), Input::Nothing, DetachKeys::default())?.run()?;
    }
    child.wait().doing("wait for the command")
}

fn close_streams() -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in [Stream::Input, Stream::Output, Stream::Error] {
        process::replace_standard(stream, &null)?;
    }
    Ok(())
}

/// The command's process. Returns only when it does not become the command.
fn become_command(plan: Plan, keeper: &Channel) -> i32 {
    match prepare(plan, keeper) {
        Ok(Some(command)) => report(keeper, &command.execute(keeper)),
        Ok(None) => FAILED,
        Err(error) => report(keeper, &error),
    }
}

/// `None` when the keeper is gone.
fn prepare(plan: Plan, keeper: &Channel) -> Result<Option<Command>, LaunchError> {
    process::die_with_parent().doing("tie the command to this process")?;
    process::close_all_but(keeper).doing("close the descriptors of others")?;
    // Until it executes the command, this process has a copy of our memory, and the container's processes see it.
    process::hide().doing("hide this process's memory")?;
    keyring::join_new_session().doing("begin a keyring")?;
    let Some((_, Some(fd))) = keeper.receive().doing("wait for the container")? else { return Ok(None) };
    // The container can change its own /proc and /dev, so these are the host's.
    let may_set_groups = namespace::may_set_groups();
    let mapped = namespace::mapped_ids().doing("read /proc/self/uid_map")?;
    let null = File::open("/dev/null").doing("open /dev/null")?;
    let host_terminals = Dir::open_host(Path::new("/dev/pts"));

    let root = plan.place.join_the_rest(fd)?;
    let identity = resolve(&root, &plan.process.user, &plan.security.group_add)?;
    let terminal = match plan.process.terminal {
        true => {
            let terminals = if plan.chroot { host_terminals } else { root.open_dir("/dev/pts") };
            Some(terminal(terminals, identity.uid, plan.window, keeper)?)
        }
        false => None,
    };
    let workdir = workdir(&root, &plan.process.workdir)?;
    if plan.chroot {
        process::change_root(&root).doing("chroot")?;
    }
    let input = match (&terminal, plan.input) {
        (None, Input::Nothing) => Some(null),
        _ => None,
    };
    Ok(Some(Command {
        capabilities: plan.security.capabilities(plan.alone, plan.nodes)?,
        resources: plan.resources,
        security: plan.security,
        process: plan.process,
        workdir,
        identity,
        may_set_groups,
        mapped,
        virtual_ids: false,
        terminal,
        input,
    }))
}

/// Resolved inside the root, and not through a link in `/proc` to an open directory.
fn workdir(root: &Root, path: &Path) -> Result<Dir, LaunchError> {
    root.open_dir(path).doing(format!("change to {}", path.display()))
}

/// A terminal of the container's devpts. Its own processes can mount something else there.
fn terminal(
    terminals: sys::Result<Dir>,
    owner: u32,
    window: Option<WindowSize>,
    keeper: &Channel,
) -> Result<OwnedFd, LaunchError> {
    let open = || -> sys::Result<Pair> {
        let terminals = terminals?;
        if sys::is_on_devpts(&terminals)? { Pair::open(&terminals) } else { Err(Errno::NODEV) }
    };
    let pair = open().doing("make a terminal")?;
    let set_up = || -> sys::Result<()> {
        pty::set_owner(&pair.slave, owner)?;
        if let Some(size) = window {
            pty::set_window_size(&pair.master, size)?;
        }
        keeper.send(CONSOLE, Some(pair.master.as_fd()))
    };
    set_up().doing("set up the terminal")?;
    Ok(pair.slave)
}
