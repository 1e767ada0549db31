//! Which process to run: combines the image's configuration and the user's wishes as `docker run` does.
//!
//! Pure: reads no file and no environment, so that tables of tests cover every rule.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::account::UserSpec;

/// The `PATH` of a container whose image and user set none.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user's wishes. `None` and empty values keep the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Arguments after the image's name.
    pub command: Vec<OsString>,
    /// An empty one removes the image's.
    pub entrypoint: Option<OsString>,
    pub env: Vec<Variable>,
    pub workdir: Option<PathBuf>,
    pub user: Option<String>,
    pub terminal: bool,
}

/// A change of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    Set(OsString, OsString),
    Unset(OsString),
}

/// The process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The program and its arguments; never empty.
    pub args: Vec<OsString>,
    /// Without `HOME` where neither the image nor the user set it: its default comes from the image's `/etc/passwd`.
    pub env: Vec<(OsString, OsString)>,
    /// Absolute.
    pub workdir: PathBuf,
    pub user: UserSpec,
    pub terminal: bool,
}

/// Why the process cannot be defined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("the image names no command: give one after the image's name")]
    NoCommand,
    #[error("the working directory {0:?} is not an absolute path")]
    RelativeWorkdir(PathBuf),
    #[error("{0:?} is not a user: expected USER or USER:GROUP")]
    User(String),
    #[error("{0:?} contains a NUL byte")]
    Nul(OsString),
    #[error("{0:?} has no name before its `=`")]
    Env(OsString),
}

impl Process {
    /// Combines the image's configuration and the user's wishes. `hostname` is the value of `HOSTNAME`.
    ///
    /// # Errors
    /// Neither names a command, or a value is invalid.
    pub fn new(image: Option<&Config>, wishes: &Wishes, hostname: &str) -> Result<Process, SpecError> {
        let args = arguments(image, wishes)?;
        let env = environment(image, wishes, hostname)?;
        let strings = args.iter().chain(env.iter().flat_map(|(name, value)| [name, value]));
        if let Some(bad) = strings.into_iter().find(|s| s.as_bytes().contains(&0)) {
            return Err(SpecError::Nul(bad.clone()));
        }
        let of_image = image.and_then(|c| c.user().as_deref()).filter(|user| !user.is_empty());
        let user = wishes.user.as_deref().or(of_image).unwrap_or("0");
        Ok(Process {
            args,
            env,
            workdir: workdir(image, wishes)?,
            user: UserSpec::parse(user).ok_or_else(|| SpecError::User(user.to_owned()))?,
            terminal: wishes.terminal,
        })
    }

    /// The value of a variable in the environment.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
    }
}

/// The image's entrypoint, then the user's command or else the image's. If the user gives an entrypoint, the image's
/// command is not used.
fn arguments(image: Option<&Config>, wishes: &Wishes) -> Result<Vec<OsString>, SpecError> {
    let of_image = |list: Option<&Vec<String>>| list.into_iter().flatten().map(OsString::from).collect::<Vec<_>>();
    let mut command = wishes.command.clone();
    let mut args = match &wishes.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => Vec::new(),
        Some(entrypoint) => vec![entrypoint.clone()],
        None => {
            if command.is_empty() {
                command = of_image(image.and_then(|c| c.cmd().as_ref()));
            }
            of_image(image.and_then(|c| c.entrypoint().as_ref()))
        }
    };
    args.append(&mut command);
    if args.is_empty() { Err(SpecError::NoCommand) } else { Ok(args) }
}

/// The default variables, the image's, then the user's. A later value replaces an earlier one in its place.
fn environment(
    image: Option<&Config>,
    wishes: &Wishes,
    hostname: &str,
) -> Result<Vec<(OsString, OsString)>, SpecError> {
    let mut env = vec![("PATH".into(), DEFAULT_PATH.into()), ("HOSTNAME".into(), OsString::from(hostname))];
    if wishes.terminal {
        env.push(("TERM".into(), "xterm".into()));
    }
    for entry in image.and_then(|c| c.env().as_ref()).into_iter().flatten() {
        set(&mut env, Variable::parse(OsStr::new(entry))?);
    }
    for variable in &wishes.env {
        set(&mut env, variable.clone());
    }
    Ok(env)
}

fn set(env: &mut Vec<(OsString, OsString)>, variable: Variable) {
    match variable {
        Variable::Unset(name) => env.retain(|(key, _)| *key != name),
        Variable::Set(name, value) => match env.iter_mut().find(|(key, _)| *key == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        },
    }
}

impl Variable {
    /// `NAME=VALUE`, or `NAME` alone to unset it.
    ///
    /// # Errors
    /// The name is empty.
    pub fn parse(text: &OsStr) -> Result<Variable, SpecError> {
        let bytes = text.as_bytes();
        let end = bytes.iter().position(|&b| b == b'=').unwrap_or(bytes.len());
        let (name, value) = bytes.split_at(end);
        if name.is_empty() {
            return Err(SpecError::Env(text.to_owned()));
        }
        let name = OsString::from_vec(name.to_vec());
        Ok(match value.strip_prefix(b"=") {
            Some(value) => Variable::Set(name, OsString::from_vec(value.to_vec())),
            None => Variable::Unset(name),
        })
    }
}

