//! Reads the entries of an archive, one after another, from an untrusted stream.
//!
//! Owns the block structure: headers with their checksums, the extension headers that belong to the entry after them,
//! content and padding. The header layout comes from the `tar` crate. Its iterator is not used, because it reads
//! extension headers of any size into memory and splits PAX records at line ends, although binary xattrs (capabilities,
//! ACLs) may contain such bytes. Where parsers disagree, this one follows Go's `archive/tar`, with which Docker,
//! containerd and umoci read layers.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use tar::{GnuExtSparseHeader, Header};

use super::entry::{Entry, Extensions, Kind, Records, decode};
use super::number::number;
use super::sparse::{self, Announced, Map, Segment};
use super::{Error, pax};

const BLOCK: usize = 512;
/// The largest extension header that is accepted, in bytes. Linux limits xattrs and paths far below this.
const EXTENSION_MAX: u64 = 1 << 20;
const BUFFER: usize = 128 << 10;

pub(super) struct Reader<R> {
    from: BufReader<R>,
    /// Bytes read so far.
    at: u64,
    /// Bytes of the current entry's content that are not yet read, and of the padding after it.
    content: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Reader<R> {
        Reader { from: BufReader::with_capacity(BUFFER, from), at: 0, content: 0, padding: 0 }
    }

