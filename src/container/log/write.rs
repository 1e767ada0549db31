//! Writes the log: cuts output into records, and begins a new file when the newest has its largest size.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{LogSettings, Stream, TEXT_MAX, path, rotated};
use crate::image::Instant;

/// The writer of a container's log. Makes the file with the first record.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    settings: LogSettings,
    file: Option<File>,
    /// Bytes in `file`.
    size: u64,
    /// Output after the last newline of each stream.
    partial: [Vec<u8>; 2],
    /// Records that are not yet in `file`.
    batch: Vec<u8>,
    /// An error is reported once, not for each line.
    warned: bool,
}

impl Writer {
    /// Continues the log of the container with the directory `dir`.
    pub fn new(dir: PathBuf, settings: LogSettings) -> Writer {
        Writer {
            dir,
            settings,
            file: None,
            size: 0,
            partial: [Vec::new(), Vec::new()],
            batch: Vec::new(),
            warned: false,
        }
    }

    /// Adds output. A line is written when it is complete; its end may come later.
    ///
    /// When the file cannot be written, the lines are lost and the container goes on; a warning tells the reason.
    pub fn add(&mut self, stream: Stream, output: &[u8]) {
        if !self.settings.kept {
            return;
        }
        let now = Instant::now().to_string();
        let written = self.cut(stream, output, &now).and_then(|()| self.flush());
        self.report(written);
    }

