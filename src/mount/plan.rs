//! What is to be mounted and how, and everything that is decided about it before there is a mount.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::live::Live;
use super::served::Served;
use super::unmount::Unmounter;
use super::{Error, daemon};
use crate::fuse::{OptionError, Options, Session, TocUse};
use crate::privilege::{self, IdPrograms, Privilege};
use crate::store::{Container, Held, Image, InUse, Store, StoreError};
use crate::sys;
use crate::sys::process::Inherited;
use crate::union::{Owner, Spec, Tables, Trace, Union, UpperSpec};

/// What a mount shows.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The directories that the options name.
    Directories,
    /// An image, which nothing changes.
    Image { store: &'a Store, image: &'a Image },
    /// An image, and what a container of it changed.
    Container {
        store: &'a Store,
        image: &'a Image,
        container: &'a Container,
        /// It was made for this mount: when [`Plan::hold`] fails before the mount is live, the container is removed.
        made_now: bool,
    },
}

/// Everything that a mount needs to know, in one value.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub source: Source<'a>,
    /// As they were asked for.
    pub options: Options,
    /// One more layer, below those of the image.
    pub lowest: Option<PathBuf>,
    /// Where to note what is read of the lower layers.
    pub trace: Option<Arc<Trace>>,
}

/// Which process serves a mount.
#[derive(Debug)]
pub enum Holder {
    /// This one.
    Foreground,
    /// A child in a session of its own, which keeps none of these descriptors open.
    Background(Inherited),
}

/// What keeps a mount's image or container from being removed, for as long as this lives.
#[derive(Debug)]
pub(super) struct Locks {
    _image: Option<Held>,
    _container: Option<InUse>,
}

/// Reads mount options, each as `-o` takes it. An image's files give this host's users no rights and no devices,
/// unless `suid` or `dev` asks for them.
///
/// # Errors
/// As [`Options::add`].
pub fn options(texts: &[String]) -> Result<Options, OptionError> {
    let over = |base: Options| texts.iter().try_fold(base, |mut options, text| options.add(text).map(|()| options));
    let options = over(Options::default())?;
    match options.lower.is_empty() {
        false => Ok(options),
        true => over(Options { no_dev: true, no_suid: true, ..Options::default() }),
    }
}

