//! `diff` and `commit`: the changes of a container, and an image of them.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use overfuse::store::{Container, Store};
use tempfile::TempDir;

use crate::need;
use crate::parcel::{Image, Parcel};
use crate::support::{build, scratch, show};

/// A store with `app:v1` and a container of it, `work`, which changed some files.
struct Bench {
    dir: TempDir,
    container: Container,
}

impl Bench {
    fn new() -> Bench {
        let dir = scratch();
        let image = Image::of(&[&[("etc/conf", "old"), ("etc/gone", "x"), ("srv/a", "x")], &[("srv/b", "x")]]);
        let archive = dir.path().join("app.tar");
        std::fs::write(&archive, Parcel::docker(&["app:v1"], &image).tar()).expect("write an archive");
        let root = dir.path().join("store");
        let loaded = overfuse(&root, &["load", archive.to_str().expect("a path of text")]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let store = Store::open(&root).expect("open the store");
        let image = store.image("app:v1").expect("the image");
        let container = store.create_container(&image, Some("work")).expect("a container");
        build(&container.upper(), "f etc/conf 644 new\nw etc/gone\nf new/file 600 x\no srv 755\nf srv/c 644 x");
        Bench { dir, container }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let output = overfuse(&self.root(), args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn refuses(&self, args: &[&str]) -> String {
        let output = overfuse(&self.root(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).expect("text").trim_end().to_owned()
    }
}

fn overfuse(root: &std::path::Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overfuse"));
    command.arg("--root").arg(root).args(args).stdin(Stdio::null()).output().expect("run overfuse")
}

const CHANGES: [&str; 9] =
    ["C /etc", "C /etc/conf", "D /etc/gone", "A /new", "A /new/file", "C /srv", "D /srv/a", "D /srv/b", "A /srv/c"];

#[test]
fn diff_lists_changes_as_docker_does() {
    let bench = Bench::new();
    assert_eq!(bench.prints(&["diff", "work"]).lines().collect::<Vec<_>>(), CHANGES);
    let json = bench.prints(&["diff", "--format", "json", &bench.container.id[..12]]);
    let rows: Vec<serde_json::Value> = json.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let rows: Vec<_> = rows.iter().map(|row| format!("{} {}", row["Kind"], row["Path"]).replace('"', "")).collect();
    assert_eq!(rows, CHANGES);
}

#[test]
fn a_commit_holds_the_changes_of_the_container() {
    for compression in ["gzip", "zstd", "none"] {
        let bench = Bench::new();
        let args = ["commit", "-m", "by hand", "-c", r#"CMD ["new"]"#, "--compression", compression, "work", "app:v2"];
        let id = bench.prints(&args);
        let store = Store::open(&bench.root()).expect("open the store");
        let image = store.image("app:v2").expect("the new image");
        assert_eq!(id, format!("{}\n", image.id));
        assert_eq!(image.layers.len(), 3);
        assert_eq!(image.config.config().as_ref().and_then(|config| config.cmd().clone()), Some(vec!["new".into()]));
        assert!(bench.prints(&["history", "app:v2"]).contains("by hand"));

        let top = store.lower_dirs(&image).remove(0);
        let tree = show(&top);
        let expected =
            "d etc 755\nf etc/conf 644 new\nw etc/gone\nd new 755\nf new/file 600 x\no srv 755\nf srv/c 644 x";
        let shown: Vec<_> = tree.lines().map(|line| line.split(" +user.containers").next().unwrap_or(line)).collect();
        assert_eq!(shown.join("\n"), expected, "{compression}");
    }
}

#[test]
fn a_commit_that_is_impossible_is_refused_in_one_line() {
    let bench = Bench::new();
    let refused = bench.refuses(&["commit", "wrk", "app:v2"]);
    assert!(refused.contains("wrk") && refused.contains("work"), "{refused}");
    let in_use = bench.container.lock().expect("take the container");
    let refused = bench.refuses(&["commit", "work", "app:v2"]);
    assert_eq!(refused, "overfuse: a container in use cannot be committed: container work is in use");
    drop(in_use);
    build(&bench.container.upper(), "f .wh.x 644 x");
    assert!(bench.refuses(&["commit", "work", "app:v2"]).contains(r#"".wh.x""#));
    let images = bench.prints(&["images", "--format", "json"]);
    assert_eq!(images.lines().count(), 1, "{images}");
}

#[test]
fn a_committed_image_shows_the_same_tree_as_the_mount() {
    need!(fuse);
    let bench = Bench::new();
    let at = bench.dir.path().join("at");
    std::fs::create_dir(&at).expect("make a directory");
    let mount = |args: &[&str]| {
        bench.prints(&[&["mount"], args, &[at.to_str().expect("a path of text")]].concat());
    };
    let unmount = || {
        bench.prints(&["umount", at.to_str().expect("a path of text")]);
    };
    mount(&["--writable", "job", "app:v1"]);
    std::fs::create_dir(at.join("deep")).expect("make a directory");
    std::fs::rename(at.join("srv"), at.join("deep/moved")).expect("rename a directory of two layers");
    std::fs::rename(at.join("etc"), at.join("srv")).expect("rename a directory to a name that is below");
    std::fs::remove_file(at.join("srv/gone")).expect("remove what was moved");
    std::fs::write(at.join("deep/moved/new"), "new").expect("make a file in what was moved");
    std::fs::rename(at.join("deep/moved/a"), at.join("deep/moved/renamed")).expect("rename a file");
    std::fs::set_permissions(at.join("srv/conf"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    std::fs::hard_link(at.join("srv/conf"), at.join("link")).expect("link");
    let shown = show(&at);
    unmount();
    assert_eq!(
        bench.prints(&["diff", "job"]).lines().collect::<Vec<_>>(),
        [
            "A /deep",
            "A /deep/moved",
            "A /deep/moved/b",
            "A /deep/moved/new",
            "A /deep/moved/renamed",
            "D /etc",
            "A /link",
            "C /srv",
            "D /srv/a",
            "D /srv/b",
            "A /srv/conf",
        ]
    );
    bench.prints(&["commit", "job", "app:v2"]);
    mount(&["app:v2"]);
    let committed = show(&at);
    let linked = std::fs::metadata(at.join("link")).expect("stat").ino();
    assert_eq!(linked, std::fs::metadata(at.join("srv/conf")).expect("stat").ino());
    unmount();
    assert_eq!(committed, shown);
}
