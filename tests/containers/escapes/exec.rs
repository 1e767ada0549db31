//! Processes of a container that wait for one that enters it.

use crate::exec;
use crate::host::{Started, hosts};

#[test]
fn cve_2016_9962_a_process_that_enters_is_closed_until_it_is_the_command() {
    const SECRET: &str = "OVERFUSE_SECRET_OF_THE_HOST";
    for host in hosts() {
        let running = exec::start(&host, &[]);
        let watch = "echo ready; while :; do for p in /proc/[0-9]*; do \
             grep -q OVERFUSE_SECRET $p/environ 2>/dev/null && echo environment && exit; \
             readlink $p/exe 2>/dev/null | grep -q overfuse && echo program && exit; \
             ls $p/fd 2>/dev/null | grep -q '^[3-9]' && readlink $p/cwd | grep -v -q srv && echo descriptors && exit; \
             done; test -e /tmp/end && exit; done";
        let mut watcher = Started::of(exec::command(&host, &[], &["sh", "-c", watch]));
        for _ in 0..40 {
            let mut command = exec::command(&host, &[], &["true"]);
            assert!(command.env(SECRET, "x").status().unwrap().success());
        }
        exec::prints(&host, &[], "touch /tmp/end");
        let mut seen = String::new();
        std::io::Read::read_to_string(&mut watcher.output, &mut seen).unwrap();
        assert_eq!(seen, "", "{host}");
        watcher.child.wait().unwrap();
        running.end();
    }
}
