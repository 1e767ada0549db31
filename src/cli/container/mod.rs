//! Commands about containers.

pub(super) mod commit;
pub(super) mod cp;
mod create;
pub(super) mod diff;
pub(super) mod exec;
mod options;
mod protect;
pub(super) mod ps;
pub(super) mod rm;
pub(super) mod run;
pub(super) mod top;
pub(super) mod trace;
