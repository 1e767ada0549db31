//! The file credentials of another thread, read from `/proc`.

use std::fs;

/// The credentials of a thread. The default, without any rights, stands for a thread that is gone or hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The group of the files that it makes (its file-system group), then its supplementary groups.
    pub groups: Vec<u32>,
    /// It has `CAP_FSETID` in its user namespace.
    pub may_set_ids: bool,
    /// It is in the initial user namespace, so its capabilities apply everywhere.
    pub initial: bool,
}

/// As in `linux/capability.h`.
const CAP_FSETID: u64 = 4;

/// Reads the credentials of thread `id`, a number in our own PID namespace; 0 is no thread.
pub fn credentials(id: u32) -> Credentials {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).ok();
    let Some(status) = (id != 0).then(|| read("status")).flatten() else { return Credentials::default() };
    let map = read("uid_map").unwrap_or_default();
    parse(&status, &map)
}

fn parse(status: &str, uid_map: &str) -> Credentials {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
    // The four numbers are: real, effective, saved, file system.
    let own = field("Gid").split_whitespace().nth(3);
    let capabilities = u64::from_str_radix(field("CapEff").trim(), 16).unwrap_or(0);
    Credentials {
        groups: own.into_iter().chain(field("Groups").split_whitespace()).filter_map(|id| id.parse().ok()).collect(),
        may_set_ids: capabilities & (1 << CAP_FSETID) != 0,
        initial: uid_map.split_whitespace().eq(["0", "0", "4294967295"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str =
        "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapInh:\t0\nCapEff:\t0000000000000010\n";

    #[test]
    fn the_text_of_proc_is_parsed() {
        let all = Credentials { groups: vec![8, 9, 10], may_set_ids: true, initial: true };
        assert_eq!(parse(STATUS, "         0          0 4294967295\n"), all);
        assert!(!parse(STATUS, "0 100000 65536\n").initial);
        assert_eq!(parse("", ""), Credentials::default());
    }

    #[test]
    fn a_missing_thread_has_no_rights() {
        assert_eq!(credentials(0), Credentials::default());
        assert_eq!(credentials(u32::MAX), Credentials::default());
        assert!(!credentials(std::process::id()).groups.is_empty());
    }
}
