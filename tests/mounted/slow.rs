//! A slow request does not delay others: files are copied up from a layer that holds back its answers to reads, while
//! the rest of the mount is used.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overfuse::fuse::stats;
use parking_lot::{Condvar, Mutex};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::need;
use crate::support::subject::{further_options, peer};
use crate::support::{Layers, mount_with, scratch};

/// The longest wait for an event that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
const FILES: u64 = 8;
const SIZE: u64 = 100_000;
const ROOT: u64 = 1;
const FIRST_FILE: u64 = 2;

/// A directory whose files cannot be read before [`SlowDir::release`]. It is a FUSE mount of its own, which answers
/// only the requests that a lower layer needs.
struct SlowDir {
    at: PathBuf,
    gate: Arc<Gate>,
    server: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    /// The reads that wait: number of the request and size.
    held: Vec<(u64, u32)>,
}

fn name(index: u64) -> String {
    format!("slow{index}")
}

impl SlowDir {
    fn mount(at: PathBuf) -> SlowDir {
        fs::create_dir_all(&at).expect("make the mount point");
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("open /dev/fuse");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let options = std::ffi::CString::new(options).expect("no zero");
        rustix::mount::mount("slow", &at, "fuse", MountFlags::empty(), options.as_c_str()).expect("mount");
        let gate = Arc::<Gate>::default();
        let of_server = gate.clone();
        let server = thread::spawn(move || serve(&device, &of_server));
        // A program that waits for a read cannot be killed. So the reads are answered even when a test that failed never
        // gets to its release: while it waits to unmount, for example.
        let (of_watchdog, watched) = (gate.clone(), at.clone());
        thread::spawn(move || {
            let mut state = of_watchdog.state.lock();
            of_watchdog.changed.wait_while_for(&mut state, |state| !state.open, 2 * PATIENCE);
            drop(state);
            of_watchdog.open(&watched);
        });
        SlowDir { at, gate, server: Some(server) }
    }

    /// Waits until so many reads are held.
    #[track_caller]
    fn wait_for_readers(&self, count: usize) {
        let mut state = self.gate.state.lock();
        self.gate.changed.wait_while_for(&mut state, |state| state.held.len() < count, PATIENCE);
        assert_eq!(state.held.len(), count, "reads that are held");
    }

    fn release(&self) {
        self.gate.open(&self.at);
    }
}

impl Gate {
    /// Answers the reads that wait below `at`, and all later ones.
    fn open(&self, at: &Path) {
        self.state.lock().open = true;
        self.changed.notify_all();
        // Wakes the server, which waits for a request.
        let _ = fs::symlink_metadata(at.join("wake"));
    }
}

impl Drop for SlowDir {
    fn drop(&mut self) {
        self.release();
        rustix::mount::unmount(&self.at, UnmountFlags::DETACH).expect("unmount");
        // An open file keeps the server alive; after a failure the mount under test holds one.
        if !thread::panicking() {
            self.server.take().map(thread::JoinHandle::join);
        }
    }
}

fn attr(node: u64) -> Vec<u8> {
    let (mode, size) = if node == ROOT { (0o40_755, 0) } else { (0o100_644, SIZE) };
    let mut attr: Vec<u8> = [node, size, size.div_ceil(512), 0, 0, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
    attr.extend([0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32].iter().flat_map(|n| n.to_ne_bytes()));
    attr
}

fn number<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    message[at..at + N].try_into().expect("a whole message")
}

fn send(mut device: &File, unique: u64, error: i32, body: &[u8]) {
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend((-error).to_ne_bytes());
    message.extend(unique.to_ne_bytes());
    message.extend(body);
    // An error means that the waiting program is gone.
    let _ = device.write(&message);
}

/// Answers requests until the directory is unmounted.
fn serve(mut device: &File, gate: &Gate) {
    let mut buffer = vec![0; 1 << 18];
    while let Ok(len) = device.read(&mut buffer) {
        let message = &buffer[..len];
        let opcode = u32::from_ne_bytes(number(message, 4));
        let [unique, node] = [8, 16].map(|at| u64::from_ne_bytes(number(message, at)));
        let body = match opcode {
            // LOOKUP.
            1 => {
                let asked = &message[40..len - 1];
                match (0..FILES).find(|index| name(*index).as_bytes() == asked) {
                    Some(index) => {
                        let node = FIRST_FILE + index;
                        let mut entry: Vec<u8> =
                            [node, 0, 1000, 1000, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
                        entry.extend(attr(node));
                        Ok(entry)
                    }
                    None => Err(libc::ENOENT),
                }
            }
            // GETATTR.
            3 => Ok([vec![0; 16], attr(node)].concat()),
            // OPEN and OPENDIR, without the page cache, so that one read is one request.
            14 | 27 => Ok([0, 1].iter().flat_map(|n: &u64| n.to_ne_bytes()).collect()),
            // READ.
            15 => {
                let mut state = gate.state.lock();
                let offset = u64::from_ne_bytes(number(message, 48));
                let size = u32::from_ne_bytes(number(message, 56)).min(SIZE.saturating_sub(offset) as u32);
                state.held.push((unique, size));
                gate.changed.notify_all();
                drop(state);
                release_held(device, gate);
                continue;
            }
            // STATFS.
            17 => Ok(vec![0; 80]),
            // RELEASE and RELEASEDIR.
            18 | 29 => Ok(Vec::new()),
            // INIT: version 7.31, nothing special, requests of up to 128 KiB.
            26 => {
                let mut init: Vec<u8> = [7_u32, 31, 0, 0, 0, 1 << 17, 1].iter().flat_map(|n| n.to_ne_bytes()).collect();
                init.resize(64, 0);
                Ok(init)
            }
            // READDIR.
            28 => Ok(if u64::from_ne_bytes(number(message, 48)) == 0 { listing() } else { Vec::new() }),
            // FORGET, INTERRUPT and BATCH_FORGET have no answer.
            2 | 36 | 42 => continue,
            _ => Err(libc::ENOSYS),
        };
        match body {
            Ok(body) => send(device, unique, 0, &body),
            Err(error) => send(device, unique, error, &[]),
        }
        release_held(device, gate);
    }
}

fn release_held(device: &File, gate: &Gate) {
    let mut state = gate.state.lock();
    if state.open {
        for (unique, size) in state.held.drain(..) {
            send(device, unique, 0, &vec![b'x'; size as usize]);
        }
    }
}

fn listing() -> Vec<u8> {
    let mut listing = Vec::new();
    for index in 0..FILES {
        let name = name(index);
        listing.extend([FIRST_FILE + index, index + 1].iter().flat_map(|n| n.to_ne_bytes()));
        listing.extend([name.len() as u32, 8].iter().flat_map(|n| n.to_ne_bytes()));
        listing.extend(name.as_bytes());
        listing.resize(listing.len().next_multiple_of(8), 0);
    }
    listing
}

/// Runs `work` in a thread, and fails if it does not end in time.
#[track_caller]
fn comes_to_an_end(what: &str, work: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        work();
        tell.send(()).expect("somebody waits");
    });
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} is held up"));
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(b"!")).expect("append");
}

