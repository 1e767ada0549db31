//! Image names as people type them: `app`, `app:v1`, `registry.example:5000/team/app:v1`.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A repository and a tag, in the familiar form: `docker.io/library/app` is `app`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: String,
    tag: String,
}

const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

impl Reference {
    /// `repository` with `tag`.
    ///
    /// # Errors
    /// [`Error::Reference`] when either is malformed.
    pub fn new(repository: &str, tag: &str) -> Result<Reference, Error> {
        let name = format!("{repository}:{tag}");
        check_repository(repository)
            .and_then(|()| check_tag(tag))
            .map_err(|reason| Error::Reference { name, reason })?;
        Ok(Reference { repository: familiar(repository).into(), tag: tag.into() })
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> &str {
        &self.tag
    }
}

/// Without the registry and the directory that docker leaves out.
pub fn familiar(name: &str) -> &str {
    match name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")) {
        Some(rest) => rest.strip_prefix("library/").filter(|official| !official.contains('/')).unwrap_or(rest),
        None => name,
    }
}

/// A host (with a dot, a port, or `localhost`), then components of lower-case words.
fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.is_empty() {
        return Err("it is empty");
    }
    if repository.len() > NAME_MAX {
        return Err("it is longer than 255 characters");
    }
    let path = match repository.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => {
            check_host(host)?;
            path
        }
        _ => repository,
    };
    if path.split('/').all(is_component) {
        Ok(())
    } else {
        Err("components are lower-case letters and digits, joined by single `.`, `_`, `__` or dashes")
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (domain, port) = host.split_once(':').map_or((host, None), |(domain, port)| (domain, Some(port)));
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.bytes().all(is_host_byte);
    let port_is_number = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    if domain.split('.').all(label) && port_is_number { Ok(()) } else { Err("the registry is no host name") }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_are_words = bytes.first().is_some_and(|&b| word(b)) && bytes.last().is_some_and(|&b| word(b));
    let separators = bytes.split(|&b| word(b)).filter(|separator| !separator.is_empty());
    ends_are_words && separators.into_iter().all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|&b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    if bytes.len() > TAG_MAX {
        return Err("its tag is longer than 128 characters");
    }
    let good = bytes.first().is_some_and(|&b| first(b)) && bytes.iter().all(|&b| first(b) || b == b'.' || b == b'-');
    if good {
        Ok(())
    } else {
        Err("a tag is letters, digits, `_`, `.` and `-`, and begins with neither of the last two")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// No tag means `latest`.
    fn from_str(text: &str) -> Result<Reference, Error> {
        // A colon before the last slash belongs to a port.
        let after_slash = text.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match text[after_slash..].find(':') {
            Some(colon) => (&text[..after_slash + colon], &text[after_slash + colon + 1..]),
            None => (text, "latest"),
        };
        Reference::new(repository, tag).map_err(|error| match error {
            Error::Reference { reason, .. } => Error::Reference { name: text.into(), reason },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_in_the_familiar_form() {
        for (typed, shown) in [
            ("app", "app:latest"),
            ("app:v1.2", "app:v1.2"),
            ("team/app", "team/app:latest"),
            ("docker.io/library/debian:12", "debian:12"),
            ("docker.io/team/app", "team/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("Registry.example:5000/a/b__c/d--e:x_Y", "Registry.example:5000/a/b__c/d--e:x_Y"),
        ] {
            assert_eq!(typed.parse::<Reference>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let tag = format!("a:{}", "t".repeat(129));
        for bad in [
            "", ":v1", "App", "a//b", "/a", "a/", "-a", "a-", "a..b", "a___b", "a:", "a:-v", "a b", "a@b", "../x",
            &long, &tag,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
