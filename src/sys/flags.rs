//! The file flags that `chattr` sets.

use std::os::fd::{AsFd, AsRawFd};

use super::count::{Call, account_as};
use super::{Errno, File, Result};

const IMMUTABLE: u32 = 0x10;
const APPEND_ONLY: u32 = 0x20;
const EXTENDED_IMMUTABLE: u32 = 0x8;
const EXTENDED_APPEND_ONLY: u32 = 0x10;

const GET_FLAGS: u32 = 0x8008_6601;
const SET_FLAGS: u32 = 0x4008_6602;
const GET_EXTENDED: u32 = 0x801c_581f;
const SET_EXTENDED: u32 = 0x401c_5820;

/// The word that `FS_IOC_GETFLAGS` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFlags(pub u32);

/// The words that `FS_IOC_FSGETXATTR` returns: the first holds the flags, the others the extent size, project id and so
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedFlags(pub [u32; 7]);

/// A program's `ioctl(2)` that reads or sets the flags of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagsRequest {
    /// `FS_IOC_GETFLAGS`.
    Get,
    /// `FS_IOC_SETFLAGS`.
    Set(FileFlags),
    /// `FS_IOC_FSGETXATTR`.
    GetExtended,
    /// `FS_IOC_FSSETXATTR`.
    SetExtended(ExtendedFlags),
}

impl FlagsRequest {
    /// Decodes a request and its argument; `None` when the request is not about flags or its argument is too short.
    pub fn decode(command: u32, argument: &[u8]) -> Option<FlagsRequest> {
        let mut words = argument.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        Some(match command {
            GET_FLAGS => FlagsRequest::Get,
            SET_FLAGS => FlagsRequest::Set(FileFlags(words.next()?)),
            GET_EXTENDED => FlagsRequest::GetExtended,
            SET_EXTENDED => {
                let mut all = [0; 7];
                for word in &mut all {
                    *word = words.next()?;
                }
                FlagsRequest::SetExtended(ExtendedFlags(all))
            }
            _ => return None,
        })
    }
}

fn replaced(flags: u32, bits: [(u32, bool); 2]) -> u32 {
    bits.into_iter().fold(flags, |flags, (bit, set)| if set { flags | bit } else { flags & !bit })
}

impl FileFlags {
    /// Whether nothing of the file may change.
    pub fn immutable(self) -> bool {
        self.0 & IMMUTABLE != 0
    }

    /// Whether data can only be appended.
    pub fn append_only(self) -> bool {
        self.0 & APPEND_ONLY != 0
    }

    /// The same flags with these two set or cleared.
    pub fn with(self, immutable: bool, append_only: bool) -> FileFlags {
        FileFlags(replaced(self.0, [(IMMUTABLE, immutable), (APPEND_ONLY, append_only)]))
    }
}

impl ExtendedFlags {
    /// Whether nothing of the file may change.
    pub fn immutable(self) -> bool {
        self.0[0] & EXTENDED_IMMUTABLE != 0
    }

    /// Whether data can only be appended.
    pub fn append_only(self) -> bool {
        self.0[0] & EXTENDED_APPEND_ONLY != 0
    }

    /// The same words with these two flags set or cleared.
    pub fn with(mut self, immutable: bool, append_only: bool) -> ExtendedFlags {
        self.0[0] = replaced(self.0[0], [(EXTENDED_IMMUTABLE, immutable), (EXTENDED_APPEND_ONLY, append_only)]);
        self
    }

    /// The words in the kernel's byte order.
    pub fn bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

impl File {
    /// # Errors
    /// As `FS_IOC_GETFLAGS`; `ENOTTY` where the file system has no flags.
    pub fn flags(&self) -> Result<FileFlags> {
        // The kernel writes an `int`, although the request number encodes a `long`.
        let mut flags = [0; 2];
        self.ioctl(GET_FLAGS, &mut flags)?;
        Ok(FileFlags(flags[0]))
    }

    /// # Errors
    /// As `FS_IOC_SETFLAGS`.
    pub fn set_flags(&self, flags: FileFlags) -> Result<()> {
        self.ioctl(SET_FLAGS, &mut [flags.0, 0])
    }

    /// # Errors
    /// As `FS_IOC_FSGETXATTR`.
    pub fn extended_flags(&self) -> Result<ExtendedFlags> {
        let mut flags = [0; 7];
        self.ioctl(GET_EXTENDED, &mut flags)?;
        Ok(ExtendedFlags(flags))
    }

    /// # Errors
    /// As `FS_IOC_FSSETXATTR`.
    pub fn set_extended_flags(&self, flags: &ExtendedFlags) -> Result<()> {
        self.ioctl(SET_EXTENDED, &mut { flags.0 })
    }

    fn ioctl<const N: usize>(&self, request: u32, argument: &mut [u32; N]) -> Result<()> {
        account_as(Call::Ioctl, matches!(request, SET_FLAGS | SET_EXTENDED))?;
        // SAFETY: the descriptor is open, and the argument has at least the size that the kernel reads or writes.
        let status = unsafe { libc::ioctl(self.as_fd().as_raw_fd(), request as _, argument.as_mut_ptr()) };
        if status == 0 {
            Ok(())
        } else {
            Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_decode_and_short_ones_do_not() {
        let word = 0x30u32.to_ne_bytes();
        assert_eq!(FlagsRequest::decode(GET_FLAGS, &[]), Some(FlagsRequest::Get));
        let Some(FlagsRequest::Set(flags)) = FlagsRequest::decode(SET_FLAGS, &word) else { panic!("no request") };
        assert!(flags.immutable() && flags.append_only() && flags.with(false, false) == FileFlags(0));
        assert_eq!(FlagsRequest::decode(SET_FLAGS, &word[..3]), None);
        assert_eq!(FlagsRequest::decode(SET_EXTENDED, &[0; 24]), None);
        assert_eq!(
            FlagsRequest::decode(SET_EXTENDED, &[0; 28]),
            Some(FlagsRequest::SetExtended(ExtendedFlags([0; 7])))
        );
        assert_eq!(FlagsRequest::decode(0x1234, &word), None);
    }
}