/// An image's relative working directory counts from `/`; a user's must be absolute.
fn workdir(image: Option<&Config>, wishes: &Wishes) -> Result<PathBuf, SpecError> {
    match &wishes.workdir {
        Some(dir) if !dir.is_absolute() => Err(SpecError::RelativeWorkdir(dir.clone())),
        Some(dir) => Ok(dir.clone()),
        None => {
            let of_image = image.and_then(|c| c.working_dir().as_deref()).unwrap_or("");
            Ok(Path::new("/").join(of_image))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> Config {
        let list = |list: &[&str]| (!list.is_empty()).then(|| list.iter().map(|s| (*s).to_owned()).collect());
        let mut config = Config::default();
        config.set_entrypoint(list(entrypoint)).set_cmd(list(cmd));
        config
    }

    fn process(image: &Config, change: impl FnOnce(&mut Wishes)) -> Result<Process, SpecError> {
        let mut wishes = Wishes { command: vec!["x".into()], ..Wishes::default() };
        change(&mut wishes);
        Process::new(Some(image), &wishes, "h")
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        let (none, e, c): (&[&str], &[&str], &[&str]) = (&[], &["e", "1"], &["c", "2"]);
        for (entrypoint, cmd, flag, given, expected) in [
            (none, c, None, none, Some("c 2")),
            (e, none, None, none, Some("e 1")),
            (e, c, None, none, Some("e 1 c 2")),
            (e, c, None, &["x"], Some("e 1 x")),
            (none, c, None, &["x", "y"], Some("x y")),
            (e, c, Some("new"), none, Some("new")),
            (e, c, Some("new"), &["x"], Some("new x")),
            (e, c, Some(""), &["x"], Some("x")),
            (e, c, Some(""), none, None),
            (none, none, None, none, None),
        ] {
            let got = process(&image(entrypoint, cmd), |wishes| {
                wishes.command = given.iter().map(OsString::from).collect();
                wishes.entrypoint = flag.map(OsString::from);
            });
            let got = got.map(|p| p.args.join(OsStr::new(" ")));
            let expected = expected.map(OsString::from).ok_or(SpecError::NoCommand);
            assert_eq!(got, expected, "{entrypoint:?} {cmd:?} {flag:?} {given:?}");
        }
    }

    #[test]
    fn the_environment_is_the_default_then_the_image_then_the_user() {
        let path = format!("PATH={DEFAULT_PATH}");
        for (of_image, given, terminal, expected) in [
            (&[][..], &[][..], false, format!("{path} HOSTNAME=h")),
            (&["PATH=/bin", "A=1"], &["A=2", "B="], false, "PATH=/bin HOSTNAME=h A=2 B=".into()),
            (&["TERM=vt100"], &[], true, format!("{path} HOSTNAME=h TERM=vt100")),
            (&[], &[], true, format!("{path} HOSTNAME=h TERM=xterm")),
            (&["A=1=2"], &["PATH"], false, "HOSTNAME=h A=1=2".into()),
        ] {
            let mut config = image(&[], &[]);
            config.set_env(Some(of_image.iter().map(|s| (*s).to_owned()).collect()));
            let got = process(&config, |wishes| {
                wishes.terminal = terminal;
                wishes.env = given.iter().map(|v| Variable::parse(OsStr::new(v)).unwrap()).collect();
            });
            let joined: Vec<_> =
                got.unwrap().env.into_iter().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
            assert_eq!(joined.join(" "), expected, "{of_image:?} {given:?}");
        }
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(Variable::parse(OsStr::new("=x")), Err(SpecError::Env("=x".into())));
        assert_eq!(Variable::parse(OsStr::new("")), Err(SpecError::Env("".into())));
    }

    #[test]
    fn the_working_directory_is_absolute() {
        for (of_image, given, expected) in [
            (None, None, Ok("/")),
            (Some(""), None, Ok("/")),
            (Some("srv/app"), None, Ok("/srv/app")),
            (Some("/srv"), Some("/tmp"), Ok("/tmp")),
            (Some("/srv"), Some("tmp"), Err(SpecError::RelativeWorkdir("tmp".into()))),
        ] {
            let mut config = image(&[], &[]);
            config.set_working_dir(of_image.map(str::to_owned));
            let got = process(&config, |wishes| wishes.workdir = given.map(PathBuf::from));
            assert_eq!(got.map(|p| p.workdir), expected.map(PathBuf::from), "{of_image:?} {given:?}");
        }
    }

    #[test]
    fn the_user_is_the_given_one_or_the_images_or_root() {
        for (of_image, given, expected) in [
            (None, None, Ok("0")),
            (Some(""), None, Ok("0")),
            (Some("app:staff"), None, Ok("app:staff")),
            (Some("app"), Some("5:6"), Ok("5:6")),
            (None, Some(":6"), Err(SpecError::User(":6".into()))),
            (None, Some(""), Err(SpecError::User("".into()))),
        ] {
            let mut config = image(&[], &[]);
            config.set_user(of_image.map(str::to_owned));
            let got = process(&config, |wishes| wishes.user = given.map(str::to_owned));
            assert_eq!(got.map(|p| p.user.to_string()), expected.map(str::to_owned), "{of_image:?} {given:?}");
        }
    }

    #[test]
    fn an_argument_with_a_nul_byte_is_refused() {
        let got = process(&image(&[], &[]), |wishes| wishes.command.push("a\0b".into()));
        assert_eq!(got, Err(SpecError::Nul("a\0b".into())));
    }
}
