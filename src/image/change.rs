//! Changes to an image's configuration, written as Containerfile instructions.

use std::str::FromStr;

use oci_spec::image::Config;

use super::Error;

/// One instruction that changes no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces the image's command; in exec form.
    Cmd(Vec<String>),
    /// Replaces the image's entrypoint; in exec form. Without a `CMD` among the changes, removes the image's command.
    Entrypoint(Vec<String>),
    /// Environment variables, as name and value.
    Env(Vec<(String, String)>),
    /// Ports in the form `80/tcp`.
    Expose(Vec<String>),
    /// Labels, as key and value.
    Label(Vec<(String, String)>),
    /// The signal that stops the container, by name or number.
    StopSignal(String),
    /// `USER[:GROUP]`, by name or number.
    User(String),
    /// Paths in the container for which volumes are made.
    Volume(Vec<String>),
    /// The working directory of the command; a relative path starts from the image's.
    WorkDir(String),
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(instruction: &str) -> Result<Change, Error> {
        let trimmed = instruction.trim();
        let (keyword, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        parse(keyword, rest.trim())
            .map_err(|reason| Error::Change { instruction: instruction.into(), reason: reason.into() })
    }
}

fn parse(keyword: &str, rest: &str) -> Result<Change, &'static str> {
    if rest.is_empty() {
        return Err("it has no argument");
    }
    Ok(match keyword.to_ascii_uppercase().as_str() {
        "CMD" => Change::Cmd(command(rest)),
        "ENTRYPOINT" => Change::Entrypoint(command(rest)),
        "ENV" => Change::Env(pairs(rest)?),
        "LABEL" => Change::Label(pairs(rest)?),
        "EXPOSE" => Change::Expose(ports(&words(rest)?)?),
        "STOPSIGNAL" => Change::StopSignal(one_word(rest)?),
        "USER" => Change::User(one_word(rest)?),
        "VOLUME" => Change::Volume(exec_form(rest).map_or_else(|| words(rest), Ok)?),
        "WORKDIR" => Change::WorkDir(one_word(rest)?),
        _ => {
            return Err(
                "expected CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR, and an argument",
            );
        }
    })
}

/// Exec form (`["a", "b"]`) as it is; anything else becomes an argument of `/bin/sh -c`, as in docker.
fn command(rest: &str) -> Vec<String> {
    exec_form(rest).unwrap_or_else(|| ["/bin/sh", "-c", rest].map(Into::into).to_vec())
}

fn exec_form(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

fn one_word(rest: &str) -> Result<String, &'static str> {
    match <[String; 1]>::try_from(words(rest)?) {
        Ok([word]) => Ok(word),
        Err(_) => Err("it takes one argument"),
    }
}

/// Parses `A=1 B="2 3"`, or the old form `A 1 2` for one pair.
fn pairs(rest: &str) -> Result<Vec<(String, String)>, &'static str> {
    let words = words(rest)?;
    let pair = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pairs = match words.split_first() {
        Some((key, values)) if !key.contains('=') && !values.is_empty() => Some(vec![(key.clone(), values.join(" "))]),
        _ => words.iter().map(|word| pair(word)).collect(),
    };
    pairs.filter(|pairs| pairs.iter().all(|(key, _)| !key.is_empty())).ok_or("expected KEY=VALUE")
}

/// Lists each port with its protocol; a range becomes all its ports.
///
/// # Errors
/// What was expected instead of a word.
pub fn ports(words: &[String]) -> Result<Vec<String>, &'static str> {
    const EXPECTED: &str = "expected PORT, PORT/PROTOCOL or FIRST-LAST/PROTOCOL";
    let mut ports = Vec::new();
    for word in words {
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().map_err(|_| EXPECTED);
        let (first, last) = (number(first)?, number(last)?);
        if first > last || !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(EXPECTED);
        }
        ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
}

/// Splits at whitespace, except within quotes or after a backslash.
fn words(rest: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next().ok_or("a backslash ends it")?),
            ('$', None | Some('"')) => return Err("variables are not expanded here: write the value, or `\\$`"),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

