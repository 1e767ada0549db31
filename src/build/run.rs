//! RUN: runs a command in a container of the image so far.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::builder::{Build, Images};
use super::error::{Result, StepError, at};
use super::evaluate::{Evaluation, RunStep};
use super::parse::{BuildMount, MountKind, Sharing};
use super::tree::Tree;
use crate::container::network::Programs;
use crate::container::{
    self, Access, Mount, MountKind as UserMountKind, Mounts as UserMounts, Network, NetworkSettings, Settings, Tmpfs,
    Variable, Wishes,
};
use crate::image::Digest;
use crate::mount::{self, Served};
use crate::store::Container;
use crate::sys::{Kind, Name};
use crate::union::{NodeId, Remove};

/// Where a secret is without a `target`.
const SECRETS: &str = "/run/secrets";

/// What one RUN mounts, ready on the host.
#[derive(Default)]
struct Mounts {
    volumes: Vec<Mount>,
    /// Unions to serve while the command runs, and where.
    unions: Vec<(mount::Prepared, PathBuf)>,
    /// Caches that no other step may use meanwhile.
    _locks: Vec<File>,
    env: Vec<(String, String)>,
}

impl Build<'_> {
    /// Runs the command. `container` is locked and not mounted.
    pub(super) fn run_command(
        &self,
        container: &Container,
        evaluation: &Evaluation<'_>,
        step: &RunStep,
        images: &Images,
    ) -> Result<()> {
        let mounts = self.mounts(container, evaluation, step, images)?;
        let targets: Vec<&Path> = mounts.volumes.iter().map(|volume| volume.target.as_path()).collect();
        let made = if targets.is_empty() { Vec::new() } else { missing(&self.tree_of(container)?, &targets)? };
        let variables = step.env.iter().chain(&mounts.env);
        let settings = Settings {
            wishes: Wishes {
                command: step.args.iter().map(Into::into).collect(),
                entrypoint: Some("".into()),
                env: variables.map(|(name, value)| Variable::Set(name.into(), value.into())).collect(),
                ..Wishes::default()
            },
            // A shell as process 1 would ignore the signals that end a build.
            init: true,
            network: NetworkSettings {
                network: if step.run.network.as_deref() == Some("none") { Network::None } else { Network::Host },
                ..NetworkSettings::default()
            },
            mounts: UserMounts { list: mounts.volumes, ..UserMounts::default() },
            ..Settings::default()
        };
        let config = serde_json::from_value(evaluation.document.config())
            .map_err(|error| StepError::Unusable { what: "the configuration".into(), reason: error.to_string() })?;
        let process = settings.process(Some(&config), &container.id)?;
        let files = self.files(container)?;
        let plan = settings.plan(container, process, &Programs::default())?;
        let mut served: Vec<std::result::Result<Served, mount::Error>> = Vec::new();
        let status = container::run(&files, plan, |_| {
            served.extend(mounts.unions.iter().map(|(prepared, path)| prepared.serve(path)));
        })?;
        for mount in served {
            mount?.end()?;
        }
        drop(files);
        if !made.is_empty() {
            remove_empty(&self.tree_of(container)?, &made)?;
        }
        match status.code() {
            0 => Ok(()),
            code => Err(StepError::Failed(code)),
        }
    }

    fn mounts(
        &self,
        container: &Container,
        evaluation: &Evaluation<'_>,
        step: &RunStep,
        images: &Images,
    ) -> Result<Mounts> {
        let mut mounts = Mounts::default();
        for (number, wanted) in step.run.mounts.iter().enumerate() {
            let dir = container.dir().join("mounts").join(number.to_string());
            fs::create_dir_all(&dir).map_err(|error| io("make", &dir, &error))?;
            let target = wanted.target.as_ref().map(|target| PathBuf::from(evaluation.absolute(target)));
            match wanted.kind {
                MountKind::Secret => self.secret(&mut mounts, wanted, target, &dir)?,
                kind => {
                    let Some(target) = target else { continue };
                    let source = match kind {
                        MountKind::Bind => self.bind(&mut mounts, wanted, &dir, images)?,
                        MountKind::Cache => self.cache_dir(&mut mounts, wanted, &target, &dir)?,
                        _ => {
                            mounts.volumes.push(memory(wanted, target));
                            continue;
                        }
                    };
                    let access = if wanted.read_only { Access::ReadOnly } else { Access::ReadWrite };
                    mounts.volumes.push(Mount { access, ..Mount::bind(source, target) });
                }
            }
        }
        Ok(mounts)
    }

    /// The files of the context, a stage or an image; changes to them are lost.
    fn bind(&self, mounts: &mut Mounts, wanted: &BuildMount, dir: &Path, images: &Images) -> Result<PathBuf> {
        let at_dir = dir.join("merged");
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        for dir in [&at_dir, &upper, &work] {
            fs::create_dir_all(dir).map_err(|error| io("make", dir, &error))?;
        }
        let changes = (!wanted.read_only).then_some((upper, work));
        let image = wanted.from.as_ref().and_then(|name| images.get(name));
        let prepared = self.source_files(image, changes)?;
        // Resolved in the union, so that no link in it leads to the host.
        let tree = Tree { union: prepared.open()?, ignore: super::ignore::Ignore::default() };
        let source = wanted.source.as_deref().unwrap_or("/");
        let found = tree.resolve(source).map_err(at("look at", source.as_ref()))?;
        let found = found.ok_or_else(|| StepError::NoSource(source.to_owned()))?;
        let path = found.path.iter().fold(at_dir.clone(), |path, name| path.join(name));
        drop(tree);
        mounts.unions.push((prepared, at_dir));
        Ok(path)
    }

    /// A directory that is kept from build to build.
    fn cache_dir(&self, mounts: &mut Mounts, wanted: &BuildMount, target: &Path, dir: &Path) -> Result<PathBuf> {
        let id = wanted.id.clone().unwrap_or_else(|| target.display().to_string());
        let key = Digest::of(id.as_bytes()).hex();
        let kept = self.store.root().join("build-mounts").join(&key);
        let content = kept.join("content");
        fs::create_dir_all(&kept).map_err(|error| io("make", &kept, &error))?;
        match fs::create_dir(&content) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made
                .and_then(|()| fs::set_permissions(&content, Permissions::from_mode(wanted.mode.unwrap_or(0o755))))
                .and_then(|()| std::os::unix::fs::chown(&content, wanted.uid, wanted.gid))
                .map_err(|error| io("make", &content, &error))?,
        }
        let lock = File::options().create(true).truncate(false).write(true).open(kept.join("lock"));
        let lock = lock.map_err(|error| io("open", &kept, &error))?;
        let locked = match wanted.sharing {
            Sharing::Shared => lock.lock_shared(),
            Sharing::Locked => lock.lock(),
            Sharing::Private => match lock.try_lock() {
                Err(fs::TryLockError::WouldBlock) => return Ok(dir.to_owned()),
                Err(fs::TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            },
        };
        locked.map_err(|error| io("lock", &kept, &error))?;
        mounts._locks.push(lock);
        Ok(content)
    }

    fn secret(&self, mounts: &mut Mounts, wanted: &BuildMount, target: Option<PathBuf>, dir: &Path) -> Result<()> {
        let by_target = target.as_ref().and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
        let Some(id) = wanted.id.clone().or(by_target) else { return Ok(()) };
        let Some(value) = self.secrets.get(&id) else {
            return if wanted.required { Err(StepError::NoSecret(id)) } else { Ok(()) };
        };
        if let Some(name) = &wanted.env {
            mounts.env.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
            if wanted.target.is_none() {
                return Ok(());
            }
        }
        let source = dir.join("secret");
        let mode = wanted.mode.unwrap_or(0o400);
        let written = File::options().write(true).create_new(true).mode(0o600).open(&source).and_then(|mut file| {
            file.write_all(value)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            std::os::unix::fs::fchown(&file, wanted.uid, wanted.gid)
        });
        written.map_err(|error| io("write", &source, &error))?;
        let target = target.unwrap_or_else(|| Path::new(SECRETS).join(&id));
        mounts.volumes.push(Mount { access: Access::ReadOnly, ..Mount::bind(source, target) });
        Ok(())
    }
}

