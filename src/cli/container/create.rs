//! The options that fix how a container runs, and the container that they make.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::network;
use super::options::{
    EnvironmentArgs, LabelArgs, LifeArgs, NetworkArgs, OwnerArgs, ResourceArgs, RuntimeArgs, SecurityArgs, VolumeArgs,
};
use crate::cli::exit::Misuse;
use crate::cli::ids;
use crate::container::{SETTINGS, Settings, Wishes};
use crate::privilege::{self, Privilege};
use crate::store::{Container, Image, NewContainer, Store};
use crate::sys;

/// The options that fix how a container runs.
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// Remove the container when the command has ended
    #[arg(long)]
    rm: bool,
    /// Name of the container [default: a generated one]
    #[arg(long)]
    name: Option<String>,
    /// Write the container's ID to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// Pass standard input to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Working directory; created if it is missing
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as this user and group: names from the image's /etc/passwd and /etc/group, or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program to run instead of the image's entrypoint; an empty one removes the image's
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// Run a small init as process 1, which forwards signals and reaps orphans, instead of the command
    #[arg(long, conflicts_with = "chroot")]
    init: bool,
    /// Only change the root directory, on hosts that allow no namespaces; needs root
    #[arg(long)]
    chroot: bool,
    #[command(flatten)]
    life: LifeArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    volumes: VolumeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    owners: OwnerArgs,
    #[command(flatten)]
    resources: ResourceArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// The image, by name, digest or id; then the command and its arguments [default: the image's]
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    image_and_command: Vec<OsString>,
}

impl CreateArgs {
    pub(super) fn image(&self) -> &OsStr {
        self.image_and_command.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The user's command; empty where the image's is used.
    pub(super) fn command(&self) -> &[OsString] {
        self.image_and_command.get(1..).unwrap_or_default()
    }

    /// # Errors
    /// The command wants keys of a terminal, and standard input is none.
    pub(super) fn check_terminal(&self) -> Result<()> {
        if self.interactive && self.tty && !io::stdin().is_terminal() {
            return Err(Misuse(anyhow!("standard input is not a terminal: leave out -t, or -i")).into());
        }
        Ok(())
    }

    /// # Errors
    /// A volume's source or a file that an option names cannot be read, or options contradict each other.
    pub(super) fn settings(&self) -> Result<Settings> {
        self.read().map_err(|error| Misuse(error).into())
    }

    fn read(&self) -> Result<Settings> {
        Ok(Settings {
            wishes: Wishes {
                command: self.command().to_vec(),
                entrypoint: self.entrypoint.clone(),
                env: self.environment.changes()?,
                workdir: self.workdir.clone(),
                user: self.user.clone(),
                terminal: self.tty,
            },
            interactive: self.interactive,
            auto_remove: self.rm,
            life: self.life.life()?,
            hostname: self.network.hostname(),
            init: self.init,
            labels: self.labels.labels()?,
            read_only: self.volumes.read_only(),
            chroot: self.chroot,
            network: self.network.network()?,
            mounts: self.volumes.mounts()?,
            security: self.security.security()?,
            no_virtual_ids: self.owners.no_virtual_ids(),
            resources: self.resources.resources()?,
            runtime: self.runtime.program()?,
        })
    }

    /// Makes the container in the store. Its [`Settings`] are these, completed with the mounts of the image and of other
    /// containers.
    ///
    /// # Errors
    /// Those of the store; two mounts have one target; neither the image nor the user names a command.
    pub(super) fn create(&self, store: &Store, image: &Image, settings: &Settings) -> Result<Container> {
        let process = settings.process(image.config.config().as_ref(), "")?;
        let command: Vec<String> = process.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let mut settings = settings.clone();
        if !settings.chroot {
            settings.mounts = self.volumes.complete(settings.mounts, store, image)?;
        }
        settings.network.add_image_ports(image.config.config().as_ref());
        let documents = [(SETTINGS, serde_json::to_vec_pretty(&settings)?)];
        let volumes = settings.mounts.volumes();
        let image_name = self.image().to_string_lossy();
        let new = NewContainer {
            name: self.name.as_deref(),
            image_name: Some(image_name.as_ref()),
            command: &command,
            documents: &documents,
            volumes: &volumes,
        };
        let Some(path) = &self.cidfile else { return Ok(store.create_container_with(image, new)?) };
        let cannot_write = || format!("cannot write {}", path.display());
        let mut file = File::create_new(path).with_context(cannot_write)?;
        let container = store.create_container_with(image, new).inspect_err(|_| drop(fs::remove_file(path)))?;
        file.write_all(container.id.as_bytes()).with_context(cannot_write)?;
        Ok(container)
    }
}

/// What the user of `--chroot` has to know.
const CHROOT_ALONE: &str = "--chroot changes the root directory only: the container shares this host's processes, \
                            network and mounts, and its root may do to them what root may";

/// Enters the namespaces that this process needs to serve the container of the store at `store`.
///
/// # Errors
/// This user may not run containers here.
pub(super) fn enter(settings: &Settings, store: &Path) -> Result<Privilege> {
    if settings.chroot {
        if sys::effective_uid() != 0 {
            bail!("--chroot needs root");
        }
        eprintln!("overfuse: {CHROOT_ALONE}");
        return Ok(Privilege::Root);
    }
    if let Some(privilege) = network::enter_users(settings, store)? {
        return Ok(privilege);
    }
    let privilege = privilege::enter_to_run(ids::programs().as_ref())?;
    if privilege == Privilege::Root {
        privilege::separate_mounts()
            .map_err(|error| anyhow!("{:#}; --chroot needs none", anyhow::Error::from(error)))?;
    }
    Ok(privilege)
}
