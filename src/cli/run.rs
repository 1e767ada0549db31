//! `overfuse run`: runs a command in a new container.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use super::{Exit, Global, ids, protect, root};
use crate::container::{
    self, Access, Device, First, Input, Isolation, LaunchError, Network, Plan, Process, RunError, Sandbox, Security,
    SecurityOption, Variable, Volume, Wishes,
};
use crate::fuse;
use crate::mount::{self, Source};
use crate::privilege::{self, Privilege};
use crate::store::{Container, Image, Store};
use crate::sys::process::Status;
use crate::sys::{self, namespace};
use crate::union::Trace;

/// Run a command in a new container
///
/// Flags end at IMAGE: what follows is the container's command.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse run [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub(super) struct RunArgs {
    /// Remove the container when the command has ended
    #[arg(long)]
    rm: bool,
    /// Name of the container [default: a generated one]
    #[arg(long)]
    name: Option<String>,
    /// Pass standard input to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable; without a value, to its value here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Working directory; created if it is missing
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as this user and group: names from the image's /etc/passwd and /etc/group, or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Show a file or directory of this host in the container
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]", conflicts_with = "chroot")]
    volumes: Vec<Volume>,
    /// Refuse changes to the container's files
    #[arg(long, conflicts_with = "chroot")]
    read_only: bool,
    /// `host`: this host's network; `none`: a loopback interface and nothing else
    #[arg(long, value_enum, default_value = "host", conflicts_with = "chroot")]
    network: NetworkName,
    /// Host name of the container [default: this host's; without a network, the container's id]
    #[arg(long, conflicts_with = "chroot")]
    hostname: Option<String>,
    /// Program to run instead of the image's entrypoint; an empty one removes the image's
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// Run a small init as process 1, which forwards signals and reaps orphans, instead of the command
    #[arg(long, conflicts_with = "chroot")]
    init: bool,
    /// Show a device of this host in the container
    #[arg(long = "device", value_name = "SOURCE[:TARGET]", conflicts_with = "chroot")]
    devices: Vec<Device>,
    /// `no-new-privileges`; `seccomp=FILE`, a filter of system calls in docker's JSON; or `seccomp=unconfined`
    #[arg(long = "security-opt", value_name = "OPTION")]
    security_options: Vec<SecurityOption>,
    /// Give the container every capability, working device nodes, and all of /proc and /sys
    #[arg(long)]
    privileged: bool,
    /// Only change the root directory, on hosts that allow no namespaces; needs root
    #[arg(long)]
    chroot: bool,
    /// The image, by name, digest or id; then the command and its arguments [default: the image's]
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    image_and_command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkName {
    Host,
    None,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Network {
        match name {
            NetworkName::Host => Network::Host,
            NetworkName::None => Network::None,
        }
    }
}

pub(super) fn run(global: &Global, args: &RunArgs) -> Result<Exit> {
    container(global, args, None)
}

/// How to record a container's reads.
#[derive(Debug)]
pub(super) struct Tracing {
    pub(super) trace: Arc<Trace>,
    /// Whether to turn off the kernel's read-ahead, so that only reads of programs are recorded.
    pub(super) exact: bool,
}

/// Runs a container. Removes it afterwards with `--rm`, or when its reads are traced.
pub(super) fn container(global: &Global, args: &RunArgs, trace: Option<Tracing>) -> Result<Exit> {
    if args.interactive && args.tty && !io::stdin().is_terminal() {
        bail!("standard input is not a terminal: leave out -t, or -i");
    }
    protect::protect()?;
    let Some((image, command)) = args.image_and_command.split_first() else { bail!("no image to run") };
    let volumes = args.resolved_volumes()?;
    let root = root::path(global)?;
    let privilege = args.enter()?;

    let store = Store::open(&root)?;
    let image = store.image(&image.to_string_lossy())?;
    let mut container = store.create_container(&image, args.name.as_deref())?;
    let in_use = container.lock()?;
    let remove = args.rm || trace.is_some();
    let ran = Run { args, command, volumes, privilege, store: &store, image: &image, trace }.run(&mut container);
    drop(in_use);
    // A container that never ran is of no use.
    if remove || ran.is_err() {
        store.remove_container(&container)?;
    }
    match ran {
        Ok(status) => Ok(Exit::Process(status.code())),
        Err(error) => exit_without_status(error),
    }
}

/// The exit code when the command is missing or does not start: docker has a code for each.
fn exit_without_status(error: anyhow::Error) -> Result<Exit> {
    let exit = match error.downcast_ref() {
        Some(RunError::Launch(LaunchError::NotFound { .. })) => Exit::NotFound,
        Some(RunError::Launch(LaunchError::CannotExecute { .. })) => Exit::CannotRun,
        _ => return Err(error),
    };
    eprintln!("overfuse: {error:#}");
    Ok(exit)
}

