//! Mounts a stack of directories through the crate `fuser`, in place of Overfuse's own transport.
//!
//! `fuser -o lowerdir=TOP:…:BOTTOM,upperdir=UPPER,workdir=WORK DIR` mounts as `overfuse mount` does: it returns when the
//! mount is live, and a process in the background serves it until it is unmounted.
//!
//! It shows how a program embeds a [`Union`]: calls take a node and a name, and return attributes or an errno. Files
//! are read and written as with `io=cached`; options for other modes have no effect.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Parser;
use fuser::{INodeNo as Ino, *};
use overfuse::fuse::{Io, Options};
use overfuse::sys::{self, Errno, FlagsRequest, Kind, Name, OFlags, Result, SeekTo, SetTime, Stat};
use overfuse::union::{Attr, Change, DirItem, How, Mode, New, NodeId, Owner, Remove, Slot, Union, Wanted};

/// The kernel may cache answers without limit, because the layers change only through the mount.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
const MAX_WRITE: u32 = 1 << 20;

#[derive(Parser)]
#[command(version, about = "Mount a stack of directories through the crate fuser")]
struct Args {
    /// Options as `overfuse mount` takes them: lowerdir, upperdir, workdir, ro, volatile, …
    #[arg(short, value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground, and print a line when the mount is live
    #[arg(short, long)]
    foreground: bool,
    at: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.foreground { serve(&args) } else { start_in_background() };
    done.map_or_else(|error| (eprintln!("{error:#}"), ExitCode::FAILURE).1, |()| ExitCode::SUCCESS)
}

/// Starts this program again with `--foreground`, and returns when its output tells that the mount is live.
fn start_in_background() -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--foreground").args(std::env::args_os().skip(1));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut line, mut message) = (String::new(), String::new());
    BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
    if line.trim_end() == "live" {
        return Ok(());
    }
    child.stderr.take().context("no pipe")?.read_to_string(&mut message)?;
    bail!("{}", message.trim_end())
}

/// Mounts, and serves the mount until it is unmounted.
fn serve(args: &Args) -> anyhow::Result<()> {
    let mut options = Options::parse(&args.options.join(","))?;
    options.io = Some(Io::Cached);
    let union = Union::open(&options.spec()?)?;
    options.read_only |= union.is_read_only();
    let notifier = Arc::new(OnceLock::new());
    let served = Served { union, quiet: options.no_atime, root: options.squash.is_some(), notifier: notifier.clone() };
    let session = Session::new(served, &args.at, &config(&options)).context(format!("mounting at {:?}", args.at))?;
    notifier.set(session.notifier()).ok();
    // Only the host's root may set this; others keep the default.
    let _ = sys::set_read_ahead(&args.at, 512);
    // As Overfuse does: Linux divides CPU time among sessions. Fails, without harm, for a process that leads a group.
    let _ = sys::process::new_session();
    // New files get the mode that the caller asks for, less the caller's umask; ours must not apply too.
    sys::process::set_umask(0);
    sys::obey_quotas()?;
    writeln!(io::stdout(), "live")?;
    let serving = session.spawn()?;
    // Dropping it, fuser would unmount again, and by then that may be the mount of another.
    std::process::exit(i32::from(!matches!(serving.guard.join(), Ok(Ok(())))))
}

fn config(options: &Options) -> Config {
    let root = sys::effective_uid() == 0;
    let mut config = Config::default();
    config.n_threads = options.threads.or(Some(std::thread::available_parallelism().map_or(2, |n| n.get().max(2))));
    config.clone_fd = true;
    config.acl = if root || options.allow_other { SessionACL::All } else { SessionACL::Owner };
    let source = options.source.clone().unwrap_or_else(|| "overfuse".into());
    let flags = [
        (true, MountOption::FSName(source)),
        (true, MountOption::Subtype("overfuse".into())),
        (true, MountOption::DefaultPermissions),
        (options.read_only, MountOption::RO),
        (options.no_exec, MountOption::NoExec),
        (options.no_atime, MountOption::NoAtime),
        // Without these two options fuser mounts with nodev and nosuid.
        (root && !options.no_dev, MountOption::Dev),
        (root && !options.no_suid, MountOption::Suid),
    ];
    config.mount_options = flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect();
    config
}

