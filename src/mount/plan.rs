//! The plan of a mount: what to mount and how, and all decisions before the mount exists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::live::Live;
use super::served::Served;
use super::unmount::Unmounter;
use super::{Error, daemon};
use crate::fuse::{OptionError, Options, Session, TocUse};
use crate::privilege::{self, IdPrograms, Privilege};
use crate::store::{Container, Held, Image, InUse, Store, StoreError};
use crate::sys::process::Inherited;
use crate::sys::{self, IdMaps};
use crate::union::{Owner, Spec, Tables, Trace, Union, UpperSpec};

/// What a mount shows.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Source<'a> {
    /// The directories that the options name.
    Directories,
    /// An image, read-only.
    Image { store: &'a Store, image: &'a Image },
    /// An image and the changes of one of its containers.
    Container {
        /// The store that holds both.
        store: &'a Store,
        /// The image.
        image: &'a Image,
        /// The container, whose upper takes the changes.
        container: &'a Container,
        /// Whether it was created for this mount. If so, [`Plan::hold`] removes it when mounting fails.
        made_now: bool,
    },
}

/// Everything that a mount needs, in one value.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// What the mount shows.
    pub source: Source<'a>,
    /// The user's options.
    pub options: Options,
    /// An additional layer below the image's layers.
    pub lowest: Option<PathBuf>,
    /// Records reads of the lower layers.
    pub trace: Option<Arc<Trace>>,
    /// Which owners a user other than root sees.
    pub owners: OwnersShown,
}

/// Which owners files show when a user other than root mounts an image or a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnersShown {
    /// Those of the image. The kernel does not check permissions by them.
    #[default]
    Image,
    /// Those that they have on the host in a container of this user: the container's root is the user. The kernel checks
    /// permissions by them. Other ids of the container may use the mount if `/etc/fuse.conf` says `user_allow_other`.
    Host,
}

/// Which process serves a mount.
#[derive(Debug)]
pub enum Holder {
    /// This process.
    Foreground,
    /// A child in a new session, which closes these descriptors.
    Background(Inherited),
}

/// Locks that keep the mount's image and container from being removed; dropping them unlocks.
#[derive(Debug)]
pub(super) struct Locks {
    _image: Option<Held>,
    _container: Option<InUse>,
}