impl RunArgs {
    pub(super) fn image(&self) -> &OsStr {
        self.image_and_command.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The user's command; empty where the image's is used.
    pub(super) fn command(&self) -> &[OsString] {
        self.image_and_command.get(1..).unwrap_or_default()
    }

    fn security(&self) -> Result<Security> {
        let devices = self.devices.clone();
        let mut security = Security { privileged: self.privileged, devices, ..Security::default() };
        for option in &self.security_options {
            security.set(option.clone())?;
        }
        Ok(security)
    }

    /// Enters the namespaces that this process needs to serve the container.
    fn enter(&self) -> Result<Privilege> {
        if self.chroot {
            return match sys::effective_uid() {
                0 => Ok(Privilege::Root),
                _ => bail!("--chroot needs root"),
            };
        }
        let privilege = privilege::enter_to_run(ids::programs().as_ref())?;
        if privilege == Privilege::Root {
            privilege::separate_mounts()
                .map_err(|error| anyhow!("{:#}; --chroot needs none", anyhow::Error::from(error)))?;
        }
        Ok(privilege)
    }

    /// The volumes with absolute sources, so that they do not depend on the working directory.
    fn resolved_volumes(&self) -> Result<Vec<Volume>> {
        let resolve = |volume: &Volume| {
            let source = volume.source.canonicalize();
            let source = source.with_context(|| format!("volume source {}", volume.source.display()))?;
            Ok(Volume { source, ..volume.clone() })
        };
        self.volumes.iter().map(resolve).collect()
    }
}

/// One run, with everything that it needs.
struct Run<'a> {
    args: &'a RunArgs,
    command: &'a [OsString],
    volumes: Vec<Volume>,
    privilege: Privilege,
    store: &'a Store,
    image: &'a Image,
    trace: Option<Tracing>,
}

impl Run<'_> {
    fn run(self, container: &mut Container) -> Result<Status> {
        let hostname = self.hostname(container);
        let process = Process::new(self.image.config.config().as_ref(), &self.wishes(&hostname)?)?;
        let command: Vec<String> = process.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let files = self.files(container)?.prepare(self.privilege)?;
        let plan = Plan {
            root: container.merged(),
            process,
            isolation: self.isolation(container, hostname)?,
            security: self.args.security()?,
            input: if self.args.interactive { Input::Attached } else { Input::Nothing },
            window: container::host_window(),
        };
        container.record_command(&command)?;
        let status = container::run(&files, plan)?;
        container.record_exit(status.code())?;
        Ok(status)
    }

    /// The default is the host's name with the host's network, as in docker, and otherwise the container's id.
    fn hostname(&self, container: &Container) -> String {
        match (&self.args.hostname, self.args.network) {
            (Some(name), _) => name.clone(),
            (None, NetworkName::Host) => namespace::host_name(),
            (None, NetworkName::None) => container.id.chars().take(12).collect(),
        }
    }

    fn wishes(&self, hostname: &str) -> Result<Wishes> {
        Ok(Wishes {
            command: self.command.to_vec(),
            entrypoint: self.args.entrypoint.clone(),
            env: self.args.env.iter().map(variable).collect::<Result<_>>()?,
            workdir: self.args.workdir.clone(),
            user: self.args.user.clone(),
            terminal: self.args.tty,
            hostname: hostname.to_owned(),
        })
    }

    fn files<'a>(&'a self, container: &'a Container) -> Result<mount::Plan<'a>> {
        let source = Source::Container { store: self.store, image: self.image, container, made_now: false };
        let options = fuse::Options {
            source: Some(container.name.clone()),
            no_read_ahead: self.trace.as_ref().is_some_and(|tracing| tracing.exact),
            ..fuse::Options::default()
        };
        let lowest = if self.args.chroot { None } else { Some(container::skeleton(container.dir())?) };
        let trace = self.trace.as_ref().map(|tracing| tracing.trace.clone());
        Ok(mount::Plan { lowest, trace, ..mount::Plan::new(source, options) })
    }

    fn isolation(&self, container: &Container, hostname: String) -> Result<Isolation> {
        if self.args.chroot {
            return Ok(Isolation::Chroot);
        }
        let network = self.args.network.into();
        let mut volumes = container::name_files(container.dir(), &hostname, network)?;
        volumes.extend(self.volumes.iter().cloned());
        Ok(Isolation::Namespaces(Sandbox {
            hostname,
            network,
            root: if self.args.read_only { Access::ReadOnly } else { Access::ReadWrite },
            volumes,
            first: if self.args.init { First::Init } else { First::Command },
        }))
    }
}

/// Parses `-e`. A name without a value takes the value of this process's variable.
fn variable(text: &OsString) -> Result<Variable> {
    Ok(match Variable::parse(text)? {
        Variable::Unset(name) => match env::var_os(&name) {
            Some(value) => Variable::Set(name, value),
            None => Variable::Unset(name),
        },
        set => set,
    })
}
