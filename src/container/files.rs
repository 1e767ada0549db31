//! Files that a container needs besides its image: mount points, and the files of host names and name servers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{Doing, LaunchError};
use super::mounts::Mount;
use super::network::Names;

/// Directories and files that a container's mounts need.
const MOUNT_POINTS: [(&str, &[&str]); 4] =
    [("proc", &[]), ("sys", &[]), ("dev", &[]), ("etc", &["hosts", "hostname", "resolv.conf"])];

/// Makes a layer with all mount points in `dir`, and returns its path. It becomes the lowest layer of the container's
/// union, so that mount points that the image lacks are not made in the upper layer: there they would show as changes.
///
/// # Errors
/// A directory or file cannot be made.
pub fn skeleton(dir: &Path) -> Result<PathBuf, LaunchError> {
    let layer = dir.join("skeleton");
    let make = || -> io::Result<()> {
        fs::create_dir_all(&layer)?;
        for (name, files) in MOUNT_POINTS {
            fs::create_dir_all(layer.join(name))?;
            for file in files {
                fs::write(layer.join(name).join(file), "")?;
            }
        }
        match symlink("/proc/mounts", layer.join("etc/mtab")) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    };
    make().doing(format!("make {}", layer.display()))?;
    Ok(layer)
}

/// The container's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, as mounts: written into `dir`, or another
/// container's.
///
/// # Errors
/// A file cannot be written.
pub(super) fn name_files(dir: &Path, hostname: &str, names: &Names) -> Result<Vec<Mount>, LaunchError> {
    let mount = |source: PathBuf, name: &str| Mount::bind(source, Path::new("/etc").join(name));
    let (hosts, resolv_conf) = match names {
        Names::Of(other) => {
            let shared = ["hostname", "hosts", "resolv.conf"].map(|name| mount(other.dir().join(name), name));
            return Ok(shared.into());
        }
        Names::Own { hosts, resolv_conf } => (hosts, resolv_conf),
    };
    let write = |(name, content): (&str, &str)| {
        let source = dir.join(name);
        fs::write(&source, content).doing(format!("write {}", source.display()))?;
        Ok(mount(source, name))
    };
    let hostname = format!("{hostname}\n");
    [("hostname", hostname.as_str()), ("hosts", hosts), ("resolv.conf", resolv_conf)].into_iter().map(write).collect()
}
