//! Mounts a stack of layers by kernel overlayfs or by Overfuse (or by a peer in its place).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};

use super::need::is_root;
use super::tree::build_at;

/// The directories of a stack of layers.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Topmost first.
    pub lowers: Vec<PathBuf>,
    /// The upper and its work directory; without them the mount is read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
}

impl Layers {
    /// Builds the layers that `text` describes in `dir`: trees, each after a line `upper:` or `lower:`, topmost first.
    /// Each layer has its own modification times.
    pub fn build(dir: &Path, text: &str) -> Layers {
        Layers::build_for(dir, text, "")
    }

    /// As [`Layers::build`], with an upper named after `whom`; reuses lowers that exist already.
    pub fn build_for(dir: &Path, text: &str, whom: &str) -> Layers {
        let mut layers = Layers { lowers: Vec::new(), upper: None };
        for (index, (name, tree)) in sections(text).into_iter().enumerate() {
            let time = layer_time(index);
            if name == "upper" {
                let [upper, work] = ["upper", "work"].map(|kind| dir.join(format!("{kind}{whom}")));
                build_at(&upper, &tree, time);
                fs::create_dir_all(&work).expect("make the work directory");
                layers.upper = Some((upper, work));
            } else {
                let lower = dir.join(format!("lower{}", layers.lowers.len() + 1));
                if !lower.exists() {
                    build_at(&lower, &tree, time);
                }
                layers.lowers.push(lower);
            }
        }
        layers
    }

    /// The same lowers, without the upper.
    pub fn read_only(&self) -> Layers {
        Layers { lowers: self.lowers.clone(), upper: None }
    }

    /// The upper directory.
    pub fn upper(&self) -> &Path {
        &self.upper.as_ref().expect("these layers have an upper").0
    }

    /// The mount options `lowerdir=…,upperdir=…,workdir=…`.
    pub fn options(&self) -> String {
        let lowers: Vec<String> = self.lowers.iter().map(|lower| lower.display().to_string()).collect();
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = &self.upper {
            options += &format!(",upperdir={},workdir={}", upper.display(), work.display());
        }
        options
    }
}

/// The modification time of the layer at `index` in a text; in seconds since 1970.
pub fn layer_time(index: usize) -> i64 {
    1_000_000_000 - index as i64 * 1_000_000
}

/// The `upper:` and `lower:` lines, each with the lines after it.
pub fn sections(text: &str) -> Vec<(&'static str, String)> {
    let mut sections: Vec<(&'static str, String)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line {
            "upper:" => sections.push(("upper", String::new())),
            "lower:" => sections.push(("lower", String::new())),
            entry => {
                let (_, tree) = sections.last_mut().expect("a tree begins with upper: or lower:");
                tree.push_str(entry);
                tree.push('\n');
            }
        }
    }
    sections
}

/// The file system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Kernel,
    Overfuse,
}

impl Subject {
    pub const BOTH: [Subject; 2] = [Subject::Kernel, Subject::Overfuse];

    /// Mounts `layers` on `at`, which is created if missing.
    #[track_caller]
    pub fn mount(self, layers: &Layers, at: &Path) -> Mounted {
        self.try_mount(layers, at).unwrap_or_else(|error| panic!("{self:?} does not mount {layers:?}: {error}"))
    }

    /// As [`Subject::mount`], but returns the error instead of failing.
    pub fn try_mount(self, layers: &Layers, at: &Path) -> Result<Mounted, String> {
        fs::create_dir_all(at).expect("make the mount point");
        match self {
            Subject::Kernel => {
                // The options that match Overfuse's defaults.
                let private = if is_root() { "index=on,metacopy=on,redirect_dir=on,xino=on" } else { "userxattr" };
                let options = std::ffi::CString::new(format!("{},{private}", layers.options())).expect("options");
                // With `index=on` the kernel refuses an upper that is still mounted. A mount namespace that another
                // test has just made holds a copy of the mount, which goes away a moment after ours.
                let patience = Instant::now() + Duration::from_secs(5);
                loop {
                    match rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), options.as_c_str()) {
                        Err(rustix::io::Errno::BUSY) if Instant::now() < patience => {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        result => break result.map_err(|error| error.to_string())?,
                    }
                }
            }
            Subject::Overfuse => {
                let mut command = peer().unwrap_or_else(|| {
                    let mut overfuse = overfuse();
                    overfuse.arg("mount");
                    overfuse
                });
                let output = command.args(["-o", &layers.options()]).args(further_options()).arg(at).output();
                succeeded(output.expect("start what mounts"))?;
            }
        }
        Ok(Mounted { at: at.into(), by: self, live: true })
    }
}

/// The command under test; `OVERFUSE_TEST_BINARY` names it when the build directory is out of reach.
pub fn overfuse() -> Command {
    Command::new(std::env::var_os("OVERFUSE_TEST_BINARY").unwrap_or(env!("CARGO_BIN_EXE_overfuse").into()))
}

/// Options that `OVERFUSE_TEST_OPTIONS` adds to each mount of Overfuse, so that all tests can run in each of its modes:
/// `OVERFUSE_TEST_OPTIONS=io=cached cargo test --test mounted`.
pub fn further_options() -> Option<String> {
    let options = std::env::var("OVERFUSE_TEST_OPTIONS").ok().filter(|_| peer().is_none())?;
    Some(format!("-o{options}"))
}

/// The program that `OVERFUSE_TEST_PEER` names. It must mount with the arguments of fuse-overlayfs. It replaces
/// Overfuse, so that failures show how its behaviour differs; times are then not compared.
pub fn peer() -> Option<Command> {
    std::env::var_os("OVERFUSE_TEST_PEER").map(Command::new)
}

fn succeeded(output: Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {}", output.status, said.trim())) }
}

/// Mounts by Overfuse with further options.
#[track_caller]
pub fn mount_with(layers: &Layers, at: &Path, options: &str) -> Mounted {
    fs::create_dir_all(at).expect("make the mount point");
    let options = format!("{},{options}", layers.options());
    let output = overfuse().args(["mount", "-o", &options]).args(further_options()).arg(at).output();
    let output = output.expect("start overfuse");
    succeeded(output).unwrap_or_else(|error| panic!("Overfuse does not mount {options}: {error}"));
    Mounted { at: at.into(), by: Subject::Overfuse, live: true }
}

/// Retries `unmount` for 3 seconds: a process that another test is starting holds our files open until its exec.
pub fn patiently(unmount: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match unmount() {
            Err(_) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}

/// A live mount, unmounted when dropped.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
    by: Subject,
    live: bool,
}

impl Mounted {
    /// The mount point.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Unmounts; fails if that fails, for example because a file below the mount is still open.
    #[track_caller]
    pub fn unmount(mut self) {
        self.live = false;
        if let Err(error) = self.try_unmount() {
            self.live = true;
            panic!("{:?} does not unmount {}: {error}", self.by, self.at.display());
        }
    }

    fn try_unmount(&self) -> Result<(), String> {
        patiently(|| self.unmount_once())
    }

    fn unmount_once(&self) -> Result<(), String> {
        match self.by {
            Subject::Overfuse if peer().is_none() => {
                succeeded(overfuse().arg("umount").arg(&self.at).output().expect("start overfuse"))
            }
            _ => rustix::mount::unmount(&self.at, UnmountFlags::empty()).map_err(|error| error.to_string()),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.live && self.try_unmount().is_err() {
            // A test that panicked may hold files open; the scratch directory must still be removable.
            let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
        }
    }
}
