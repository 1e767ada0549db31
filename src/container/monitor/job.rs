//! What a monitor runs, and what one run of it needs.

use crate::container::error::LaunchError;
use crate::container::files::skeleton;
use crate::container::network::Programs;
use crate::container::plan::Plan;
use crate::container::serve::RunError;
use crate::container::settings::Settings;
use crate::container::spec::SpecError;
use crate::mount::{self, Prepared, Source};
use crate::privilege::Privilege;
use crate::store::{Container, Image, InUse, Store};
use crate::sys::pty::WindowSize;
use crate::sys::{Errno, signal, signal_number};

/// What a monitor is to run. This process has entered the namespaces that `privilege` names.
#[derive(Debug)]
pub struct Job {
    pub store: Store,
    pub image: Image,
    pub container: Container,
    pub in_use: InUse,
    pub settings: Settings,
    pub privilege: Privilege,
    /// Those that connect private networks.
    pub programs: Programs,
}

impl Job {
    pub(super) fn files(&self) -> Result<Prepared, Failure> {
        let Job { store, image, container, settings, privilege, .. } = self;
        let source = Source::Container { store, image, container, made_now: false };
        let options = mount::Options { source: Some(container.name.clone()), ..mount::Options::default() };
        let lowest = if settings.chroot { None } else { Some(skeleton(container.dir())?) };
        Ok(mount::Plan { lowest, ..mount::Plan::new(source, options) }.prepare(*privilege)?)
    }

    /// The signal that asks the command to end: the user's, the image's or SIGTERM.
    pub(super) fn stop_signal(&self) -> i32 {
        let of_image = self.image.config.config().as_ref().and_then(|config| config.stop_signal().clone());
        let wanted = self.settings.life.stop_signal.or_else(|| signal_number(&of_image?));
        wanted.unwrap_or(signal::TERMINATE)
    }

    pub(super) fn plan(&self, window: Option<WindowSize>) -> Result<Plan, Failure> {
        let Job { image, container, settings, programs, .. } = self;
        let process = settings.process(image.config.config().as_ref(), &container.id)?;
        Ok(Plan { window, ..settings.plan(container, process, programs)? })
    }
}

/// Why a container did not start.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) exit_code: u8,
}

impl Failure {
    /// The exit code when Overfuse itself failed.
    pub(super) const OURS: u8 = 125;

    fn of(error: &dyn std::error::Error, exit_code: u8) -> Failure {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        Failure { reason: causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}")), exit_code }
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Failure {
        Failure::of(&error, error.exit_code())
    }
}

impl From<mount::Error> for Failure {
    fn from(error: mount::Error) -> Failure {
        Failure::of(&error, Failure::OURS)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Launch(error) => error.into(),
            RunError::Mount(error) => error.into(),
        }
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Failure {
        Failure::of(&error, Failure::OURS)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { reason: format!("cannot wait for the container: {errno}"), exit_code: Failure::OURS }
    }
}
