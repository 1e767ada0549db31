//! Which ways of running containers this host gives this user. Each is tried, by a child process that then ends.

use super::{Error, IdPrograms, Privilege, enter_single, separate_mounts, take_subordinate_ids};
use crate::sys::{self, Errno, Namespaces, namespace, process};

/// A way of running containers. The first that works is taken; [`Mode::Chroot`] only when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As root of this host, in namespaces.
    Root,
    /// In a user namespace with subordinate ids.
    Subordinate,
    /// In a user namespace with one id; other owners are only recorded.
    Single,
    /// As root of this host, in another root directory and nothing else.
    Chroot,
}

/// One mode, and why it does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub mode: Mode,
    /// One line; `None` where the mode works.
    pub refused: Option<String>,
}

/// Tries all modes that this user could have, in the order in which they are taken. This process must have one thread.
///
/// # Errors
/// As `fork(2)`.
pub fn modes(programs: Option<&IdPrograms>) -> Result<Vec<Attempt>, Errno> {
    let modes = if sys::effective_uid() == 0 { [Mode::Root, Mode::Chroot] } else { [Mode::Subordinate, Mode::Single] };
    modes.into_iter().map(|mode| Ok(Attempt { mode, refused: attempt(mode, programs)? })).collect()
}

fn attempt(mode: Mode, programs: Option<&IdPrograms>) -> Result<Option<String>, Errno> {
    let (child, channel) = process::spawn_connected(Namespaces::empty(), |channel| {
        let refused = enter(mode, programs).err();
        // Ignores the error: without a message and with this status, the parent knows as much.
        let sent = refused.map(|reason| channel.send(reason.as_bytes(), None));
        i32::from(sent.is_some())
    })?;
    let said = channel.receive()?;
    let status = child.wait()?;
    Ok(match said {
        Some((reason, _)) => Some(String::from_utf8_lossy(&reason).into_owned()),
        None if status.code() == 0 => None,
        None => Some(format!("the attempt ended with status {}", status.code())),
    })
}

fn enter(mode: Mode, programs: Option<&IdPrograms>) -> Result<(), String> {
    let line = |error: Error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let rest = Namespaces::PID.and(Namespaces::IPC).and(Namespaces::UTS);
    let rest = || namespace::enter_new(rest).map_err(|errno| line(Error::refused(errno)));
    match mode {
        Mode::Chroot => Ok(()),
        Mode::Root => separate_mounts().map_err(line).and_then(|()| rest()),
        Mode::Single => enter_single().map_err(line).and_then(|()| rest()),
        Mode::Subordinate => {
            match take_subordinate_ids(programs, Namespaces::USER.and(Namespaces::MOUNT)).map_err(line)? {
                Privilege::Subordinate => rest(),
                _ if programs.is_none() => {
                    Err("newuidmap and newgidmap are not in PATH (Debian: apt install uidmap)".into())
                }
                _ => Err("/etc/subuid and /etc/subgid give this user no ids".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_with_no_programs_that_map_ids_is_told_so() {
        // Enters nothing: root is not mapped, and without programs nobody is.
        let said = enter(Mode::Subordinate, None).unwrap_err();
        assert!(said.contains("newuidmap"), "{said}");
    }
}
