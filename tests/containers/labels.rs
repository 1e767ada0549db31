//! Labels of containers, and the files that labels and variables come from.

use std::fs;

use serde_json::Value;

use crate::host::hosts;

#[test]
fn labels_come_from_files_and_flags_and_the_image() {
    for host in hosts() {
        let labels = host.path("labels");
        fs::write(&labels, "# team\nteam=core\ntier = x\nempty\n").unwrap();
        let create = |args: &[&str]| {
            let mut command = host.overfuse();
            command.args(["run", "--name", "web", "--label-file"]).arg(&labels).args(args).args(["tiny", "-c", "true"]);
            command.output().unwrap()
        };
        let refused = create(&[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.trim_end().ends_with("labels: line 3: the name \"tier \" has a space"), "{host}: {said}");
        assert_eq!((refused.status.code(), host.containers()), (Some(125), 0), "{host}");

        fs::write(&labels, "# team\nteam=core\nempty\n").unwrap();
        let made = create(&["-l", "team=web", "--label", "note=a=b c"]);
        assert!(made.status.success(), "{host}: {}", String::from_utf8_lossy(&made.stderr));
        let run = |args: &[&str]| String::from_utf8(host.overfuse().args(args).output().unwrap().stdout).unwrap();
        let shown: Value = serde_json::from_str(&run(&["inspect", "-f", "{{json .Config.Labels}}", "web"])).unwrap();
        assert_eq!(shown, serde_json::json!({"team": "web", "empty": "", "note": "a=b c"}), "{host}");
        assert_eq!(run(&["ps", "-a", "--filter", "label=team=web", "--format", "{{.Names}}"]), "web\n", "{host}");
        assert_eq!(run(&["ps", "-a", "--filter", "label=team=core", "-q"]), "", "{host}");
    }
}

#[test]
fn variables_come_from_files_and_flags_go_before_them() {
    for host in hosts() {
        let file = host.path("env");
        fs::write(&file, "# none\n\nA=from file\nB=\"quoted\"  \nPASSED\nABSENT\n").unwrap();
        let path = file.to_str().unwrap();
        let mut command =
            host.command(&["--env-file", path, "-e", "A=flag"], &["-c", "env | grep -E '^(A|B|PASSED|ABSENT)='"]);
        let output = command.env("PASSED", "on").output().unwrap();
        let mut lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=flag", "B=\"quoted\"  ", "PASSED=on"], "{host}");
        for (flag, said) in [
            ("/gone", "overfuse: /gone: No such file or directory (os error 2)"),
            ("/dev/zero", "overfuse: /dev/zero: "),
        ] {
            let refused = host.run(&["--env-file", flag], &["-c", "true"]);
            let error = String::from_utf8_lossy(&refused.stderr);
            assert!(refused.status.code() == Some(125) && error.starts_with(said), "{host}: {error}");
            assert_eq!(error.lines().count(), 1, "{host}: {}", error.len());
        }
        assert_eq!(host.containers(), 0, "{host}");
    }
}
