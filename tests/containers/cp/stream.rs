//! Archives on standard output and input.

use crate::host::{hosts, root};
use crate::terminal::Desk;

use super::both;

fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1_000_000_000);
    header
}

#[test]
fn an_archive_has_the_name_of_the_source_and_the_owners_of_the_container() {
    for host in hosts() {
        let chown = if host.has_users() { "chown 7:8 d/f" } else { "true" };
        both(&host, &format!("cd /srv; mkdir -p d/e; echo one >d/f; chmod 4751 d/f; {chown}; ln d/f d/g"), |target| {
            for (path, names) in [
                ("/srv/d", vec!["d/", "d/e/", "d/f", "d/g"]),
                ("/srv/d/", vec!["d/", "d/e/", "d/f", "d/g"]),
                ("/srv/d/.", vec!["./", "e/", "f", "g"]),
                ("srv/d/f", vec!["f"]),
            ] {
                let got: Vec<String> = target.archive(path).into_keys().collect();
                assert_eq!(got, names, "{target}: {path}");
            }
            let got = target.archive("/srv/d");
            let owner = if host.has_users() { (7, 8) } else { (0, 0) };
            let (file, link) = (&got["d/f"], &got["d/g"]);
            assert_eq!((file.kind, file.content.as_str(), file.owner), ('0', "one\n", owner), "{target}");
            // Another owner takes the bit away, as everywhere.
            assert_eq!(file.mode & 0o777, 0o751, "{target}");
            assert_eq!((link.kind, link.content.as_str()), ('1', "d/f"), "{target}");
        });
    }
}

#[test]
fn an_archive_is_extracted_into_a_directory() {
    for host in hosts() {
        let bytes = archive(|to| {
            to.append_data(&mut header(tar::EntryType::Directory, 0o750, 0), "deep/er/", &[][..]).unwrap();
            to.append_data(&mut header(tar::EntryType::Regular, 0o4640, 3), "deep/er/file", &b"abc"[..]).unwrap();
            to.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), "link", "/etc/passwd").unwrap();
            to.append_link(&mut header(tar::EntryType::Link, 0o640, 0), "hard", "deep/er/file").unwrap();
            to.append_data(&mut header(tar::EntryType::Regular, 0o644, 1), ".wh.name", &b"x"[..]).unwrap();
        });
        both(&host, "mkdir /into", |target| {
            let output = target.extract(&bytes, &["-", "box:/into"]);
            assert!(output.status.success(), "{target}: {output:?}");
            let got = target.archive("/into/.");
            assert_eq!(
                target.tree("/into"),
                ".wh.name=x deep/ deep/er/ deep/er/file=abc hard=deep/er/file link->/etc/passwd",
                "{target}: names of whiteouts mean nothing here"
            );
            let file = &got["deep/er/file"];
            assert_eq!((file.owner, file.mode, file.mtime), ((0, 0), 0o640, 1_000_000_000), "{target}");
            assert_eq!((got["deep/er/"].mode, got["deep/er/"].mtime), (0o750, 1_000_000_000), "{target}");
            if host.has_users() {
                assert!(target.extract(&bytes, &["-a", "-", "box:/into"]).status.success(), "{target}");
                let file = &target.archive("/into/.")["deep/er/file"];
                assert_eq!((file.owner, file.mode), ((7, 8), 0o4640), "{target}: with -a");
            }
        });
    }
}

#[test]
fn bad_archives_are_refused_in_one_line() {
    for host in hosts() {
        let with = |name: &str| {
            let mut bytes = header(tar::EntryType::Regular, 0o644, 1);
            bytes.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            bytes.set_cksum();
            let mut archive = bytes.as_bytes().to_vec();
            archive.extend_from_slice(&[b'x'; 512]);
            archive
        };
        let link = archive(|to| {
            to.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), "out", "/etc").unwrap();
            to.append_data(&mut header(tar::EntryType::Regular, 0o644, 1), "out/made", &b"x"[..]).unwrap();
        });
        let hard = archive(|to| {
            to.append_link(&mut header(tar::EntryType::Link, 0o777, 0), "x", "../etc/passwd").unwrap();
        });
        both(&host, "mkdir -p /into/dir; echo -n old >/into/file", |target| {
            for (bytes, to, line) in [
                (b"no archive".repeat(100), "/into", "not a tar archive: the header at byte 0 is not one"),
                (with("../x"), "/into", "\"../x\": the name leaves the layer"),
                (with("dir"), "/into", "\"dir\": a file cannot replace a directory"),
                (with("file/x"), "/into", "\"file/x\": \"file\" is not a directory"),
                (link.clone(), "/into", "\"out/made\": \"out\" is not a directory"),
                (hard.clone(), "/into", "\"x\": hard link to \"../etc/passwd\", which leaves the layer"),
                (with("x")[..512].to_vec(), "/into", "the archive ends in the middle of the content of a file"),
                (with("x"), "/into/file", "/into/file: an archive is extracted into a directory, and that is none"),
                (with("x"), "/gone", "/gone: an archive is extracted into a directory, and that is none"),
                (with("x"), "/gone/gone", "/gone/gone: No such file or directory (os error 2)"),
                (with("x"), "/proc", "/proc: that is a view of the kernel and no data"),
            ] {
                let output = target.extract(&bytes, &["-", &format!("box:{to}")]);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if to == "/proc" && target.to_string().ends_with("stopped") {
                    continue;
                }
                assert_eq!(said, format!("overfuse: {line}\n"), "{target}: {to}");
                assert!(!output.status.success(), "{target}: {to}");
            }
        });
    }
}

#[test]
fn what_one_container_gives_another_takes() {
    let Some(host) = root() else { return };
    both(
        &host,
        "mkdir -p /a/b /c; echo x >/a/b/f; ln -s f /a/b/l; head -c 3000000 /dev/urandom >/a/big 2>/dev/null",
        |target| {
            let out = target.cp(&["box:/a/.", "-"]);
            let output = target.extract(&out.stdout, &["-", "box:/c"]);
            assert!(output.status.success(), "{target}: {output:?}");
            let again = target.cp(&["box:/c/.", "-"]);
            let files = |bytes: &[u8]| {
                let mut sums = Vec::new();
                for entry in tar::Archive::new(bytes).entries().unwrap() {
                    let mut entry = entry.unwrap();
                    let mut content = Vec::new();
                    std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
                    sums.push((entry.path().unwrap().into_owned(), content));
                }
                sums
            };
            assert!(files(&out.stdout) == files(&again.stdout), "{target}");
            assert_eq!(files(&out.stdout).len(), 5, "{target}");
        },
    );
}

#[test]
fn an_archive_is_not_written_to_a_terminal() {
    let Some(host) = root() else { return };
    both(&host, "true", |target| {
        let mut desk = Desk::new();
        let mut child = desk.spawn(target.command(&["box:/etc", "-"]));
        assert_eq!(desk.until("\r\n"), "overfuse: standard output is a terminal: an archive is not written there\r\n");
        assert!(!child.wait().unwrap().success());
        let mut child = desk.spawn(target.command(&["box:/etc/passwd", "here"]));
        assert_eq!(desk.until("\r\n"), "copied 65B to here\r\n");
        assert!(child.wait().unwrap().success());
    });
}