/// Parses mount options, each in the syntax of `-o`. For an image (no `lowerdir`), `nosuid` and `nodev` are the
/// default; `suid` and `dev` override them.
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
    /// A mount of `source` with `options`, without a lowest layer and without a trace.
    pub fn new(source: Source<'a>, options: Options) -> Plan<'a> {
        Plan { source, options, lowest: None, trace: None, owners: OwnersShown::Image }
    }

    /// Mounts at `at`, in the mount namespace of this process's user. In the background, returns when the mount is
    /// live; in the foreground, when it was unmounted. The process must have one thread.
    ///
    /// # Errors
    /// The mount failed, or, in the foreground, serving it failed.
    pub fn hold(&self, at: &Path, ids: Option<&IdPrograms>, holder: Holder) -> Result<(), Error> {
        match holder {
            Holder::Foreground => self.mount(at, ids, None).inspect_err(|_| self.undo())?.serve(),
            Holder::Background(inherited) => {
                daemon::start(inherited, |inherited| self.mount(at, ids, Some(inherited))).inspect_err(|_| self.undo())
            }
        }
    }

    /// Makes all decisions for a mount that a thread of this process serves. `privilege` is what this process has
    /// entered. The caller holds the container's lock.
    ///
    /// # Errors
    /// The options or the layers are unusable.
    pub fn prepare(&self, privilege: Privilege) -> Result<Prepared, Error> {
        self.check()?;
        Ok(Prepared {
            spec: self.spec(privilege)?,
            options: self.decided_options(),
            one_owner: privilege == Privilege::Single,
        })
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
        // In the user namespace that maps the image's owners, this process can neither mount nor unmount in the user's
        // mount namespace. So it mounts before it enters, and a process that stays outside unmounts.
        let (session, ids_shown) = match self.owners {
            OwnersShown::Image => (Session::reserve(at, &options)?, IdMaps::default()),
            OwnersShown::Host => {
                let open = Options { allow_other: true, ..options.clone() };
                let session = Session::reserve(at, &open).or_else(|_| Session::reserve(at, &options))?;
                (session, privilege::ids_of_container(ids).1)
            }
        };
        let unmounter = Unmounter::outside(session.at().to_path_buf(), inherited)?;
        let opened = privilege::enter_to_serve(ids)
            .map_err(Error::from)
            .map(|privilege| match (privilege, self.owners) {
                // The container has one id only.
                (Privilege::Ordinary, OwnersShown::Host) => Privilege::Single,
                _ => privilege,
            })
            .and_then(|privilege| Ok(Union::open(&self.spec(privilege)?)?));
        match opened {
            Ok(union) => Live::new(session.attach_as(union, ids_shown), unmounter, locks),
            Err(error) => {
                unmounter.unmount_or_warn();
                Err(error)
            }
        }
    }

    /// Refuses `upperdir` and `workdir` for an image or container: the store decides where changes go.
    fn check(&self) -> Result<(), Error> {
        let own_upper = [("upperdir", &self.options.upper), ("workdir", &self.options.work)];
        match (self.source, own_upper.into_iter().find(|(_, dir)| dir.is_some())) {
            (Source::Directories, _) | (_, None) => Ok(()),
            (_, Some((option, _))) => Err(Error::NotForImages { option }),
        }
    }

    /// Keeps image and container from being removed while the mount is live.
    fn lock(&self) -> Result<Locks, StoreError> {
        let (image, container) = match self.source {
            Source::Directories => (None, None),
            Source::Image { store, image } => (Some(store.hold(image)?), None),
            Source::Container { store, image, container, .. } => (Some(store.hold(image)?), Some(container.lock()?)),
        };
        Ok(Locks { _image: image, _container: container })
    }

    /// The user's options, adjusted to the source and the user.
    fn decided_options(&self) -> Options {
        let asked = self.options.clone();
        match self.source {
            Source::Directories => asked,
            // An ordinary user sees the owners from the image. If the kernel checked permissions by these owners, it
            // would refuse the user access to files that are the user's own on disk. So the kernel must not check.
            Source::Image { .. } | Source::Container { .. } => Options {
                read_only: asked.read_only || matches!(self.source, Source::Image { .. }),
                no_permission_checks: asked.no_permission_checks
                    || (sys::effective_uid() != 0 && self.owners == OwnersShown::Image),
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
                // With one mapped user, files that show other owners could not even be read.
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

    /// After a failed mount: removes the container that was created for it.
    fn undo(&self) {
        if let Source::Container { store, container, made_now: true, .. } = self.source
            && let Err(error) = store.remove_container(container)
        {
            tracing::warn!(%error, "cannot remove the container that was created for the mount");
        }
    }
}

/// A mount that is decided but not yet made.
#[derive(Debug)]
pub struct Prepared {
    spec: Spec,
    options: Options,
    one_owner: bool,
}

impl Prepared {
    /// Opens the union without a mount, for a caller that reads or changes its files itself.
    ///
    /// # Errors
    /// A layer cannot be used.
    pub fn open(&self) -> Result<Union, Error> {
        Ok(Union::open(&self.spec)?)
    }

    /// Whether all files are shown as root's, because this process has no other user.
    pub fn has_one_owner(&self) -> bool {
        self.one_owner
    }

    /// Mounts at `at` in this process's mount namespace, and serves it in a thread. The process must not fork from now
    /// on.
    ///
    /// # Errors
    /// The mount failed.
    pub fn serve(&self, at: &Path) -> Result<Served, Error> {
        Served::start(Session::mount(Union::open(&self.spec)?, at, &self.options)?)
    }
}
