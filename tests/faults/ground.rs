//! Where the sweep runs: lower layers that stay, and an upper that is made anew for each point.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use overfuse::union::{Spec, Union, UpperSpec};
use tempfile::TempDir;

use crate::operations::{Operation, prepare};
use crate::support::{Layers, Subject, scratch};
use crate::tree;

/// How the union is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    volatile: bool,
    user_marks: bool,
}

impl Mode {
    pub const ALL: [Mode; 4] = [
        Mode { volatile: false, user_marks: false },
        Mode { volatile: true, user_marks: false },
        Mode { volatile: false, user_marks: true },
        Mode { volatile: true, user_marks: true },
    ];
}

impl Mode {
    /// Whether nothing is synced.
    pub fn is_volatile(self) -> bool {
        self.volatile
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (durable, marks) = (if self.volatile { "volatile" } else { "synced" }, self.user_marks);
        write!(f, "{durable}, {}", if marks { "userxattr" } else { "trusted" })
    }
}

pub struct Ground {
    pub mode: Mode,
    place: TempDir,
    layers: Layers,
}

const LOWER: &str = "
    lower:
    f below 644 below @3:4 +user.k=v
    f other 600 other
    f meta 644 meta
    f h1 644 linked
    h h2 h1
    h h3 h1
    l link 0777
    p fifo 644
    d merged 755
    f merged/low 644 low
    f merged/gone 644 gone
    d whiteouts 755
    f whiteouts/gone 644 gone
    d old 755
    f old/in 644 in
    d ldir 755
    f ldir/in 644 in
    d empty 755
    lower:
    f merged/lowest 644 lowest
    f below 644 hidden
    upper:
";

impl Ground {
    pub fn new(mode: Mode) -> Ground {
        let memory = std::path::Path::new("/dev/shm");
        let builder = || tempfile::Builder::new().prefix("overfuse-").tempdir_in(memory);
        let place = builder().unwrap_or_else(|_| scratch());
        let layers = Layers::build(place.path(), LOWER);
        Ground { mode, place, layers }
    }

    pub fn upper(&self) -> (PathBuf, PathBuf) {
        self.layers.upper.clone().expect("the layers have an upper")
    }

    /// Puts the upper into the state in which every operation begins.
    pub fn renew(&self) {
        self.clear();
        prepare(&self.open()).expect("prepare the upper");
    }

    /// Empties the upper.
    pub fn clear(&self) {
        let (upper, work) = self.upper();
        for dir in [&upper, &work] {
            let _ = fs::remove_dir_all(dir);
            fs::create_dir(dir).expect("make a directory");
        }
    }

    pub fn open(&self) -> Union {
        let (dir, work) = self.upper();
        let spec = Spec {
            upper: Some(UpperSpec { dir, work }),
            volatile: self.mode.volatile,
            user_marks: self.mode.user_marks,
            ..Spec::new(self.layers.lowers.clone())
        };
        Union::open(&spec).expect("open the layers")
    }

    /// How much is left in the work directory, but the index.
    pub fn left(&self) -> usize {
        fs::read_dir(self.upper().1.join("work")).map_or(0, Iterator::count)
    }

    /// Opens the layers again, and mounts them with the kernel: both show one of `expected`, and the same.
    pub fn check_again(&self, expected: &[&str], operation: &Operation) -> Result<(), String> {
        let again = self.open();
        let found = tree::of_union(&again);
        if self.left() > 0 {
            return Err(format!("{} left in the work directory", self.left()));
        }
        drop(again);
        if expected.iter().all(|one| tree::compare(one, &found).is_err()) {
            let first = tree::compare(expected[0], &found);
            return first.map_err(|diff| format!("again:\n{diff}"));
        }
        if self.mode.user_marks || operation.is_ours {
            return Ok(());
        }
        let mounted = Subject::Kernel.try_mount(&self.layers, &self.place.path().join("at"))?;
        let kernel = tree::of_mount(mounted.at());
        mounted.unmount();
        tree::compare(&tree::without_flags(&found), &kernel).map_err(|diff| format!("kernel:\n{diff}"))
    }
}
