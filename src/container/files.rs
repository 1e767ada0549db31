//! Files that a container needs besides its image: mount points, and the files of host names and name servers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{Doing, LaunchError};
use super::mounts::Mount;
use super::plan::Network;

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

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

/// Writes the container's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` into `dir`, and returns them as mounts.
/// The last two are copies of the host's files; without a network, `/etc/hosts` has the standard local names only.
///
/// # Errors
/// A file cannot be written.
pub(super) fn name_files(dir: &Path, hostname: &str, network: Network) -> Result<Vec<Mount>, LaunchError> {
    let of_host = |path: &str| fs::read(path).ok();
    let hosts = match network {
        Network::Host => of_host("/etc/hosts"),
        Network::None => None,
    };
    let files = [
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("hosts", hosts.unwrap_or_else(|| HOSTS.as_bytes().to_vec())),
        ("resolv.conf", of_host("/etc/resolv.conf").unwrap_or_default()),
    ];
    let write = |(name, content): (&str, Vec<u8>)| {
        let source = dir.join(name);
        fs::write(&source, content).doing(format!("write {}", source.display()))?;
        Ok(Mount::bind(source, Path::new("/etc").join(name)))
    };
    files.into_iter().map(write).collect()
}
