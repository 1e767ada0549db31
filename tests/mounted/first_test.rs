//! One inode is one file: a reader that opened it before a copy-up sees later writes, and no write is lost.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use crate::need;
use crate::support::{Layers, Subject, scratch};

const SIZE: usize = 64 << 10;
const WRITTEN: usize = 8 << 10;

fn bytes(file: &File, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

#[test]
fn a_reader_from_before_the_copy_up_sees_what_is_written_and_nothing_is_lost() {
    need!(root, fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), &format!("upper:\nlower:\nf file 644 {SIZE}*A"));
        let at = dir.path().join("at");
        let mounted = subject.mount(&layers, &at);
        let path = at.join("file");

        let a = File::open(&path).expect("open for reading");
        assert_eq!(bytes(&a, SIZE), vec![b'A'; SIZE]);
        let b = OpenOptions::new().read(true).write(true).open(&path).expect("open for both");
        b.write_all_at(&[b'B'; WRITTEN], 0).expect("write");
        b.sync_all().expect("fsync");
        drop_caches();
        assert_eq!(bytes(&a, WRITTEN), vec![b'B'; WRITTEN], "{subject:?}: a reader from before reads old data");
        assert_eq!(bytes(&b, WRITTEN), vec![b'B'; WRITTEN], "{subject:?}: the writer reads old data");

        b.write_all_at(b"C", WRITTEN as u64).expect("write one byte");
        b.sync_all().expect("fsync");
        drop((a, b));
        mounted.unmount();
        let mounted = subject.mount(&layers, &at);
        let mut expected = vec![b'A'; SIZE];
        expected[..WRITTEN].fill(b'B');
        expected[WRITTEN] = b'C';
        assert!(fs::read(&path).expect("read") == expected, "{subject:?} lost what was written");
        mounted.unmount();
    }
}

fn drop_caches() {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").expect("drop the caches of the machine");
}
