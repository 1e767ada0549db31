//! Files around a container that are not in its image: what it is mounted on, and what tells it its names.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{Doing, LaunchError};
use super::plan::{Access, Network, Volume};

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Directories and files that a container's mounts need.
const MOUNT_POINTS: [(&str, &[&str]); 4] =
    [("proc", &[]), ("sys", &[]), ("dev", &[]), ("etc", &["hosts", "hostname", "resolv.conf"])];

/// Makes, in `dir`, a layer that has all mount points, and answers where. As the lowest layer of a container's union
/// it spares the upper what an image lacks, so that it shows neither as a change nor in a commit.
///
/// # Errors
/// As the directories and files that are to be made.
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

/// Writes, into `dir`, the container's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`: the last two are copies
/// of the host's at this moment, but a container without a network knows itself alone.
///
/// # Errors
/// As the files that are to be written.
pub fn name_files(dir: &Path, hostname: &str, network: Network) -> Result<Vec<Volume>, LaunchError> {
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
        Ok(Volume { source, target: Path::new("/etc").join(name), access: Access::ReadWrite })
    };
    files.into_iter().map(write).collect()
}
