//! Open files stay the same files, whatever happens to their names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::need;
use crate::support::check;

fn both_ways(path: std::path::PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn whole(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut content = String::new();
    file.read_to_string(&mut content)?;
    Ok(content)
}

#[test]
fn an_unlinked_file_stays_whole_for_those_who_have_it_open() {
    need!(fuse, overlay);
    check("upper:\n f u 644 upper\n lower:\n f l 644 lower\n lower:\n f l 644 older", |at| {
        for name in ["u", "l"] {
            let used = || {
                let mut file = both_ways(at.path(name))?;
                fs::remove_file(at.path(name))?;
                file.write_all(b"NEW")?;
                let content = whole(&mut file)?;
                Ok(format!("{content} links={} at {}", file.metadata()?.nlink(), at.path(name).exists()))
            };
            at.note(format_args!("use the unlinked {name}"), used());
        }
        at.list("").gives("ok");
    });
}

#[test]
fn an_unlinked_lower_file_opened_for_reading_is_readable() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let used = || {
            let mut file = File::open(at.path("l"))?;
            fs::remove_file(at.path("l"))?;
            fs::write(at.path("l"), "another")?;
            whole(&mut file)
        };
        at.note("read the unlinked l", used()).gives("lower");
        at.read("l").gives("another");
    });
}

#[test]
fn attributes_of_an_unlinked_file_change() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let used = || {
            let file = both_ways(at.path("l"))?;
            fs::remove_file(at.path("l"))?;
            file.set_len(2)?;
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o600))?;
            let meta = file.metadata()?;
            Ok(format!("{:o} {} bytes links={}", meta.mode(), meta.len(), meta.nlink()))
        };
        at.note("change the unlinked l", used()).gives("100600 2 bytes links=0");
    });
}

#[test]
fn readers_see_what_a_writer_brought_up() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let seen = || {
            let mut before = File::open(at.path("l"))?;
            whole(&mut before)?;
            let writer = both_ways(at.path("l"))?;
            writer.write_all_at(b"L", 0)?;
            whole(&mut File::open(at.path("l"))?)
        };
        at.note("read after the write", seen()).gives("Lower");
    });
}

#[test]
fn a_file_that_is_renamed_while_open_is_still_the_same_file() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let used = || {
            let mut file = both_ways(at.path("l"))?;
            fs::rename(at.path("l"), at.path("m"))?;
            file.write_all(b"NEW")?;
            Ok(format!("{} {}", whole(&mut file)?, fs::read_to_string(at.path("m"))?))
        };
        at.note("write to the renamed file", used()).gives("NEWer NEWer");
    });
}

#[test]
fn syncing_succeeds_for_files_and_directories() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        for name in ["u", "l", "d", ""] {
            let synced = || {
                let file = File::open(at.path(name))?;
                file.sync_all()?;
                file.sync_data()
            };
            at.note(format_args!("fsync {name}"), synced().map(|()| "")).gives("ok");
        }
        let synced = || {
            let mut file = both_ways(at.path("l"))?;
            file.write_all(b"x")?;
            file.sync_all()
        };
        at.note("write and fsync l", synced().map(|()| "")).gives("ok");
    });
}

#[test]
fn locks_work_between_openers() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 l", |at| {
        let locked = || {
            let (a, b) = (both_ways(at.path("l"))?, both_ways(at.path("l"))?);
            a.lock()?;
            let refused = b.try_lock().is_err();
            a.unlock()?;
            Ok(format!("{refused} {}", b.try_lock().is_ok()))
        };
        at.note("lock l twice", locked()).gives("true true");
    });
}

#[test]
fn a_device_and_a_fifo_do_what_their_kind_does() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n c null 666 1:3\n c zero 666 1:5\n p fifo 644", |at| {
        at.append("null", "gone").gives("ok");
        let mut two = [1; 2];
        let read = File::open(at.path("zero")).and_then(|mut file| file.read_exact(&mut two));
        at.note("read zero", read.map(|()| "")).gives("ok");
        assert_eq!(two, [0, 0]);
        let path = at.path("fifo");
        let writer = std::thread::spawn(move || fs::write(path, "through"));
        at.read("fifo").gives("through");
        writer.join().expect("the writer ends").expect("it wrote");
    });
}