struct Served {
    union: Union,
    /// Reading does not change access times.
    quiet: bool,
    /// Everything that is created belongs to root.
    root: bool,
    /// Set once the mount is live.
    notifier: Arc<OnceLock<Notifier>>,
}

impl Served {
    fn create(&self, by: &Request, dir: Ino, name: &OsStr, new: New<'_>, mode: u32, umask: u32) -> Result<Attr> {
        self.union.create(self.owner(by), node(dir), Name::new(name)?, new, Mode { perm: mode & 0o7777, umask })
    }

    fn owner(&self, by: &Request) -> Owner {
        if self.root { Owner { uid: 0, gid: 0 } } else { Owner { uid: by.uid(), gid: by.gid() } }
    }

    /// Drops set-user-ID and set-group-ID bits if content or owner of a file are about to `change`, and invalidates the
    /// kernel's attributes, because the reply to the request need not carry new ones.
    fn drop_set_id(&self, change: bool, by: &Request, ino: Ino) -> Result<()> {
        if change && self.union.drop_set_id(node(ino), || sys::credentials(by.pid()))? {
            // Invalidates attributes only. An error means that the kernel has forgotten the file.
            let _ = self.notifier.get().map(|notifier| notifier.inval_inode(ino, -1, 0));
        }
        Ok(())
    }
}

/// Replies with `$done` if the result is a value, or else with the errno.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $done:expr) => {
        match $result {
            Ok($value) => $done,
            Err(error) => $reply.error(fuser::Errno::from_i32(Errno::raw_os_error(error))),
        }
    };
}