/// Applies `changes` in order.
pub(super) fn apply(changes: &[Change], config: &mut Config) {
    for change in changes {
        match change {
            Change::Cmd(command) => drop(config.set_cmd(some(command))),
            Change::Entrypoint(command) => {
                config.set_entrypoint(some(command));
                // The old command holds arguments for the old entrypoint.
                if !changes.iter().any(|c| matches!(c, Change::Cmd(_))) {
                    config.set_cmd(None);
                }
            }
            Change::Env(pairs) => {
                let mut env = config.env().clone().unwrap_or_default();
                for (key, value) in pairs {
                    env.retain(|old| old.split_once('=').map_or(old.as_str(), |(old, _)| old) != key);
                    env.push(format!("{key}={value}"));
                }
                config.set_env(Some(env));
            }
            Change::Label(pairs) => config.labels_mut().get_or_insert_default().extend(pairs.iter().cloned()),
            Change::Expose(ports) => {
                let ports = union(config.exposed_ports(), ports);
                config.set_exposed_ports(Some(ports));
            }
            Change::Volume(paths) => {
                let paths = union(config.volumes(), paths);
                config.set_volumes(Some(paths));
            }
            Change::StopSignal(signal) => drop(config.set_stop_signal(Some(signal.clone()))),
            Change::User(user) => drop(config.set_user(Some(user.clone()))),
            Change::WorkDir(dir) => {
                let old = config.working_dir().as_deref().unwrap_or_default();
                let dir =
                    if dir.starts_with('/') { dir.clone() } else { format!("{}/{dir}", old.trim_end_matches('/')) };
                config.set_working_dir(Some(dir));
            }
        }
    }
}

fn some(command: &[String]) -> Option<Vec<String>> {
    (!command.is_empty()).then(|| command.to_vec())
}

fn union(old: &Option<Vec<String>>, new: &[String]) -> Vec<String> {
    let mut all: Vec<_> = old.iter().flatten().chain(new).cloned().collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&s| s.into()).collect()
    }

    #[test]
    fn instructions_parse_as_in_docker() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, change) in [
            (r#"CMD ["flask", "run"]"#, Change::Cmd(strings(&["flask", "run"]))),
            ("cmd flask run", Change::Cmd(strings(&["/bin/sh", "-c", "flask run"]))),
            ("ENTRYPOINT []", Change::Entrypoint(vec![])),
            (
                r#"ENV A=1 B="2 3" C='$x' D=a\ b"#,
                Change::Env(vec![pair("A", "1"), pair("B", "2 3"), pair("C", "$x"), pair("D", "a b")]),
            ),
            ("ENV A 1 2", Change::Env(vec![pair("A", "1 2")])),
            ("ENV A=", Change::Env(vec![pair("A", "")])),
            ("LABEL a.b=c", Change::Label(vec![pair("a.b", "c")])),
            ("EXPOSE 80 90-91/udp", Change::Expose(strings(&["80/tcp", "90/udp", "91/udp"]))),
            (r#"VOLUME ["/a", "/b c"]"#, Change::Volume(strings(&["/a", "/b c"]))),
            ("VOLUME /a /b", Change::Volume(strings(&["/a", "/b"]))),
            (" USER  app:app ", Change::User("app:app".into())),
            ("WORKDIR /srv", Change::WorkDir("/srv".into())),
            ("STOPSIGNAL SIGINT", Change::StopSignal("SIGINT".into())),
        ] {
            assert_eq!(text.parse(), Ok(change), "{text}");
        }
    }

    #[test]
    fn malformed_instructions_are_refused() {
        for (text, reason) in [
            ("", "it has no argument"),
            ("CMD", "it has no argument"),
            ("RUN make", "expected CMD"),
            ("ENV A", "expected KEY=VALUE"),
            ("ENV =1", "expected KEY=VALUE"),
            ("ENV PATH=$PATH:/x", "variables are not expanded"),
            ("ENV A='1", "a quote is not closed"),
            ("USER a b", "it takes one argument"),
            ("EXPOSE http", "expected PORT"),
            ("EXPOSE 2-1", "expected PORT"),
            ("EXPOSE 70000", "expected PORT"),
        ] {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn changes_apply_in_order() {
        let mut config = Config::default();
        let mut make = |changes: &[&str]| {
            let changes: Vec<_> = changes.iter().map(|c| c.parse().unwrap()).collect();
            apply(&changes, &mut config);
            config.clone()
        };
        make(&["ENV A=1 B=2", "WORKDIR /a", r#"CMD ["x"]"#, "EXPOSE 80"]);
        let config = make(&["ENV A=3", "WORKDIR b", r#"ENTRYPOINT ["y"]"#, "EXPOSE 80 70"]);
        assert_eq!(config.env(), &Some(strings(&["B=2", "A=3"])));
        assert_eq!(config.working_dir().as_deref(), Some("/a/b"));
        assert_eq!((config.entrypoint(), config.cmd()), (&Some(strings(&["y"])), &None));
        assert_eq!(config.exposed_ports(), &Some(strings(&["70/tcp", "80/tcp"])));
        let config = make(&[r#"CMD ["z"]"#, r#"ENTRYPOINT ["w"]"#]);
        assert_eq!(config.cmd(), &Some(strings(&["z"])));
    }
}
