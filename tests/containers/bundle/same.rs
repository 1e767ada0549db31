//! The same container by our launcher, by runc and by crun: what the command sees must be the same.

use std::collections::BTreeMap;
use std::path::Path;

use super::{RUNTIMES, all, all_with, prints, script, sharing_script, stderr};
use crate::host::Host;
use crate::image::Twist;

/// Prints what a command sees, in sections; ends with status 7.
const LOOK: &str = r#"
echo "@mounts"; cat /proc/self/mounts
echo "@rights"; grep -E "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):" /proc/self/status
echo "@environment"; env
echo "@place"; pwd; hostname; umask; id; tty; echo /proc/[0-9]*
echo "@devices"; stat -c "%n %F %a %t:%T" /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; ls /dev | grep -v ^core
readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx
echo "@masks"; for file in /proc/keys /proc/timer_list /proc/interrupts; do [ "$(cat $file | wc -c)" = 0 ]; echo $?; done; ls -a /sys/firmware
ls /sys/fs/cgroup; for file in /proc/sys/kernel/hostname /proc/sysrq-trigger; do echo x 2>/dev/null > $file; echo $?; done
echo "@calls"; mount -t tmpfs x /tmp 2>&1; mknod /tmp/x b 8 0 2>&1; chown 1:1 /tmp 2>/dev/null; echo $?
echo "@files"; stat -c "%n %u:%g %a" / /etc/passwd /home/app /tmp /srv /etc/hosts; cat /etc/hostname
exit 7
"#;

/// The sections that a command printed, each a sorted list of lines, with what may differ taken out.
fn seen(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections = BTreeMap::new();
    for section in text.split('@').filter(|section| !section.is_empty()) {
        let (name, lines) = section.split_once('\n').unwrap();
        let mut lines: Vec<String> = match name {
            "mounts" => lines.lines().map(mount).collect(),
            // A shell counts itself.
            "environment" => lines.lines().filter(|line| !line.starts_with("SHLVL=")).map(String::from).collect(),
            _ => lines.lines().map(|line| line.trim_end().to_owned()).collect(),
        };
        lines.sort();
        lines.dedup();
        sections.insert(name.to_owned(), lines);
    }
    sections
}

/// The lines that only one has: ours after `-`, theirs after `+`.
fn differences(ours: &BTreeMap<String, Vec<String>>, theirs: &BTreeMap<String, Vec<String>>) -> String {
    let mut lines = Vec::new();
    for (name, ours) in ours {
        let theirs = &theirs[name];
        lines.extend(ours.iter().filter(|line| !theirs.contains(line)).map(|line| format!("{name} - {line}\n")));
        lines.extend(theirs.iter().filter(|line| !ours.contains(line)).map(|line| format!("{name} + {line}\n")));
    }
    lines.concat()
}

/// A mount as place, kind and restrictions. A runtime covers masked files with another null device than we, and
/// restricts covers and devices in other ways: there only the place counts.
fn mount(line: &str) -> String {
    let fields: Vec<&str> = line.split(' ').collect();
    let (place, kind, options) = (fields[1], fields[2], fields[3]);
    let is_cover = ["/proc/", "/sys/firmware", "/sys/devices/"].iter().any(|dir| place.starts_with(dir));
    let is_device = place.starts_with("/dev/") && kind == "devtmpfs";
    if is_cover || is_device || place.starts_with("/sys/fs/cgroup") {
        return place.to_owned();
    }
    // Runtimes may drop it from the root that root gives them; the device cgroup has the same rule.
    let told =
        if place == "/" { &["ro", "rw", "nosuid", "noexec"][..] } else { &["ro", "rw", "nosuid", "nodev", "noexec"] };
    let options: Vec<&str> = options.split(',').filter(|option| told.contains(option)).collect();
    format!("{place} {kind} {}", options.join(","))
}

/// Runs [`LOOK`] with `flags` by us and by the runtimes, and compares.
#[track_caller]
fn check(host: &Host, flags: &str, as_script: impl Fn(&Host, &str) -> std::process::Command) {
    std::fs::create_dir_all(host.path("data")).unwrap();
    // Runtimes have none.
    let flags = format!("{flags}{}", if host.has_users() { "" } else { " --no-virtual-ids" });
    let run = |text: &str| {
        let output = as_script(host, text).env("LOOK", LOOK).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{host} {flags}: {text}: {}", stderr(&output));
        seen(&String::from_utf8(output.stdout).unwrap())
    };
    let mut ours = run(&format!("o run --rm {flags} tiny -c \"$LOOK\""));
    for runtime in RUNTIMES {
        let theirs = run(&format!("o run --rm --runtime {runtime} {flags} tiny -c \"$LOOK\""));
        assert_eq!(differences(&ours, &theirs), "", "{host} {flags}: run --runtime {runtime}");
    }
    if !host.is_root() {
        // The mount is outside of the container, where fusermount3 allows a user no set-id programs.
        let mounts = ours.get_mut("mounts").unwrap();
        let root = mounts.iter_mut().find(|mount| mount.starts_with("/ ")).unwrap();
        *root = format!("{root},nosuid");
    }
    for runtime in RUNTIMES {
        let theirs = run(&format!(
            "o bundle {flags} tiny box -c \"$LOOK\" 2>/dev/null || exit 1
            start {runtime} box
            status=$?
            o bundle --remove box || exit 1
            exit $status"
        ));
        assert_eq!(differences(&ours, &theirs), "", "{host} {flags}: bundle for {runtime}");
    }
}

