//! A file has the same content through every descriptor and every way of reading and writing it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::{Command, Stdio};

use crate::mmap::Map;
use crate::need;
use crate::support::check;

const BLOCK: usize = 4096;

fn both_ways(path: std::path::PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A buffer for `O_DIRECT`, aligned to a block.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

fn char_at(file: &File, offset: u64) -> io::Result<char> {
    let mut one = [0];
    file.read_exact_at(&mut one, offset)?;
    Ok(one[0] as char)
}

/// `splice(2)` between a file and a pipe, at an offset if one is given.
fn splice(from: (impl AsFd, Option<i64>), to: (impl AsFd, Option<i64>), length: usize) -> io::Result<isize> {
    fn pointer(offset: &mut Option<i64>) -> *mut i64 {
        offset.as_mut().map_or(std::ptr::null_mut(), |offset| offset)
    }
    let (mut start, mut end) = (from.1, to.1);
    let (from, to) = (from.0.as_fd().as_raw_fd(), to.0.as_fd().as_raw_fd());
    // SAFETY: two live descriptors, and offsets that are ours or null.
    match unsafe { libc::splice(from, pointer(&mut start), to, pointer(&mut end), length, 0) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count),
    }
}

#[test]
fn a_reader_that_had_read_before_the_copy_up_reads_what_is_written_after_it() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 20000*L", |at| {
        let seen = || {
            let reader = File::open(at.path("l"))?;
            let before = char_at(&reader, 5000)?;
            let writer = both_ways(at.path("l"))?;
            writer.write_all_at(b"!", 5000)?;
            Ok(format!("{before}{}{}", char_at(&reader, 5000)?, char_at(&reader, 5001)?))
        };
        at.note("read before and after", seen()).gives("L!L");
    });
}

#[test]
fn what_is_truncated_and_rewritten_shows_to_readers_from_before() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L", |at| {
        for name in ["u", "l"] {
            let seen = || {
                let mut reader = File::open(at.path(name))?;
                char_at(&reader, 19_999)?;
                std::fs::write(at.path(name), "short")?;
                let mut content = String::new();
                reader.read_to_string(&mut content)?;
                Ok(format!("{content} {}", reader.metadata()?.len()))
            };
            at.note(format_args!("read {name} after its truncation"), seen()).gives("short 5");
        }
    });
}

#[test]
fn direct_and_cached_descriptors_agree() {
    need!(fuse, overlay);
    check(&format!("upper:\n f u 644 {0}*U\n lower:\n f l 644 {0}*L", 4 * BLOCK), |at| {
        for name in ["u", "l"] {
            let agree = || {
                let cached = both_ways(at.path(name))?;
                let direct =
                    OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(at.path(name))?;
                let mut block = Box::new(Block([0; BLOCK]));
                char_at(&cached, 0)?;
                block.0.fill(b'd');
                direct.write_all_at(&block.0, BLOCK as u64)?;
                let through_cache = char_at(&cached, BLOCK as u64 + 7)?;
                cached.write_all_at(&[b'c'; 10], BLOCK as u64)?;
                direct.read_exact_at(&mut block.0, BLOCK as u64)?;
                let directly = (block.0[0] as char, block.0[10] as char);
                let reader = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(at.path(name))?;
                reader.read_exact_at(&mut block.0, BLOCK as u64)?;
                Ok(format!("{through_cache} {directly:?} {}", block.0[9] as char))
            };
            at.note(format_args!("direct and cached {name}"), agree()).gives("d ('c', 'd') c");
        }
    });
}

#[test]
fn a_direct_write_shows_in_a_map() {
    need!(fuse, overlay);
    check(&format!("upper:\n lower:\n f l 644 {}*L", 2 * BLOCK), |at| {
        let seen = || {
            let file = both_ways(at.path("l"))?;
            let map = Map::new(&file, libc::PROT_READ)?;
            let before = map.byte(1);
            let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(at.path("l"))?;
            direct.write_all_at(&Box::new(Block([b'd'; BLOCK])).0, 0)?;
            Ok(format!("{}{}", before as char, map.byte(1) as char))
        };
        at.note("map and write directly", seen()).gives("Ld");
    });
}

#[test]
fn two_processes_append_and_no_line_is_lost() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f log 644 \"begin\\n\"", |at| {
        let script = r#"i=0; while [ $i -lt 200 ]; do echo "$0 $i" >> log; i=$((i+1)); done"#;
        let writers: Vec<_> = ["a", "b"]
            .map(|name| {
                Command::new("sh").args(["-c", script, name]).current_dir(at.path("")).spawn().expect("start sh")
            })
            .into();
        for mut writer in writers {
            assert!(writer.wait().expect("it ends").success());
        }
        let content = std::fs::read_to_string(at.path("log")).expect("read the log");
        let mut lines: Vec<&str> = content.lines().collect();
        lines.sort();
        lines.dedup();
        at.note("distinct lines", Ok(lines.len().to_string())).gives("401");
        // The order of lines varies.
        at.write("log", &lines.join("\n")).gives("ok");
    });
}

