//! `RUN --mount=…`.

use super::error::Problem;
use crate::container::record;

/// What one RUN mounts. Texts are not expanded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildMount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where; relative to the working directory if it is not absolute. `None` for a secret that is only a variable.
    pub target: Option<String>,
    /// A part of what is mounted.
    pub source: Option<String>,
    /// A stage or an image in place of the build context.
    pub from: Option<String>,
    /// `readwrite` of bind mounts (changes are lost), `readonly` of caches.
    pub read_only: bool,
    /// The id of a cache or a secret.
    pub id: Option<String>,
    /// How steps share a cache.
    pub sharing: Sharing,
    /// Fails if the secret is missing.
    pub required: bool,
    /// The mode of a secret or of a new cache, in octal.
    pub mode: Option<u32>,
    /// The owner of a secret or of a new cache.
    pub uid: Option<u32>,
    /// The group of a secret or of a new cache.
    pub gid: Option<u32>,
    /// The largest size of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// The variable that a secret becomes.
    pub env: Option<String>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, of a stage or of an image.
    #[default]
    Bind,
    /// A directory that is kept from build to build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file that no layer gets.
    Secret,
}

/// How steps that run at the same time share a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All use it at the same time.
    #[default]
    Shared,
    /// A second step gets a directory of its own.
    Private,
    /// A second step waits.
    Locked,
}

impl BuildMount {
    /// Parses the value of one `--mount`.
    pub(super) fn parse(value: &str, line: usize, text: &str) -> Result<BuildMount, Problem> {
        let failed = |expected: String| Problem::new(line, text, expected);
        let mut mount = BuildMount {
            kind: MountKind::Bind,
            target: None,
            source: None,
            from: None,
            read_only: true,
            id: None,
            sharing: Sharing::Shared,
            required: false,
            mode: None,
            uid: None,
            gid: None,
            size: None,
            env: None,
        };
        let mut access = None;
        for field in record(value).ok_or_else(|| failed(format!("--mount=KEY=VALUE,… instead of {value:?}")))? {
            let (key, value) = field.split_once('=').unwrap_or((&field, ""));
            let switch = || match value {
                "" | "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(failed(format!("{key}=true or {key}=false"))),
            };
            let number = |radix| {
                u32::from_str_radix(value, radix).map_err(|_| failed(format!("a number instead of {value:?} in {key}")))
            };
            let some = || match value.is_empty() {
                true => Err(failed(format!("a value after {key}="))),
                false => Ok(Some(value.to_owned())),
            };
            match key.to_ascii_lowercase().as_str() {
                "type" => {
                    mount.kind = match value {
                        "bind" => MountKind::Bind,
                        "cache" => MountKind::Cache,
                        "tmpfs" => MountKind::Tmpfs,
                        "secret" => MountKind::Secret,
                        _ => return Err(failed(format!("type=bind, cache, tmpfs or secret instead of {value:?}"))),
                    }
                }
                "target" | "dst" | "destination" => mount.target = some()?,
                "source" | "src" => mount.source = some()?,
                "from" => mount.from = some()?,
                "id" => mount.id = some()?,
                "env" => mount.env = some()?,
                "ro" | "readonly" => access = Some(switch()?),
                "rw" | "readwrite" => access = Some(!switch()?),
                "required" => mount.required = switch()?,
                "mode" => mount.mode = Some(number(8)?),
                "uid" => mount.uid = Some(number(10)?),
                "gid" => mount.gid = Some(number(10)?),
                "size" => {
                    mount.size = Some(bytes(value).ok_or_else(|| failed(format!("a size instead of {value:?}")))?)
                }
                "sharing" => {
                    mount.sharing = match value {
                        "shared" => Sharing::Shared,
                        "private" => Sharing::Private,
                        "locked" => Sharing::Locked,
                        _ => return Err(failed("sharing=shared, private or locked".into())),
                    }
                }
                _ => return Err(failed(format!("a field of --mount instead of {key:?}"))),
            }
        }
        mount.read_only = access.unwrap_or(mount.kind == MountKind::Bind);
        if mount.target.is_none() && mount.kind != MountKind::Secret {
            return Err(failed("target=PATH in --mount".into()));
        }
        if mount.kind == MountKind::Secret && mount.id.is_none() && mount.target.is_none() {
            return Err(failed("id=NAME or target=PATH of the secret".into()));
        }
        Ok(mount)
    }
}

/// `64m`, `1g`, `512`: bytes, with binary units.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor: u64 = match text[end..].to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(factor)
}
