//! `images`, `history`, `image prune`, `system df`, `info` and `version`.

use serde_json::{Value, json};

use crate::desk::Desk;

#[test]
fn images_takes_names_and_filters() {
    let desk = Desk::new();
    let app = desk.prints("images -q --no-trunc app:v1").trim().to_owned();
    for (args, expected) in [
        (&["images"][..], "app:v1 app:v2 other:v1"),
        (&["image", "ls", "-a"], "app:v1 app:v2 other:v1"),
        (&["images", "app"], "app:v1 app:v2"),
        (&["images", "app:v2"], "app:v2"),
        (&["images", "*:v1"], "app:v1 other:v1"),
        (&["images", "none"], ""),
        (&["images", "-f", "reference=app"], "app:v1 app:v2"),
        (&["images", "-f", "reference=app:v2", "-f", "reference=oth*"], "app:v2 other:v1"),
        (&["images", "-f", "dangling=true"], ""),
        (&["images", "-f", "dangling=false", "app"], "app:v1 app:v2"),
        (&["images", "-f", "label=team"], ""),
        (&["images", "-f", "since=app:v1"], ""),
        (&["images", "-f", "before=app:v1"], ""),
        (&["images", "-f", "until=2024-01-02"], "app:v1 app:v2 other:v1"),
        (&["images", "-f", "until=2023-12-31"], ""),
    ] {
        let args = [args, &["--format", "{{.Repository}}:{{.Tag}}"]].concat();
        assert_eq!(desk.names(&args), expected.split_whitespace().collect::<Vec<_>>(), "{args:?}");
    }
    assert!(app.starts_with("sha256:") && app.len() == 71, "{app}");
    let table = desk.prints("images --digests app:v1");
    assert!(table.starts_with("REPOSITORY   TAG   DIGEST") && table.contains(" sha256:"), "{table}");
    let columns = ["images", "app:v1", "--format", "table {{.ID}}\\t{{.Size}}\\t{{.CreatedAt}}"];
    let expected =
        format!("IMAGE ID       SIZE   CREATED AT\n{}   6B     2024-01-01 00:00:00 +0000 UTC\n", &app[7..19]);
    assert_eq!(desk.prints_args(&columns), expected);
    assert_eq!(desk.refuses(&["images", "-f", "before=gone"]), (1, "there is no image \"gone\"".into()));
    assert_eq!(desk.refuses(&["images", "-f", "dangling=x"]), (1, "filter dangling=x: expected true or false".into()));
}

#[test]
fn history_has_dockers_flags() {
    let desk = Desk::new();
    let id = desk.prints("images -q app:v1").trim().to_owned();
    assert_eq!(desk.prints("history -q app:v1"), format!("{id}\n<missing>\n"));
    assert_eq!(desk.prints("image history --format {{.CreatedBy}}={{.Size}} app:v1"), "step 1=1B\nstep 0=5B\n");
    let table = desk.prints("history --human=false app:v1");
    assert!(table.contains("2024-01-01T00:00:00Z") && table.lines().nth(2).unwrap().contains(" 5"), "{table}");
    assert!(desk.prints("history -H app:v1").contains("years ago"));
    assert_eq!(desk.refuses(&["history", "--human=x", "app:v1"]).0, 125);
}

