//! The commands over the store: what they print, and how they end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use overfuse::store::Store;
use serde_json::Value;
use tempfile::TempDir;

use crate::need;
use crate::parcel::{Image, Parcel};
use crate::support::scratch;

struct Bench {
    dir: TempDir,
}

impl Bench {
    /// A store with `app:v1` and `app:v2`, which are one image.
    fn new() -> Bench {
        let bench = Bench { dir: scratch() };
        let parcel = Parcel::docker(&["app:v1", "app:v2"], &Image::of(&[&[("a", "12345")], &[("b", "")]]));
        std::fs::write(bench.dir.path().join("app.tar"), parcel.tar()).unwrap();
        let archive = bench.dir.path().join("app.tar");
        assert_eq!(bench.prints(&["load", archive.to_str().unwrap()]), "Loaded image: app:v1\nLoaded image: app:v2\n");
        bench
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overfuse"));
        command.arg("--root").arg(self.root()).args(args).stdin(Stdio::null());
        command.output().expect("run overfuse")
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail, and returns the one line that it prints.
    #[track_caller]
    fn refuses(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.lines().count(), 1, "{error}");
        error.trim_end().to_owned()
    }

    fn container(&self, name: &str) -> overfuse::store::Container {
        let store = Store::open(&self.root()).unwrap();
        store.create_container(&store.image("app:v1").unwrap(), Some(name)).unwrap()
    }
}