    /// Writes the lines that have no end, because no more output comes.
    pub fn finish(&mut self) {
        let now = Instant::now().to_string();
        let rest = |writer: &mut Writer| {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let text = std::mem::take(&mut writer.partial[stream as usize]);
                if !text.is_empty() {
                    writer.record(stream, &text, &now)?;
                }
            }
            writer.flush()
        };
        let written = rest(self);
        self.report(written);
    }

    fn report(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.batch.clear();
            self.file = None;
            if !self.warned {
                tracing::warn!(%error, "the container's log cannot be written");
            }
            self.warned = true;
        }
    }

    fn cut(&mut self, stream: Stream, mut output: &[u8], now: &str) -> io::Result<()> {
        while !output.is_empty() {
            let line = output.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let (piece, rest) = output.split_at(line.unwrap_or(output.len()));
            output = rest;
            let partial = &mut self.partial[stream as usize];
            // The usual case: a whole line, which is not copied first.
            if line.is_some() && partial.is_empty() && piece.len() <= TEXT_MAX {
                self.record(stream, piece, now)?;
                continue;
            }
            partial.extend_from_slice(piece);
            let mut text = std::mem::take(partial);
            let mut at = 0;
            while text.len() - at > TEXT_MAX {
                let end = at + whole_characters(&text[at..at + TEXT_MAX]);
                self.record(stream, &text[at..end], now)?;
                at = end;
            }
            if line.is_some() {
                self.record(stream, &text[at..], now)?;
                text.clear();
            } else {
                text.drain(..at);
            }
            self.partial[stream as usize] = text;
        }
        Ok(())
    }

    fn record(&mut self, stream: Stream, text: &[u8], now: &str) -> io::Result<()> {
        let start = self.batch.len();
        self.batch.extend_from_slice(b"{\"log\":");
        serde_json::to_writer(&mut self.batch, &String::from_utf8_lossy(text))?;
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        writeln!(self.batch, ",\"stream\":\"{stream}\",\"time\":\"{now}\"}}")?;
        let Some(most) = self.settings.max_size else { return Ok(()) };
        self.open()?;
        if self.size.saturating_add(self.batch.len() as u64) > most {
            let last = self.batch.split_off(start);
            self.flush()?;
            // A record that is larger than a file may be has a file of its own.
            if self.size > 0 {
                self.rotate()?;
            }
            self.batch = last;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.open()?.write_all(&batch)?;
        self.size += batch.len() as u64;
        // Keeps the room that it has taken.
        batch.clear();
        self.batch = batch;
        Ok(())
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = File::options().create(true).append(true).read(true).open(path(&self.dir))?;
            self.size = file.metadata()?.len();
            // An earlier writer may have been killed within a record.
            if self.size > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    self.size += 1;
                }
            }
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }

    /// Moves each file one step on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.size = 0;
        let oldest = self.settings.max_files.saturating_sub(1);
        if oldest == 0 {
            return absent_is_fine(fs::remove_file(path(&self.dir)));
        }
        for age in (0..oldest).rev() {
            absent_is_fine(fs::rename(rotated(&self.dir, age), rotated(&self.dir, age + 1)))?;
        }
        Ok(())
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The length of `text` without an unfinished UTF-8 character at its end.
fn whole_characters(text: &[u8]) -> usize {
    let longest = text.len().saturating_sub(3);
    let start = (longest..text.len()).rev().find(|&at| text[at] & 0xC0 != 0x80);
    match start {
        Some(at) if std::str::from_utf8(&text[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    fn logged(settings: LogSettings, outputs: &[(Stream, &[u8])]) -> (tempfile::TempDir, Vec<(Stream, String)>) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(dir.path().into(), settings);
        for (stream, output) in outputs {
            writer.add(*stream, output);
        }
        writer.finish();
        let records = records(dir.path());
        (dir, records)
    }

    fn records(dir: &std::path::Path) -> Vec<(Stream, String)> {
        let mut reader = Reader::open(dir, None).unwrap();
        std::iter::from_fn(|| reader.next().unwrap()).map(|record| (record.stream, record.log)).collect()
    }

    #[test]
    fn each_line_is_a_record_in_dockers_format() {
        use Stream::{Stderr, Stdout};
        let (dir, records) = logged(
            LogSettings::default(),
            &[(Stdout, b"one\ntw"), (Stderr, b"\"error\"\n"), (Stdout, b"o\n\nend\xff")],
        );
        let expected =
            [(Stdout, "one\n"), (Stderr, "\"error\"\n"), (Stdout, "two\n"), (Stdout, "\n"), (Stdout, "end\u{fffd}")];
        assert_eq!(records, expected.map(|(stream, text)| (stream, text.to_owned())));
        let text = fs::read_to_string(path(dir.path())).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with(r#"{"log":"one\n","stream":"stdout","time":"2"#) && first.ends_with("Z\"}"),
            "{first}"
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_loses_nothing() {
        let line = "ä".repeat(3 * TEXT_MAX / 2) + "\n";
        // One byte more, so that a cut falls within a character.
        let line = format!("x{line}");
        for piece in [line.len(), 1000, TEXT_MAX + 1] {
            let outputs: Vec<_> = line.as_bytes().chunks(piece).map(|chunk| (Stream::Stdout, chunk)).collect();
            let (_dir, records) = logged(LogSettings::default(), &outputs);
            assert!(records.len() >= 3 && records.iter().all(|(_, text)| text.len() <= TEXT_MAX), "{piece}");
            assert_eq!(records.into_iter().map(|(_, text)| text).collect::<String>(), line, "{piece}");
        }
    }

    #[test]
    fn files_have_a_largest_size_and_the_oldest_goes() {
        let outputs: Vec<_> = (0..100).map(|i| format!("line {i}\n").into_bytes()).collect();
        let outputs: Vec<_> = outputs.iter().map(|line| (Stream::Stdout, line.as_slice())).collect();
        for max_files in [1, 3] {
            let settings = LogSettings { kept: true, max_size: Some(1000), max_files };
            let (dir, records) = logged(settings, &outputs);
            let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
            let sizes: Vec<_> = files.collect();
            assert!(sizes.len() == max_files as usize && sizes.iter().all(|&size| size <= 1000), "{sizes:?}");
            assert_eq!(records.last().unwrap().1, "line 99\n");
            let first: usize = records[0].1.trim()["line ".len()..].parse().unwrap();
            assert_eq!(first + records.len(), 100, "no record is missing in between");
        }
    }

    #[test]
    fn one_write_of_many_lines_is_spread_over_files() {
        let output = (0..100).map(|i| format!("line {i}\n")).collect::<String>();
        let settings = LogSettings { kept: true, max_size: Some(1000), max_files: 100 };
        let (_dir, records) = logged(settings, &[(Stream::Stdout, output.as_bytes())]);
        assert_eq!(records.into_iter().map(|(_, text)| text).collect::<String>(), output);
    }

    #[test]
    fn a_record_that_was_cut_off_by_a_crash_spoils_no_other() {
        let (dir, _) = logged(LogSettings::default(), &[(Stream::Stdout, b"before\n")]);
        File::options().append(true).open(path(dir.path())).unwrap().write_all(b"{\"log\":\"half").unwrap();
        let mut writer = Writer::new(dir.path().into(), LogSettings::default());
        writer.add(Stream::Stdout, b"after\n");
        let texts: Vec<_> = records(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["before\n", "after\n"]);
    }

    #[test]
    fn a_log_that_is_not_kept_makes_no_file() {
        let (dir, records) =
            logged(LogSettings { kept: false, ..LogSettings::default() }, &[(Stream::Stdout, b"line\nrest")]);
        assert!(records.is_empty() && !path(dir.path()).exists());
    }
}
