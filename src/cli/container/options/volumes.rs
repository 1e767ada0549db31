//! Options about what is mounted in a container.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::container::{Access, Mount, MountKind, Mounts, Settings, VolumeName, bytes, gather, inherited};
use crate::store::{Image, Store, Volume};

#[derive(Debug, Args)]
pub(in crate::cli::container) struct VolumeArgs {
    /// Mount a path of this host (begins with / or .), a named volume, or without SOURCE an anonymous volume; options:
    /// ro, rw, nocopy, rslave, rprivate, z, Z
    #[arg(
        short, long = "volume", value_name = "[SOURCE:]TARGET[:OPTIONS]",
        value_parser = Mount::from_volume_option, conflicts_with = "chroot"
    )]
    volumes: Vec<Mount>,
    /// Mount something given by keys: type=bind|volume|tmpfs,source=SOURCE,target=TARGET,readonly,…
    #[arg(
        long = "mount", value_name = "KEY=VALUE,…", value_parser = Mount::from_mount_option, conflicts_with = "chroot"
    )]
    mounts: Vec<Mount>,
    /// Mount an empty file system in memory; options: size=, mode=, uid=, gid=, exec, suid, ro
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = Mount::from_tmpfs_option, conflicts_with = "chroot")]
    tmpfs: Vec<Mount>,
    /// Mount what another container has in its bind mounts and volumes
    #[arg(long, value_name = "CONTAINER[:ro]", conflicts_with = "chroot")]
    volumes_from: Vec<String>,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "chroot")]
    shm_size: Option<u64>,
    /// Refuse changes to the container's files; its volumes and tmpfs can be changed
    #[arg(long, conflicts_with = "chroot")]
    read_only: bool,
}

impl VolumeArgs {
    /// The mounts that these options describe by themselves. Sources are absolute, so that they do not depend on the
    /// working directory.
    ///
    /// # Errors
    /// A source is missing.
    pub(in crate::cli::container) fn mounts(&self) -> Result<Mounts> {
        let own = self.volumes.iter().chain(&self.mounts).chain(&self.tmpfs).cloned();
        let resolve = |mut mount: Mount| {
            if let MountKind::Bind(bind) = &mut mount.kind {
                let found = bind.source.canonicalize();
                bind.source = found.with_context(|| format!("volume source {}", bind.source.display()))?;
            }
            anyhow::Ok(mount)
        };
        let list = own.map(resolve).collect::<Result<_>>()?;
        Ok(Mounts { list, shm_size: self.shm_size.filter(|size| *size > 0) })
    }

    /// Adds to `own` what other containers and the image say, and gives anonymous volumes their names.
    ///
    /// # Errors
    /// A container to take over from does not exist, or two options have one target.
    pub(in crate::cli::container) fn complete(&self, own: Mounts, store: &Store, image: &Image) -> Result<Mounts> {
        let mut taken = Vec::new();
        for text in &self.volumes_from {
            let (name, access) = source_container(text)?;
            taken.extend(inherited(&Settings::of(&store.container(name)?)?.mounts.list, access));
        }
        let of_image = image.config.config().as_ref().and_then(|config| config.volumes().clone()).unwrap_or_default();
        let mut list = gather(own.list, taken, &of_image)?;
        for mount in &mut list {
            if let MountKind::Volume(volume) = &mut mount.kind
                && volume.name == VolumeName::Anonymous(None)
            {
                volume.name = VolumeName::Anonymous(Some(Volume::generate_name()?));
            }
        }
        Ok(Mounts { list, ..own })
    }

    pub(in crate::cli::container) fn read_only(&self) -> bool {
        self.read_only
    }
}

/// Parses `CONTAINER[:ro|rw]`; as for a volume, SELinux labels are accepted.
fn source_container(text: &str) -> Result<(&str, Access)> {
    let (name, options) = text.split_once(':').unwrap_or((text, "rw"));
    let mut access = Access::ReadWrite;
    for option in options.split(',') {
        match option {
            "ro" => access = Access::ReadOnly,
            "rw" | "z" | "Z" => {}
            _ => bail!("--volumes-from {text:?}: expected CONTAINER, CONTAINER:ro or CONTAINER:rw"),
        }
    }
    Ok((name, access))
}
