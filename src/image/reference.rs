//! Image names as people type them: `app`, `app:v1`, `registry.example:5000/team/app:v1`, `app@sha256:…`.
//!
//! `oci-spec` parses and completes a name as docker does. This module adds precise errors for malformed names, and
//! docker's short form of names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use oci_spec::distribution as oci;

use super::{Digest, Error};

/// A registry, a repository, and a tag or a digest or both.
///
/// Shown in docker's familiar form: `docker.io/library/app:v1` is `app:v1`, `docker.io/team/app:v1` is `team/app:v1`;
/// names in other registries are shown in full. Sorted by registry, repository, tag and digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference(oci::Reference);

const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// The registry when a name gives none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The directory in that registry when a name has one component only.
const DEFAULT_DIRECTORY: &str = "library/";

impl Reference {
    /// The reference to `name`, which may begin with a registry, with `tag`.
    ///
    /// # Errors
    /// [`Error::Reference`] when either is malformed.
    pub fn new(name: &str, tag: &str) -> Result<Reference, Error> {
        let text = format!("{name}:{tag}");
        check_name(name)
            .and_then(|()| check_tag(tag))
            .and_then(|()| text.parse().map_err(|_| NOT_A_NAME))
            .map(Reference)
            .map_err(|reason| Error::Reference { name: text, reason })
    }

    /// The host of the registry, perhaps with a port: `docker.io` when the name gives none.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The path in the registry: `library/app` for `app`.
    pub fn repository(&self) -> &str {
        self.0.repository()
    }

    /// The tag: `latest` when the name gives neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.0.tag()
    }

    /// The digest of a manifest or an index, when the name gives one.
    pub fn digest(&self) -> Option<Digest> {
        self.0.digest()?.parse().ok()
    }

    /// Whether `other` is in the same registry and repository.
    pub fn is_beside(&self, other: &Reference) -> bool {
        (self.registry(), self.repository()) == (other.registry(), other.repository())
    }

    /// The registry and repository in the familiar form: `app`, `team/app`, `registry.example/app`.
    pub fn familiar_name(&self) -> String {
        if self.registry() != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry(), self.repository());
        }
        let official = self.repository().strip_prefix(DEFAULT_DIRECTORY).filter(|rest| !rest.contains('/'));
        official.unwrap_or(self.repository()).to_owned()
    }

    /// The name with all parts: `docker.io/library/app:latest` for `app`.
    pub fn whole(&self) -> String {
        self.0.whole()
    }

    fn parts(&self) -> (&str, &str, Option<&str>, Option<&str>) {
        (self.registry(), self.repository(), self.tag(), self.0.digest())
    }
}

impl Ord for Reference {
    fn cmp(&self, other: &Reference) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Reference {
    fn partial_cmp(&self, other: &Reference) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

const NOT_A_NAME: &str = "it is not of the form [REGISTRY/]NAME[:TAG][@DIGEST]";

/// Checks an optional host (with a dot, a port, or `localhost`) and the lower-case components after it.
fn check_name(repository: &str) -> Result<(), &'static str> {
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
    if repository.len() == 64 && repository.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("64 hexadecimal digits are an image ID");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("only the registry and the tag may have upper-case letters");
    }
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
        f.write_str(&self.familiar_name())?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        match self.0.digest() {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// A name with neither tag nor digest gets the tag `latest`.
    fn from_str(text: &str) -> Result<Reference, Error> {
        let refused = |reason| Error::Reference { name: text.into(), reason };
        let (tagged, digest) = text.split_once('@').map_or((text, None), |(tagged, digest)| (tagged, Some(digest)));
        // A colon before the last slash starts a port, not a tag.
        let after_slash = tagged.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match tagged[after_slash..].find(':') {
            Some(colon) => (&tagged[..after_slash + colon], Some(&tagged[after_slash + colon + 1..])),
            None => (tagged, None),
        };
        check_name(name).and_then(|()| tag.map_or(Ok(()), check_tag)).map_err(refused)?;
        if digest.is_some_and(|digest| digest.parse::<Digest>().is_err()) {
            return Err(refused("its digest is not `sha256:` and 64 hexadecimal digits"));
        }
        text.parse().map(Reference).map_err(|_| refused(NOT_A_NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_completed_and_shown_in_the_familiar_form() {
        for (typed, whole, shown) in [
            ("app", "docker.io/library/app:latest", "app:latest"),
            ("app:v1.2", "docker.io/library/app:v1.2", "app:v1.2"),
            ("test.com:5000", "docker.io/library/test.com:5000", "test.com:5000"),
            ("team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("docker.io/debian:12", "docker.io/library/debian:12", "debian:12"),
            ("docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("docker.io/team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
            ("host.example/library/app:x", "host.example/library/app:x", "host.example/library/app:x"),
            (
                "Registry.example:5000/a/b__c/d--e:x_Y",
                "Registry.example:5000/a/b__c/d--e:x_Y",
                "Registry.example:5000/a/b__c/d--e:x_Y",
            ),
            ("app@DIGEST", "docker.io/library/app@DIGEST", "app@DIGEST"),
            ("app:v1@DIGEST", "docker.io/library/app:v1@DIGEST", "app:v1@DIGEST"),
            ("localhost:5000/x@DIGEST", "localhost:5000/x@DIGEST", "localhost:5000/x@DIGEST"),
        ] {
            let [typed, whole, shown] = [typed, whole, shown].map(|text| text.replace("DIGEST", DIGEST));
            let name = typed.parse::<Reference>().unwrap();
            assert_eq!((name.whole(), name.to_string()), (whole, shown.clone()));
            assert_eq!(shown.parse::<Reference>().unwrap(), name, "what is shown can be typed");
            assert_eq!(name.whole().parse::<Reference>().unwrap(), name);
            assert_eq!(name.digest().is_some(), typed.contains('@'));
        }
    }

    #[test]
    fn malformed_names_are_refused() {
        let long = "a".repeat(256);
        let tag = format!("a:{}", "t".repeat(129));
        let id = "0123456789abcdef".repeat(4);
        let short = &format!("a@{}", &DIGEST[..70]);
        let upper = &format!("a@{}", DIGEST.to_uppercase());
        for bad in [
            "",
            ":v1",
            "App",
            "a/B",
            "Team/app",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:-v",
            "a b",
            "a@b",
            "a@",
            "a:ä",
            "ä",
            "a:v1\n",
            "a@sha256:",
            "a@sha256:ä",
            "@b",
            "../x",
            "host.x:port/a",
            "host..x/a",
            &long,
            &tag,
            &id,
            short,
            upper,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_fault() {
        for (bad, reason) in [
            ("App:v1", "only the registry and the tag may have upper-case letters"),
            ("host.x:port/a", "the registry is no host name"),
            ("a@sha256:12", "its digest is not `sha256:` and 64 hexadecimal digits"),
        ] {
            let error = bad.parse::<Reference>().unwrap_err();
            assert_eq!(error.to_string(), format!("malformed image name `{bad}`: {reason}"));
        }
    }
}
