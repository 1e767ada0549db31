//! Tests of the page: well-formed, complete, self-contained.

use super::super::result::{
    Counts, Daemon, FORMAT, Latency, Machine, Method, Outcome, Parameters, Report, Row, State, Subject, Unit, Written,
};
use super::{page, picture};

const HOSTILE: &str = "<script>alert(\"1\")</script>&'\u{1b}[31m\u{0}]]>--";

fn subject(name: &str, state: State) -> Subject {
    Subject { name: name.into(), version: "1 < 2 & 3".into(), mounted: format!("{name} -o lowerdir=…"), state }
}

/// A report with every kind of row, three measured subjects and a skipped one; `odd` is the name of one of them.
fn report(odd: &str) -> Report {
    let names = ["overlayfs", odd, "overfuse"];
    let outcome = |(n, name): (usize, &&str), work: f64, operations: u64| Outcome {
        subject: (*name).to_owned(),
        seconds: (0..7).map(|run| work * (n + 1) as f64 * (1.0 + f64::from(run) / 50.0)).collect(),
        failed: (n == 1 && operations == 1).then(|| format!("died of {HOSTILE}")),
        latency: (operations > 1).then(|| Latency {
            count: operations * 7,
            percentiles: [0.0, 50.0, 90.0, 99.0, 100.0].map(|p| (p, work / 100.0 * (1.0 + p))).into(),
        }),
        counts: (n == 2).then(|| Counts {
            requests: [("LOOKUP".to_owned(), operations)].into(),
            syscalls: [("statx".to_owned(), 2 * operations)].into(),
        }),
        daemon: (n > 0).then_some(Daemon { memory: 5 << 20, memory_peak: 6 << 20, descriptors: 77, cpu: 0.5 }),
        written: (operations == 1).then_some(Written { changed: 1 << 20, upper: 3 << 20 }),
    };
    let row = |name: &str, group: &str, parameters, unit, operations: u64, work: f64| Row {
        name: name.into(),
        group: group.into(),
        about: format!("what {name} does"),
        parameters,
        unit,
        operations,
        bytes: if unit == Unit::Throughput { 1 << 30 } else { 0 },
        results: names.iter().enumerate().map(|named| outcome(named, work, operations)).collect(),
    };
    let mut rows = vec![row("walk", "tree", Parameters::default(), Unit::Time, 1, 0.5)];
    for layers in [1, 8, 32, 128, 500] {
        let parameters = Parameters { layers: Some(layers), ..Parameters::default() };
        rows.push(row("stat-first", "lookup", parameters, Unit::TimePerOperation, 2000, 0.02 * f64::from(layers)));
    }
    for shift in [12, 20, 30] {
        let parameters = Parameters { size: Some(1 << shift), ..Parameters::default() };
        rows.push(row("first-write", "copy-up", parameters, Unit::Time, 1, f64::from(1 << (shift - 12)) * 1e-5));
    }
    for threads in [1, 4] {
        let parameters = Parameters { threads: Some(threads), ..Parameters::default() };
        rows.push(row("read", "data", parameters, Unit::Throughput, 1, 0.1 / f64::from(threads)));
    }
    let subjects = names.iter().map(|name| subject(name, State::Measured));
    let skipped = subject("unionfs-fuse", State::Skipped("not found".into()));
    Report {
        format: FORMAT,
        command: "overfuse bench --html page.html".into(),
        date: "2026-11-21T12:00:00Z".into(),
        version: "0.1.0".into(),
        machine: Machine { kernel: "6.18.0".into(), cpu: "a CPU".into(), cpus: 2, ..Machine::default() },
        method: Method {
            runs: 7,
            user: "root".into(),
            relative_to: Some("overlayfs".into()),
            notes: vec!["caches are warm".into()],
            ..Method::default()
        },
        subjects: subjects.chain([skipped]).collect(),
        rows,
        interrupted: true,
    }
}

