//! Names of containers: taken, changed, and wrong.

use crate::host::{hosts, root};

#[test]
fn a_name_in_use_is_refused_and_leaves_nothing() {
    for host in hosts() {
        host.background("web", &[], "sleep 600");
        for (args, code) in [
            (&["run", "--name", "web"][..], 125),
            (&["run", "-d", "--name", "web"], 125),
            (&["create", "--name", "web"], 1),
        ] {
            let said = host.says(&[args, &["tiny", "-c", "true"]].concat());
            assert_eq!((said.code, said.err.lines().count()), (code, 1), "{host}: {args:?}: {}", said.err);
            assert!(said.err.contains("web"), "{host}: {}", said.err);
        }
        assert_eq!(host.containers(), 1, "{host}");
        host.does(&["rm", "-f", "web"]);
    }
}

#[test]
fn rename_works_while_the_container_runs_and_after_it() {
    for host in hosts() {
        host.background("old", &[], "sleep 600");
        host.background("other", &[], "true");
        host.does(&["rename", "old", "new"]);
        host.assert_state("new", "running", 0);
        assert_eq!(host.says(&["stop", "old"]).code, 1, "{host}");
        for (name, to) in [("new", "other"), ("new", "not/valid"), ("nobody", "x1")] {
            let said = host.says(&["rename", name, to]);
            assert_eq!((said.code, said.err.lines().count()), (1, 1), "{host}: {name} {to}: {}", said.err);
        }
        host.does(&["stop", "-t", "0", "new"]);
        host.does(&["rename", "new", "newer"]);
        host.assert_state("newer", "exited", 137);
    }
}

#[test]
fn a_policy_and_rm_contradict_each_other() {
    let Some(host) = root() else { return };
    let said = host.says(&["run", "--rm", "--restart", "always", "tiny", "-c", "true"]);
    assert_eq!(said.code, 125);
    assert_eq!(host.containers(), 0);
}
