//! The style sheet of the page: light and dark colours, phones and print.

use super::super::chart::{GRID, INK, PALETTE, hex};

const SHEET: &str = "\
:root { color-scheme: light dark; --ink: #24292f; --dim: #59636e; --line: #d8dde2; --ground: #fff; --panel: #f6f8fa; --warn: #9a3d00; --link: #0b5cad }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1160px; padding: 1.5rem 1rem 4rem; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 0 .8rem }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .4rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .2rem }
p { margin: .4rem 0; max-width: 80ch }
a { color: var(--link) }
code { font: .88em ui-monospace, monospace; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: .5rem 1.5rem; margin: 0 }
dl div:first-child { grid-column: 1 / -1 }
dt { color: var(--dim); font-size: .8rem }
dd { margin: 0; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 1.2rem 0 0 }
.warn { color: var(--warn) }
.dim { color: var(--dim) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.2rem 2rem; align-items: start }
figure { margin: .6rem 0; min-width: 0; max-width: 36rem }
figcaption { font-weight: 600 }
figcaption small { display: block; font-weight: 400; color: var(--dim) }
figure > svg { display: block; width: 100%; height: auto }
.keys { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .85rem; margin: .1rem 0 .2rem }
.keys svg { width: .8rem; height: .8rem; margin-right: .35rem; vertical-align: -.08rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; margin: .6rem 0 }
th { text-align: left; color: var(--dim); font-weight: 600; vertical-align: bottom }
th, td { padding: .18rem .9rem .18rem 0; white-space: nowrap }
td.text { white-space: normal; min-width: 14rem }
td.n, th.n { text-align: right }
tbody tr:first-child td, tr.first td { border-top: 1px solid var(--line) }
@media screen and (prefers-color-scheme: dark) {
:root { --ink: #e0e4e8; --dim: #9aa4ae; --line: #3a4149; --ground: #0f1318; --panel: #171c22; --warn: #ffa657; --link: #79b8ff }
@DARK@}
@media print {
body { max-width: none; padding: 0; font-size: 10pt; -webkit-print-color-adjust: exact; print-color-adjust: exact }
nav { display: none }
.charts { grid-template-columns: 1fr 1fr; gap: .6rem 1.2rem }
figure, tr { break-inside: avoid }
h2, h3 { break-after: avoid }
.wide { overflow: visible }
table { font-size: 6.5pt }
th, td { padding-right: .5rem; white-space: normal }
td.text { min-width: 0 }
@page { margin: 14mm }
}
";

/// The style sheet of a page.
pub(super) fn sheet() -> String {
    SHEET.replace("@DARK@", &dark_colours())
}

/// The style sheet of a standalone picture.
pub(super) fn dark_sheet() -> String {
    format!("@media screen and (prefers-color-scheme: dark) {{\n{}}}\n", dark_colours())
}

/// Rules that replace each colour of the charts by its dark shade.
fn dark_colours() -> String {
    [INK, GRID]
        .iter()
        .chain(&PALETTE)
        .map(|(light, dark)| {
            let (light, dark) = (hex(*light), hex(*dark));
            format!("[fill=\"{light}\"] {{ fill: {dark} }}\n[stroke=\"{light}\"] {{ stroke: {dark} }}\n")
        })
        .collect()
}
