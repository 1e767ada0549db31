//! The parser of requests.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use zerocopy::FromBytes;

use crate::sys::{Errno, Name, Result};
use crate::union::NodeId;

use super::abi::InHeader;

/// One request of the kernel: its header, and the arguments that were not taken yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuse) struct Request<'a> {
    pub header: InHeader,
    /// The first argument of fixed size, when the transport keeps it apart from the others.
    first: Option<&'a [u8]>,
    rest: &'a [u8],
}

impl<'a> Request<'a> {
    /// Parses a message of the device. `None` when its length is wrong.
    pub(in crate::fuse) fn parse(message: &'a [u8]) -> Option<Request<'a>> {
        let (header, rest) = InHeader::read_from_prefix(message).ok()?;
        (header.len as usize == message.len()).then_some(Request { header, first: None, rest })
    }

    /// A request from a ring, which keeps it in pieces.
    ///
    /// # Errors
    /// `EIO` when the header is cut short.
    pub(in crate::fuse) fn of(header: &[u8], first: &'a [u8], rest: &'a [u8]) -> Result<Request<'a>> {
        let (header, _) = InHeader::read_from_prefix(header).map_err(|_| Errno::IO)?;
        Ok(Request { header, first: Some(first), rest })
    }

    /// The node that the request is about.
    pub(in crate::fuse) fn node(&self) -> NodeId {
        NodeId(self.header.nodeid)
    }

    /// Takes the next argument, one of fixed size.
    ///
    /// # Errors
    /// `EIO` when the message is too short.
    pub(in crate::fuse) fn take<T: FromBytes>(&mut self) -> Result<T> {
        if let Some(first) = self.first.take() {
            return T::read_from_prefix(first).map(|(value, _)| value).map_err(|_| Errno::IO);
        }
        let (value, rest) = T::read_from_prefix(self.rest).map_err(|_| Errno::IO)?;
        self.rest = rest;
        Ok(value)
    }

    /// Takes the next argument, a string.
    ///
    /// # Errors
    /// `EIO` when its final zero byte is missing.
    pub(in crate::fuse) fn string(&mut self) -> Result<&'a OsStr> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or(Errno::IO)?;
        let (string, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Ok(OsStr::from_bytes(string))
    }

    /// Takes the next argument, the name of a directory entry.
    ///
    /// # Errors
    /// As [`string`](Self::string) and [`Name::new`].
    pub(in crate::fuse) fn name(&mut self) -> Result<Name<'a>> {
        Name::new(self.string()?)
    }

    /// Takes the next argument, one of `size` bytes.
    ///
    /// # Errors
    /// `EIO` when there are fewer.
    pub(in crate::fuse) fn bytes(&mut self, size: u32) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(size as usize).ok_or(Errno::IO)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::super::abi;
    use super::*;

    fn message(body: &[u8]) -> Vec<u8> {
        let len = (size_of::<InHeader>() + body.len()) as u32;
        let header =
            InHeader { len, opcode: 1, unique: 7, nodeid: 5, uid: 0, gid: 0, pid: 0, _extensions: 0, _padding: 0 };
        [header.as_bytes(), body].concat()
    }

    #[test]
    fn arguments_come_one_after_the_other() {
        let message = message(&[&9_u64.to_ne_bytes()[..], b"from\0to\0data"].concat());
        let mut request = Request::parse(&message).unwrap();
        assert_eq!((request.node(), request.header.unique), (NodeId(5), 7));
        assert_eq!(request.take::<abi::RenameIn>().unwrap().newdir, 9);
        assert_eq!(request.name().unwrap().as_os_str(), "from");
        assert_eq!(request.string().unwrap(), "to");
        assert_eq!(request.bytes(4), Ok(&b"data"[..]));
    }

    #[test]
    fn the_first_argument_may_stand_apart() {
        let message = message(&[]);
        let newdir = 9_u64.to_ne_bytes();
        let mut request = Request::of(&message, &newdir, b"from\0to\0").unwrap();
        assert_eq!(request.take::<abi::RenameIn>().unwrap().newdir, 9);
        assert_eq!((request.string().unwrap(), request.string().unwrap()), ("from".as_ref(), "to".as_ref()));
        let mut named = Request::of(&message, &[0; 128], b"name\0").unwrap();
        assert_eq!(named.string().unwrap(), "name");
        assert!(Request::of(&message[..39], &[], &[]).is_err());
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = message(b"name");
        assert!(Request::parse(&whole[..whole.len() - 1]).is_none());
        assert!(Request::parse(&whole[..10]).is_none());
        let mut request = Request::parse(&whole).unwrap();
        assert_eq!(request.string(), Err(Errno::IO));
        assert_eq!(request.bytes(5), Err(Errno::IO));
        assert_eq!(request.take::<abi::RenameIn>().map(|_| ()), Err(Errno::IO));
    }
}
