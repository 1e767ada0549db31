//! A user with a directory to build from.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::host::{Host, hosts};

/// A user and their build context.
pub(crate) struct Site {
    pub(crate) host: Host,
}

/// One for each kind of user that this machine has.
pub(crate) fn sites() -> Vec<Site> {
    hosts().into_iter().map(Site::new).collect()
}

/// Root's alone, where only one kind of user is needed.
pub(crate) fn root() -> Option<Site> {
    crate::host::root().map(Site::new)
}

impl Site {
    fn new(host: Host) -> Site {
        let site = Site { host };
        site.host.shell("mkdir context");
        site
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.host.path("context")
    }

    /// Writes a file of the context, with the owner of the context.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let owner = fs::metadata(self.context()).unwrap();
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        for path in path.ancestors().take_while(|path| *path != self.context()) {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// `overfuse build FLAGS context` with this Dockerfile.
    pub(crate) fn try_build(&self, file: &str, flags: &[&str]) -> Output {
        self.write("Dockerfile", file);
        self.host.overfuse().arg("build").args(flags).arg("context").output().unwrap()
    }

    /// As [`try_build`](Self::try_build); gives the image the name `made`. Returns what was said about the steps.
    #[track_caller]
    pub(crate) fn build(&self, file: &str, flags: &[&str]) -> String {
        let output = self.try_build(file, &[&["-t", "made"], flags].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}: {said}", self.host);
        assert!(
            output.stdout.starts_with(b"sha256:") && output.stdout.len() == 72,
            "{}: {:?}",
            self.host,
            output.stdout
        );
        said
    }

    /// The error of a build that must fail: one line after those of the steps. Nothing is left of it.
    #[track_caller]
    pub(crate) fn refuses(&self, file: &str, flags: &[&str]) -> String {
        let output = self.try_build(file, flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}: {said}", self.host);
        assert!(output.stdout.is_empty(), "{}: {:?}", self.host, output.stdout);
        let left: Vec<_> = fs::read_dir(self.host.path("store/containers")).unwrap().collect();
        assert!(left.is_empty(), "{}: {left:?}", self.host);
        said.lines().last().unwrap().strip_prefix("overfuse: ").unwrap().to_owned()
    }

    /// What a shell script in the image prints, without the newline at its end.
    #[track_caller]
    pub(crate) fn prints(&self, script: &str) -> String {
        let mut command = self.host.overfuse();
        let output = command.args(["run", "--rm", "--entrypoint", "/bin/sh", "made", "-c", script]).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.host, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The facts that `inspect` shows of the image.
    pub(crate) fn inspect(&self) -> Value {
        let output = self.host.overfuse().args(["inspect", "made"]).output().unwrap();
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all[0].clone()
    }

    pub(crate) fn id(&self) -> String {
        self.inspect()["Id"].as_str().unwrap().to_owned()
    }
}
