//! The syntax of `--mount`: `type=bind,source=/a,target=/b,readonly`, one record of comma-separated values.

use std::collections::BTreeMap;
use std::path::{Component, PathBuf};

use super::short::propagation;
use super::size::bytes;
use super::tmpfs::{Tmpfs, is_mode};
use super::{Access, Bind, Mount, MountError, MountKind, Propagation, Submounts, VolumeMount, VolumeName, target};
use crate::store::Volume;

/// The keys of one `--mount`, before it is known which type they must fit.
#[derive(Debug, Default)]
struct Given {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    /// Keys that belong to one type, with the name of the type, in the order given.
    special: Vec<(String, &'static str)>,
    propagation: Option<String>,
    submounts: Submounts,
    no_copy: bool,
    subpath: Option<PathBuf>,
    labels: BTreeMap<String, String>,
    tmpfs: Tmpfs,
}

impl Mount {
    /// Reads the value of `--mount`.
    ///
    /// # Errors
    /// The text is no such value.
    pub fn from_mount_option(text: &str) -> Result<Mount, MountError> {
        let mut given = Given::default();
        for field in record(text).ok_or(MountError::List)? {
            given.add(&field)?;
        }
        given.mount()
    }
}

impl Given {
    fn add(&mut self, field: &str) -> Result<(), MountError> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let of = ["bind", "volume", "tmpfs"].into_iter().find(|of| key.starts_with(&format!("{of}-")));
        self.special.extend(of.map(|of| (key.clone(), of)));
        let flag = || value.map_or(Some(true), boolean).ok_or_else(|| bad(&key, value, "true or false"));
        match key.as_str() {
            "readonly" | "ro" => {
                self.read_only = flag()?;
                return Ok(());
            }
            "bind-nonrecursive" => {
                self.submounts = if flag()? { Submounts::Absent } else { Submounts::Alike };
                return Ok(());
            }
            "volume-nocopy" => {
                self.no_copy = flag()?;
                return Ok(());
            }
            _ => {}
        }
        let some = || value.filter(|value| !value.is_empty()).ok_or_else(|| MountError::NoValue(key.clone()));
        match key.as_str() {
            "type" => self.kind = Some(some()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(some()?.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(some()?.to_owned()),
            "bind-propagation" => self.propagation = Some(some()?.to_owned()),
            "bind-recursive" => {
                self.submounts = match some()? {
                    "enabled" | "readonly" => Submounts::Alike,
                    "writable" => Submounts::Writable,
                    "disabled" => Submounts::Absent,
                    _ => return Err(bad(&key, value, "enabled, disabled, writable or readonly")),
                }
            }
            "volume-label" => {
                let (name, value) = some()?.split_once('=').unwrap_or((some()?, ""));
                self.labels.insert(name.to_owned(), value.to_owned());
            }
            "volume-subpath" => {
                let path = PathBuf::from(some()?);
                if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
                    return Err(bad(&key, value, "a relative path without .."));
                }
                self.subpath = Some(path);
            }
            // The only driver: directories of the store.
            "volume-driver" if some()? == "local" => {}
            "volume-driver" | "volume-opt" | "image-subpath" => {
                return Err(MountError::NotSupported(field.to_owned()));
            }
            "tmpfs-size" => self.tmpfs.set("size", &bytes(some()?)?.to_string()),
            "tmpfs-mode" if is_mode(some()?) => self.tmpfs.set("mode", some()?),
            "tmpfs-mode" => return Err(bad(&key, value, "an octal number, at most 7777")),
            // How up to date the container's view of the host is: here they are the same files.
            "consistency" if ["consistent", "cached", "delegated", "default"].contains(&some()?) => {}
            "consistency" => return Err(bad(&key, value, "consistent, cached or delegated")),
            _ => return Err(MountError::Key(field.to_owned())),
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, MountError> {
        let not = match self.kind.as_deref() {
            None | Some("volume") => "volume",
            Some("bind") => "bind",
            Some("tmpfs") => "tmpfs",
            Some(other @ ("npipe" | "cluster" | "image" | "glob" | "ramfs" | "devpts")) => {
                return Err(MountError::NotSupported(format!("type={other}")));
            }
            Some(other) => {
                let (key, value) = ("type".to_owned(), other.to_owned());
                return Err(MountError::Value { key, value, expected: "bind, volume or tmpfs" });
            }
        };
        if let Some((key, of)) = self.special.into_iter().find(|(_, of)| *of != not) {
            return Err(MountError::OtherType { key, of, not });
        }
        let target = target(&self.target.ok_or(MountError::Missing("a target"))?)?;
        let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let kind = match not {
            "bind" => MountKind::Bind(Bind {
                source: self.source.ok_or(MountError::Missing("a source"))?.into(),
                submounts: self.submounts,
                propagation: self.propagation.map_or(Ok(Propagation::Private), |text| propagation(&text))?,
            }),
            "tmpfs" => match self.source {
                None => MountKind::Tmpfs(self.tmpfs),
                Some(_) => return Err(MountError::OtherType { key: "source".into(), of: "bind or volume", not }),
            },
            _ => MountKind::Volume(VolumeMount {
                name: match self.source {
                    None => VolumeName::Anonymous(None),
                    Some(name) if Volume::is_name(&name) => VolumeName::Named(name),
                    Some(name) => return Err(MountError::Source(name)),
                },
                copy: !self.no_copy && self.subpath.is_none(),
                subpath: self.subpath,
                labels: self.labels,
            }),
        };
        Ok(Mount { target, access, kind })
    }
}

fn bad(key: &str, value: Option<&str>, expected: &'static str) -> MountError {
    MountError::Value { key: key.to_owned(), value: value.unwrap_or_default().to_owned(), expected }
}

/// A truth value as Go writes it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The fields of one record of comma-separated values (RFC 4180), as strictly as Go reads it: quotes are around a whole
/// field or nowhere, and two quotes in a quoted field are one. `None` for anything else.
pub fn record(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !rest.starts_with('"') && field.contains(['"', '\n', '\r']) {
            return None;
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(fields),
        }
    }
}

/// The field after an opening quote, and what follows its closing quote.
fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(target: &str, kind: MountKind) -> Mount {
        Mount { target: target.into(), access: Access::ReadWrite, kind }
    }

