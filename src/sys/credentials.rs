//! Who another process is, as far as files are concerned.

use std::fs;

/// What is known of a thread; of one that is gone or hidden: nothing, so that it may nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The group of the files that it makes, and the other groups that it is in.
    pub groups: Vec<u32>,
    /// `CAP_FSETID`, in the user namespace that it is in.
    pub may_set_ids: bool,
    /// It is in the initial user namespace: its capabilities count for everything.
    pub initial: bool,
}

/// As in `linux/capability.h`.
const CAP_FSETID: u64 = 4;

/// What `/proc` tells of the thread `id`, a number in our own process namespace; 0 is nobody there.
pub fn credentials(id: u32) -> Credentials {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).ok();
    let Some(status) = (id != 0).then(|| read("status")).flatten() else { return Credentials::default() };
    let map = read("uid_map").unwrap_or_default();
    parse(&status, &map)
}

fn parse(status: &str, uid_map: &str) -> Credentials {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
    // Real, effective, saved, and of the file system.
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
    fn what_proc_says_is_understood() {
        let all = Credentials { groups: vec![8, 9, 10], may_set_ids: true, initial: true };
        assert_eq!(parse(STATUS, "         0          0 4294967295\n"), all);
        assert!(!parse(STATUS, "0 100000 65536\n").initial);
        assert_eq!(parse("", ""), Credentials::default());
    }

    #[test]
    fn nobody_and_who_is_gone_may_nothing() {
        assert_eq!(credentials(0), Credentials::default());
        assert_eq!(credentials(u32::MAX), Credentials::default());
        assert!(!credentials(std::process::id()).groups.is_empty());
    }
}