/// Whether these tests do not apply: `OVERFUSE_TEST_OPTIONS` sets the number of threads, or another program is tested.
fn is_another_subject() -> bool {
    peer().is_some() || further_options().is_some_and(|options| options.contains("threads="))
}

/// Whether `OVERFUSE_TEST_OPTIONS` sets `io_uring`, which then overrides a test's own options.
fn is_with_rings() -> bool {
    further_options().is_some_and(|options| options.contains("io_uring"))
}

fn elsewhere_goes_on(held: u64, options: &str) {
    let dir = scratch();
    let slow = SlowDir::mount(dir.path().join("slow"));
    let files: String = (0..20).map(|n| format!("f d{n}/f 644 text\n")).collect();
    let mut layers = Layers::build(dir.path(), &format!("upper:\n lower:\n {files}"));
    layers.lowers.push(slow.at.clone());
    let mounted = mount_with(&layers, &dir.path().join("at"), options);
    let at = mounted.at().to_owned();

    let writers: Vec<_> = (0..held)
        .map(|index| {
            let path = at.join(name(index));
            thread::spawn(move || append(&path))
        })
        .collect();
    slow.wait_for_readers(held as usize);
    for n in 0..20 {
        let at = at.clone();
        comes_to_an_end(&format!("{options}: what is done while {held} copy-ups wait"), move || {
            let dir = at.join(format!("d{n}"));
            assert_eq!(fs::symlink_metadata(dir.join("f")).expect("stat").len(), 4);
            fs::write(dir.join("new"), "new").expect("create");
            assert_eq!(fs::read_dir(&dir).expect("list").count(), 2);
        });
    }
    slow.release();
    for writer in writers {
        writer.join().expect("a writer fails");
    }
    for index in 0..held {
        assert_eq!(fs::read(at.join(name(index))).expect("read").len() as u64, SIZE + 1);
    }
    let counts = stats(&at).expect("the counts of the mount");
    assert!(counts.threads_most > held, "{counts:?}");
    mounted.unmount();
}

#[test]
fn copy_ups_that_wait_for_a_slow_layer_hold_up_nobody() {
    need!(root, fuse);
    if is_another_subject() {
        return;
    }
    for held in [2, FILES] {
        elsewhere_goes_on(held, "io_uring=off");
        elsewhere_goes_on(held, "io_uring=on");
    }
}

#[test]
fn threads_that_slow_requests_needed_end_once_they_are_idle() {
    need!(root, fuse);
    if is_another_subject() || is_with_rings() {
        return;
    }
    let dir = scratch();
    let slow = SlowDir::mount(dir.path().join("slow"));
    let mut layers = Layers::build(dir.path(), "upper:\n lower:\n f f 644 text\n");
    layers.lowers.push(slow.at.clone());
    let mounted = mount_with(&layers, &dir.path().join("at"), "io_uring=off");
    let at = mounted.at().to_owned();
    let counts = || stats(&at).expect("the counts of the mount");
    let before = counts();
    assert_eq!(before.threads, before.threads_most);
    thread::scope(|scope| {
        for index in 0..FILES {
            let at = &at;
            scope.spawn(move || append(&at.join(name(index))));
        }
        slow.wait_for_readers(FILES as usize);
        assert!(counts().threads > FILES, "{:?}", counts());
        slow.release();
    });
    let patience = Instant::now() + PATIENCE;
    while counts().threads > before.threads && Instant::now() < patience {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(counts().threads, before.threads);
    mounted.unmount();
}

#[test]
fn there_are_no_more_threads_than_were_asked_for() {
    need!(root, fuse);
    if is_another_subject() || is_with_rings() {
        return;
    }
    let dir = scratch();
    let slow = SlowDir::mount(dir.path().join("slow"));
    let mut layers = Layers::build(dir.path(), "upper:\n lower:\n f f 644 text\n");
    layers.lowers.push(slow.at.clone());
    let mounted = mount_with(&layers, &dir.path().join("at"), "io_uring=off,threads=3");
    thread::scope(|scope| {
        for index in 0..FILES {
            let path = mounted.at().join(name(index));
            scope.spawn(move || append(&path));
        }
        slow.wait_for_readers(3);
        slow.release();
    });
    let counts = stats(mounted.at()).expect("the counts of the mount");
    assert_eq!((counts.threads, counts.threads_most), (3, 3), "{counts:?}");
    mounted.unmount();
}
