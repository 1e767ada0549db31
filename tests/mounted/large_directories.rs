//! Directories with very many names, read in pieces while they change.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::need;
use crate::support::{At, Layers, Subject, scratch};

const MANY: usize = 100_000;

/// An open directory, read as `getdents64(2)` reads it.
struct Listing {
    file: File,
    buffer: Vec<u8>,
}

/// A name, and where the next one begins.
type Item = (String, i64);

impl Listing {
    fn open(path: &Path, buffer: usize) -> io::Result<Listing> {
        Ok(Listing { file: File::open(path)?, buffer: vec![0; buffer] })
    }

    /// The next few entries, without `.` and `..`; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Vec<Item>>> {
        // SAFETY: a live descriptor, and a buffer of the size that is given.
        let length = unsafe {
            libc::syscall(libc::SYS_getdents64, self.file.as_raw_fd(), self.buffer.as_mut_ptr(), self.buffer.len())
        };
        if length < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut items = Vec::new();
        let mut rest = &self.buffer[..length as usize];
        while !rest.is_empty() {
            let offset = i64::from_ne_bytes(rest[8..16].try_into().expect("eight bytes"));
            let size = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..size].split(|byte| *byte == 0).next().expect("a name");
            if name != b"." && name != b".." {
                items.push((String::from_utf8_lossy(name).into_owned(), offset));
            }
            rest = &rest[size..];
        }
        Ok((length > 0).then_some(items))
    }

    fn seek(&self, to: i64) -> io::Result<()> {
        // SAFETY: a live descriptor and numbers.
        match unsafe { libc::lseek(self.file.as_raw_fd(), to, libc::SEEK_SET) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn rest(&mut self) -> io::Result<Vec<String>> {
        let mut all = Vec::new();
        while let Some(items) = self.next()? {
            all.extend(items.into_iter().map(|(name, _)| name));
        }
        Ok(all)
    }
}

/// Mounts over layers of which `fill` fills the lower and the upper directory `d`.
fn mounted(subjects: &[Subject], fill: impl Fn(&Path, &Path), act: impl Fn(Subject, &At)) {
    for &subject in subjects {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n d d 755\n lower:\n d d 755");
        fill(&layers.lowers[0].join("d"), &layers.upper().join("d"));
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        act(subject, &At::new(mounted.at()));
        mounted.unmount();
    }
}

fn fill(dir: &Path, names: std::ops::Range<usize>) {
    for n in names {
        File::create(dir.join(format!("{n:06}"))).expect("create");
    }
}

#[test]
fn a_hundred_thousand_names_are_listed_once_each_while_a_third_of_them_is_removed() {
    need!(fuse, overlay);
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..MANY * 2 / 3);
            fill(upper, MANY / 3..MANY);
        },
        |subject, at| {
            let mut seen = Vec::new();
            let mut removed = BTreeSet::new();
            let mut listing = Listing::open(&at.path("d"), 32 << 10).expect("open");
            while let Some(items) = listing.next().expect("getdents") {
                for (name, _) in items {
                    // Some of the names that were listed already, and some of those still to come.
                    let number: usize = name.parse().expect("a number");
                    for victim in [number, MANY - 1 - number] {
                        let name = format!("{victim:06}");
                        if victim % 3 == 0 && removed.insert(name.clone()) {
                            fs::remove_file(at.path(&format!("d/{name}"))).expect("remove");
                        }
                    }
                    seen.push(name);
                }
            }
            let distinct: BTreeSet<&String> = seen.iter().collect();
            assert_eq!(distinct.len(), seen.len(), "{subject:?}: a name was listed twice");
            let missed =
                (0..MANY).map(|n| format!("{n:06}")).filter(|name| !removed.contains(name) && !distinct.contains(name));
            assert_eq!(missed.count(), 0, "{subject:?}: a name that stayed was missed");
            let left = Listing::open(&at.path("d"), 1 << 20).and_then(|mut all| all.rest()).expect("list again");
            assert_eq!(left.len(), MANY - removed.len());
        },
    );
}

#[test]
fn a_small_buffer_lists_all_and_one_that_is_too_small_is_refused() {
    need!(fuse, overlay);
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..300);
            fill(upper, 200..500);
            File::create(upper.join("n".repeat(255))).expect("create");
        },
        |subject, at| {
            // Room for one long name, or for a few short ones.
            let all = Listing::open(&at.path("d"), 280).and_then(|mut listing| listing.rest()).expect("list");
            assert_eq!(all.len(), 501, "{subject:?}");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 501, "{subject:?}");
            let refused = Listing::open(&at.path("d"), 16).and_then(|mut listing| listing.rest()).expect_err("no room");
            assert_eq!(refused.raw_os_error(), Some(libc::EINVAL), "{subject:?}");
        },
    );
}

#[test]
fn every_place_of_a_listing_can_be_returned_to() {
    need!(fuse, overlay);
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..200);
            fill(upper, 150..300);
        },
        |subject, at| {
            let mut listing = Listing::open(&at.path("d"), 280).expect("open");
            let mut items = Vec::new();
            while let Some(more) = listing.next().expect("getdents") {
                items.extend(more);
            }
            assert_eq!(items.len(), 300, "{subject:?}");
            for index in [0, 7, 150, 151, 298, 299] {
                listing.seek(items[index].1).expect("seek");
                let rest = listing.rest().expect("getdents");
                // `.` and `..` may come last.
                let expected: Vec<&String> = items[index + 1..].iter().map(|(name, _)| name).collect();
                assert_eq!(rest.iter().collect::<Vec<_>>(), expected, "{subject:?} from behind item {index}");
            }
            listing.seek(0).expect("rewind");
            assert_eq!(listing.rest().expect("getdents").len(), 300, "{subject:?}");
        },
    );
}

