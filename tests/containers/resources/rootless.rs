//! Limits for users who can make no cgroup.

use crate::host::ordinary;
use crate::support::need::{PLAIN_USER, USER};

#[test]
fn a_limit_that_cannot_be_set_is_refused_in_one_line() {
    for host in [USER, PLAIN_USER].into_iter().filter_map(ordinary) {
        for flags in [["-m", "32m"], ["--pids-limit", "10"], ["--cpus", "0.5"], ["--cpuset-cpus", "0"]] {
            let said = host.refuses(&flags);
            assert!(
                said.contains(" needs a cgroup with the controller ") && said.lines().count() == 1,
                "{host}: {said}"
            );
        }
        assert_eq!(host.prints(&["--pids-limit", "-1"], "echo no limit"), "no limit");
    }
}
