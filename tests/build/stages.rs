//! Several stages, and what of them is built.

use crate::site::{root, sites};

#[test]
fn a_stage_takes_files_from_others_and_from_images() {
    for site in sites() {
        site.build(
            "FROM tiny AS Build\nRUN mkdir /out && echo built > /out/f && ln -s f /out/l\n\
             FROM tiny\nCOPY --from=build /out/ /a/\nCOPY --from=0 /out/f /b\nCOPY --from=tiny /etc/passwd /c\n\
             RUN --mount=from=build,source=/out,target=/m cat /m/l > /d\n",
            &[],
        );
        assert_eq!(
            site.prints("cat /a/l /b /d; readlink /a/l; head -c 4 /c"),
            "built\nbuilt\nbuilt\nf\nroot",
            "{}",
            site.host
        );
        assert_eq!(site.prints("ls /out 2>&1 | grep -c 'No such'"), "1");
    }
}

#[test]
fn stages_that_the_target_does_not_need_are_not_built() {
    let Some(site) = root() else { return };
    let file = "FROM tiny AS one\nRUN echo 1 > /n\nFROM tiny AS broken\nRUN false\nFROM one AS two\nRUN echo 2 >> /n\nFROM broken\n";
    let said = site.build(file, &["--target", "two"]);
    assert!(!said.contains("RUN false"), "{said}");
    assert_eq!(site.prints("cat /n"), "1\n2");
    site.build(file, &["--target", "ONE"]);
    assert_eq!(site.prints("cat /n"), "1");
    let error = site.refuses(file, &["--target", "three"]);
    assert!(error.contains("there is no stage \"three\"") && error.contains("one, broken, two, 3"), "{error}");
}

#[test]
fn an_image_can_begin_with_nothing() {
    let Some(site) = root() else { return };
    site.write("f", "f");
    site.build("FROM scratch\nCOPY f /only\n", &[]);
    let listed = site.host.shell(&format!(
        "{} --root store bundle --help >/dev/null; ls store/layers/sha256/*/fs",
        env!("CARGO_BIN_EXE_overfuse")
    ));
    assert!(listed.contains("only"), "{listed}");
    assert_eq!(site.inspect()["RootFS"]["Layers"].as_array().unwrap().len(), 1);
}
