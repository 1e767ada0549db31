//! All mounts of a container: those of its options, of the containers whose mounts it takes over, and of its image.

use std::path::Path;

use super::{Access, Mount, MountError, MountKind, VolumeMount, VolumeName, shortest};

/// Puts the mounts together. Of several with one target, those of `own` count before those of `inherited`, and the
/// later ones of these before the earlier; the image's `volumes` become anonymous volumes where nothing else is mounted.
///
/// # Errors
/// [`MountError::Duplicate`] for two of `own` with one target.
pub fn gather(own: Vec<Mount>, inherited: Vec<Mount>, volumes: &[String]) -> Result<Vec<Mount>, MountError> {
    let mut all: Vec<Mount> = Vec::new();
    for mount in own {
        if has(&all, &mount.target) {
            return Err(MountError::Duplicate(mount.target));
        }
        all.push(mount);
    }
    let of_image = volumes.iter().map(|path| Mount {
        // A builder accepts a relative path too.
        target: shortest(Path::new(path)),
        access: Access::ReadWrite,
        kind: MountKind::Volume(VolumeMount::new(VolumeName::Anonymous(None))),
    });
    for mount in inherited.into_iter().rev().chain(of_image) {
        if !has(&all, &mount.target) {
            all.push(mount);
        }
    }
    Ok(all)
}

fn has(mounts: &[Mount], target: &Path) -> bool {
    mounts.iter().any(|mount| mount.target == target)
}

/// What a container takes over from the `mounts` of another: its bind mounts and volumes, read-only if `access` says so.
pub fn inherited(mounts: &[Mount], access: Access) -> Vec<Mount> {
    let taken = mounts.iter().filter(|mount| !matches!(mount.kind, MountKind::Tmpfs(_)));
    let restrict = |mount: &Mount| {
        let mut mount = mount.clone();
        if access == Access::ReadOnly {
            mount.access = Access::ReadOnly;
        }
        if let MountKind::Volume(volume) = &mut mount.kind {
            volume.copy = false;
        }
        mount
    };
    taken.map(restrict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(texts: &[&str]) -> Vec<Mount> {
        texts.iter().map(|text| Mount::from_volume_option(text).unwrap()).collect()
    }

    #[test]
    fn an_option_counts_before_another_container_and_that_before_the_image() {
        let of_image = ["/image".into(), "/own".into(), "relative/./x".into(), "/inherited/".into()];
        let inherited = mounts(&["/early:/inherited", "/host:/own", "/late:/inherited"]);
        let all = gather(mounts(&["/a:/own"]), inherited, &of_image).unwrap();
        assert_eq!(all, mounts(&["/a:/own", "/late:/inherited", "/image", "/relative/x"]));
        let twice = gather(mounts(&["/a:/x", "data:/y", "/c:/x/../x/"]), Vec::new(), &[]);
        assert_eq!(twice, Err(MountError::Duplicate("/x".into())));
    }

    #[test]
    fn what_is_taken_over_is_not_filled_again_and_can_be_read_only() {
        let mut given = mounts(&["/a:/b", "data:/c:ro"]);
        given.push(Mount::from_tmpfs_option("/run").unwrap());
        assert_eq!(inherited(&given, Access::ReadWrite), mounts(&["/a:/b", "data:/c:ro,nocopy"]));
        assert_eq!(inherited(&given, Access::ReadOnly), mounts(&["/a:/b:ro", "data:/c:ro,nocopy"]));
    }
}