    fn bind(submounts: Submounts, propagation: Propagation) -> Mount {
        mount("/b", MountKind::Bind(Bind { source: "/a".into(), submounts, propagation }))
    }

    fn volume(name: &str, change: impl FnOnce(&mut VolumeMount)) -> Mount {
        let mut volume = VolumeMount::new(VolumeName::Named(name.into()));
        change(&mut volume);
        mount("/b", MountKind::Volume(volume))
    }

    fn tmpfs(options: &[(&str, &str)]) -> Mount {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        mount("/b", MountKind::Tmpfs(Tmpfs { options, ..Tmpfs::default() }))
    }

    #[test]
    fn a_mount_is_read_as_docker_reads_it() {
        let plain = || Mount::bind("/a", "/b");
        let read_only = || Mount { access: Access::ReadOnly, ..plain() };
        for (text, expected) in [
            ("type=bind,source=/a,target=/b", plain()),
            ("Type=BIND,src=/a,dst=/b", plain()),
            ("type=bind,src=/a,destination=/c/../b,readonly", read_only()),
            ("type=bind,src=/a,dst=/b,ro", read_only()),
            ("type=bind,src=/a,dst=/b,ro=1", read_only()),
            ("type=bind,src=/a,dst=/b,ro=true,readonly=false", plain()),
            ("type=bind,src=/a,dst=/b,bind-propagation=rslave", bind(Submounts::Alike, Propagation::Slave)),
            ("type=bind,src=/a,dst=/b,bind-nonrecursive", bind(Submounts::Absent, Propagation::Private)),
            ("type=bind,src=/a,dst=/b,bind-nonrecursive=false", plain()),
            ("type=bind,src=/a,dst=/b,bind-recursive=writable", bind(Submounts::Writable, Propagation::Private)),
            ("type=bind,src=/a,dst=/b,consistency=cached", plain()),
            (r#"type=bind,"src=/a,b",dst=/b"#, Mount::bind("/a,b", "/b")),
            (r#"type=bind,"src=/a""b",dst=/b"#, Mount::bind("/a\"b", "/b")),
            ("type=bind,src=/a=b,dst=/b", Mount::bind("/a=b", "/b")),
            ("type=volume,src=data,dst=/b", volume("data", |_| {})),
            ("src=data,dst=/b,volume-driver=local", volume("data", |_| {})),
            ("src=data,dst=/b,volume-nocopy", volume("data", |volume| volume.copy = false)),
            (
                "src=data,dst=/b,volume-label=a=1,volume-label=b",
                volume("data", |volume| {
                    volume.labels = [("a", "1"), ("b", "")].map(|(k, v)| (k.into(), v.into())).into()
                }),
            ),
            (
                "src=data,dst=/b,volume-subpath=x/y",
                volume("data", |volume| (volume.copy, volume.subpath) = (false, Some("x/y".into()))),
            ),
            ("dst=/b", mount("/b", MountKind::Volume(VolumeMount::new(VolumeName::Anonymous(None))))),
            ("type=tmpfs,dst=/b", tmpfs(&[])),
            ("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1770", tmpfs(&[("size", "1048576"), ("mode", "1770")])),
        ] {
            assert_eq!(Mount::from_mount_option(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let value =
            |key: &str, value: &str, expected| MountError::Value { key: key.into(), value: value.into(), expected };
        let other = |key: &str, of, not| MountError::OtherType { key: key.into(), of, not };
        for (text, expected) in [
            ("", MountError::Key("".into())),
            ("dst=/b,", MountError::Key("".into())),
            ("/a:/b", MountError::Key("/a:/b".into())),
            ("dst=/b,what=1", MountError::Key("what=1".into())),
            ("dst=/b,src", MountError::NoValue("src".into())),
            ("dst=/b,src=", MountError::NoValue("src".into())),
            (r#"dst=/b,s"rc=a"#, MountError::List),
            (r#"dst=/b,"src=a"#, MountError::List),
            (r#""dst=/b"x"#, MountError::List),
            ("dst=/b\nsrc=a", MountError::List),
            ("type=bind,src=/a", MountError::Missing("a target")),
            ("type=bind,dst=/b", MountError::Missing("a source")),
            ("dst=b", MountError::Target("b".into())),
            ("dst=/", MountError::Target("/".into())),
            ("src=/a,dst=/b", MountError::Source("/a".into())),
            ("src=../../etc,dst=/b", MountError::Source("../../etc".into())),
            ("type=disk,dst=/b", value("type", "disk", "bind, volume or tmpfs")),
            ("type=image,src=a,dst=/b", MountError::NotSupported("type=image".into())),
            ("dst=/b,volume-driver=nfs", MountError::NotSupported("volume-driver=nfs".into())),
            ("dst=/b,volume-opt=o=1", MountError::NotSupported("volume-opt=o=1".into())),
            ("dst=/b,ro=maybe", value("ro", "maybe", "true or false")),
            ("dst=/b,ro=", value("ro", "", "true or false")),
            ("dst=/b,volume-subpath=../x", value("volume-subpath", "../x", "a relative path without ..")),
            ("dst=/b,volume-subpath=/x", value("volume-subpath", "/x", "a relative path without ..")),
            ("type=bind,src=/a,dst=/b,bind-propagation=rshared", MountError::Shared("rshared".into())),
            ("type=bind,src=/a,dst=/b,bind-propagation=ro", value("bind-propagation", "ro", "rprivate or rslave")),
            ("type=bind,src=/a,dst=/b,volume-nocopy", other("volume-nocopy", "volume", "bind")),
            ("dst=/b,bind-nonrecursive=false", other("bind-nonrecursive", "bind", "volume")),
            ("dst=/b,tmpfs-size=1", other("tmpfs-size", "tmpfs", "volume")),
            ("type=tmpfs,src=/a,dst=/b", other("source", "bind or volume", "tmpfs")),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", value("tmpfs-mode", "9", "an octal number, at most 7777")),
        ] {
            assert_eq!(Mount::from_mount_option(text), Err(expected), "{text}");
        }
        let size = Mount::from_mount_option("type=tmpfs,dst=/b,tmpfs-size=x").unwrap_err().to_string();
        assert!(size.starts_with(r#""x" is not a size"#), "{size}");
    }
}
