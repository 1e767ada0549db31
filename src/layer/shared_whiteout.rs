//! New whiteouts: hard links to one shared device, up to the file system's limit of links.
//!
//! Allocating and freeing an inode for every whiteout is most of the cost of `rm -rf` of a lower tree on a disk. The
//! kernel's overlayfs shares a device too. The shared device has a name in the work directory, which every mount
//! empties. Whiteouts of an earlier mount stay links to that mount's device.

use parking_lot::RwLock;

use crate::sys::{Dir, Errno, Name, NameBuf, Result};

use super::whiteout;

/// The device to which new whiteouts are linked.
#[derive(Debug, Default)]
pub(super) struct Shared(RwLock<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    None,
    /// The device has this name in the work directory.
    At(NameBuf),
}

impl Shared {
    /// Makes `name` in `dir` a whiteout. `unused` returns a name that is free in `work`.
    ///
    /// # Errors
    /// As `linkat(2)` and `mknodat(2)`; `EEXIST` when the name is taken.
    pub(super) fn create(
        &self,
        (work, unused): (&Dir, impl Fn() -> Result<NameBuf>),
        (dir, name): (&Dir, Name<'_>),
    ) -> Result<()> {
        let mut used_up = None;
        // Two tries. If other threads use up the renewed device too, this whiteout becomes a separate device.
        for _ in 0..2 {
            match &*self.0.read() {
                State::None => {}
                State::At(one) => match dir.link_from(work, one.as_name(), name) {
                    Ok(()) => return Ok(()),
                    Err(error @ (Errno::EXIST | Errno::NOSPC | Errno::DQUOT)) => return Err(error),
                    Err(Errno::MLINK) => used_up = Some(one.clone()),
                    // The file system does not link devices, or not into this directory.
                    Err(error) => {
                        tracing::debug!(%error, "cannot link the shared whiteout: making a separate one");
                        break;
                    }
                },
            }
            self.renew((work, &unused), used_up.take())?;
        }
        whiteout::create(dir, name)
    }

    /// Makes a new shared device, unless another thread did so after the caller read `used_up` (`None`: no device yet).
    fn renew(&self, (work, unused): (&Dir, impl Fn() -> Result<NameBuf>), used_up: Option<NameBuf>) -> Result<()> {
        let mut state = self.0.write();
        let is_as_it_was = match (&*state, &used_up) {
            (State::None, None) => true,
            (State::At(now), Some(used_up)) => now == used_up,
            _ => false,
        };
        if !is_as_it_was {
            return Ok(());
        }
        let next = unused()?;
        whiteout::create(work, next.as_name())?;
        *state = State::At(next);
        used_up.map_or(Ok(()), |used_up| work.remove_file(used_up.as_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    /// More than ext4's limit of 65,000 links, so that the test needs a second device there. Other file systems allow
    /// more.
    const MANY: usize = 70_000;

    #[test]
    fn whiteouts_are_names_of_one_device_until_it_can_have_no_more() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Dir::open_host(scratch.path()).unwrap();
        let (work, upper) = (Name::new("work").unwrap(), Name::new("upper").unwrap());
        root.make_dir(work, 0o700).unwrap();
        root.make_dir(upper, 0o700).unwrap();
        let (work, upper) = (root.open_dir("work").unwrap(), root.open_dir("upper").unwrap());
        let (shared, next) = (Shared::default(), Cell::new(0));
        let unused = || {
            next.set(next.get() + 1);
            NameBuf::new(format!("#{}", next.get()))
        };
        let create = |name: &str| shared.create((&work, unused), (&upper, Name::new(name).unwrap()));
        for number in 0..MANY {
            create(&number.to_string()).unwrap();
        }
        assert_eq!(create("0"), Err(Errno::EXIST));
        let mut devices = HashMap::<u64, u64>::new();
        for number in 0..MANY {
            let found = fs::symlink_metadata(scratch.path().join(format!("upper/{number}"))).unwrap();
            assert!(found.file_type().is_char_device() && found.rdev() == 0);
            *devices.entry(found.ino()).or_default() += 1;
        }
        assert!(devices.len() <= 3, "{devices:?}");
        assert_eq!(fs::read_dir(scratch.path().join("work")).unwrap().count(), 1);
        // Without the work directory a whiteout becomes a separate device.
        root.remove_all(Name::new("work").unwrap()).unwrap();
        create("alone").unwrap();
        assert!(fs::symlink_metadata(scratch.path().join("upper/alone")).unwrap().file_type().is_char_device());
    }
}