/// A file system in memory, as large as `wanted` allows.
fn memory(wanted: &BuildMount, target: PathBuf) -> Mount {
    let size = wanted.size.map(|size| ("size".to_owned(), size.to_string()));
    let options = size.into_iter().chain([("mode".to_owned(), "1777".to_owned())]).collect();
    let kind = UserMountKind::Tmpfs(Tmpfs { options, execution: true, set_id: false });
    let access = if wanted.read_only { Access::ReadOnly } else { Access::ReadWrite };
    Mount { target, access, kind }
}

/// The paths that a mount on each of `targets` makes, deepest last.
fn missing(tree: &Tree, targets: &[&Path]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for target in targets {
        let mut path = String::new();
        for name in target.components().skip(1) {
            path = format!("{path}/{}", name.as_os_str().to_string_lossy());
            if tree.resolve(&path).map_err(at("look at", path.as_ref()))?.is_none() && !missing.contains(&path) {
                missing.push(path.clone());
            }
        }
    }
    Ok(missing)
}

/// Removes what mounts needed, unless the command has put something there.
fn remove_empty(tree: &Tree, made: &[String]) -> Result<()> {
    for path in made.iter().rev() {
        let fail = |errno| at("remove", path.as_ref())(errno);
        let Some(found) = tree.resolve(path).map_err(fail)? else { continue };
        let (Some(name), Some((parent, _))) = (found.path.last(), path.rsplit_once('/')) else { continue };
        let parent = match parent {
            "" => NodeId::ROOT,
            parent => match tree.resolve(parent).map_err(fail)? {
                Some(parent) => parent.attr.id,
                None => continue,
            },
        };
        let kind = match found.attr.stat.kind {
            Kind::Directory if tree.names(found.attr.id).map_err(fail)?.is_empty() => Remove::Dir,
            Kind::Regular if found.attr.stat.size == 0 => Remove::File,
            _ => continue,
        };
        tree.union.remove(parent, Name::new(name).map_err(fail)?, kind).map_err(fail)?;
    }
    Ok(())
}

fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> StepError {
    at(doing, path)(crate::sys::Errno::from_io_error(error).unwrap_or(crate::sys::Errno::IO))
}
