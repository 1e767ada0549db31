//! Builds archives from text in the format of [`tree`](crate::support::tree), but in any order and with any names.
//! `~SECONDS` sets the time, `=KEY=VALUE` adds a PAX record.

use std::path::{Path, PathBuf};

use overfuse::layer::Policy;
use overfuse::sys::Dir;
use overfuse::tar::{Error, Unpacked};
use tar::{Builder, EntryType, Header};

use crate::support::show;
use crate::support::tree::{content, split};

/// The archive that `text` describes.
pub fn archive(text: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        entry(&mut builder, &split(line));
    }
    builder.into_inner().expect("finish the archive")
}

fn entry(builder: &mut Builder<Vec<u8>>, words: &[String]) {
    let (attributes, words): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with(['@', '+', '~', '=']));
    let (kind, name) = (words[0], content(words[1]));
    let third = words.get(2).copied().unwrap_or_default();
    let mut header = Header::new_gnu();
    header.set_mode(u32::from_str_radix(third, 8).unwrap_or(0o755));
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    let mut data = Vec::new();
    if kind == "f" || kind == "g" {
        data = content(words.get(3).copied().unwrap_or_default());
    }
    header.set_entry_type(match kind {
        "d" => EntryType::Directory,
        "f" => EntryType::Regular,
        "l" => EntryType::Symlink,
        "h" => EntryType::Link,
        "c" => EntryType::Char,
        "b" => EntryType::Block,
        "p" => EntryType::Fifo,
        other => EntryType::new(other.as_bytes()[0]),
    });
    header.set_size(data.len() as u64);
    if kind == "c" || kind == "b" {
        let (major, minor) = words[3].split_once(':').expect("major:minor");
        header.set_device_major(major.parse().expect("a major number")).expect("a device has numbers");
        header.set_device_minor(minor.parse().expect("a minor number")).expect("a device has numbers");
    }
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    for attribute in attributes {
        let (sign, rest) = attribute.split_at(1);
        let (key, value) = rest.split_once(['=', ':']).unwrap_or((rest, ""));
        match sign {
            "@" => {
                header.set_uid(key.parse().expect("an owner"));
                header.set_gid(value.parse().expect("a group"));
            }
            "~" => header.set_mtime(key.parse().expect("seconds")),
            "+" => records.push((format!("SCHILY.xattr.{key}"), content(value))),
            _ => records.push((key.into(), content(value))),
        }
    }
    let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    builder.append_pax_extensions(records).expect("append to memory");
    put(builder, b'L', &name, &mut header.as_old_mut().name);
    if kind == "l" || kind == "h" {
        put(builder, b'K', &content(third), &mut header.as_old_mut().linkname);
    }
    header.set_cksum();
    builder.append(&header, data.as_slice()).expect("append to memory");
}

/// Writes a name into its header field. A name that is too long also gets an entry of its own before the header.
fn put(builder: &mut Builder<Vec<u8>>, long: u8, name: &[u8], field: &mut [u8; 100]) {
    if name.len() > field.len() {
        builder.append(&header_of(long, name.len() as u64), name).expect("append to memory");
    }
    let len = name.len().min(field.len());
    field[..len].copy_from_slice(&name[..len]);
}

/// A header for an entry of type `kind` with `size` bytes.
pub fn header_of(kind: u8, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..6].copy_from_slice(b"header");
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// Unpacks into a new directory `layer` in `dir`, with the policy that this process can use there.
pub fn unpack(archive: &[u8], dir: &Path) -> (PathBuf, Result<Unpacked, Error>) {
    let path = dir.join("layer");
    std::fs::create_dir(&path).expect("make the layer's directory");
    let layer = Dir::open_host(&path).expect("open the layer's directory");
    let policy = Policy::probe(&Dir::open_host(dir).expect("open the scratch directory")).expect("probe");
    let result = overfuse::tar::unpack(archive, &layer, policy);
    (path, result)
}

/// The tree in `dir` as text; owners, modes and kinds that an ordinary user could only record in an xattr are decoded.
pub fn seen(dir: &Path) -> String {
    show(dir).lines().map(decoded).collect::<Vec<_>>().join("\n")
}

fn decoded(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(Into::into).collect();
    let is_record = |word: &String| word.starts_with("+user.containers.override_stat=");
    let Some(at) = words.iter().position(is_record) else { return line.into() };
    let record = words.remove(at);
    let value = record.split_once('=').map_or("", |(_, value)| value);
    let [uid, gid, mode, kind] = value.split(':').collect::<Vec<_>>()[..] else { panic!("{record}") };
    words[2] = mode.strip_prefix('0').unwrap_or(mode).into();
    if kind == "pipe" {
        words[0] = "p".into();
        words.remove(3);
    }
    if (uid, gid) != ("0", "0") {
        words.push(format!("@{uid}:{gid}"));
    }
    words.join(" ")
}

/// An error and its causes, as the command line prints them.
pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