#[test]
fn one_descriptor_that_two_processes_append_to_keeps_every_line() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f log 644 \"begin\\n\"", |at| {
        let log = || OpenOptions::new().append(true).open(at.path("log")).expect("open");
        let script = r#"i=0; while [ $i -lt 200 ]; do echo "line $i"; i=$((i+1)); done"#;
        let writers: Vec<_> =
            (0..2).map(|_| Command::new("sh").args(["-c", script]).stdout(log()).spawn().expect("start sh")).collect();
        for mut writer in writers {
            assert!(writer.wait().expect("it ends").success());
        }
        let content = std::fs::read_to_string(at.path("log")).expect("read the log");
        let mut lines: Vec<&str> = content.lines().collect();
        at.note("lines", Ok(lines.len().to_string())).gives("401");
        lines.sort();
        at.write("log", &lines.join("\n")).gives("ok");
    });
}

#[test]
fn a_map_of_a_truncated_file_ends_where_the_file_ends() {
    need!(fuse, overlay);
    check(&format!("upper:\n f u 644 {0}*U\n lower:\n f l 644 {0}*L", 4 * BLOCK), |at| {
        for name in ["u", "l"] {
            let cut = || {
                let file = both_ways(at.path(name))?;
                let map = Map::new(&file, libc::PROT_READ | libc::PROT_WRITE)?;
                map.set(0, b'0');
                map.set(3 * BLOCK, b'3');
                file.set_len(BLOCK as u64 + 10)?;
                let kept = (map.byte(0) as char, map.byte(BLOCK + 9) as char, map.byte(BLOCK + 10));
                file.set_len(4 * BLOCK as u64)?;
                let zeros = (map.byte(BLOCK + 20), map.byte(3 * BLOCK));
                map.set(2 * BLOCK, b'2');
                map.sync()?;
                Ok(format!("{kept:?} {zeros:?} {}", char_at(&file, 2 * BLOCK as u64)?))
            };
            at.note(format_args!("truncate the mapped {name}"), cut());
            at.read(name);
        }
    });
}

#[test]
fn reading_behind_the_end_of_a_truncated_map_is_a_bus_error() {
    need!(fuse, overlay);
    check(&format!("upper:\n lower:\n f l 644 {}*L", 4 * BLOCK), |at| {
        let file = both_ways(at.path("l")).expect("open");
        let map = Map::new(&file, libc::PROT_READ).expect("map");
        map.byte(3 * BLOCK);
        file.set_len(BLOCK as u64).expect("truncate");
        let died = crate::support::child::signal_of(|| i32::from(map.byte(3 * BLOCK)));
        at.note("touch the page that is gone", Ok(format!("{died:?}"))).gives(&format!("Some({})", libc::SIGBUS));
    });
}

#[test]
fn a_private_map_keeps_its_changes_to_itself() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 10000*L", |at| {
        let mapped = || {
            let file = File::open(at.path("l"))?;
            let map = Map::private(&file)?;
            map.set(7, b'p');
            Ok(format!("{}{}", map.byte(7) as char, char_at(&file, 7)?))
        };
        at.note("write to a private map", mapped()).gives("pL");
        at.read("l").gives("10000*L");
    });
}

#[test]
fn maps_of_two_descriptors_are_one() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 10000*L", |at| {
        let mapped = || {
            let (one, other) = (both_ways(at.path("l"))?, both_ways(at.path("l"))?);
            let writable = Map::new(&one, libc::PROT_READ | libc::PROT_WRITE)?;
            let readable = Map::new(&other, libc::PROT_READ)?;
            writable.set(9999, b'w');
            let shown = (readable.byte(9999) as char, char_at(&other, 9999)?);
            one.write_all_at(b"x", 1)?;
            Ok(format!("{shown:?} {}{}", readable.byte(1) as char, writable.byte(1) as char))
        };
        at.note("two maps", mapped()).gives("('w', 'w') xx");
    });
}

#[test]
fn a_writable_map_is_written_when_it_goes_without_a_sync() {
    need!(fuse, overlay);
    check("upper:\n f u 644 10000*U\n lower:\n f l 644 10000*L", |at| {
        for name in ["u", "l"] {
            let mapped = || {
                let map = Map::new(&both_ways(at.path(name))?, libc::PROT_READ | libc::PROT_WRITE)?;
                map.set(5000, b'm');
                drop(map);
                Ok(char_at(&File::open(at.path(name))?, 5000)?.to_string())
            };
            at.note(format_args!("map {name}"), mapped()).gives("m");
        }
    });
}

