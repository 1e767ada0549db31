//! Commands about containers.

pub(super) mod commit;
mod create;
pub(super) mod diff;
mod options;
pub(super) mod protect;
pub(super) mod ps;
pub(super) mod rm;
pub(super) mod run;
pub(super) mod trace;