#[test]
fn a_command_sees_the_same_whoever_starts_it() {
    for host in all() {
        check(&host, "--hostname box -e A=1=2", script);
    }
}

#[test]
fn a_command_without_a_network_sees_the_same_whoever_starts_it() {
    for host in all() {
        let flags = "--hostname box --network none --read-only --security-opt no-new-privileges -w /tmp -v $PWD/data:/data:ro \
             --tmpfs /run:size=1m,mode=755 --shm-size 2m";
        check(&host, flags, script);
    }
}

#[test]
fn an_ordinary_user_of_a_container_sees_the_same_whoever_starts_it() {
    for host in all().iter().filter(|host| host.has_users()) {
        // Without root, runtimes set no supplementary groups.
        let user = if host.is_root() { "app" } else { "app:app" };
        check(host, &format!("--hostname box -u {user}"), sharing_script);
        check(host, "--hostname box -u 77:88", sharing_script);
    }
}

#[test]
fn a_privileged_container_sees_the_same_whoever_starts_it() {
    for host in all().iter().filter(|host| host.is_root()) {
        check(host, "--hostname box --privileged --network none", script);
    }
}

#[test]
fn a_new_volume_gets_the_images_files_whoever_starts_the_container() {
    for host in all() {
        for runtime in RUNTIMES {
            let look = "stat -c '%n %u %a' /home/app; cat /home/left 2>/dev/null; echo x > /home/left";
            let text = format!(
                "o run --rm --runtime {runtime} -v {runtime}1:/home tiny -c \"{look}\"
                o run --rm -v {runtime}1:/home tiny -c \"{look}\"; o volume rm {runtime}1 >/dev/null
                o bundle -v {runtime}2:/home tiny box -c \"{look}\" 2>&1 && start {runtime} box && o bundle --remove box
                o volume rm {runtime}2 >/dev/null 2>&1; true"
            );
            let printed = prints(&host, script(&host, &text));
            let last = match host.is_root() {
                true => "/home/app 0 777\n",
                false => "overfuse: /home: without root, a bundle has no volumes; bind a directory instead\n",
            };
            let expected = format!("/home/app 0 777\n/home/app 0 777\nx\n{last}");
            assert_eq!(printed, expected, "{host} {runtime}");
        }
    }
}

#[test]
fn a_device_works_whoever_starts_the_container() {
    for host in all() {
        for runtime in RUNTIMES {
            let text = format!(
                "for by in '' '--runtime {runtime}'; do
                    o run --rm $by --device /dev/fuse:/dev/f tiny -c 'exec 3<>/dev/f && echo opened; stat -c %t:%T /dev/f'
                done
                o bundle --device /dev/fuse:/dev/f tiny box -c 'exec 3<>/dev/f && echo opened; stat -c %t:%T /dev/f' 2>/dev/null
                start {runtime} box && o bundle --remove box"
            );
            assert_eq!(prints(&host, script(&host, &text)), "opened\na:e5\n".repeat(3), "{host} {runtime}");
        }
    }
}

#[test]
fn a_device_node_of_the_image_opens_for_nobody() {
    let twist = |_: &Path| Twist { devices: vec![("node".into(), 10, 229)], ..Twist::default() };
    for host in all_with(twist) {
        for runtime in RUNTIMES {
            let look = "stat -c %t:%T /node; exec 2>/dev/null; exec 3<>/node && echo opened";
            let text = format!(
                "o run --rm --read-only --runtime {runtime} tiny -c '{look}'
                o bundle --read-only tiny box -c '{look}' 2>/dev/null
                start {runtime} box; o bundle --remove box"
            );
            let printed = prints(&host, script(&host, &text));
            // A user's image has no device nodes at all, or a file in place of each.
            assert!(!printed.contains("opened") && printed.lines().count() == 2, "{host} {runtime}: {printed}");
            assert!(!host.is_root() || printed == "a:e5\na:e5\n", "{host} {runtime}: {printed}");
        }
    }
}

#[test]
fn owners_are_those_of_the_image_inside_and_of_the_user_outside() {
    for host in all().iter().filter(|host| host.has_users() && !host.is_root()) {
        for runtime in RUNTIMES {
            let text = format!(
                "o bundle tiny box -c 'touch /new && chown app:video /new && stat -c %u:%g /new /bin' || exit 1
                start {runtime} box && stat -c %u:%g box/rootfs/new box/rootfs/bin
                o bundle --remount box 2>&1 | grep -c mounted
                o umount box/rootfs; until o commit \"$(o ps -a --no-trunc | grep -o '^[0-9a-f]*')\" again >/dev/null 2>&1; do sleep 0.1; done
                o bundle --remove box
                o run --rm again -c 'stat -c %u:%g /new'"
            );
            let printed = prints(host, sharing_script(host, &text));
            let lines: Vec<&str> = printed.lines().collect();
            let [new, bin, new_outside, bin_outside, mounted, committed] = lines[..] else {
                panic!("{host}: {printed}")
            };
            assert_eq!([new, bin, mounted, committed], ["1000:44", "0:0", "1", "1000:44"], "{host} {runtime}");
            let (uid, gid) = crate::support::need::user(&host.to_string()).map(|user| (user.uid, user.gid)).unwrap();
            assert_eq!(bin_outside, format!("{uid}:{gid}"), "{host} {runtime}");
            let outside: Vec<u32> = new_outside.split(':').map(|id| id.parse().unwrap()).collect();
            assert!(outside.iter().all(|id| *id > 65_536), "{host} {runtime}: {new_outside}");
        }
    }
}
