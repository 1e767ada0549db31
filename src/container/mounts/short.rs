//! The syntax of `-v`: `[SOURCE:]TARGET[:OPTIONS]`.

use super::{Access, Bind, Mount, MountError, MountKind, Propagation, Submounts, VolumeMount, VolumeName, target};
use crate::store::Volume;

const EXPECTED: &str = "ro, rw, z, Z, nocopy (of a volume), rprivate or rslave (of a path)";

/// The options of one `-v`.
#[derive(Debug, Default)]
struct Given<'a> {
    access: Option<&'a str>,
    label: Option<&'a str>,
    copy: Option<&'a str>,
    propagation: Option<&'a str>,
    consistency: Option<&'a str>,
}

impl Mount {
    /// Reads the value of `-v`. A source that begins with `/` or `.` is a path of this host, which may be relative;
    /// any other is the name of a volume. Without a source it is an anonymous volume.
    ///
    /// # Errors
    /// The text is no such value.
    pub fn from_volume_option(text: &str) -> Result<Mount, MountError> {
        let parts: Vec<&str> = text.split(':').collect();
        if parts.contains(&"") {
            return Err(MountError::Form);
        }
        let (source, at, options) = match parts[..] {
            [at] => (None, at, ""),
            [at, options] if at.starts_with('/') && is_options(options) => {
                return Err(MountError::AnonymousOptions);
            }
            [source, at] => (Some(source), at, ""),
            [source, at, options] => (Some(source), at, options),
            _ => return Err(MountError::Form),
        };
        let given = Given::read(options)?;
        let target = target(at)?;
        let access = if given.access == Some("ro") { Access::ReadOnly } else { Access::ReadWrite };
        let wrong = |option: &str, of| MountError::Option { option: option.to_owned(), of, expected: EXPECTED };
        let kind = match source {
            Some(path) if path.starts_with(['/', '.']) => {
                if let Some(option) = given.copy {
                    return Err(wrong(option, "path"));
                }
                let propagation = given.propagation.map_or(Ok(Propagation::Private), propagation)?;
                MountKind::Bind(Bind { source: path.into(), submounts: Submounts::Alike, propagation })
            }
            other => {
                if let Some(option) = given.propagation {
                    return Err(wrong(option, "volume"));
                }
                let name = match other {
                    None => VolumeName::Anonymous(None),
                    Some(name) if Volume::is_name(name) => VolumeName::Named(name.to_owned()),
                    Some(name) => return Err(MountError::Source(name.to_owned())),
                };
                MountKind::Volume(VolumeMount { copy: given.copy.is_none(), ..VolumeMount::new(name) })
            }
        };
        Ok(Mount { target, access, kind })
    }
}

impl<'a> Given<'a> {
    fn read(options: &'a str) -> Result<Given<'a>, MountError> {
        let mut given = Given::default();
        for option in options.split(',').filter(|_| !options.is_empty()) {
            let kind = given.kind_of(option).ok_or_else(|| MountError::Option {
                option: option.to_owned(),
                of: "volume",
                expected: EXPECTED,
            })?;
            if let Some(one) = kind.replace(option) {
                let (one, other) = (one.to_owned(), option.to_owned());
                return Err(MountError::Contradiction { one, other });
            }
        }
        Ok(given)
    }

    fn kind_of(&mut self, option: &str) -> Option<&mut Option<&'a str>> {
        Some(match option {
            "ro" | "rw" => &mut self.access,
            // SELinux labels: docker ignores them too where there is no SELinux.
            "z" | "Z" => &mut self.label,
            "nocopy" => &mut self.copy,
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => &mut self.propagation,
            // How up to date the container's view of the host is: here they are the same files.
            "consistent" | "cached" | "delegated" => &mut self.consistency,
            _ => return None,
        })
    }
}

fn is_options(text: &str) -> bool {
    text.split(',').all(|option| Given::default().kind_of(option).is_some())
}

