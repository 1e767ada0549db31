//! `overfuse trace`: which parts of its image a container read.

use serde_json::Value;

use crate::host::{Host, hosts, root};

/// The output of `overfuse trace --json FLAGS` for a script, which must succeed.
#[track_caller]
fn traced(host: &Host, flags: &[&str], script: &str) -> Value {
    let file = host.path("trace.json");
    let mut command = host.overfuse();
    command.args(["trace", "--json", "--output"]).arg(&file).args(flags).args([crate::image::NAME, "-c", script]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    let unexpected = said.lines().find(|line| !line.starts_with("overfuse: --chroot changes the root directory only"));
    assert_eq!(unexpected, None, "{host}");
    assert_eq!(host.containers(), 0, "{host}: the container is gone");
    serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
}

/// `bytes_read` and `bytes` of a file that was read.
fn read(trace: &Value, path: &str) -> Option<(u64, u64)> {
    let files = trace["read"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path)?;
    let ranges: Vec<(u64, u64)> = serde_json::from_value(file["ranges"].clone()).unwrap();
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{file}");
    let bytes_read = file["bytes_read"].as_u64().unwrap();
    assert_eq!(ranges.iter().map(|(start, end)| end - start).sum::<u64>(), bytes_read, "{file}");
    Some((bytes_read, file["bytes"].as_u64().unwrap()))
}

#[test]
fn a_trace_tells_which_files_were_read_and_how_much_of_each() {
    for host in hosts() {
        let trace = traced(&host, &["--exact"], "cat /etc/group >/dev/null; ls -l /bin/no-interpreter >/dev/null");
        let (bytes_read, bytes) = read(&trace, "/bin/busybox").unwrap_or_else(|| panic!("{host}: {trace}"));
        assert_eq!(bytes, std::fs::metadata("/bin/busybox").unwrap().len());
        assert!(0 < bytes_read && bytes_read < bytes, "{host}: {bytes_read} of {bytes}");
        let group = crate::image::GROUP.len() as u64;
        assert_eq!(read(&trace, "/etc/group"), Some((group, group)), "{host}");
        // It was looked up only, not read.
        assert_eq!(read(&trace, "/bin/no-interpreter"), None, "{host}");

        let ahead = traced(&host, &[], "cat /etc/group >/dev/null");
        assert!(read(&ahead, "/bin/busybox").unwrap().0 > bytes_read, "{host}: the kernel reads ahead");

        let firsts: Vec<f64> =
            trace["read"].as_array().unwrap().iter().map(|file| file["first"].as_f64().unwrap()).collect();
        assert!(firsts.is_sorted(), "{host}: {firsts:?}");
        let [layer] = trace["layers"].as_array().unwrap().as_slice() else { panic!("{host}: {trace}") };
        for (key, value) in [("layer", 1), ("files", 4), ("files_read", firsts.len() as u64)] {
            assert_eq!(layer[key], value, "{host}: {key}");
        }
        for key in ["files", "files_read", "bytes", "bytes_read"] {
            assert_eq!(layer[key], trace[key], "{host}: {key}");
        }
    }
}

#[test]
fn what_is_changed_is_read_in_full_and_what_is_new_is_none_of_the_image() {
    for host in hosts() {
        let trace = traced(&host, &[], "echo x >>/bin/no-interpreter; echo y >/new; cat /new >/dev/null");
        assert_eq!(read(&trace, "/bin/no-interpreter"), Some((8, 8)), "{host}");
        assert_eq!(read(&trace, "/new"), None, "{host}");
    }
}

#[test]
fn without_json_there_are_tables_behind_what_the_command_says() {
    for host in hosts() {
        let mut command = host.overfuse();
        let output =
            command.args(["trace", crate::image::NAME, "-c", "echo out; echo err >&2; exit 7"]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{host}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n", "{host}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines[0], "err", "{host}");
        assert!(lines[1].starts_with("FIRST READ"), "{host}: {stderr}");
        assert!(stderr.contains("/bin/busybox"), "{host}: {stderr}");
        let all = lines.last().unwrap();
        assert!(all.starts_with("all ") && all.contains(" of 4 "), "{host}: {stderr}");
    }
}

#[test]
fn a_container_that_did_not_run_has_no_trace() {
    for host in hosts() {
        let mut command = host.overfuse();
        let output = command.args(["trace", "--entrypoint", "gone", crate::image::NAME]).output().unwrap();
        assert_eq!(output.status.code(), Some(127), "{host}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{host}");
        assert_eq!(host.containers(), 0, "{host}");
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_anything_runs() {
    for host in hosts() {
        let mut command = host.overfuse();
        command.args(["trace", "--output", "/gone/trace", crate::image::NAME, "-c", "echo ran"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{host}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{host}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("overfuse: cannot write /gone/trace"), "{host}");
    }
}

#[test]
fn a_change_of_the_root_alone_is_traced_too() {
    let Some(host) = root() else { return };
    let trace = traced(&host, &["--chroot"], "cat /etc/passwd");
    assert!(read(&trace, "/bin/busybox").is_some() && read(&trace, "/etc/passwd").is_some(), "{trace}");
}
