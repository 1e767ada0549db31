//! A bundle from its making to its end: what it is made of, what is refused, and what is left.

use serde_json::{Value, json};

use super::{RUNTIMES, all, all_with, prints, script, stderr, stdout};
use crate::host::Host;
use crate::image::Twist;
use crate::support::need;

/// The directories below the user's own, the containers and the mounts of the user.
fn left(host: &Host) -> String {
    prints(
        host,
        script(
            host,
            "ls -d box* 2>/dev/null; o ps -a -q 2>/dev/null || o ps -a | tail -n +2; grep $PWD /proc/mounts; true",
        ),
    )
}

#[test]
fn a_bundle_is_a_configuration_and_a_mounted_root() {
    for host in all() {
        let text =
            "o bundle --name made tiny box 2>/dev/null && ls box box/rootfs/etc && o ps -a && cat box/config.json
            o bundle --remove box";
        let printed = prints(&host, script(&host, text));
        let (listing, config) = printed.split_once('{').unwrap();
        assert!(listing.starts_with("box:\nconfig.json\nrootfs\n"), "{host}: {listing}");
        assert!(listing.contains("passwd") && listing.contains(" made"), "{host}: {listing}");
        let config: Value = serde_json::from_str(&format!("{{{config}")).unwrap();
        assert_eq!(config["root"], json!({ "path": "rootfs", "readonly": false }), "{host}");
        assert_eq!(config["process"]["args"], json!(["/bin/sh", "-c", "echo the image speaks"]), "{host}");
        assert_eq!(config["linux"]["uidMappings"].is_null(), host.is_root(), "{host}");
        assert_eq!(config["linux"]["resources"].is_null(), !host.is_root(), "{host}");
        assert_eq!(left(&host), "", "{host}");
    }
}

#[test]
fn labels_and_what_the_image_says_of_itself_are_annotations() {
    let twist = |_: &std::path::Path| Twist {
        config: [("Labels".to_owned(), json!({ "org.example": "x" })), ("StopSignal".to_owned(), json!("SIGQUIT"))]
            .into_iter()
            .collect(),
        ..Twist::default()
    };
    for host in all_with(twist) {
        let printed =
            prints(&host, script(&host, "o bundle tiny box 2>/dev/null && cat box/config.json; o bundle --remove box"));
        let config: Value = serde_json::from_str(&printed).unwrap();
        let said = &config["annotations"];
        assert_eq!(
            (&said["org.example"], &said["org.opencontainers.image.stopSignal"]),
            (&json!("x"), &json!("SIGQUIT"))
        );
        assert_eq!(said["org.opencontainers.image.os"], "linux", "{host}");
        assert_eq!(said["org.overfuse.container"].as_str().map(str::len), Some(64), "{host}");
    }
}

#[test]
fn the_runtimes_change_the_container_that_the_store_knows() {
    for host in all() {
        for runtime in RUNTIMES {
            let text = format!(
                "o bundle --name kept tiny box -c 'echo x >> /new; wc -l /new' 2>/dev/null || exit 1
                start {runtime} box; o diff kept; o umount box/rootfs; ls box/rootfs
                until o bundle --remount box 2>/dev/null; do sleep 0.1; done
                start {runtime} box; o bundle --remove box"
            );
            let expected = "1 /new\nC /\nA /new\nA /srv\n2 /new\n";
            let printed = prints(&host, script(&host, &text));
            assert!(printed == expected || printed == expected.replace("C /\n", ""), "{host} {runtime}: {printed}");
            assert_eq!(left(&host), "", "{host} {runtime}");
        }
    }
}