/// Reads a propagation. Both forms apply to the whole tree of mounts below the source.
pub(super) fn propagation(text: &str) -> Result<Propagation, MountError> {
    match text {
        "private" | "rprivate" => Ok(Propagation::Private),
        "slave" | "rslave" => Ok(Propagation::Slave),
        "shared" | "rshared" => Err(MountError::Shared(text.to_owned())),
        other => Err(MountError::Value {
            key: "bind-propagation".into(),
            value: other.to_owned(),
            expected: "rprivate or rslave",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: VolumeName, target: &str) -> Mount {
        let kind = MountKind::Volume(VolumeMount::new(name));
        Mount { target: target.into(), access: Access::ReadWrite, kind }
    }

    fn named(name: &str, target: &str) -> Mount {
        volume(VolumeName::Named(name.into()), target)
    }

    fn read_only(mount: Mount) -> Mount {
        Mount { access: Access::ReadOnly, ..mount }
    }

    fn no_copy(mut mount: Mount) -> Mount {
        if let MountKind::Volume(volume) = &mut mount.kind {
            volume.copy = false;
        }
        mount
    }

    fn slave(mut mount: Mount) -> Mount {
        if let MountKind::Bind(bind) = &mut mount.kind {
            bind.propagation = Propagation::Slave;
        }
        mount
    }

    #[test]
    fn a_volume_is_read_as_docker_reads_it() {
        for (text, expected) in [
            ("/a:/b", Mount::bind("/a", "/b")),
            ("./a:/b:ro", read_only(Mount::bind("./a", "/b"))),
            ("..:/b", Mount::bind("..", "/b")),
            ("/a:/b:rw", Mount::bind("/a", "/b")),
            ("/a:/b:Z,ro", read_only(Mount::bind("/a", "/b"))),
            ("/a:/b:cached", Mount::bind("/a", "/b")),
            ("/a:/b:ro,rslave", slave(read_only(Mount::bind("/a", "/b")))),
            ("/a:/b:rprivate", Mount::bind("/a", "/b")),
            ("/a:/b/../c/.", Mount::bind("/a", "/c")),
            ("/a:/b c", Mount::bind("/a", "/b c")),
            ("data:/b", named("data", "/b")),
            ("da.t_a-1:/b:ro,nocopy", no_copy(read_only(named("da.t_a-1", "/b")))),
            ("/b", volume(VolumeName::Anonymous(None), "/b")),
            ("/ro", volume(VolumeName::Anonymous(None), "/ro")),
        ] {
            assert_eq!(Mount::from_volume_option(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let option = |option: &str, of| MountError::Option { option: option.into(), of, expected: EXPECTED };
        let opposed = |one: &str, other: &str| MountError::Contradiction { one: one.into(), other: other.into() };
        for (text, expected) in [
            ("", MountError::Form),
            (":", MountError::Form),
            (":/b", MountError::Form),
            ("/a:", MountError::Form),
            ("/a:/b:", MountError::Form),
            ("/a:/b:ro:x", MountError::Form),
            ("b", MountError::Target("b".into())),
            ("/", MountError::Target("/".into())),
            ("/a:b", MountError::Target("b".into())),
            ("/a:/", MountError::Target("/".into())),
            ("/a:/..", MountError::Target("/..".into())),
            ("/a:ro", MountError::AnonymousOptions),
            ("/a:nocopy,z", MountError::AnonymousOptions),
            ("a/b:/c", MountError::Source("a/b".into())),
            ("a:/c", MountError::Source("a".into())),
            ("~/x:/c", MountError::Source("~/x".into())),
            ("-data:/c", MountError::Source("-data".into())),
            ("/a:/b:x", option("x", "volume")),
            ("/a:/b:ro,", option("", "volume")),
            ("/a:/b:U", option("U", "volume")),
            ("/a:/b:dev", option("dev", "volume")),
            ("/a:/b:nocopy", option("nocopy", "path")),
            ("data:/b:rslave", option("rslave", "volume")),
            ("/a:/b:ro,rw", opposed("ro", "rw")),
            ("/a:/b:z,Z", opposed("z", "Z")),
            ("/a:/b:rshared", MountError::Shared("rshared".into())),
        ] {
            assert_eq!(Mount::from_volume_option(text), Err(expected), "{text}");
        }
    }
}
