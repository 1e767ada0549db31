//! What is done again, and what is known from an earlier build.

use crate::site::{Site, root, sites};

/// How many steps were known.
fn cached(said: &str) -> usize {
    said.lines().filter(|line| *line == "CACHED").count()
}

const FILE: &str = "FROM tiny\nARG A=1\nCOPY f /f\nRUN echo $A > /a\nCOPY g /g\nLABEL x=y\n";

fn site_with_files(site: &Site) {
    site.write("f", "f");
    site.write("g", "g");
}

#[test]
fn only_what_changed_is_done_again() {
    for site in sites() {
        site_with_files(&site);
        assert_eq!(cached(&site.build(FILE, &[])), 0, "{}", site.host);
        let id = site.id();
        assert_eq!(cached(&site.build(FILE, &[])), 3, "{}", site.host);
        assert_eq!(site.id(), id, "{}: nothing changed, so it is the same image", site.host);

        site.write("g", "other");
        assert_eq!(cached(&site.build(FILE, &[])), 2, "{}: the last COPY brings another file", site.host);
        assert_eq!(site.prints("cat /g"), "other");
        assert_eq!(cached(&site.build(FILE, &["--build-arg", "A=2"])), 1, "{}: the RUN sees another value", site.host);
        assert_eq!(site.prints("cat /a"), "2");
        site.host.shell("chmod 700 context/f");
        assert_eq!(cached(&site.build(FILE, &[])), 0, "{}: the mode counts", site.host);
        assert_eq!(cached(&site.build(FILE, &["--no-cache"])), 0, "{}", site.host);
    }
}

#[test]
fn a_time_that_changed_is_no_change() {
    let Some(site) = root() else { return };
    site_with_files(&site);
    site.build(FILE, &[]);
    site.host.shell("touch -d 2001-01-01 context/f context/g");
    assert_eq!(cached(&site.build(FILE, &[])), 3);
}

#[test]
fn two_builds_with_one_epoch_are_one_image() {
    let ids = [(); 2].map(|()| {
        let site = root()?;
        site_with_files(&site);
        site.host.shell("sleep 0.01; touch context/f");
        site.write("Dockerfile", FILE);
        let mut command = site.host.overfuse();
        let output =
            command.env("SOURCE_DATE_EPOCH", "1000000000").args(["build", "-q", "-t", "made", "context"]).output();
        assert!(output.unwrap().status.success());
        Some(site.id())
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn steps_are_listed_with_all_and_go_with_prune() {
    let Some(site) = root() else { return };
    site_with_files(&site);
    site.build(FILE, &[]);
    let count = |flags: &str| site.host.shell(&format!("{flags} | wc -l")).trim().parse::<usize>().unwrap();
    let images = |flags: &str| {
        let program = env!("CARGO_BIN_EXE_overfuse");
        count(&format!("{program} --root store images -q {flags}"))
    };
    assert_eq!((images(""), images("--filter dangling=true")), (2, 0));
    assert!(images("-a") > 2);
    let output = site.host.overfuse().args(["image", "prune", "--all", "--force"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(images("-a"), 0);
}
