//! A store with two images, and the commands over it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use overfuse::store::{Container, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::parcel::{Image, Parcel};
use crate::support::scratch;

/// `app:v1`, which is `app:v2` too, and `other:v1`, which has its layers and one more.
pub(super) struct Desk {
    dir: TempDir,
}

impl Desk {
    pub(super) fn new() -> Desk {
        let desk = Desk { dir: scratch() };
        let base: &[(&str, &str)] = &[("a", "12345")];
        for (names, image) in [
            (&["app:v1", "app:v2"][..], Image::of(&[base, &[("b", "1")]])),
            (&["other:v1"], Image::of(&[base, &[("b", "1")], &[("c", "123")]])),
        ] {
            let archive = desk.dir.path().join("image.tar");
            std::fs::write(&archive, Parcel::docker(names, &image).tar()).unwrap();
            desk.prints(&format!("load {}", archive.display()));
        }
        desk
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The file that `other:v1` was loaded from.
    pub(super) fn archive(&self) -> PathBuf {
        self.dir.path().join("image.tar")
    }

    pub(super) fn store(&self) -> Store {
        Store::open(&self.root()).unwrap()
    }

    /// `create`, with more flags, of `sleep 9`.
    pub(super) fn container(&self, image: &str, name: &str, flags: &[&str]) -> Container {
        self.prints_args(&[&["create", "--name", name], flags, &[image, "sleep", "9"]].concat());
        self.store().container(name).unwrap()
    }

    pub(super) fn run(&self, args: &str) -> Output {
        let args: Vec<&str> = args.split(' ').collect();
        self.run_args(&args)
    }

    pub(super) fn run_args(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overfuse"));
        command.arg("--root").arg(self.root()).args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed; spaces separate its arguments.
    #[track_caller]
    pub(super) fn prints(&self, args: &str) -> String {
        self.prints_args(&args.split(' ').collect::<Vec<_>>())
    }

    #[track_caller]
    pub(super) fn prints_args(&self, args: &[&str]) -> String {
        let output = self.run_args(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and the one line of a command that must fail.
    #[track_caller]
    pub(super) fn refuses(&self, args: &[&str]) -> (i32, String) {
        let output = self.run_args(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.lines().count() == 1, "{args:?}: {said}");
        (output.status.code().unwrap(), said.trim_end().trim_start_matches("overfuse: ").to_owned())
    }

    #[track_caller]
    pub(super) fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.prints(args)).unwrap()
    }

    /// The lines of a list of names, sorted.
    #[track_caller]
    pub(super) fn names(&self, args: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = self.prints_args(args).lines().map(Into::into).collect();
        names.sort();
        names
    }
}
