//! Origin: the lower file from which a file of the upper layer was copied up.
//!
//! The mark has the kernel's layout, followed by the number that the file had in the union. The kernel ignores those
//! extra bytes. The number is needed because only the file system itself can decode a file handle.
//!
//! ```text
//! version=0  magic=0xfb  len  flags  type  uuid[16]  handle[len-21] | "ovfn"  number (u64, little endian)
//! ```

use crate::sys::FileHandle;

const MAGIC: u8 = 0xfb;
const HEADER: usize = 21;
const TAG: &[u8] = b"ovfn";
/// A flag that no kernel knows, so that the kernel ignores the mark.
const NO_HANDLE: u8 = 0x80;
#[cfg(target_endian = "little")]
const FLAGS: u8 = 0;
#[cfg(target_endian = "big")]
const FLAGS: u8 = 1;

/// The content of an origin mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Origin {
    /// The number that the file had in the union that copied it up.
    Number(u64),
    /// File system and inode number, from a mark that the kernel wrote.
    Inode { uuid: [u8; 16], ino: u64 },
}

impl Origin {
    /// Decodes the mark's value; `None` if that is not possible.
    pub fn decode(value: &[u8]) -> Option<Origin> {
        let (&[0, MAGIC, len, flags, kind], rest) = value.split_first_chunk()? else { return None };
        let (uuid, _) = rest.split_first_chunk()?;
        let handle = value.get(HEADER..usize::from(len))?;
        if let Some(number) = value.get(usize::from(len)..)?.strip_prefix(TAG) {
            return number.try_into().ok().map(|bytes| Origin::Number(u64::from_le_bytes(bytes)));
        }
        if flags != FLAGS {
            return None;
        }
        Some(Origin::Inode { uuid: *uuid, ino: inode_of(kind, handle)? })
    }

    /// The mark's value for a file that has `number`.
    pub fn encode(number: u64, uuid: [u8; 16], handle: Option<&FileHandle>) -> Vec<u8> {
        let mut value = head(uuid, handle);
        value.extend_from_slice(TAG);
        value.extend_from_slice(&number.to_le_bytes());
        value
    }

    /// The file's name in the hardlink index: the kernel's name, or one of our own if there is no handle.
    pub fn index_name(number: u64, uuid: [u8; 16], handle: Option<&FileHandle>) -> String {
        let bytes = match handle {
            Some(_) => head(uuid, handle),
            None => Origin::encode(number, uuid, None),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Decodes a name in the hardlink index.
    pub fn of_index_name(name: &str) -> Option<Origin> {
        let digits = name.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
        let bytes: Option<Vec<u8>> = digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect();
        Origin::decode(&bytes?)
    }
}

fn head(uuid: [u8; 16], handle: Option<&FileHandle>) -> Vec<u8> {
    let fits = |handle: &&FileHandle| HEADER + handle.bytes.len() <= usize::from(u8::MAX);
    let (flags, kind, bytes) = match handle.filter(fits) {
        Some(handle) => (FLAGS, handle.kind as u8, handle.bytes.as_slice()),
        None => (NO_HANDLE, 0, [].as_slice()),
    };
    let mut value = vec![0, MAGIC, (HEADER + bytes.len()) as u8, flags, kind];
    value.extend_from_slice(&uuid);
    value.extend_from_slice(bytes);
    value
}

/// The inode number in a handle, for the file systems whose layout is known.
fn inode_of(kind: u8, handle: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u64::from(u32::from_ne_bytes(handle.get(at..at + 4)?.try_into().ok()?)));
    let long = || Some(u64::from_ne_bytes(handle.get(..8)?.try_into().ok()?));
    match (kind, handle.len()) {
        // ext4, f2fs: inode, generation.
        (1, 8) => word(0),
        // tmpfs: generation, inode in two halves.
        (1, 12) => Some(word(4)? | word(8)? << 32),
        // xfs: 64-bit inode, generation. Btrfs: object, root, generation.
        (0x81, 12) | (0x4d, 20) => long(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = *b"0123456789abcdef";

    fn handle(kind: i32, bytes: &[u8]) -> FileHandle {
        FileHandle { kind, bytes: bytes.to_vec() }
    }

    #[test]
    fn a_number_survives_with_a_handle_and_without() {
        let ext4 = handle(1, &[7, 0, 0, 0, 9, 0, 0, 0]);
        for handle in [Some(&ext4), None] {
            let value = Origin::encode(1 << 60, UUID, handle);
            assert_eq!(Origin::decode(&value), Some(Origin::Number(1 << 60)));
        }
    }

    #[test]
    fn the_handles_of_known_file_systems_name_their_inode() {
        for (handle, ino) in [
            (handle(1, &[7, 0, 0, 0, 9, 0, 0, 0]), Some(7)),
            (handle(1, &[9, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]), Some(7 | 1 << 32)),
            (handle(0x81, &[7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]), Some(7 | 1 << 32)),
            (handle(0x99, &[7, 0, 0, 0, 1, 0, 0, 0]), None),
        ] {
            let name = Origin::index_name(3, UUID, Some(&handle));
            let expected = ino.map(|ino| Origin::Inode { uuid: UUID, ino });
            if cfg!(target_endian = "little") {
                assert_eq!(Origin::of_index_name(&name), expected, "{handle:?}");
            }
        }
    }

    #[test]
    fn what_is_no_origin_tells_nothing() {
        for value in [&b""[..], b"x", b"\0\xfb", &[0, MAGIC, 255, 0, 1], &[1; 40], &[0; 40]] {
            assert_eq!(Origin::decode(value), None, "{value:?}");
        }
        assert_eq!(Origin::of_index_name("0"), None);
        assert_eq!(Origin::of_index_name("work"), None);
        assert_eq!(Origin::of_index_name("é"), None);
    }
}
