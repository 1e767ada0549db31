//! Commits of containers that run.

use crate::host::{Host, hosts};
use crate::support::need;

/// What `cat FILE` prints in a container of `image`.
fn prints(host: &Host, image: &str, file: &str) -> String {
    host.does(&["run", "--rm", image, "-c", &format!("cat {file}")])
}

#[test]
fn a_running_container_is_committed_and_goes_on() {
    for host in hosts() {
        host.background(
            "work",
            &[],
            "echo first > /made; echo ready; while [ ! -e /go ]; do sleep 0.1; done; echo on; sleep 600",
        );
        host.until_logged("work", "ready");
        let said = host.says(&["commit", "work", "made:1"]);
        assert_eq!(said.code, 0, "{host}: {}", said.err);
        // Only the host's root can have cgroups here.
        let pauses = host.is_root() && need::has_cgroups();
        assert_eq!(said.err.contains("is not paused"), !pauses, "{host}: {}", said.err);
        assert_eq!(prints(&host, "made:1", "/made"), "first", "{host}");
        host.assert_state("work", "running", 0);
        host.does(&["exec", "work", "touch", "/go"]);
        host.until_logged("work", "on");
        host.does(&["rm", "-f", "work"]);
        host.assert_quiet();
    }
}

#[test]
fn pause_can_be_refused_and_demanded() {
    for host in hosts() {
        host.background("work", &[], "echo x > /made; echo ready; sleep 600");
        host.until_logged("work", "ready");
        let said = host.says(&["commit", "--pause=false", "work", "made:1"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{host}");
        let said = host.says(&["commit", "--pause", "work", "made:2"]);
        let pauses = host.is_root() && need::has_cgroups();
        assert_eq!(said.code, i32::from(!pauses), "{host}: {}", said.err);
        assert!(pauses || said.err.starts_with("overfuse: cannot pause container work: "), "{host}: {}", said.err);
        host.does(&["rm", "-f", "work"]);
    }
}
