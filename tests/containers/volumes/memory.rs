//! Mounts in memory: `--tmpfs` and `/dev/shm`.

use crate::host::hosts;

#[test]
fn a_tmpfs_is_empty_limited_and_runs_nothing_unless_asked() {
    for host in hosts() {
        let flags = "for flag in nosuid nodev noexec size=[0-9]*k mode=[0-7]*; do \
            grep ' /etc ' /proc/mounts | grep -o $flag; done; true";
        let script = format!("ls /etc | grep -v -e host -e resolv; {flags}");
        for (options, expected) in [
            ("--tmpfs=/etc:size=1m,mode=750", "nosuid\nnodev\nnoexec\nsize=1024k\nmode=750"),
            (
                "--mount=type=tmpfs,dst=/etc,tmpfs-size=1m,tmpfs-mode=0750",
                "nosuid\nnodev\nnoexec\nsize=1024k\nmode=750",
            ),
            ("--tmpfs=/etc:exec,suid,size=8k", "nodev\nsize=8k"),
        ] {
            assert_eq!(host.prints(&[options], &script), expected, "{host}: {options}");
        }
        let run = "echo 'echo ran' > /t/x; /bin/busybox chmod 755 /t/x; /t/x 2>/dev/null; echo $?; stat -c %a /t";
        assert_eq!(host.prints(&["--tmpfs", "/t"], run), "126\n1777", "{host}");
        assert_eq!(host.prints(&["--tmpfs", "/t:exec,mode=700"], run), "ran\n0\n700", "{host}");
        let write = "head -c 1048576 /dev/zero > /t/x 2>/dev/null; echo $?";
        assert_eq!(host.prints(&["--tmpfs", "/t:size=64k"], write), "1", "{host}");
    }
}

#[test]
fn a_read_only_container_writes_to_its_tmpfs_and_volumes() {
    for host in hosts() {
        let flags = &["--read-only", "--tmpfs", "/run", "-v", "data:/data", "--tmpfs", "/frozen:ro"];
        let script = "for at in /run /data /tmp /frozen; do echo x 2>/dev/null > $at/x; echo $?; done";
        assert_eq!(host.prints(flags, script), "0\n0\n1\n1", "{host}");
    }
}

#[test]
fn the_size_of_shared_memory_can_be_chosen() {
    for host in hosts() {
        let script = "grep ' /dev/shm ' /proc/mounts | grep -o size=[0-9]*k";
        for (flags, size) in [
            (&[][..], "size=65536k"),
            (&["--shm-size", "1m"], "size=1024k"),
            (&["--shm-size=1.5MiB"], "size=1536k"),
            (&["--shm-size", "0"], "size=65536k"),
        ] {
            assert_eq!(host.prints(flags, script), size, "{host}: {flags:?}");
        }
    }
}
