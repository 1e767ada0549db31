//! Platforms: the operating system and architecture that an image is built for.

use std::fmt;
use std::str::FromStr;

use oci_spec::image as oci;

use super::Error;

/// An operating system and an architecture, by Go's names: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Go's name of the operating system: `linux`.
    pub os: String,
    /// Go's name of the architecture: `amd64`, `arm64`.
    pub architecture: String,
    /// The variant of the architecture: `v7`, `v8`.
    pub variant: Option<String>,
}

/// The architecture and variant that this program was built for, by Go's names.
const HOST: (&str, Option<&str>) = if cfg!(target_arch = "x86_64") {
    ("amd64", None)
} else if cfg!(target_arch = "x86") {
    ("386", None)
} else if cfg!(target_arch = "aarch64") {
    ("arm64", None)
} else if cfg!(target_arch = "arm") {
    ("arm", Some("v7"))
} else if cfg!(target_arch = "riscv64") {
    ("riscv64", None)
} else if cfg!(target_arch = "s390x") {
    ("s390x", None)
} else if cfg!(target_arch = "loongarch64") {
    ("loong64", None)
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    ("ppc64le", None)
} else {
    ("unknown", None)
};

impl Platform {
    /// The platform that this program was built for.
    pub fn host() -> Platform {
        let (architecture, variant) = HOST;
        Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.map(Into::into) }
    }

    /// How well `other` fits where this platform is wanted: higher is better, `None` means not at all.
    ///
    /// A missing variant on either side matches any variant, but ranks below an equal one. On arm a lower variant also
    /// runs. `arm64` means `arm64/v8`.
    pub fn rank(&self, other: &Platform) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let implied = |p: &Platform| match (&p.variant, p.architecture.as_str()) {
            (None, "arm64") => Some("v8".to_owned()),
            (variant, _) => variant.clone(),
        };
        match (implied(self), implied(other)) {
            (wanted, found) if wanted == found => Some(100),
            (Some(wanted), Some(found)) if self.architecture == "arm" => match (arm(&wanted), arm(&found)) {
                (Some(wanted), Some(found)) if found < wanted => Some(10 + found),
                _ => None,
            },
            (Some(_), Some(_)) => None,
            (None, _) | (_, None) => Some(50),
        }
    }
}

/// The number in a variant such as `v7`; all variants have one digit.
fn arm(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse::<u8>().ok().filter(|&v| v < 10).map(u32::from)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Platform, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !parts.iter().all(word) {
            return Err(Error::Platform(text.into()));
        }
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(Error::Platform(text.into())),
        };
        // People often type the names that `uname -m` prints.
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "i386" | "i686" => "386",
            other => other,
        };
        Ok(Platform { os: os.into(), architecture: architecture.into(), variant })
    }
}

impl From<&oci::Platform> for Platform {
    fn from(platform: &oci::Platform) -> Platform {
        Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone().filter(|variant| !variant.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn the_best_platform_ranks_highest() {
        for (wanted, offered, best) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some("linux/amd64")),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some("linux/amd64")),
            ("linux/arm64", &["linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64")),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"], Some("linux/arm/v6")),
            ("linux/arm/v6", &["linux/arm/v7"], None),
            ("linux/amd64", &["windows/amd64", "unknown/unknown"], None),
        ] {
            let ranked = offered.iter().filter_map(|o| Some((platform(wanted).rank(&platform(o))?, *o)));
            assert_eq!(ranked.max().map(|(_, offer)| offer), best, "{wanted} of {offered:?}");
        }
    }

    #[test]
    fn a_platform_has_two_words_or_three() {
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(platform("linux/x86_64").to_string(), "linux/amd64");
        for bad in ["", "linux", "linux/", "linux//v7", "linux/arm/v7/x", "linux/a b"] {
            assert_eq!(bad.parse::<Platform>(), Err(Error::Platform(bad.into())));
        }
    }
}