#[test]
fn a_place_stays_good_while_names_before_and_behind_it_go() {
    need!(fuse, overlay);
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..2000);
            fill(upper, 1500..3000);
        },
        |subject, at| {
            let mut listing = Listing::open(&at.path("d"), 4096).expect("open");
            let first = listing.next().expect("getdents").expect("there are some");
            let place = first.last().expect("some").1;
            let mut rest: BTreeSet<String> = listing.rest().expect("getdents").into_iter().collect();
            // All names before the place, and every other name after it.
            let behind: Vec<String> = rest.iter().step_by(2).cloned().collect();
            for name in first.iter().map(|(name, _)| name).chain(&behind) {
                fs::remove_file(at.path(&format!("d/{name}"))).expect("remove");
                rest.remove(name);
            }
            listing.seek(place).expect("seek");
            let again: Vec<String> = listing.rest().expect("getdents");
            let distinct: BTreeSet<String> = again.iter().cloned().collect();
            assert_eq!(distinct.len(), again.len(), "{subject:?}: a name was listed twice");
            assert!(rest.is_subset(&distinct), "{subject:?}: a name that stayed was missed");
        },
    );
}

#[test]
fn a_rewound_directory_lists_new_names_also_while_another_reader_is_in_the_middle() {
    need!(fuse, overlay);
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..1000);
            fill(upper, 900..1500);
        },
        |subject, at| {
            let mut one = Listing::open(&at.path("d"), 4096).expect("open");
            let mut other = Listing::open(&at.path("d"), 4096).expect("open");
            let began: Vec<String> =
                one.next().expect("getdents").expect("some").into_iter().map(|(name, _)| name).collect();
            other.next().expect("getdents");
            fill(&at.path("d"), 2000..2100);
            other.seek(0).expect("rewind");
            let anew = other.rest().expect("getdents");
            assert_eq!(anew.len(), 1600, "{subject:?}: after rewinding");
            let mut whole = began;
            whole.extend(one.rest().expect("getdents"));
            let old = whole.iter().filter(|name| name.as_str() < "002000").collect::<BTreeSet<_>>();
            assert_eq!(old.len(), 1500, "{subject:?}: who is in the middle misses nothing");
            assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len(), "{subject:?}: nor sees a name twice");
        },
    );
}

/// Lookups after a listing without attributes make Overfuse drop it from the kernel's cache. The kernel then reads it
/// with attributes, while other readers are in the middle of it.
#[test]
fn a_listing_that_is_taken_away_goes_on_for_each_of_its_readers() {
    need!(fuse, overlay);
    const KEPT: usize = 8000;
    mounted(
        &Subject::BOTH,
        |lower, upper| {
            fill(lower, 0..KEPT * 3 / 4);
            fill(upper, KEPT / 2..KEPT);
        },
        |subject, at| {
            let path = at.path("d");
            let open = |buffer| Listing::open(&path, buffer).expect("open");
            // Each reader stands at another place of the listing that the kernel has cached.
            let mut readers: Vec<(Listing, Vec<String>)> = (0..6).map(|_| (open(4096), Vec::new())).collect();
            for _ in 0..2 {
                assert_eq!(open(32 << 10).rest().expect("list").len(), KEPT, "{subject:?}");
            }
            for (index, (listing, seen)) in readers.iter_mut().enumerate() {
                for _ in 0..index * 7 {
                    seen.extend(listing.next().expect("getdents").expect("some").into_iter().map(|(name, _)| name));
                }
            }
            std::thread::scope(|scope| {
                for client in 0..2 {
                    // Lists and looks up every name, including names that were not looked up before.
                    let (path, mut listing) = (&path, open(4096));
                    scope.spawn(move || {
                        let mut seen = BTreeSet::new();
                        while let Some(items) = listing.next().expect("getdents") {
                            for (name, _) in items {
                                let known = fs::symlink_metadata(path.join(&name));
                                assert!(known.is_ok() || name.starts_with('1'), "{subject:?}: {name}");
                                assert!(seen.insert(name.clone()), "{subject:?}, {client}: {name} was listed twice");
                            }
                        }
                        let kept = seen.iter().filter(|name| name.starts_with('0')).count();
                        assert_eq!(kept, KEPT, "{subject:?}, {client}: of what stayed");
                    });
                }
                let path = &path;
                scope.spawn(move || {
                    for name in (100_000..100_400).map(|n| path.join(n.to_string())) {
                        File::create(&name).expect("create");
                        fs::remove_file(&name).expect("remove");
                    }
                });
                for (listing, seen) in &mut readers {
                    scope.spawn(move || seen.extend(listing.rest().expect("getdents")));
                }
            });
            for (index, (_, seen)) in readers.iter().enumerate() {
                let distinct: BTreeSet<&String> = seen.iter().collect();
                assert_eq!(distinct.len(), seen.len(), "{subject:?}, {index}: a name was listed twice");
                let kept = distinct.iter().filter(|name| name.starts_with('0')).count();
                assert_eq!(kept, KEPT, "{subject:?}, {index}: of what stayed");
            }
            assert_eq!(open(32 << 10).rest().expect("list").len(), KEPT, "{subject:?}");
        },
    );
}
