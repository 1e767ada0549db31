//! `.dockerignore`: which files of a context a build does not see. Also the patterns of COPY and `--exclude`.

use super::pattern::fits;

/// The patterns of one file; the last that fits a path decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// `!`: what fits is not ignored.
    includes: bool,
    parts: Vec<String>,
}

impl Ignore {
    /// Reads the lines of a `.dockerignore`.
    pub(super) fn parse(text: &str) -> Ignore {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ignore { patterns: lines.filter_map(|line| Pattern::parse(line.trim())).collect() }
    }

    /// Patterns one by one, as those of `--exclude`.
    pub(super) fn of(patterns: &[String]) -> Ignore {
        Ignore { patterns: patterns.iter().filter_map(|pattern| Pattern::parse(pattern.trim())).collect() }
    }

    /// Whether the file at `path`, relative to the context, is ignored.
    pub(super) fn ignores(&self, path: &[&str]) -> bool {
        let last = self.patterns.iter().rev().find(|pattern| pattern.fits_or_holds(path));
        last.is_some_and(|pattern| !pattern.includes)
    }

    /// Whether something below the ignored directory `path` may be included.
    pub(super) fn may_include_below(&self, path: &[&str]) -> bool {
        self.patterns.iter().any(|pattern| pattern.includes && pattern.may_fit_below(path))
    }
}

impl Pattern {
    /// `None` for a line without a pattern.
    fn parse(line: &str) -> Option<Pattern> {
        let (includes, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let mut parts: Vec<String> = Vec::new();
        for part in line.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part.to_owned()),
            }
        }
        // A pattern for the context itself, such as `.`, fits nothing.
        (!parts.is_empty()).then_some(Pattern { includes, parts })
    }

    /// Whether it fits `path`, or one of its parents.
    fn fits_or_holds(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|len| fit(&self.parts, &path[..len]))
    }

    fn may_fit_below(&self, dir: &[&str]) -> bool {
        let mut parts = self.parts.iter();
        for name in dir {
            match parts.next() {
                None => return false,
                Some(part) if part == "**" => return true,
                Some(part) if !glob(part, name) => return false,
                Some(_) => {}
            }
        }
        true
    }
}

fn fit(parts: &[String], path: &[&str]) -> bool {
    match (parts.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((part, rest)), _) if part == "**" => {
            fit(rest, path) || path.split_first().is_some_and(|(_, below)| fit(parts, below))
        }
        (Some((part, rest)), Some((name, below))) => glob(part, name) && fit(rest, below),
        _ => false,
    }
}

/// Whether `name`, one part of a path, fits a pattern as Go's `filepath.Match` reads it: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    fits(pattern, name, |pattern, c| match pattern.first() {
        Some('?') => Some(1),
        Some('[') => class(pattern, c),
        Some('\\') => (pattern.get(1) == Some(&c)).then_some(2),
        Some(&first) => (first == c).then_some(1),
        None => None,
    })
}

/// Whether `c` is in the class with which `pattern` begins; the length of the class.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    let mut first = true;
    while first || *pattern.get(at)? != ']' {
        first = false;
        let low = one(pattern, &mut at)?;
        let high = if pattern.get(at) == Some(&'-') && pattern.get(at + 1) != Some(&']') {
            at += 1;
            one(pattern, &mut at)?
        } else {
            low
        };
        found |= (low..=high).contains(&c);
    }
    (found != negated).then_some(at + 1)
}

/// One character of a class, perhaps escaped.
fn one(pattern: &[char], at: &mut usize) -> Option<char> {
    if pattern.get(*at) == Some(&'\\') {
        *at += 1;
    }
    let c = *pattern.get(*at)?;
    *at += 1;
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(text: &str, path: &str) -> bool {
        Ignore::parse(text).ignores(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        for (text, path, ignored) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a/", "a/b", true),
            ("./a", "a", true),
            ("*.md\n!README.md", "x.md", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README*.md\nREADME-x.md", "README-x.md", true),
            ("*.md", "a/x.md", false),
            ("**/*.md", "x.md", true),
            ("**/*.md", "a/b/x.md", true),
            ("a/**", "a/b", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("*\n!a/b", "a/b/c", false),
            ("*\n!a/b", "a/x", true),
            ("# a\n#a", "#a", false),
            ("", "a", false),
            (".", "a", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("../a", "a", true),
        ] {
            assert_eq!(ignores(text, path), ignored, "{text:?} {path}");
        }
        let ignore = Ignore::parse("*\n!a/b\n!**/x");
        assert!(ignore.may_include_below(&["a"]) && ignore.may_include_below(&["q"]));
        assert!(!Ignore::parse("*\n!a/b").may_include_below(&["q"]));
    }

    #[test]
    fn a_part_fits_as_go_reads_it() {
        for (pattern, name, fits) in [
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
            ("é?", "éé", true),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
