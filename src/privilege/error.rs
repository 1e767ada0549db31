//! Why a privilege was refused, and what the host's administrator can change.

use std::fs;
use std::path::Path;

use crate::sys::Errno;

/// Why this process did not get a privilege.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Error {
    #[error("this host gives the user no user namespace ({advice})")]
    Refused {
        /// Which setting allows it.
        advice: &'static str,
        source: Errno,
    },
    #[error("cannot enter the user namespace of another process: only its owner can")]
    OtherUsers(#[source] Errno),
    #[error("cannot make a mount namespace")]
    MountNamespace(#[source] Errno),
    /// The helper process that sets the id maps could not be started, or communication with it failed.
    #[error("cannot {doing}")]
    Helper { doing: &'static str, source: Errno },
    /// The error of `newuidmap` or `newgidmap`.
    #[error("{0}")]
    NoIds(String),
}

impl Error {
    /// The kernel refused a user namespace. Finds the setting of this host that caused it.
    pub(super) fn refused(errno: Errno) -> Error {
        let advice = advice(errno, |path| fs::read_to_string(path).ok());
        Error::Refused { advice, source: errno }
    }
}

fn advice(errno: Errno, read: impl Fn(&Path) -> Option<String>) -> &'static str {
    let is = |name: &str, value: &str| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        read(&path).is_some_and(|text| text.trim() == value)
    };
    match errno {
        Errno::NOSPC => "too many of them exist: raise the sysctl user.max_user_namespaces",
        _ if is("user.max_user_namespaces", "0") => "set the sysctl user.max_user_namespaces, for example to 10000",
        _ if is("kernel.unprivileged_userns_clone", "0") => "set the sysctl kernel.unprivileged_userns_clone to 1",
        _ if is("kernel.apparmor_restrict_unprivileged_userns", "1") => {
            "set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give overfuse an AppArmor profile"
        }
        _ => "a sandbox or security module around this process forbids it; root needs no user namespace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting() {
        for (errno, file, text, expected) in [
            (Errno::NOSPC, "", "", "raise the sysctl user.max_user_namespaces"),
            (Errno::PERM, "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces, for"),
            (Errno::PERM, "/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone to 1"),
            (Errno::ACCESS, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
            (Errno::PERM, "", "", "sandbox"),
        ] {
            let said = advice(errno, |path| (path == Path::new(file)).then(|| text.to_owned()));
            assert!(said.contains(expected), "{said}");
        }
    }
}
