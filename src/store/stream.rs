//! Streams that are read or written once, and hashed, counted, copied or (de)compressed on the way.

use std::io::{self, BufReader, Read, Write};

use crate::image::{Compression, Digest, Hasher};

const BUFFER: usize = 128 << 10;

/// A reader that passes bytes on and records their digest, their number, and if wanted a copy.
pub(super) struct Tap<'a, R> {
    from: R,
    hasher: Hasher,
    bytes: u64,
    copy: Option<&'a mut dyn Write>,
    /// The error of writing the copy, kept apart from errors of reading.
    copy_failed: Option<io::Error>,
    on_read: &'a mut dyn FnMut(u64),
}

/// What went through a [`Tap`].
#[derive(Debug)]
pub(super) struct Passed {
    pub digest: Digest,
    pub bytes: u64,
    pub copied: io::Result<()>,
}

impl<'a, R: Read> Tap<'a, R> {
    pub(super) fn new(from: R, copy: Option<&'a mut dyn Write>, on_read: &'a mut dyn FnMut(u64)) -> Tap<'a, R> {
        Tap { from, hasher: Hasher::default(), bytes: 0, copy, copy_failed: None, on_read }
    }

    /// Reads the rest, and returns what was recorded.
    pub(super) fn finish(mut self) -> io::Result<Passed> {
        if self.copy_failed.is_some() {
            self.copy = None;
        }
        drain(&mut self)?;
        let copied = self.copy_failed.map_or(Ok(()), Err);
        Ok(Passed { digest: self.hasher.finish(), bytes: self.bytes, copied })
    }
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let bytes = &buffer[..read];
        self.hasher.update(bytes);
        self.bytes += read as u64;
        (self.on_read)(read as u64);
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(bytes)
        {
            let kind = error.kind();
            self.copy_failed = Some(error);
            self.copy = None;
            return Err(kind.into());
        }
        Ok(read)
    }
}

/// A reader that computes the digest of the bytes that it passes on.
pub(super) struct Hashed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(from: R) -> Hashed<R> {
        Hashed { from, hasher: Hasher::default() }
    }

    /// Reads the rest, and returns the digest of all bytes.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        drain(&mut self)?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Decompresses `from`; the first bytes tell the compression.
///
/// # Errors
/// The first bytes cannot be read, or no decoder can be made.
pub fn decompress<'a>(mut from: impl Read + 'a) -> io::Result<(Box<dyn Read + 'a>, Compression)> {
    let mut magic = Vec::with_capacity(Compression::MAGIC);
    from.by_ref().take(Compression::MAGIC as u64).read_to_end(&mut magic)?;
    let compression = Compression::sniff(&magic);
    let from = BufReader::with_capacity(BUFFER, io::Cursor::new(magic).chain(from));
    let reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(from),
        // A file may have many gzip members: seekable formats use one for each part.
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(from)?),
    };
    Ok((reader, compression))
}

/// A writer that compresses; [`Compressor::finish`] writes the end of the compressed stream.
pub(super) enum Compressor<W: Write> {
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(to: W, compression: Compression) -> io::Result<Compressor<W>> {
        Ok(match compression {
            Compression::None => Compressor::None(to),
            Compression::Gzip => Compressor::Gzip(flate2::write::GzEncoder::new(to, flate2::Compression::default())),
            Compression::Zstd => Compressor::Zstd(zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        })
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::None(to) => Ok(to),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::None(to) => to.write(bytes),
            Compressor::Gzip(encoder) => encoder.write(bytes),
            Compressor::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::None(to) => to.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A writer that passes bytes on to `to`, and records their digest and their number.
#[derive(Debug)]
pub(super) struct Counted<W> {
    to: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    pub(super) fn new(to: W) -> Counted<W> {
        Counted { to, hasher: Hasher::default(), bytes: 0 }
    }

    pub(super) fn finish(self) -> (W, Digest, u64) {
        (self.to, self.hasher.finish(), self.bytes)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn drain(from: &mut impl Read) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