/// The page, parsed as XML.
#[track_caller]
fn parse(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn text_of(document: &roxmltree::Document<'_>) -> String {
    let is_shown = |node: &roxmltree::Node<'_, '_>| !node.parent().is_some_and(|parent| parent.has_tag_name("script"));
    document.descendants().filter(|node| node.is_text()).filter(is_shown).filter_map(|node| node.text()).collect()
}

#[test]
fn a_page_is_well_formed_and_names_everything() {
    let page = page(&report("fuse-overlayfs-2.0"));
    let document = parse(&page);
    let text = text_of(&document);
    for word in [
        "walk",
        "stat-first",
        "first-write",
        "read",
        "tree",
        "lookup",
        "copy-up",
        "data",
        "overlayfs",
        "fuse-overlayfs-2.0",
        "overfuse",
        "unionfs-fuse",
        "not found",
        "6.18.0",
        "a CPU",
        "caches are warm",
        "Interrupted",
        "what walk does",
        "died of",
        "5 MiB",
        "77",
        "3.00×",
        "LOOKUP 1",
        "statx 2",
        "overfuse bench --html page.html",
    ] {
        assert!(text.contains(word), "{word} is missing");
    }
    let charts = document.descendants().filter(|node| node.attribute("role") == Some("img"));
    // The overview; four groups; three curves (size, layers, clients); two latencies (ends of the curve); messages.
    assert_eq!(charts.count(), 1 + 4 + 3 + 2 + 1);
}

#[test]
fn a_page_has_no_external_parts() {
    let page = page(&report("fuse-overlayfs-2.0"));
    let document = parse(&page);
    for word in ["http:", "https:", "//", "url(", "@import", "<link", "<img", "<iframe"] {
        // Words of the style sheet and of the command line.
        assert!(!page.contains(word), "{word}: {:?}", page.find(word).map(|at| &page[at.saturating_sub(60)..at + 20]));
    }
    for node in document.descendants() {
        for attribute in node.attributes().filter(|attribute| ["href", "src", "data"].contains(&attribute.name())) {
            assert!(attribute.value().starts_with('#'), "{}", attribute.value());
        }
    }
    let ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    let links = document.descendants().filter_map(|node| node.attribute("href"));
    links.for_each(|link| assert!(ids.contains(&link.trim_start_matches('#')), "{link} leads nowhere"));
}

#[test]
fn names_with_markup_are_shown_as_text() {
    let page = page(&report(HOSTILE));
    let document = parse(&page);
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("script")).count(), 1, "ours");
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'));
    let shown = HOSTILE.replace(['\u{1b}', '\u{0}'], "\u{fffd}");
    assert!(text_of(&document).contains(&shown));
}

#[test]
fn the_report_is_in_its_page() {
    let report = report(HOSTILE);
    let page = page(&report);
    let document = parse(&page);
    let script = document.descendants().find(|node| node.attribute("id") == Some("report")).expect("the report");
    let read: Report = serde_json::from_str(script.text().expect("text")).expect("JSON");
    assert_eq!((&read.command, &read.machine, &read.subjects), (&report.command, &report.machine, &report.subjects));
    let samples = |report: &Report| -> Vec<f64> {
        report.rows.iter().flat_map(|row| &row.results).flat_map(|outcome| outcome.seconds.clone()).collect()
    };
    let (read, written) = (samples(&read), samples(&report));
    assert_eq!(read.len(), written.len());
    assert!(read.iter().zip(&written).all(|(read, written)| (read - written).abs() <= written * 1e-12));
}

#[test]
fn an_almost_empty_report_has_a_page() {
    let full = report("x");
    let empty = Report { rows: Vec::new(), subjects: Vec::new(), ..full.clone() };
    assert!(!text_of(&parse(&page(&empty))).contains("Scaling"));
    // No subject to compare with; no samples; impossible numbers.
    let mut alone = full.clone();
    alone.method.relative_to = None;
    assert!(text_of(&parse(&page(&alone))).contains("stat-first, 1 layer"));
    alone.method.relative_to = Some("nobody".into());
    parse(&page(&alone));
    for seconds in [vec![], vec![0.0; 7], vec![f64::NAN; 7], vec![f64::MAX, f64::MIN_POSITIVE], vec![f64::INFINITY]] {
        let mut odd = full.clone();
        for outcome in odd.rows.iter_mut().flat_map(|row| &mut row.results) {
            outcome.seconds = seconds.clone();
            outcome.latency = Some(Latency { count: 3, percentiles: vec![(50.0, f64::NAN), (60.0, f64::MAX)] });
        }
        parse(&page(&odd));
    }
}

#[test]
fn ratios_that_should_not_be_quoted_are_in_brackets() {
    let mut report = report("x");
    report.rows.truncate(1);
    for outcome in &mut report.rows[0].results {
        outcome.seconds = if outcome.subject == "overlayfs" { vec![2.0, 1.0, 2.0] } else { vec![1.0, 2.0, 3.0] };
    }
    let page = page(&report);
    let text = text_of(&parse(&page));
    // Two subjects, each in the chart of the group and in the chart of all groups.
    assert_eq!(text.matches("(1.00×)").count(), 4);
    assert_eq!(text.matches("spread too wide").count(), 2);
}

#[test]
fn a_picture_is_standalone_xml_and_names_each_subject_once() {
    let report = report(HOSTILE);
    let drawn = picture(&report).expect("there is somebody to compare with");
    let document = parse(&drawn);
    assert_eq!(document.root_element().tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
    let shown = HOSTILE.replace(['\u{1b}', '\u{0}'], "\u{fffd}");
    assert_eq!(texts.iter().filter(|text| **text == shown).count(), 1, "{texts:?}");
    assert_eq!(texts.iter().filter(|text| text.trim() == "lookup (2 rows)").count(), 1, "{texts:?}");
    assert!(!drawn.contains("<script"), "{drawn}");
}

#[test]
fn without_a_subject_to_compare_with_there_is_no_picture() {
    let mut report = report("other");
    report.method.relative_to = None;
    assert_eq!(picture(&report), None);
}