#[test]
fn prune_removes_images_that_nobody_needs() {
    let desk = Desk::new();
    desk.container("app:v1", "web", &[]);
    let names = || desk.names(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(desk.prints("image prune -f"), "Total reclaimed space: 0B\n");
    assert_eq!(names(), ["app:v1", "app:v2", "other:v1"]);
    assert_eq!(desk.prints("image prune -f -a --filter until=2023-01-01"), "Total reclaimed space: 0B\n");
    assert!(desk.prints("image prune -a").contains("WARNING! This will remove all images without a container."));
    let pruned = desk.prints("image prune -a -f");
    assert!(pruned.starts_with("Deleted Images:\nuntagged: other:v1\ndeleted: sha256:"), "{pruned}");
    assert!(pruned.ends_with("\nTotal reclaimed space: 3B\n"), "the layers below are shared: {pruned}");
    assert_eq!(names(), ["app:v1", "app:v2"], "an image with a container stays");
}

#[test]
fn df_counts_a_shared_layer_once() {
    let desk = Desk::new();
    let web = desk.container("app:v1", "web", &[]);
    std::fs::write(web.upper().join("file"), "hello").unwrap();
    let rows = desk.prints("system df --format {{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}");
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows[..2], ["Images|2|1|9B|3B (33%)", "Containers|1|0|5B|5B (100%)"]);
    assert_eq!(rows[2], "Local Volumes|0|0|0B|0B");
    assert!(rows[3].starts_with("Archives|"), "{rows:?}");
    let verbose = desk.prints("system df -v");
    let other = verbose.lines().find(|line| line.starts_with("other")).unwrap();
    assert!(other.contains("9B") && other.contains("6B") && other.contains("3B") && other.ends_with('0'), "{other}");
    assert!(verbose.contains("web") && verbose.contains("Containers space usage:"), "{verbose}");
    assert!(desk.prints("system df").starts_with("TYPE         TOTAL   ACTIVE   SIZE"));
}

#[test]
fn info_and_version_say_what_is_here() {
    let desk = Desk::new();
    desk.container("app:v1", "web", &[]);
    let info: Value = serde_json::from_str(&desk.prints("info --format json")).unwrap();
    assert_eq!((&info["Containers"], &info["ContainersStopped"], &info["Images"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(info["DockerRootDir"], desk.root().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(desk.prints("system info -f {{.Driver}}"), "overfuse\n");
    let text = desk.prints("info");
    for line in ["Containers: 1", " Stopped: 1", "Images: 2", "Storage Driver: overfuse", "Kernel Version: ", " runc: "]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(desk.prints("version -f {{.Client.Version}}").trim(), env!("CARGO_PKG_VERSION"));
    assert!(desk.prints("version").contains("API version:    none"));
    assert_eq!(desk.refuses(&["info", "-f", "{{.Nope}}"]).0, 1);
}

/// The three ways in which containers of a user can run.
#[test]
fn info_finds_by_trying_how_containers_run() {
    crate::need!(users);
    let as_user = |name: &str| {
        let user = crate::support::need::user(name).unwrap();
        let dir = tempfile::Builder::new().prefix("overfuse-info-").tempdir_in("/var/tmp").unwrap();
        let (uid, gid) = (Some(rustix::fs::Uid::from_raw(user.uid)), Some(rustix::fs::Gid::from_raw(user.gid)));
        rustix::fs::chown(dir.path(), uid, gid).unwrap();
        let program = dir.path().join("overfuse");
        crate::support::copy_program(std::path::Path::new(env!("CARGO_BIN_EXE_overfuse")), &program);
        let mut command = user.command(&program);
        command.arg("--root").arg(dir.path().join("store")).args(["info", "-f", "{{.Mode}}, {{.Rootless}}"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(as_user(crate::support::need::USER), "subordinate ids, true\n");
    assert_eq!(as_user(crate::support::need::PLAIN_USER), "single id, true\n");
    assert_eq!(Desk::new().prints_args(&["info", "-f", "{{.Mode}}, {{.Rootless}}"]), "root, false\n");
}

#[test]
fn load_reads_what_docker_load_reads() {
    let desk = Desk::new();
    let archive = desk.archive();
    let path = archive.to_str().unwrap();
    let loaded = "Loaded image: other:v1\n";
    assert_eq!(desk.prints_args(&["load", "-i", path]), loaded);
    assert_eq!(desk.prints_args(&["image", "load", "--input", path]), loaded);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_overfuse"));
    command.arg("--root").arg(desk.root()).arg("load").stdin(std::fs::File::open(&archive).unwrap());
    assert_eq!(String::from_utf8(command.output().unwrap().stdout).unwrap(), loaded);
    assert_eq!(desk.refuses(&["load", path, "-i", path]).0, 125);
    assert!(desk.refuses(&["load"]).1.starts_with("the archive on standard input is no image"));
}
