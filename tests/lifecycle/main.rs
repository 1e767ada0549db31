//! The life of a container: made, started, attached, stopped, killed, started again and removed; as root, as a user with
//! subordinate ids, and as one without. Whoever is killed, the others tell the truth and nothing is lost.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../containers/host.rs"]
#[allow(dead_code, reason = "shared with the tests of containers")]
mod host;
#[path = "../containers/image.rs"]
#[allow(dead_code, reason = "shared with the tests of containers")]
mod image;

mod attached;
mod background;
mod commit;
mod desk;
mod killed;
mod logs;
mod many;
mod names;
mod output;
mod restart;
mod stop;
mod terminal;
mod yard;