fn rows(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The words of each line, so that columns may have any width.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn images_has_dockers_columns() {
    let bench = Bench::new();
    let table = bench.prints(&["images"]);
    let words = words(&table);
    assert_eq!(words[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    assert_eq!((words[1][0], words[1][1], words[1].last()), ("app", "v1", Some(&"5B")));
    let rows = rows(&bench.prints(&["images", "--format", "json"]));
    assert_eq!((&rows[1]["Repository"], &rows[1]["Tag"]), (&Value::from("app"), &Value::from("v2")));
    assert_eq!(bench.prints(&["images", "-q"]).trim(), rows[0]["ID"]);
}

#[test]
fn history_shows_the_newest_step_first() {
    let bench = Bench::new();
    let table = bench.prints(&["history", "app:v1"]);
    let words = words(&table);
    assert_eq!(words[0], ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]);
    assert!(table.lines().nth(1).unwrap().contains("step 1") && words[2][0] == "<missing>", "{table}");
    let rows = rows(&bench.prints(&["history", "app:v1", "--format", "json", "--no-trunc"]));
    assert_eq!((&rows[1]["CreatedBy"], &rows[1]["Size"]), (&Value::from("step 0"), &Value::from("5B")));
    assert!(rows[0]["ID"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn inspect_shows_images_and_containers_and_refuses_unknown_names() {
    let bench = Bench::new();
    bench.container("web");
    let found: Value = serde_json::from_str(&bench.prints(&["inspect", "app:v1", "web"])).unwrap();
    assert_eq!(found[0]["RepoTags"][1], "app:v2");
    assert_eq!(found[0]["Config"]["Cmd"][0], "sh");
    assert_eq!((&found[1]["Name"], &found[1]["Image"]), (&Value::from("/web"), &found[0]["Id"]));
    assert!(Path::new(found[1]["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap()).is_dir());
    let output = bench.run(&["inspect", "wob", "app:v1"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "overfuse: there is no container, image or volume \"wob\": did you mean \"web\"?\n");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn ps_shows_containers_in_use_and_with_all_every_container() {
    let bench = Bench::new();
    let container = bench.container("web");
    assert_eq!(bench.prints(&["ps"]).lines().count(), 1);
    let row = &rows(&bench.prints(&["ps", "-a", "--size", "--format", "json"]))[0];
    assert_eq!((&row["Names"], &row["Status"], &row["Image"]), (&"web".into(), &"Created".into(), &"app:v1".into()));
    assert!(row["Size"].as_str().unwrap().ends_with("(virtual 5B)"), "{row}");
    let _in_use = container.lock().unwrap();
    assert_eq!(rows(&bench.prints(&["ps", "--format", "json"]))[0]["Status"], "Mounted");
}

#[test]
fn rm_continues_after_an_unknown_name() {
    let bench = Bench::new();
    bench.container("web");
    let output = bench.run(&["rm", "nobody", "web"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"web\n");
    assert_eq!(output.stderr, b"overfuse: there is no container \"nobody\"\n");
}

#[test]
fn rmi_prints_what_it_removed() {
    let bench = Bench::new();
    bench.container("web");
    assert_eq!(bench.prints(&["rmi", "app:v2"]), "Untagged: app:v2\n");
    assert_eq!(bench.refuses(&["rmi", "app:v1"]), "overfuse: image app:v1 is used by container web");
    bench.prints(&["rm", "web"]);
    let gone = bench.prints(&["rmi", "app:v1"]);
    assert!(gone.starts_with("Untagged: app:v1\nDeleted: sha256:") && gone.lines().count() == 4, "{gone}");
}

#[test]
fn the_next_load_removes_what_a_killed_one_left() {
    let bench = Bench::new();
    let archive = std::fs::read(bench.dir.path().join("app.tar")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_overfuse"));
    command.arg("--root").arg(bench.root()).args(["load", "-"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("run overfuse");
    child.stdin.as_mut().unwrap().write_all(&archive[..archive.len() - 2048]).unwrap();
    let left = || std::fs::read_dir(bench.root().join("tmp")).unwrap().count();
    while left() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(left() > 0);
    bench.prints(&["load", bench.dir.path().join("app.tar").to_str().unwrap()]);
    assert_eq!(left(), 0);
}

#[test]
fn a_failed_load_prints_one_line() {
    let bench = Bench::new();
    let error = bench.refuses(&["load", "/nonexistent/app.tar"]);
    assert_eq!(error, r#"overfuse: cannot open "/nonexistent/app.tar": No such file or directory (os error 2)"#);
    let error = bench.refuses(&["load", "-"]);
    assert!(error.starts_with("overfuse: the archive on standard input is no image"), "{error}");
    let error = bench.refuses(&["history", "ap:v1"]);
    assert_eq!(error, r#"overfuse: there is no image "ap:v1": did you mean "app:v1"?"#);
}

#[test]
fn a_failed_mount_of_an_image_prints_its_reason() {
    need!(root, fuse);
    let bench = Bench::new();
    let at = bench.dir.path().join("at");
    std::fs::create_dir(&at).unwrap();
    let at = at.to_str().unwrap();
    let error = bench.refuses(&["mount", "-o", "upperdir=u,workdir=w", "app:v1", at]);
    assert_eq!(error, "overfuse: option upperdir is only for lowerdir, not for an image");
    let upper = bench.container("web").upper();
    std::fs::remove_dir_all(&upper).unwrap();
    let error = bench.refuses(&["mount", "--writable", "web", "app:v1", at]);
    assert!(error.contains("upper") && error.contains("No such file"), "{error}");
    // A container that existed before the failed mount is kept.
    assert!(bench.prints(&["ps", "-a"]).contains("web"));
    bench.refuses(&["mount", "--writable", "new", "app:v1", "/gone"]);
    assert!(!bench.prints(&["ps", "-a"]).contains("new"), "what was made for the mount is removed");
}

#[test]
fn an_image_is_shown_as_the_user_that_the_options_name() {
    need!(root, fuse);
    let bench = Bench::new();
    let at = bench.dir.path().join("at");
    std::fs::create_dir(&at).unwrap();
    bench.prints(&["mount", "-o", "squash_to_uid=77", "app:v1", at.to_str().unwrap()]);
    let shown = std::fs::metadata(at.join("a")).map(|file| std::os::unix::fs::MetadataExt::uid(&file));
    bench.prints(&["umount", at.to_str().unwrap()]);
    assert_eq!(shown.unwrap(), 77);
}

#[test]
fn names_in_other_registries_are_shown_in_full() {
    let bench = Bench::new();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for (file, name) in [("one", "host.example/team/app:v3".to_owned()), ("two", format!("app@{digest}"))] {
        let archive = bench.dir.path().join(file);
        std::fs::write(&archive, Parcel::layout(&name, &Image::of(&[&[("a", "12345")], &[("b", "")]])).tar()).unwrap();
        assert_eq!(bench.prints(&["load", archive.to_str().unwrap()]), format!("Loaded image: {name}\n"));
    }
    let rows = rows(&bench.prints(&["images", "--format", "json"]));
    let shown: Vec<_> =
        rows.iter().map(|row| (row["Repository"].as_str().unwrap(), row["Tag"].as_str().unwrap())).collect();
    assert_eq!(shown, [("app", "<none>"), ("app", "v1"), ("app", "v2"), ("host.example/team/app", "v3")]);
    assert_eq!(rows[0]["Digest"], digest);
    let found: Value = serde_json::from_str(&bench.prints(&["inspect", "app:v1"])).unwrap();
    assert_eq!(found[0]["RepoTags"], serde_json::json!(["app:v1", "app:v2", "host.example/team/app:v3"]));
    let manifest = rows[1]["Digest"].as_str().unwrap();
    let mut digests = [format!("app@{digest}"), format!("app@{manifest}"), format!("host.example/team/app@{manifest}")];
    digests.sort();
    assert_eq!(found[0]["RepoDigests"], serde_json::json!(digests));
    assert_eq!(bench.prints(&["rmi", "host.example/team/app:v3"]), "Untagged: host.example/team/app:v3\n");
    let error = bench.run(&["load", "--tag", "App", "x.tar"]);
    let error = String::from_utf8(error.stderr).unwrap();
    assert!(error.contains("only the registry and the tag may have upper-case letters"), "{error}");
}