#[test]
fn nothing_is_left_of_a_bundle_that_cannot_be_made() {
    for host in all() {
        for (args, said) in [
            ("-u nobody tiny box", "the image's /etc/passwd has no user \"nobody\""),
            ("--name a/b tiny box", "\"a/b\" is no name for a container"),
            ("gone box", "there is no image \"gone\""),
            ("tiny", "no directory for the bundle: overfuse bundle IMAGE DIR"),
            ("tiny none/box", "none/box: No such file or directory"),
            ("--rm tiny box", "--rm: a bundle stays until `overfuse bundle --remove DIR`"),
            ("--init tiny box", "--init: an OCI runtime has no init to run as process 1"),
            ("--chroot tiny box", "--chroot: an OCI runtime always makes namespaces"),
            (
                "--restart always tiny box",
                "--restart, --stop-timeout, --log-driver, --log-opt: a bundle leaves these to the runtime",
            ),
            ("--runtime runc tiny box", "--runtime: a bundle is for any runtime"),
            ("-e A=$(printf '\\377') tiny box", "is not Unicode"),
            ("--remove box", "box: No such file or directory"),
        ] {
            let output = script(&host, &format!("o bundle {args}")).output().unwrap();
            let said_now = stderr(&output);
            assert!(said_now.contains(said), "{host} {args}: {said_now}");
            assert_eq!(said_now.lines().count(), 1, "{host} {args}: {said_now}");
            assert_eq!((output.status.success(), stdout(&output).as_str()), (false, ""), "{host} {args}");
            assert_eq!(left(&host), "", "{host} {args}");
        }
    }
}

#[test]
fn a_directory_that_holds_something_is_left_alone() {
    for host in all() {
        let text = "mkdir -p full empty; echo x > full/x
            o bundle tiny full; o bundle --remove full; ls full
            o bundle -u nobody tiny empty; ls -a empty
            o bundle tiny empty && touch empty/mine; o bundle --remove empty; ls empty; rm -r full empty";
        let output = script(&host, text).output().unwrap();
        assert_eq!(stdout(&output), "x\n.\n..\nmine\n", "{host}: {}", stderr(&output));
        assert!(stderr(&output).contains("full is not empty"), "{host}: {}", stderr(&output));
        assert_eq!(left(&host), "", "{host}");
    }
}

#[test]
fn a_user_that_may_not_use_the_mount_is_refused() {
    for host in all().iter().filter(|host| host.has_users() && !host.is_root()) {
        let shared = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
        if shared.lines().any(|line| line.trim() == "user_allow_other") {
            continue;
        }
        let output = script(host, "o bundle -u app tiny box").output().unwrap();
        let expected =
            "overfuse: user app of the container may not use the files: /etc/fuse.conf does not say user_allow_other\n";
        assert_eq!(stderr(&output), expected, "{host}");
        assert_eq!(left(host), "", "{host}");
        let warned = script(host, "o bundle tiny box && o bundle --remove box").output().unwrap();
        assert!(stderr(&warned).starts_with("overfuse: only root of the container may use the files"), "{host}");
    }
}

#[test]
fn groups_that_a_runtime_cannot_set_are_named() {
    use super::sharing_script;
    for host in all().iter().filter(|host| host.has_users() && !host.is_root()) {
        for runtime in RUNTIMES {
            let text = format!("o bundle -u app tiny box -c id; start {runtime} box; o bundle --remove box");
            let output = sharing_script(host, &text).stderr(std::process::Stdio::piped()).output().unwrap();
            let expected = "overfuse: without root, runtimes set no supplementary groups: 44 left out\n";
            assert_eq!(
                (stdout(&output).as_str(), stderr(&output).lines().next()),
                ("uid=1000(app) gid=1001(app)\n", Some(expected.trim_end())),
                "{host} {runtime}"
            );
        }
    }
}

#[test]
fn a_bundle_in_use_is_not_removed() {
    if !need::all(&["root"]) {
        return;
    }
    for host in all().iter().filter(|host| host.is_root()) {
        let text = "o bundle tiny box -c 'echo ready > /ready; sleep 100' || exit 1
            start crun box & until [ -e box/rootfs/ready ]; do sleep 0.1; done
            o bundle --remove box; echo $?; ls box
            crun --root $PWD/crun.state delete --force \"$(basename $STORE)-$$-crun\"; o bundle --remove box";
        let output = script(host, text).output().unwrap();
        assert_eq!(stdout(&output), "1\nconfig.json\nrootfs\n", "{host}: {}", stderr(&output));
        assert!(stderr(&output).contains("does a container still run from the bundle?"), "{}", stderr(&output));
        assert_eq!(left(host), "", "{host}");
    }
}
