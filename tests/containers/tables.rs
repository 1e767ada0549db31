//! The tables of contents of an image's layers, in the stores of root and of ordinary users.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::host::{Host, hosts};
use crate::image::NAME;

const LOOK: &str = "find at -printf '%P %y %m %U %G %s %n %i %l %T@\\n' | sort";

/// The output of [`LOOK`] while the image is mounted at `at`, and the system calls that the mount made on its layers.
fn mounted(host: &Host, index: &str) -> (String, serde_json::Value) {
    let index = format!("toc={index}");
    let mount = host.overfuse().args(["mount", "-o", &index, NAME, "at"]).output().unwrap();
    assert!(mount.status.success(), "{host}: {}", String::from_utf8_lossy(&mount.stderr));
    assert_eq!(String::from_utf8_lossy(&mount.stderr), "", "{host}");
    let said = host.shell(LOOK);
    let stats = host.overfuse().args(["stats", "--json", "at"]).output().unwrap();
    assert!(host.overfuse().args(["umount", "at"]).status().unwrap().success());
    let mut stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    // No table holds the free space of the disk.
    stats["syscalls"].as_object_mut().unwrap().remove("statfs");
    (said, stats["syscalls"].clone())
}

fn tables(host: &Host) -> Vec<PathBuf> {
    let layers = fs::read_dir(host.path("store/layers/sha256")).unwrap();
    layers.map(|layer| layer.unwrap().path().join("toc")).filter(|table| table.exists()).collect()
}

#[test]
fn everybody_has_a_table_of_each_layer_and_no_layer_is_asked() {
    for host in hosts() {
        host.shell("mkdir at");
        assert_eq!(tables(&host).len(), 1, "{host}");
        let (from_layers, asked) = mounted(&host, "off");
        assert_ne!(asked, serde_json::json!({}), "{host}");
        let (from_tables, asked) = mounted(&host, "on");
        assert_eq!(from_tables, from_layers, "{host}");
        assert_eq!(asked, serde_json::json!({}), "{host}");
        assert!(from_layers.lines().count() > 30, "{from_layers}");
    }
}

#[test]
fn a_table_that_is_gone_is_there_again_after_a_mount_or_a_run() {
    for host in hosts() {
        host.shell("mkdir at");
        let tables = tables(&host);
        let inode = |table: &PathBuf| fs::metadata(table).unwrap().ino();
        fs::remove_file(&tables[0]).unwrap();
        let (_, asked) = mounted(&host, "on");
        assert_eq!(asked, serde_json::json!({}), "{host}");
        let written = inode(&tables[0]);
        assert_eq!(host.prints(&[], "cat /etc/passwd | head -n 1"), "root:x:0:0:root:/root:/bin/sh");
        assert_eq!(inode(&tables[0]), written, "{host}: a run needs no other table than a mount");
        fs::write(&tables[0], "damaged").unwrap();
        assert_eq!(host.prints(&[], "cat /etc/passwd | head -n 1"), "root:x:0:0:root:/root:/bin/sh");
        assert!(fs::metadata(&tables[0]).unwrap().len() > 1000, "{host}");
    }
}
