//! Reads the log, from its oldest file to its newest, and on while it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Stream, path, rotated};
use crate::image::Instant;

/// One record: a line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// With its newline.
    pub log: String,
    pub stream: Stream,
    pub time: Instant,
}

/// Which records to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub since: Option<Instant>,
    pub until: Option<Instant>,
}

impl Query {
    /// Whether `record` is among those wanted.
    pub fn wants(&self, record: &Record) -> bool {
        self.since.is_none_or(|since| record.time >= since) && !self.is_past(record)
    }

    /// Whether `record` and all after it are too late.
    pub fn is_past(&self, record: &Record) -> bool {
        self.until.is_some_and(|until| record.time > until)
    }
}

/// A reader of a container's log.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    /// The files that are not read to their end, oldest first.
    files: VecDeque<BufReader<File>>,
    /// A record whose end is not written yet.
    line: Vec<u8>,
}

impl Reader {
    /// Opens the log of the container with the directory `dir`; with `tail`, at its last records.
    ///
    /// # Errors
    /// A file cannot be read. A log that is missing is empty.
    pub fn open(dir: &Path, tail: Option<u64>) -> io::Result<Reader> {
        let mut files = VecDeque::new();
        for age in 0.. {
            match File::open(rotated(dir, age)) {
                Ok(file) => files.push_front(file),
                // The newest can be missing, just after the log began a new file.
                Err(error) if error.kind() == ErrorKind::NotFound && age == 0 => {}
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        if let Some(wanted) = tail {
            let mut missing = wanted;
            for file in files.iter_mut().rev() {
                missing -= seek_to_last(file, missing)?;
            }
        }
        Ok(Reader { dir: dir.into(), files: files.into_iter().map(BufReader::new).collect(), line: Vec::new() })
    }

    /// The next record; `None` when there is no more now. Skips what is not a record.
    ///
    /// # Errors
    /// A file cannot be read.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(file) = self.files.front_mut() else {
                match File::open(path(&self.dir)) {
                    Ok(file) => self.files.push_back(BufReader::new(file)),
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error),
                }
                continue;
            };
            if file.read_until(b'\n', &mut self.line)? > 0 && self.line.last() == Some(&b'\n') {
                let record = serde_json::from_slice(&self.line);
                self.line.clear();
                match record {
                    Ok(record) => return Ok(Some(record)),
                    Err(_) => continue,
                }
            }
            // At the end of a file. Only the newest grows.
            if self.files.len() == 1 && !self.is_rotated()? {
                return Ok(None);
            }
            // What was written before the rotation is in this file.
            let Some(mut last) = self.files.pop_front() else { continue };
            if last.fill_buf()?.is_empty() {
                self.line.clear();
            } else {
                self.files.push_front(last);
            }
        }
    }

    /// Whether the file that is read is no longer the newest.
    fn is_rotated(&self) -> io::Result<bool> {
        let Some(file) = self.files.front() else { return Ok(false) };
        match std::fs::metadata(path(&self.dir)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            newest => Ok(newest?.ino() != file.get_ref().metadata()?.ino()),
        }
    }
}

/// Moves to the last `wanted` lines of `file`, or to its start; returns how many lines follow.
fn seek_to_last(file: &mut File, wanted: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - start).unwrap_or(0), 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if found == wanted {
                file.seek(SeekFrom::Start(start + at as u64 + 1))?;
                return Ok(found);
            }
            found += 1;
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{LogSettings, Writer};
    use super::*;

    fn rest(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| reader.next().unwrap()).map(|record| record.log.trim_end().to_owned()).collect()
    }

    #[test]
    fn the_last_records_are_found_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let settings = LogSettings { kept: true, max_size: Some(300), max_files: 9 };
        let mut writer = Writer::new(dir.path().into(), settings);
        (0..20).for_each(|i| writer.add(Stream::Stdout, format!("{i}\n").as_bytes()));
        assert!(rotated(dir.path(), 3).exists());
        for wanted in [0, 1, 5, 19, 20, 21] {
            let mut reader = Reader::open(dir.path(), Some(wanted)).unwrap();
            let expected: Vec<_> = (20 - wanted.min(20)..20).map(|i| i.to_string()).collect();
            assert_eq!(rest(&mut reader), expected, "{wanted}");
        }
    }

    #[test]
    fn a_reader_follows_the_log_into_new_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::open(dir.path(), None).unwrap();
        assert!(reader.next().unwrap().is_none());
        let settings = LogSettings { kept: true, max_size: Some(300), max_files: 2 };
        let mut writer = Writer::new(dir.path().into(), settings);
        for i in 0..50 {
            writer.add(Stream::Stdout, format!("{i}\n").as_bytes());
            assert_eq!(rest(&mut reader), [i.to_string()]);
        }
    }

    #[test]
    fn half_a_record_is_kept_until_its_end_comes() {
        let dir = tempfile::tempdir().unwrap();
        let record = br#"{"log":"x\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}"#;
        std::fs::write(path(dir.path()), &record[..20]).unwrap();
        let mut reader = Reader::open(dir.path(), None).unwrap();
        assert!(reader.next().unwrap().is_none());
        std::fs::write(path(dir.path()), [record, &b"\n"[..]].concat()).unwrap();
        assert_eq!(rest(&mut reader), ["x"]);
    }

    #[test]
    fn records_are_chosen_by_their_time() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let record = Record { log: String::new(), stream: Stream::Stdout, time: at("2026-01-01T00:00:05Z") };
        for (since, until, wanted) in [
            (None, None, true),
            (Some("2026-01-01T00:00:05Z"), None, true),
            (Some("2026-01-01T00:00:06Z"), None, false),
            (None, Some("2026-01-01T00:00:05Z"), true),
            (None, Some("2026-01-01T00:00:04Z"), false),
        ] {
            let query = Query { since: since.map(at), until: until.map(at) };
            assert_eq!(query.wants(&record), wanted, "{since:?} {until:?}");
        }
    }
}
