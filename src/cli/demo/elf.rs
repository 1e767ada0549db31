//! Finds what a program needs to start, its interpreter and libraries, as the dynamic linker does.
//!
//! Only reads files. `ldd` would run the program.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use goblin::elf::Elf;

/// The default directories of libraries.
const DEFAULT_DIRS: [&str; 5] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];

/// The files that a program loads before its own code runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The interpreter that the program names; `None` for a static program.
    pub interpreter: Option<PathBuf>,
    /// Paths by the name that programs use.
    pub libraries: BTreeMap<String, PathBuf>,
}

/// Finds libraries of this host as the dynamic linker does.
#[derive(Debug)]
pub(super) struct Linker {
    /// The cache that `ldconfig` wrote: names and paths.
    cache: Vec<(String, PathBuf)>,
}

/// The part of an ELF file that matters here.
struct Object {
    machine: u16,
    is_64: bool,
    interpreter: Option<PathBuf>,
    libraries: Vec<String>,
    search: Vec<PathBuf>,
}

impl Linker {
    pub(super) fn of_this_host() -> Linker {
        // Hosts without glibc have no cache.
        Linker { cache: fs::read("/etc/ld.so.cache").map(|bytes| parse_cache(&bytes)).unwrap_or_default() }
    }

    /// Everything that `program` and its libraries load.
    ///
    /// # Errors
    /// `program` is not an ELF file, or a library is missing.
    pub(super) fn needs(&self, program: &Path) -> Result<Needs> {
        let first = Object::read(program)?;
        let mut needs = Needs { interpreter: first.interpreter.clone(), ..Needs::default() };
        let like = (first.machine, first.is_64);
        let mut todo = vec![first];
        while let Some(object) = todo.pop() {
            for name in &object.libraries {
                if needs.libraries.contains_key(name) {
                    continue;
                }
                let found = self.candidates(name, &object.search).find_map(|path| {
                    let library = Object::read(&path).ok().filter(|o| (o.machine, o.is_64) == like)?;
                    Some((path, library))
                });
                let (path, library) =
                    found.with_context(|| format!("{}: library {name} is not found", program.display()))?;
                needs.libraries.insert(name.clone(), path);
                todo.push(library);
            }
        }
        Ok(needs)
    }

    fn candidates<'a>(&'a self, name: &'a str, search: &'a [PathBuf]) -> impl Iterator<Item = PathBuf> + 'a {
        let as_path = name.contains('/').then(|| PathBuf::from(name));
        let cached = self.cache.iter().filter(move |(cached, _)| cached == name).map(|(_, path)| path.clone());
        let dirs = DEFAULT_DIRS.iter().map(PathBuf::from);
        as_path
            .into_iter()
            .chain(search.iter().map(move |dir| dir.join(name)))
            .chain(cached)
            .chain(dirs.map(move |dir| dir.join(name)))
    }
}

impl Object {
    fn read(path: &Path) -> Result<Object> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let elf = Elf::parse(&bytes).with_context(|| format!("{} is not an ELF file", path.display()))?;
        if elf.header.e_type != goblin::elf::header::ET_EXEC && elf.header.e_type != goblin::elf::header::ET_DYN {
            bail!("{} is neither a program nor a library", path.display());
        }
        // `$ORIGIN` is the directory of the file after links are resolved.
        let real = path.canonicalize().unwrap_or_else(|_| path.into());
        let origin = real.parent().unwrap_or(Path::new("/"));
        let search = elf.rpaths.iter().chain(&elf.runpaths).flat_map(|list| list.split(':'));
        Ok(Object {
            machine: elf.header.e_machine,
            is_64: elf.is_64,
            interpreter: elf.interpreter.map(PathBuf::from),
            libraries: elf.libraries.iter().map(|&name| name.to_owned()).collect(),
            search: search.filter(|dir| !dir.is_empty()).map(|dir| expand(dir, origin)).collect(),
        })
    }
}

fn expand(dir: &str, origin: &Path) -> PathBuf {
    let origin = origin.to_string_lossy();
    dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).into()
}

/// Reads names and paths from `/etc/ld.so.cache`, in the format of glibc 2.2 and later: a header with the count,
/// entries of 24 bytes, and strings at offsets from the header. A cache in the older format can precede it.
fn parse_cache(bytes: &[u8]) -> Vec<(String, PathBuf)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEAD: usize = 48;
    const ENTRY: usize = 24;
    let Some(start) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else { return Vec::new() };
    let bytes = &bytes[start..];
    let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let text = |at: usize| bytes.get(at..)?.split(|&b| b == 0).next();
    let entry = |at: usize| {
        // Skips libraries for particular processors: each is also listed without that restriction.
        let plain = bytes.get(at + 16..at + ENTRY)?.iter().all(|&b| b == 0);
        let name = std::str::from_utf8(text(number(at + 4)?)?).ok()?;
        let path = PathBuf::from(OsStr::from_bytes(text(number(at + 8)?)?));
        plain.then(|| (name.to_owned(), path))
    };
    let room = bytes.len().saturating_sub(HEAD) / ENTRY;
    let count = number(MAGIC.len()).unwrap_or(0).min(room);
    (0..count).filter_map(|index| entry(HEAD + index * ENTRY)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_read_even_after_an_older_one() {
        let mut cache = b"glibc-ld.so.cache1.1".to_vec();
        for number in [2u32, 0, 0, 0, 0, 0, 0] {
            cache.extend(number.to_ne_bytes());
        }
        let strings = 48 + 2 * 24;
        for (name, path, hwcap) in [(0, 8, 0u64), (0, 8, 1)] {
            for number in [0u32, strings + name, strings + path, 0] {
                cache.extend(number.to_ne_bytes());
            }
            cache.extend(hwcap.to_ne_bytes());
        }
        cache.extend(b"libx.so\0/lib/libx.so\0");
        let expected = vec![("libx.so".to_owned(), PathBuf::from("/lib/libx.so"))];
        assert_eq!(parse_cache(&cache), expected);
        assert_eq!(parse_cache(&[b"ld.so-1.7.0 and so on".as_slice(), &cache].concat()), expected);
    }

    #[test]
    fn a_damaged_cache_is_ignored() {
        let mut cache = b"glibc-ld.so.cache1.1".to_vec();
        cache.extend([0xff; 200]);
        assert_eq!(parse_cache(&cache), []);
        assert_eq!(parse_cache(b"glibc-ld.so.cache1.1"), []);
        assert_eq!(parse_cache(b""), []);
    }

    #[test]
    fn this_program_finds_its_own_libraries() {
        let program = std::env::current_exe().expect("the path of this program");
        let needs = Linker::of_this_host().needs(&program).expect("its needs");
        assert!(needs.interpreter.iter().chain(needs.libraries.values()).all(|path| path.exists()), "{needs:?}");
    }

    #[test]
    fn the_origin_is_the_directory_of_the_file() {
        for (dir, expected) in [("$ORIGIN/../lib", "/opt/x/../lib"), ("${ORIGIN}", "/opt/x"), ("/lib", "/lib")] {
            assert_eq!(expand(dir, Path::new("/opt/x")), Path::new(expected));
        }
    }
}
