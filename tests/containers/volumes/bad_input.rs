//! Bad input: one clear line, exit code 125, and nothing left behind.

use super::volumes;
use crate::host::hosts;

#[test]
fn options_that_describe_no_mount_are_refused() {
    for host in hosts() {
        std::fs::write(host.path("file"), "").unwrap();
        let file = host.path("file").display().to_string();
        let over_dir = format!("{file}:/etc");
        for (flags, said) in [
            (&["-v", "/gone/away:/x"][..], "volume source /gone/away: No such file or directory"),
            (&["--mount", "type=bind,src=/gone,dst=/x"], "volume source /gone: No such file or directory"),
            (&["-v", "data:/x:nope"], r#""nope" is not an option of a volume"#),
            (&["-v", "a/b:/x"], "a path of this host begins with / or ./"),
            (&["-v", "x"], "must be an absolute path other than /"),
            (&["-v", "/tmp/.."], "must be an absolute path other than /"),
            (&["--mount", "type=bind,src=/etc"], "a mount needs a target"),
            (&["--mount", "type=bind,src=/etc,dst=/x,bind-propagation=rshared"], "never reach this host"),
            (&["--tmpfs", "/x:size=lots"], r#""size=lots" is not an option of a tmpfs"#),
            (&["--shm-size", "big"], r#""big" is not a size"#),
            (&["--volumes-from", "nobody"], r#"there is no container "nobody""#),
            (&["-v", "data:/x", "--tmpfs", "/x"], "/x is the target of two mounts"),
            (&["-v", &over_dir], "cannot mount"),
            (&["--tmpfs", "/x:size=64k,uid=2000000000"], "cannot make a tmpfs"),
        ] {
            if host.is_root() && said == "cannot make a tmpfs" {
                // Every id exists here.
                continue;
            }
            let output = host.run(flags, &["-c", "true"]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.contains(said), "{host}: {flags:?}: {stderr}");
            assert_eq!(output.status.code(), Some(125), "{host}: {flags:?}: {stderr}");
            assert_eq!(host.containers(), 0, "{host}: {flags:?}");
        }
        assert_eq!(volumes(&host), [""; 0], "{host}");
    }
}