    /// The next entry; skips the rest of the one before. `None` at the end of the archive, after the stream was read to
    /// its end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let at = self.at;
            let Some(header) = self.header()? else {
                if !extensions.is_empty() {
                    return Err(Error::DanglingExtension);
                }
                io::copy(&mut self.from, &mut io::sink()).map_err(Error::Read)?;
                return Ok(None);
            };
            match header.as_old().linkflag[0] {
                b'L' => extensions.long_path = Some(until_nul(self.extension(&header, at)?)),
                b'K' => extensions.long_target = Some(until_nul(self.extension(&header, at)?)),
                b'x' => extensions.records = self.extension(&header, at)?,
                // Global records are ignored: they are comments, such as the commit that `git archive` packed.
                b'g' => drop(self.extension(&header, at)?),
                _ => return self.entry(&header, &extensions, at).map(Some),
            }
        }
    }

    /// The offset in the archive of the next byte to be read.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Reads content of the current entry into `buffer` until it is full or the content ends.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let want = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        self.read_exact(&mut buffer[..want], "the content of a file")?;
        self.content -= want as u64;
        Ok(want)
    }

    fn entry(&mut self, header: &Header, extensions: &Extensions, at: u64) -> Result<Entry, Error> {
        let raw = pax::parse(&extensions.records).ok_or(Error::MalformedExtension { at })?;
        let records = Records::sort(&raw);
        let mut entry = decode(header, extensions, &records)?;
        self.content = entry.size;
        self.padding = padding(entry.size);
        if entry.kind == Kind::Regular {
            if header.as_old().linkflag[0] == b'S' {
                (entry.sparse, entry.size) = self.gnu_sparse(header, &entry.path)?;
            } else {
                let announced = sparse::announced(&records.sparse, &entry.path)?;
                if announced != Announced::No {
                    let size = records.sparse.size.and_then(sparse::decimal);
                    let map = self.pax_sparse(announced, records.sparse.map, size, &entry.path)?;
                    (entry.sparse, entry.size) = map;
                }
            }
        }
        Ok(entry)
    }

    /// The map in a header of GNU's own format and in the blocks that continue it.
    fn gnu_sparse(&mut self, header: &Header, path: &Path) -> Result<(Option<Vec<Segment>>, u64), Error> {
        let mut map = Map::new(path);
        let Some(gnu) = header.as_gnu() else { return Err(map.error("its header is not GNU's")) };
        for piece in &gnu.sparse {
            map.push_fields(&piece.offset, &piece.numbytes)?;
        }
        let mut continued = gnu.is_extended();
        while continued {
            let mut block = GnuExtSparseHeader::new();
            self.read_exact(block.as_mut_bytes(), "a sparse map")?;
            for piece in block.sparse() {
                map.push_fields(&piece.offset, &piece.numbytes)?;
            }
            continued = block.is_extended();
        }
        let size = number(&gnu.realsize).and_then(|n| u64::try_from(n).ok());
        let size = size.ok_or_else(|| map.error("a number is out of range"))?;
        Ok((Some(map.finish(size, self.content)?), size))
    }

    /// The map that PAX records hold or announce.
    fn pax_sparse(
        &mut self,
        announced: Announced,
        record: Option<&[u8]>,
        size: Option<u64>,
        path: &Path,
    ) -> Result<(Option<Vec<Segment>>, u64), Error> {
        let mut map = Map::new(path);
        let size = size.ok_or_else(|| map.error("it does not match the size"))?;
        match announced {
            Announced::BeforeData => self.map_before_data(&mut map)?,
            Announced::InRecord | Announced::No => sparse::read_record(&mut map, record.unwrap_or_default())?,
        }
        Ok((Some(map.finish(size, self.content)?), size))
    }

    /// Reads the map from whole blocks at the beginning of the content: decimal lines, the first of which is the number
    /// of pieces.
    fn map_before_data(&mut self, map: &mut Map<'_>) -> Result<(), Error> {
        let mut text = Vec::new();
        let mut lines = 0;
        let mut wanted = 1;
        while lines < wanted {
            let mut block = [0; BLOCK];
            if self.read_content(&mut block)? < BLOCK || text.len() as u64 > EXTENSION_MAX {
                return Err(map.error("it has no end"));
            }
            let first = lines == 0;
            lines += block.iter().filter(|&&b| b == b'\n').count() as u64;
            text.extend_from_slice(&block);
            if first && lines > 0 {
                let pieces = text.split(|&b| b == b'\n').next().and_then(sparse::decimal);
                let pieces = pieces.and_then(|n| n.checked_mul(2)).and_then(|n| n.checked_add(1));
                wanted = pieces.ok_or_else(|| map.error("a number is out of range"))?;
            }
        }
        let mut numbers = text.split(|&b| b == b'\n').skip(1).map(sparse::decimal);
        for _ in 0..wanted / 2 {
            match (numbers.next().flatten(), numbers.next().flatten()) {
                (Some(offset), Some(len)) => map.push(offset, len)?,
                _ => return Err(map.error("a number is out of range")),
            }
        }
        Ok(())
    }

    /// The content of an extension header.
    fn extension(&mut self, header: &Header, at: u64) -> Result<Vec<u8>, Error> {
        let size = number(&header.as_old().size).and_then(|n| u64::try_from(n).ok());
        let size = size.ok_or(Error::MalformedExtension { at })?;
        if size > EXTENSION_MAX {
            return Err(Error::ExtensionTooLarge { size, limit: EXTENSION_MAX });
        }
        let mut data = vec![0; size as usize];
        self.read_exact(&mut data, "an extended header")?;
        self.padding = padding(size);
        Ok(data)
    }

    /// The next header; `None` at an empty block, which marks the end of the archive, or at the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let at = self.at;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        // Some archivers leave out the empty blocks at the end.
        if self.is_at_end()? {
            return Ok(None);
        }
        self.read_exact(block, "a header")?;
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        let old = header.as_old();
        let stated = number(&old.cksum);
        // The checksum is computed with its own field as blanks.
        let own: u32 = old.cksum.iter().map(|&b| u32::from(b)).sum();
        let expected = sum - own + 8 * u32::from(b' ');
        if stated != Some(expected.into()) {
            return Err(Error::NotTar { at });
        }
        Ok(Some(header))
    }

    fn is_at_end(&mut self) -> Result<bool, Error> {
        loop {
            match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(<[u8]>::is_empty).map_err(Error::Read),
            }
        }
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        let skip = self.content + self.padding;
        let skipped = io::copy(&mut (&mut self.from).take(skip), &mut io::sink()).map_err(Error::Read)?;
        self.at += skipped;
        // Missing padding after the last file is accepted, as other readers do.
        if skipped < self.content {
            return Err(Error::Truncated { what: "the content of a file" });
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8], what: &'static str) -> Result<(), Error> {
        self.from.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { what },
            _ => Error::Read(error),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

/// The number of bytes that fill the last block after `size` bytes of content.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|&b| b == 0) {
        text.truncate(end);
    }
    text
}
