//! Why a privilege was refused, and what the host's administrator can do about it.

use std::fs;
use std::path::Path;

use crate::sys::Errno;

/// Why this process did not get the privilege that it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this host gives the user no user namespace ({advice})")]
    Refused {
        /// Which switch allows it.
        advice: &'static str,
        source: Errno,
    },
    #[error("cannot make a mount namespace")]
    MountNamespace(#[source] Errno),
    /// The process that hands out ids could not be made, waited for or heard.
    #[error("cannot {doing}")]
    Helper { doing: &'static str, source: Errno },
    /// What `newuidmap` or `newgidmap` answered.
    #[error("{0}")]
    NoIds(String),
}

impl Error {
    /// The kernel refused a user namespace: looks up which switch of this host that is.
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
        _ if is("user.max_user_namespaces", "0") => "set the sysctl user.max_user_namespaces to 10000, say",
        _ if is("kernel.unprivileged_userns_clone", "0") => "set the sysctl kernel.unprivileged_userns_clone to 1",
        _ if is("kernel.apparmor_restrict_unprivileged_userns", "1") => {
            "set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give overfuse an AppArmor profile"
        }
        _ => "a sandbox or security module around this process forbids it; root does without",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_switch() {
        for (errno, file, text, expected) in [
            (Errno::NOSPC, "", "", "raise the sysctl user.max_user_namespaces"),
            (Errno::PERM, "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces to"),
            (Errno::PERM, "/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone to 1"),
            (Errno::ACCESS, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
            (Errno::PERM, "", "", "sandbox"),
        ] {
            let said = advice(errno, |path| (path == Path::new(file)).then(|| text.to_owned()));
            assert!(said.contains(expected), "{said}");
        }
    }
}
