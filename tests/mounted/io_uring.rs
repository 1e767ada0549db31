//! Requests by io_uring: that they come this way, and that a mount works the same when they cannot.

use std::fs;
use std::path::Path;

use overfuse::fuse::stats;

use crate::need;
use crate::support::subject::peer;
use crate::support::{Layers, mount_with, scratch};

const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// The value of the kernel's switch; `None` if the kernel has none, or this process may not use it.
fn switch() -> Option<String> {
    let file = fs::OpenOptions::new().read(true).write(true).open(SWITCH).ok().filter(|_| peer().is_none())?;
    file.lock().expect("lock the switch");
    Some(fs::read_to_string(SWITCH).expect("read the switch"))
}

fn come_by_rings(at: &Path) -> bool {
    stats(at).expect("the counts of the mount").io_uring
}

#[test]
fn root_has_rings_for_the_asking_and_the_switch_stays_as_it_was() {
    need!(root, fuse);
    let Some(before) = switch() else { return };
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f f 644 text\n d d\n");
    for (options, rings) in [("io_uring", true), ("io_uring=on,io=cached", true), ("io_uring=off", false)] {
        let mounted = mount_with(&layers, &dir.path().join("at"), options);
        let at = mounted.at();
        assert_eq!(come_by_rings(at), rings, "{options}");
        assert_eq!(fs::read(at.join("f")).expect("read"), b"text");
        // Small and large messages in both directions: each kind uses another buffer.
        for size in [1, 4096, 8192, 8193, 300_000, 3 << 20] {
            let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let path = at.join(format!("d/{size}"));
            fs::write(&path, &content).expect("write");
            assert!(fs::read(&path).expect("read") == content, "{options}: {size} bytes differ");
            assert!(fs::read(layers.upper().join(format!("d/{size}"))).expect("read") == content);
        }
        let value = vec![b'v'; 3000];
        rustix::fs::setxattr(at.join("f"), "user.large", &value, rustix::fs::XattrFlags::empty()).expect("setxattr");
        let mut seen = vec![0; 10_000];
        assert_eq!(rustix::fs::getxattr(at.join("f"), "user.large", &mut seen), Ok(3000));
        assert!(seen[..3000] == value, "{options}");
        mounted.unmount();
        fs::remove_dir_all(layers.upper()).expect("clean the upper");
        fs::create_dir(layers.upper()).expect("make the upper anew");
    }
    assert_eq!(switch().as_ref(), Some(&before));
}

#[test]
fn many_mounts_at_once_all_have_rings_and_answer() {
    need!(root, fuse);
    let Some(before) = switch() else { return };
    let one = |_| {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f f 644 text\n");
        for _ in 0..5 {
            let mounted = mount_with(&layers, &dir.path().join("at"), "io_uring=on");
            assert!(come_by_rings(mounted.at()));
            assert_eq!(fs::read(mounted.at().join("f")).expect("read"), b"text");
            mounted.unmount();
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|worker| drop(scope.spawn(move || one(worker))));
    });
    assert_eq!(switch().as_ref(), Some(&before));
}