// The signatures are fuser's; rustfmt would put one argument on each line and make the code hard to read.
#[rustfmt::skip]
impl Filesystem for Served {
    fn init(&mut self, _: &Request, kernel: &mut KernelConfig) -> io::Result<()> {
        // Each is an improvement if the kernel supports it; none is required.
        let wanted = InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_CACHE_SYMLINKS | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_NO_EXPORT_SUPPORT | InitFlags::FUSE_NO_OPEN_SUPPORT | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_PARALLEL_DIROPS | InitFlags::FUSE_POSIX_ACL;
        let _ = kernel.add_capabilities(wanted & kernel.capabilities());
        let _ = (kernel.set_max_write(MAX_WRITE), kernel.set_max_background(64));
        Ok(())
    }
    fn lookup(&self, _: &Request, dir: Ino, name: &OsStr, reply: ReplyEntry) {
        // Node 0 tells the kernel to cache that the name is missing; after ENOENT it would not cache it.
        let found = Name::new(name).and_then(|name| self.union.lookup(node(dir), name));
        answer!(reply, found, attr => entry(reply, &attr.unwrap_or(Attr { id: NodeId(0), stat: Stat::default() })));
    }
    fn forget(&self, _: &Request, ino: Ino, lookups: u64) {
        self.union.forget(node(ino), lookups);
    }
    fn getattr(&self, _: &Request, ino: Ino, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.union.attr(node(ino)), attr => reply.attr(&FOREVER, &file_attr(attr.id, &attr.stat)));
    }
    fn setattr(&self, by: &Request, ino: Ino, perm: Option<u32>, uid: Option<u32>, gid: Option<u32>, size: Option<u64>,
        atime: Option<TimeOrNow>, mtime: Option<TimeOrNow>, _: Option<SystemTime>, _: Option<FileHandle>, _: Option<SystemTime>,
        _: Option<SystemTime>, _: Option<SystemTime>, _: Option<BsdFileFlags>, reply: ReplyAttr) {
        let set = |time| match time { TimeOrNow::Now => SetTime::Now, TimeOrNow::SpecificTime(time) => SetTime::To(time.into()) };
        let [atime, mtime] = [atime, mtime].map(|time| time.map_or(SetTime::Keep, set));
        let change = Change { perm, uid, gid, size, atime, mtime };
        // An empty change is a `chown` without ids, or the kernel's own write to a set-id file.
        let drops = size.is_some() || change.changes_owner() || change == Change::default();
        let changed = self.drop_set_id(drops, by, ino).and_then(|()| self.union.change(node(ino), change));
        answer!(reply, changed, attr => reply.attr(&FOREVER, &file_attr(attr.id, &attr.stat)));
    }
    fn readlink(&self, _: &Request, ino: Ino, reply: ReplyData) {
        answer!(reply, self.union.read_link(node(ino)), target => reply.data(target.as_bytes()));
    }
    fn mknod(&self, by: &Request, dir: Ino, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        let new = match Kind::of_mode(mode) { Kind::Regular => New::File, kind => New::Node { kind, rdev: rdev.into() } };
        answer!(reply, self.create(by, dir, name, new, mode, umask), attr => entry(reply, &attr));
    }
    fn mkdir(&self, by: &Request, dir: Ino, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        answer!(reply, self.create(by, dir, name, New::Dir, mode, umask), attr => entry(reply, &attr));
    }
    fn symlink(&self, by: &Request, dir: Ino, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let new = New::Symlink { target: target.as_os_str() };
        answer!(reply, self.create(by, dir, name, new, 0o777, 0), attr => entry(reply, &attr));
    }
    fn link(&self, _: &Request, ino: Ino, dir: Ino, name: &OsStr, reply: ReplyEntry) {
        let linked = Name::new(name).and_then(|name| self.union.link(node(ino), node(dir), name));
        answer!(reply, linked, attr => entry(reply, &attr));
    }
    fn unlink(&self, _: &Request, dir: Ino, name: &OsStr, reply: ReplyEmpty) {
        let removed = Name::new(name).and_then(|name| self.union.remove(node(dir), name, Remove::File));
        answer!(reply, removed, () => reply.ok());
    }
    fn rmdir(&self, _: &Request, dir: Ino, name: &OsStr, reply: ReplyEmpty) {
        let removed = Name::new(name).and_then(|name| self.union.remove(node(dir), name, Remove::Dir));
        answer!(reply, removed, () => reply.ok());
    }
    fn rename(&self, by: &Request, dir: Ino, name: &OsStr, to: Ino, new: &OsStr, flags: RenameFlags, reply: ReplyEmpty) {
        let slot = |dir, name| Name::new(name).map(|name| Slot { dir: node(dir), name });
        // RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.
        let renamed = slot(dir, name).and_then(|from| match flags.bits() {
            0 => self.union.rename(from, slot(to, new)?, How::Replace),
            1 => self.union.rename(from, slot(to, new)?, How::NoReplace),
            2 => self.union.rename(from, slot(to, new)?, How::Exchange),
            4 => self.union.rename_leaving_whiteout(self.owner(by), from, slot(to, new)?, How::Replace),
            5 => self.union.rename_leaving_whiteout(self.owner(by), from, slot(to, new)?, How::NoReplace),
            _ => Err(Errno::INVAL),
        });
        answer!(reply, renamed, () => reply.ok());
    }
    // After ENOSYS the kernel opens files and directories without further requests.
    fn open(&self, _: &Request, _: Ino, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }
    fn opendir(&self, _: &Request, _: Ino, _: OpenFlags, reply: ReplyOpen) {
        reply.error(fuser::Errno::ENOSYS);
    }
    fn read(&self, _: &Request, ino: Ino, _: FileHandle, offset: u64, size: u32, flags: OpenFlags,
        _: Option<LockOwner>, reply: ReplyData) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_WRITE as usize]));
        let quiet = self.quiet || flags.0.cast_unsigned() & OFlags::NOATIME.bits() != 0;
        BUFFER.with_borrow_mut(|buffer| {
            let buffer = &mut buffer[..size.min(MAX_WRITE) as usize];
            let read = if quiet { Union::read_quietly } else { Union::read };
            answer!(reply, read(&self.union, node(ino), offset, buffer), count => reply.data(&buffer[..count]));
        });
    }
    fn write(&self, by: &Request, ino: Ino, _: FileHandle, offset: u64, data: &[u8], flags: WriteFlags,
        _: OpenFlags, _: Option<LockOwner>, reply: ReplyWrite) {
        let kills = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let write = if flags.contains(WriteFlags::FUSE_WRITE_CACHE) { Union::write_back } else { Union::write };
        let written = self.drop_set_id(kills, by, ino).and_then(|()| write(&self.union, node(ino), offset, data));
        answer!(reply, written, count => reply.written(count as u32));
    }
    fn fsync(&self, _: &Request, ino: Ino, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        answer!(reply, self.union.sync(node(ino), data_only), () => reply.ok());
    }
    fn fsyncdir(&self, _: &Request, ino: Ino, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        answer!(reply, self.union.sync(node(ino), data_only), () => reply.ok());
    }
    fn readdir(&self, _: &Request, dir: Ino, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut add = |item: &DirItem| !reply.add(Ino(item.id.0), item.offset, file_type(item.kind), item.name());
        let listed = self.union.read_dir(node(dir), offset).map(|items| items.iter().all(&mut add));
        answer!(reply, listed, _ => reply.ok());
    }
    fn readdirplus(&self, _: &Request, dir: Ino, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let mut add = |item: &DirItem| {
            let mut put = |id, stat: &Stat| !reply.add(Ino(id), item.offset, item.name(), &FOREVER, &file_attr(NodeId(id), stat), Generation(0));
            let stat = Stat { kind: item.kind, ..Stat::default() };
            // For `.` and `..` the kernel counts no lookup.
            if item.entry_name().is_none() { return put(item.id.0, &stat); }
            match self.union.lookup_listed(node(dir), item) {
                // If the reply has no room for the entry, the kernel does not learn of this lookup: takes it back.
                Ok(Some(attr)) => put(attr.id.0, &attr.stat) || { self.union.forget(attr.id, 1); false },
                // Removed meanwhile, or an error. The kernel lists an entry with an impossible size, but does not cache it.
                Ok(None) | Err(_) => put(item.id.0 | 3 << 62, &Stat { size: u64::MAX, ..stat }),
            }
        };
        let listed = self.union.read_dir(node(dir), offset).map(|items| items.iter().all(&mut add));
        answer!(reply, listed, _ => reply.ok());
    }
    fn statfs(&self, _: &Request, _: Ino, reply: ReplyStatfs) {
        answer!(reply, self.union.stat_fs(), fs => reply.statfs(fs.blocks, fs.blocks_free, fs.blocks_available, fs.files,
            fs.files_free, fs.block_size, fs.name_max, fs.fragment_size));
    }
    fn setxattr(&self, _: &Request, ino: Ino, key: &OsStr, value: &[u8], flags: i32, _: u32, reply: ReplyEmpty) {
        let wanted = match flags { 1 => Wanted::Create, 2 => Wanted::Replace, _ => Wanted::Any };
        answer!(reply, self.union.set_xattr(node(ino), key, value, wanted), () => reply.ok());
    }
    fn getxattr(&self, _: &Request, ino: Ino, key: &OsStr, size: u32, reply: ReplyXattr) {
        answer!(reply, self.union.xattr(node(ino), key), value => sized(reply, &value, size));
    }
    fn listxattr(&self, _: &Request, ino: Ino, size: u32, reply: ReplyXattr) {
        let join = |keys: Vec<OsString>| keys.iter().flat_map(|key| [key.as_bytes(), &[0]].concat()).collect::<Vec<u8>>();
        answer!(reply, self.union.xattrs(node(ino)).map(join), keys => sized(reply, &keys, size));
    }
    fn removexattr(&self, _: &Request, ino: Ino, key: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.union.remove_xattr(node(ino), key), () => reply.ok());
    }
    fn ioctl(&self, _: &Request, ino: Ino, _: FileHandle, _: IoctlFlags, command: u32, argument: &[u8], _: u32, reply: ReplyIoctl) {
        let done = FlagsRequest::decode(command, argument).ok_or(Errno::NOTTY).and_then(|request| match request {
            FlagsRequest::Get => self.union.flags(node(ino)).map(|flags| flags.0.to_ne_bytes().to_vec()),
            FlagsRequest::GetExtended => self.union.extended_flags(node(ino)).map(|flags| flags.bytes()),
            FlagsRequest::Set(flags) => self.union.set_flags(node(ino), flags).map(|()| Vec::new()),
            FlagsRequest::SetExtended(flags) => self.union.set_extended_flags(node(ino), &flags).map(|()| Vec::new()),
        });
        answer!(reply, done, data => reply.ioctl(0, &data));
    }
    fn fallocate(&self, by: &Request, ino: Ino, _: FileHandle, offset: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        let allocate = |()| self.union.allocate(node(ino), mode.cast_unsigned(), offset, len);
        answer!(reply, self.drop_set_id(true, by, ino).and_then(allocate), () => reply.ok());
    }
    fn lseek(&self, _: &Request, ino: Ino, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let to = match whence { 3 => Ok(SeekTo::Data), 4 => Ok(SeekTo::Hole), _ => Err(Errno::INVAL) };
        let from = u64::try_from(offset).map_err(|_| Errno::NXIO);
        answer!(reply, to.and_then(|to| self.union.seek(node(ino), to, from?)), found => reply.offset(found.cast_signed()));
    }
    fn copy_file_range(&self, by: &Request, from: Ino, _: FileHandle, from_offset: u64, to: Ino, _: FileHandle, to_offset: u64,
        len: u64, _: CopyFileRangeFlags, reply: ReplyWrite) {
        // Limits one copy, because other callers wait for the kernel's lock on the file meanwhile.
        let copy = |()| self.union.copy_range((node(from), from_offset), (node(to), to_offset), len.min(1 << 30));
        answer!(reply, self.drop_set_id(true, by, to).and_then(copy), count => reply.written(count as u32));
    }
}

