//! Commands about containers.

pub(super) mod attach;
pub(super) mod commit;
mod create;
pub(super) mod diff;
mod each;
mod foreground;
mod in_process;
pub(super) mod kill;
pub(super) mod logs;
pub(super) mod new;
mod options;
mod protect;
pub(super) mod ps;
pub(super) mod rename;
pub(super) mod restart;
pub(super) mod rm;
pub(super) mod run;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod trace;
pub(super) mod wait;
