//! The place for one worker's layers and mounts: a tmpfs in a mount namespace of its own, so that other processes do
//! not see it and nothing is left behind.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

use crate::mounted::Mounted;
use crate::server::{Server, patiently};
use crate::subject::Subject;
use crate::support::need::is_root;
use crate::support::{Layers, scratch};
use crate::union::Direct;
use crate::vfs::{UMASK, Vfs};

/// The implementations that merge a stack of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Union,
    Mount,
    Kernel,
}

/// The mount point of the second file system.
const OTHER: &str = "other";

pub struct Ground {
    dir: TempDir,
    server: Rc<Server>,
    next: Cell<usize>,
}

impl Ground {
    /// Moves the calling thread into a new mount namespace, for good.
    pub fn new() -> Ground {
        let dir = scratch();
        // SAFETY: no descriptor table is taken apart; the thread gets mounts and a working directory of its own.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }.expect("unshare mounts");
        // Unmounts outside propagate into this namespace, so that it keeps no foreign mount alive.
        let inside = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", inside).expect("keep mounts inside");
        let memory = |at: &Path| {
            rustix::mount::mount("tmpfs", at, "tmpfs", MountFlags::empty(), c"mode=755").expect("mount a tmpfs");
        };
        memory(dir.path());
        let other = dir.path().join(OTHER);
        std::fs::create_dir(&other).expect("make a directory");
        memory(&other);
        rustix::process::umask(Mode::from_raw_mode(UMASK));
        Ground { dir, server: Rc::new(Server::start()), next: Cell::new(0) }
    }

    /// An empty directory on another file system.
    pub fn elsewhere(&self) -> PathBuf {
        let dir = self.dir.path().join(OTHER).join("layers");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("make a directory");
        dir
    }

    /// A new directory.
    pub fn fresh(&self) -> PathBuf {
        let number = self.next.replace(self.next.get() + 1);
        let dir = self.dir.path().join(number.to_string());
        std::fs::create_dir(&dir).expect("make a directory");
        dir
    }

    /// Starts `by` on `layers`; it is mounted at `at`, unless it is the union without a mount.
    pub fn start(
        &self,
        by: By,
        layers: &Layers,
        at: &Path,
        forgetful: bool,
        start: i64,
    ) -> Result<Box<dyn Subject>, String> {
        let (server, place) = (self.server.clone(), at.to_path_buf());
        match by {
            By::Union => Ok(Box::new(Vfs::new(Direct::open(layers, forgetful, start)?))),
            By::Mount => {
                self.server.mount(&layers.options(), at)?;
                Ok(Box::new(Mounted::new(at, start, false, Box::new(move || server.unmount(&place)))))
            }
            By::Kernel => {
                mount_by_kernel(layers, at)?;
                let unmount = move || patiently(|| rustix::mount::unmount(&place, UnmountFlags::empty()));
                Ok(Box::new(Mounted::new(at, start, true, Box::new(unmount))))
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // After a failure there may still be mounts inside.
        let _ = rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH);
    }
}

fn mount_by_kernel(layers: &Layers, at: &Path) -> Result<(), String> {
    let private = if is_root() { "index=on,redirect_dir=on,metacopy=on,xino=on" } else { "userxattr" };
    let options = std::ffi::CString::new(format!("{},{private}", layers.options())).expect("options have no NUL");
    rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(|error| format!("mounting {layers:?}: {error}"))
}