fn entry(reply: ReplyEntry, attr: &Attr) {
    reply.entry(&FOREVER, &file_attr(attr.id, &attr.stat), Generation(0));
}

/// Replies with a value to a caller that has room for `size` bytes; with 0 it gets only the length.
fn sized(reply: ReplyXattr, value: &[u8], size: u32) {
    match size {
        0 => reply.size(value.len() as u32),
        _ if value.len() > size as usize => reply.error(fuser::Errno::ERANGE),
        _ => reply.data(value),
    }
}

fn node(ino: Ino) -> NodeId {
    NodeId(ino.0)
}

#[rustfmt::skip]
fn file_attr(id: NodeId, stat: &Stat) -> FileAttr {
    let &Stat { size, blocks, nlink, uid, gid, block_size: blksize, .. } = stat;
    let (kind, rdev) = (file_type(stat.kind), u32::try_from(stat.rdev).unwrap_or(u32::MAX));
    let (perm, [atime, mtime, ctime]) = (stat.perm as u16, [stat.atime, stat.mtime, stat.ctime].map(SystemTime::from));
    FileAttr { ino: Ino(id.0), size, blocks, atime, mtime, ctime, crtime: ctime, kind, perm, nlink, uid, gid, rdev, blksize, flags: 0 }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Regular => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}
