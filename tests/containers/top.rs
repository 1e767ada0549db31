//! `overfuse top`: the processes of a container, as the host sees them.

use crate::exec;
use crate::host::{Host, Started, hosts, root};

fn top(host: &Host, options: &[&str]) -> String {
    let output = host.overfuse().args(["top", "box"]).args(options).output().unwrap();
    assert!(output.status.success(), "{host}: {options:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_processes_of_a_container_are_listed_and_no_other() {
    for host in hosts() {
        for flags in [&[][..], &["--init"]] {
            let running = exec::start(&host, flags);
            let other = host.start(&[], "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done; : other-one");
            let mut entered = Started::of(exec::command(&host, &[], &["sh", "-c", "echo ready; sleep 777 & wait"]));
            let listed = top(&host, &[]);
            let mut lines = listed.lines();
            let titles: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
            assert_eq!(titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], "{host}");
            assert!(listed.contains("sleep 777"), "{host}: {flags:?}: {listed}");
            assert!(listed.contains("trap 'exit 0' TERM"), "{host}: {flags:?}: {listed}");
            assert!(!listed.contains("other-one") && !listed.contains(" exec "), "{host}: {flags:?}: {listed}");

            let listed = top(&host, &["-eo", "pid,args"]);
            let mut lines = listed.lines();
            assert_eq!(lines.next().unwrap().split_whitespace().collect::<Vec<_>>(), ["PID", "COMMAND"], "{host}");
            assert!(lines.any(|line| line.ends_with(" sleep 777")), "{host}: {listed}");

            running.end();
            entered.child.wait().unwrap();
            other.end();
        }
    }
}

#[test]
fn a_changed_root_alone_has_processes_too() {
    let Some(host) = root() else { return };
    let running = exec::start(&host, &["--chroot"]);
    let listed = top(&host, &[]);
    assert!(listed.contains("trap 'exit 0' TERM") && !listed.contains("overfuse"), "{listed}");
    running.end();
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let Some(host) = root() else { return };
    let running = exec::start(&host, &[]);
    let said = |args: &[&str]| {
        let output = host.overfuse().arg("top").args(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(&["gone"]), "overfuse: there is no container \"gone\"\n");
    assert_eq!(said(&["box", "-eo", "args"]), "overfuse: ps shows no column PID: add it to its options\n");
    let bad = said(&["box", "--nonsense"]);
    assert!(bad.starts_with("overfuse: ps: ") && bad.lines().count() == 1, "{bad}");
    running.end();
    assert!(host.overfuse().args(["run", "--name", "box", "tiny", "-c", "true"]).status().unwrap().success());
    assert_eq!(said(&["box"]), "overfuse: container box is not running\n");
}