#[test]
fn a_map_stays_when_its_file_is_removed_or_replaced() {
    need!(fuse, overlay);
    check("upper:\n f u 644 10000*U\n f new 644 10000*N\n lower:\n f l 644 10000*L", |at| {
        let mapped = || {
            let [u, l] =
                ["u", "l"].map(|name| Map::new(&both_ways(at.path(name))?, libc::PROT_READ | libc::PROT_WRITE));
            let (u, l) = (u?, l?);
            std::fs::remove_file(at.path("u"))?;
            std::fs::rename(at.path("new"), at.path("l"))?;
            u.set(0, b'x');
            l.set(0, b'y');
            u.sync()?;
            l.sync()?;
            let bytes = [u.byte(0), u.byte(9999), l.byte(0), l.byte(9999)];
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        at.note("use the maps", mapped()).gives("xUyL");
        at.read("l").gives("10000*N");
    });
}

#[test]
fn ranges_are_copied_while_they_are_in_the_cache() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L", |at| {
        let seen = || {
            let reader = File::open(at.path("u"))?;
            let map = Map::new(&reader, libc::PROT_READ)?;
            let before = (char_at(&reader, 5000)?, map.byte(5000) as char);
            let source = both_ways(at.path("l"))?;
            source.write_all_at(b"fresh", 100)?;
            let target = both_ways(at.path("u"))?;
            let (mut from, mut to) = (100, 5000);
            let copied = rustix::fs::copy_file_range(&source, Some(&mut from), &target, Some(&mut to), 8192)?;
            Ok(format!("{before:?} {copied} {}{}", char_at(&reader, 5000)?, map.byte(5001) as char))
        };
        at.note("copy_file_range over cached pages", seen()).gives("('U', 'U') 8192 fr");
    });
}

#[test]
fn what_is_dirty_in_a_map_is_copied_too() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L", |at| {
        let seen = || {
            let (source, target) = (both_ways(at.path("l"))?, both_ways(at.path("u"))?);
            let map = Map::new(&source, libc::PROT_READ | libc::PROT_WRITE)?;
            map.set(0, b'm');
            let copied = rustix::fs::copy_file_range(&source, Some(&mut 0), &target, Some(&mut 0), 10)?;
            Ok(format!("{copied} {}", char_at(&target, 0)?))
        };
        at.note("copy_file_range from a dirty map", seen()).gives("10 m");
    });
}

#[test]
fn sendfile_and_splice_send_what_the_file_holds_now() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 20000*L\n f copy 644 x", |at| {
        let sent = || {
            let source = both_ways(at.path("l"))?;
            char_at(&source, 0)?;
            source.write_all_at(b"now", 10_000)?;
            let target = OpenOptions::new().write(true).truncate(true).open(at.path("copy"))?;
            let mut offset = 5000;
            let mut count = 0;
            while count < 15_000 {
                match rustix::fs::sendfile(&target, &source, Some(&mut offset), 15_000 - count)? {
                    0 => break,
                    more => count += more,
                }
            }
            let (read, write) = io::pipe()?;
            let spliced = splice((&source, Some(10_000)), (&write, None), 3)?;
            let mut three = [0; 3];
            (&read).read_exact(&mut three)?;
            (&write).write_all(b"back")?;
            let back = splice((&read, None), (&target, Some(15_000)), 4)?;
            Ok(format!("{count} {spliced} {} {back}", String::from_utf8_lossy(&three)))
        };
        at.note("sendfile and splice", sent()).gives("15000 3 now 4");
        at.read("copy");
    });
}

#[test]
fn a_file_that_another_process_writes_reads_the_same_here() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 20000*L", |at| {
        let reader = File::open(at.path("l")).expect("open");
        let map = char_at(&reader, 4095).expect("read");
        let mut dd = Command::new("dd");
        dd.args(["of=l", "bs=4096", "seek=1", "count=2", "conv=notrunc", "status=none"]).current_dir(at.path(""));
        let mut dd = dd.stdin(Stdio::piped()).spawn().expect("start dd");
        dd.stdin.take().expect("piped").write_all(&[b'd'; 8192]).expect("feed dd");
        assert!(dd.wait().expect("it ends").success());
        let after = [4095, 4096, 12_287, 12_288].map(|offset| char_at(&reader, offset).expect("read"));
        at.note("read around", Ok(format!("{map} {}", String::from_iter(after)))).gives("L LddL");
    });
}
