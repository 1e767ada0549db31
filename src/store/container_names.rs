//! Names of containers: generates them, checks them, and finds the name nearest to a mistyped one.

use std::fs::File;
use std::io::{self, Read};

const ADJECTIVES: &[&str] = &[
    "amber", "ancient", "banded", "bright", "buried", "calm", "clear", "coarse", "curved", "deep", "drifting", "dry",
    "faint", "fine", "folded", "frosted", "gentle", "glassy", "golden", "grey", "hidden", "hollow", "layered", "light",
    "lofty", "mellow", "mossy", "narrow", "northern", "pale", "patient", "polished", "proud", "quiet", "rough",
    "rugged", "rusty", "shaded", "silent", "silver", "slow", "smooth", "solid", "steady", "steep", "sunken", "veined",
    "warm",
];

const STONES: &[&str] = &[
    "agate",
    "alabaster",
    "andesite",
    "basalt",
    "beryl",
    "breccia",
    "chalk",
    "chert",
    "clay",
    "coal",
    "dolomite",
    "feldspar",
    "flint",
    "gabbro",
    "garnet",
    "gneiss",
    "granite",
    "gravel",
    "gypsum",
    "halite",
    "hematite",
    "jade",
    "jasper",
    "kaolin",
    "lava",
    "limestone",
    "loess",
    "marble",
    "marl",
    "mica",
    "obsidian",
    "olivine",
    "onyx",
    "opal",
    "peridot",
    "porphyry",
    "pumice",
    "quartz",
    "sandstone",
    "schist",
    "shale",
    "slate",
    "spinel",
    "syenite",
    "talc",
    "topaz",
    "travertine",
    "tuff",
];

/// Random bytes from the kernel, which nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random name like `quiet_gneiss`; from the ninth `attempt` on with a number, so that it is less likely taken.
pub(super) fn generate(attempt: u32) -> io::Result<String> {
    let [a, b, c, d] = random::<4>()?;
    let adjective = ADJECTIVES[usize::from(a) % ADJECTIVES.len()];
    let stone = STONES[usize::from(b) % STONES.len()];
    Ok(match attempt {
        0..8 => format!("{adjective}_{stone}"),
        _ => format!("{adjective}_{stone}_{}", u16::from_le_bytes([c, d])),
    })
}

/// The one of `names` that the user may have meant by `typed`.
pub(super) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let most = (typed.chars().count() / 3).clamp(1, 4);
    let near = names.into_iter().map(|name| (strsim::damerau_levenshtein(typed, name), name));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name.into())
}

/// A letter or digit, then letters, digits, `_`, `.` and `-`: 2 to 255 characters, by Docker's rule.
pub(super) fn is_container_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let rest = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    bytes.len() >= 2 && bytes.len() <= 255 && bytes[0].is_ascii_alphanumeric() && bytes.iter().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_for_a_mistyped_one() {
        let names = ["alpine", "debian", "debian:12", "flask-app"];
        for (typed, meant) in [
            ("alpin", Some("alpine")),
            ("debain", Some("debian")),
            ("debian:11", Some("debian:12")),
            ("flaskapp", Some("flask-app")),
            ("redis", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names).as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn generated_names_are_valid_and_bad_names_are_not() {
        for attempt in [0, 8] {
            assert!(is_container_name(&generate(attempt).unwrap()));
        }
        for bad in ["", "a", "-ab", "a/b", "a b", "ä1"] {
            assert!(!is_container_name(bad), "{bad}");
        }
    }
}