impl<'a> Plan<'a> {
    /// Shows `source` with `options`, and nothing besides.
    pub fn new(source: Source<'a>, options: Options) -> Plan<'a> {
        Plan { source, options, lowest: None, trace: None }
    }

    /// Mounts at `at`, where the user of this process sees it. Returns when it is live and served in the background,
    /// or, in the foreground, when somebody has unmounted it. For a process with one thread.
    ///
    /// # Errors
    /// What kept the mount from coming about; in the foreground, also how it ended badly.
    pub fn hold(&self, at: &Path, ids: Option<&IdPrograms>, holder: Holder) -> Result<(), Error> {
        match holder {
            Holder::Foreground => self.mount(at, ids, None).inspect_err(|_| self.undo())?.serve(),
            Holder::Background(inherited) => {
                daemon::start(inherited, |inherited| self.mount(at, ids, Some(inherited))).inspect_err(|_| self.undo())
            }
        }
    }

    /// Decides everything, for a mount that this process serves while it does something else. `privilege` is what
    /// this process entered; whoever calls holds the container's lock.
    ///
    /// # Errors
    /// What makes the options or the layers unusable.
    pub fn prepare(&self, privilege: Privilege) -> Result<Prepared, Error> {
        self.check()?;
        Ok(Prepared { spec: self.spec(privilege)?, options: self.decided_options() })
    }

    fn mount(&self, at: &Path, ids: Option<&IdPrograms>, inherited: Option<&Inherited>) -> Result<Live, Error> {
        self.check()?;
        let locks = self.lock()?;
        let options = self.decided_options();
        if matches!(self.source, Source::Directories) || sys::effective_uid() == 0 {
            let privilege = if sys::effective_uid() == 0 { Privilege::Root } else { Privilege::Ordinary };
            let session = Session::mount(Union::open(&self.spec(privilege)?)?, at, &options)?;
            let unmounter = Unmounter::Here(session.at().to_path_buf());
            return Live::new(session, unmounter, locks);
        }
        // In the user namespace that has the image's owners, this process can neither mount nor unmount where the
        // user sees it: it mounts first, and a process that stays outside unmounts.
        let session = Session::reserve(at, &options)?;
        let unmounter = Unmounter::outside(session.at().to_path_buf(), inherited)?;
        let opened = privilege::enter_to_serve(ids)
            .map_err(Error::from)
            .and_then(|privilege| Ok(Union::open(&self.spec(privilege)?)?));
        match opened {
            Ok(union) => Live::new(session.attach(union), unmounter, locks),
            Err(error) => {
                unmounter.unmount_or_warn();
                Err(error)
            }
        }
    }

    /// What an image shows, and where its changes are kept, is not for the options to say.
    fn check(&self) -> Result<(), Error> {
        let own_upper = [("upperdir", &self.options.upper), ("workdir", &self.options.work)];
        match (self.source, own_upper.into_iter().find(|(_, dir)| dir.is_some())) {
            (Source::Directories, _) | (_, None) => Ok(()),
            (_, Some((option, _))) => Err(Error::NotForImages { option }),
        }
    }

    /// While the mount lives, neither the image nor the changes can be removed.
    fn lock(&self) -> Result<Locks, StoreError> {
        let (image, container) = match self.source {
            Source::Directories => (None, None),
            Source::Image { store, image } => (Some(store.hold(image)?), None),
            Source::Container { store, image, container, .. } => (Some(store.hold(image)?), Some(container.lock()?)),
        };
        Ok(Locks { _image: image, _container: container })
    }

    /// The options as asked for, and what source and user require of them.
    fn decided_options(&self) -> Options {
        let asked = self.options.clone();
        match self.source {
            Source::Directories => asked,
            // To an ordinary user files show the owners that they have in the image. Since the kernel would judge
            // by these, it must leave judging to what the user may do with the files on disk: all of it.
            Source::Image { .. } | Source::Container { .. } => Options {
                read_only: asked.read_only || matches!(self.source, Source::Image { .. }),
                no_permission_checks: asked.no_permission_checks || sys::effective_uid() != 0,
                ..asked
            },
        }
    }

    fn spec(&self, privilege: Privilege) -> Result<Spec, Error> {
        let (store, image, container) = match self.source {
            Source::Directories => return Ok(Spec { trace: self.trace.clone(), ..self.options.spec()? }),
            Source::Image { store, image } => (store, image, None),
            Source::Container { store, image, container, .. } => (store, image, Some(container)),
        };
        let asked = &self.options;
        let policy = store.policy()?;
        let mut lower = store.lower_dirs(image);
        lower.extend(self.lowest.clone());
        Ok(Spec {
            tables: match asked.toc {
                TocUse::Stored => store.tables(image, policy),
                TocUse::Make => Tables::Make,
                TocUse::Off => Tables::None,
            },
            upper: container.map(|container| UpperSpec { dir: container.upper(), work: container.work() }),
            owners: policy.owners,
            squash: match privilege {
                // In a namespace with one user, files of others could not even be read.
                Privilege::Single => Some(Owner { uid: 0, gid: 0 }),
                _ => asked.squash.map(|to| Owner { uid: to.uid, gid: to.gid }),
            },
            volatile: asked.volatile,
            redirect: asked.redirect,
            metacopy: asked.metacopy,
            quiet: container.is_none() && asked.wants_quiet(),
            trace: self.trace.clone(),
            ..Spec::new(lower)
        })
    }

    /// Removes a container that was made for a mount that did not come about.
    fn undo(&self) {
        if let Source::Container { store, container, made_now: true, .. } = self.source
            && let Err(error) = store.remove_container(container)
        {
            tracing::warn!(%error, "the container that was made for the mount stays");
        }
    }
}

/// A mount about which everything is decided.
#[derive(Debug)]
pub struct Prepared {
    spec: Spec,
    options: Options,
}

impl Prepared {
    /// Mounts at `at`, and serves it in a thread of this process, which cannot fork from here on. The mount is seen in
    /// the mount namespace of this process.
    ///
    /// # Errors
    /// What kept the mount from coming about.
    pub fn serve(&self, at: &Path) -> Result<Served, Error> {
        Served::start(Session::mount(Union::open(&self.spec)?, at, &self.options)?)
    }
}
