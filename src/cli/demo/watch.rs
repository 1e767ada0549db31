//! Runs the demo's container, and lists its mount before and after.
//!
//! A process that serves a mount must not use it: if killed during a request, it would wait for its own answer for
//! ever. So another process lists the trees.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::NAME;
use super::show::{Source, Tree, tree};
use crate::container::{
    Access, Attachment, First, Input, Isolation, Launched, Plan, Process, Resources, Sandbox, Security, Wishes,
};
use crate::fuse;
use crate::mount;
use crate::privilege::Privilege;
use crate::store::{Container, Image, Store};
use crate::sys::process::{self, Status};
use crate::sys::{Channel, Namespaces};

/// The image and container to run.
pub(super) struct Run<'a> {
    pub store: &'a Store,
    pub container: &'a Container,
    pub image: &'a Image,
    pub privilege: Privilege,
}

impl Run<'_> {
    /// Mounts the container, lists its files, runs it, lists them again, and unmounts. `sources` are its layers,
    /// topmost first.
    ///
    /// # Errors
    /// A step failed, or the container's command failed.
    pub(super) fn watch(&self, sources: &[Source]) -> Result<(Tree, Tree)> {
        let at = self.container.merged();
        let watcher = Watcher::start(&at)?;
        let launched = Launched::new(self.plan()?)?;
        let served = self.files().prepare(self.privilege)?.serve(&at)?;
        let before = tree(watcher.list()?, sources);
        let status = launched.run()?;
        let after = tree(watcher.list()?, sources);
        served.end()?;
        match status {
            Status::Exited(0) => Ok((before, after)),
            other => bail!("the process in the container ended with status {}", other.code()),
        }
    }

    fn plan(&self) -> Result<Plan> {
        let wishes = Wishes::default();
        Ok(Plan {
            root: self.container.merged(),
            process: Process::new(self.image.config.config().as_ref(), &wishes, NAME)?,
            isolation: Isolation::Namespaces(Sandbox {
                hostname: NAME.into(),
                domain: None,
                network: Attachment::None,
                root: Access::ReadWrite,
                mounts: Vec::new(),
                volumes: Vec::new(),
                shm_size: None,
                first: First::Command,
                runtime: None,
            }),
            security: Security::default(),
            virtual_ids: false,
            resources: Resources::default(),
            id: None,
            input: Input::Nothing,
            window: None,
            link: None,
        })
    }

    fn files(&self) -> mount::Plan<'_> {
        let Run { store, container, image, .. } = *self;
        let options = fuse::Options { source: Some(NAME.into()), ..fuse::Options::default() };
        mount::Plan::new(mount::Source::Container { store, image, container, made_now: false }, options)
    }
}

/// A child process that lists the files of a directory on request. It ends with its parent.
struct Watcher(Channel);

const LIST: &[u8] = b"list";
/// The first byte of each message of the answer: a path, an error, or the end.
const PATH: u8 = b'/';
const ERROR: u8 = b'!';
const END: u8 = b'.';

impl Watcher {
    /// Starts the child. This process must have one thread.
    fn start(at: &Path) -> Result<Watcher> {
        let work = |channel: Channel| {
            while let Ok(Some(_)) = channel.receive() {
                if answer(at, &channel).is_err() {
                    break;
                }
            }
            0
        };
        let (_, channel) = process::spawn_connected(Namespaces::empty(), work).context("cannot fork")?;
        Ok(Watcher(channel))
    }

    /// The files below the directory, as relative paths.
    fn list(&self) -> Result<Vec<PathBuf>> {
        self.0.send(LIST, None).context("asking for the files of the mount")?;
        let mut files = Vec::new();
        loop {
            let message = self.0.receive().context("listing the files of the mount")?;
            match message.as_ref().and_then(|(message, _)| message.split_first()) {
                Some((&PATH, path)) => files.push(OsString::from_vec(path.to_vec()).into()),
                Some((&END, _)) => return Ok(files),
                Some((_, error)) => bail!("listing the files of the mount: {}", String::from_utf8_lossy(error)),
                None => bail!("the process that lists the files of the mount ended"),
            }
        }
    }
}

/// In the watcher: sends the files below `at`.
fn answer(at: &Path, to: &Channel) -> crate::sys::Result<()> {
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let entries: io::Result<Vec<_>> = fs::read_dir(at.join(&dir)).and_then(Iterator::collect);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return to.send(&[&[ERROR], error.to_string().as_bytes()].concat(), None),
        };
        for entry in entries {
            let path = dir.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(path);
            } else {
                to.send(&[&[PATH], path.as_os_str().as_bytes()].concat(), None)?;
            }
        }
    }
    to.send(&[END], None)
}
