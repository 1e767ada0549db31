//! The requests that Overfuse knows, with their numbers and names in the FUSE protocol.

macro_rules! opcodes {
    ($($opcode:ident = $number:literal $name:literal,)*) => {
        /// The kind of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::fuse) enum Opcode { $($opcode,)* }

        /// The names, in the order of [`Opcode`].
        pub(in crate::fuse) const NAMES: [&str; [$($name),*].len()] = [$($name),*];

        impl Opcode {
            /// `None` for an unknown request, which is answered `ENOSYS`.
            pub(in crate::fuse) fn of(number: u32) -> Option<Opcode> {
                match number {
                    $($number => Some(Opcode::$opcode),)*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    Access = 34 "ACCESS",
    BatchForget = 42 "BATCH_FORGET",
    CopyFileRange = 47 "COPY_FILE_RANGE",
    CopyFileRange64 = 53 "COPY_FILE_RANGE_64",
    Create = 35 "CREATE",
    Destroy = 38 "DESTROY",
    Fallocate = 43 "FALLOCATE",
    Flush = 25 "FLUSH",
    Forget = 2 "FORGET",
    Fsync = 20 "FSYNC",
    Fsyncdir = 30 "FSYNCDIR",
    Getattr = 3 "GETATTR",
    Getxattr = 22 "GETXATTR",
    Init = 26 "INIT",
    Interrupt = 36 "INTERRUPT",
    Ioctl = 39 "IOCTL",
    Link = 13 "LINK",
    Listxattr = 23 "LISTXATTR",
    Lookup = 1 "LOOKUP",
    Lseek = 46 "LSEEK",
    Mkdir = 9 "MKDIR",
    Mknod = 8 "MKNOD",
    Open = 14 "OPEN",
    Opendir = 27 "OPENDIR",
    Poll = 40 "POLL",
    Read = 15 "READ",
    Readdir = 28 "READDIR",
    Readdirplus = 44 "READDIRPLUS",
    Readlink = 5 "READLINK",
    Release = 18 "RELEASE",
    Removexattr = 24 "REMOVEXATTR",
    Rename = 12 "RENAME",
    Rename2 = 45 "RENAME2",
    Rmdir = 11 "RMDIR",
    Setattr = 4 "SETATTR",
    Setxattr = 21 "SETXATTR",
    Statfs = 17 "STATFS",
    Statx = 52 "STATX",
    Symlink = 6 "SYMLINK",
    Syncfs = 50 "SYNCFS",
    Tmpfile = 51 "TMPFILE",
    Unlink = 10 "UNLINK",
    Write = 16 "WRITE",
}

impl Opcode {
    pub(in crate::fuse) fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Whether a request that failed on a full disk may be repeated. Either its error must mean that nothing has
    /// changed, or doing it twice must equal doing it once. The union's operations have one commit point and fail only
    /// before it; a write that has begun answers a short count. Setting an attribute, a flag or a size to the same value
    /// again is harmless. A rename that leaves a whiteout fails with `EIO` once something was moved, and `EIO` is never
    /// repeated.
    ///
    /// `fsync` may not be repeated: the kernel reports a failed write once, and a second call would report success.
    pub(in crate::fuse) fn may_be_repeated(self) -> bool {
        use Opcode::{
            CopyFileRange, CopyFileRange64, Create, Fallocate, Ioctl, Link, Mkdir, Mknod, Removexattr, Rename, Rename2,
            Rmdir, Setattr, Setxattr, Symlink, Tmpfile, Unlink, Write,
        };
        matches!(
            self,
            Create
                | Link
                | Mkdir
                | Mknod
                | Rename
                | Rename2
                | Rmdir
                | Symlink
                | Tmpfile
                | Unlink
                | CopyFileRange
                | CopyFileRange64
                | Fallocate
                | Ioctl
                | Removexattr
                | Setattr
                | Setxattr
                | Write
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_the_union_in_one_step_or_to_a_value_is_asked_twice() {
        let repeated = (0..64).filter_map(Opcode::of).filter(|opcode| opcode.may_be_repeated()).map(Opcode::name);
        let mut repeated: Vec<_> = repeated.collect();
        repeated.sort_unstable();
        let expected = [
            "COPY_FILE_RANGE",
            "COPY_FILE_RANGE_64",
            "CREATE",
            "FALLOCATE",
            "IOCTL",
            "LINK",
            "MKDIR",
            "MKNOD",
            "REMOVEXATTR",
            "RENAME",
            "RENAME2",
            "RMDIR",
            "SETATTR",
            "SETXATTR",
            "SYMLINK",
            "TMPFILE",
            "UNLINK",
            "WRITE",
        ];
        assert_eq!(repeated, expected);
    }
}
