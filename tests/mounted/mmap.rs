//! Memory maps: one file, one content, whether read, written or mapped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use crate::need;
use crate::support::{Layers, Subject, check, copy_program, scratch};

/// A map of a whole file.
pub struct Map {
    at: *mut libc::c_void,
    length: usize,
}

impl Map {
    pub fn new(file: &File, protection: libc::c_int) -> io::Result<Map> {
        Map::with(file, protection, libc::MAP_SHARED)
    }

    /// A private map of a whole file, to read and write.
    pub fn private(file: &File) -> io::Result<Map> {
        Map::with(file, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)
    }

    fn with(file: &File, protection: libc::c_int, kind: libc::c_int) -> io::Result<Map> {
        let length = file.metadata()?.len() as usize;
        // SAFETY: a fresh map at an address of the kernel's choice; nothing else points into it.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, kind, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Map { at, length }) }
    }

    pub fn byte(&self, index: usize) -> u8 {
        assert!(index < self.length);
        // SAFETY: within the map; volatile, because the file may change behind it.
        unsafe { self.at.cast::<u8>().add(index).read_volatile() }
    }

    pub fn set(&self, index: usize, byte: u8) {
        assert!(index < self.length);
        // SAFETY: within the map, which tests make writable before they write.
        unsafe { self.at.cast::<u8>().add(index).write_volatile(byte) }
    }

    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the whole of a live map.
        if unsafe { libc::msync(self.at, self.length, libc::MS_SYNC) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the whole of a live map, which nobody uses any more.
        unsafe { libc::munmap(self.at, self.length) };
    }
}

fn both_ways(path: std::path::PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[test]
fn what_is_written_through_a_map_reaches_the_file() {
    need!(fuse, overlay);
    check("upper:\n f u 644 10000*U\n lower:\n f l 644 10000*L", |at| {
        for name in ["u", "l"] {
            let mapped = || {
                let map = Map::new(&both_ways(at.path(name))?, libc::PROT_READ | libc::PROT_WRITE)?;
                map.set(0, b'x');
                map.set(9999, b'y');
                map.sync()?;
                Ok(format!("{}", map.byte(1) as char))
            };
            at.note(format_args!("map {name}"), mapped());
            at.read(name);
        }
    });
}

#[test]
fn what_is_written_to_the_file_shows_in_a_map() {
    need!(fuse, overlay);
    check("upper:\n f u 644 10000*U\n lower:\n f l 644 10000*L", |at| {
        for name in ["u", "l"] {
            let mapped = || {
                let file = both_ways(at.path(name))?;
                let map = Map::new(&file, libc::PROT_READ)?;
                let before = map.byte(5000) as char;
                file.write_all_at(b"!", 5000)?;
                Ok(format!("{before}{}", map.byte(5000) as char))
            };
            at.note(format_args!("map {name}"), mapped());
        }
    });
}

/// Kernel overlayfs does not do this: the map of the reader shows the lower file for ever.
#[test]
fn a_map_made_before_the_copy_up_shows_what_is_written_after_it() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f l 644 10000*L");
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let path = mounted.at().join("l");
    let map = Map::new(&File::open(&path).expect("open"), libc::PROT_READ).expect("map");
    assert_eq!(map.byte(5000), b'L');
    let file = both_ways(path).expect("open for writing");
    file.write_all_at(b"!", 5000).expect("write");
    assert_eq!(map.byte(5000), b'!');
    file.sync_all().expect("fsync");
    assert_eq!(map.byte(5000), b'!');
    drop((map, file));
    mounted.unmount();
}

#[test]
fn a_program_runs_from_a_lower_layer_while_its_file_is_replaced() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 755", |at| {
        copy_program("/bin/sleep", at.path("d/sleep"));
        let mut child = std::process::Command::new(at.path("d/sleep")).arg("0.2").spawn().expect("run it");
        at.append("d/sleep", "x").gives("ETXTBSY");
        at.unlink("d/sleep").gives("ok");
        assert!(child.wait().expect("it ends").success());
    });
}
