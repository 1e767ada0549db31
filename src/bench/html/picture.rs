//! Formats a report as one picture: the first chart of the page, as a standalone SVG file.
//!
//! It contains its own light and dark colours, so that a README can show it.

use super::super::chart::{INK, PALETTE, WIDTH, hex};
use super::super::result::Report;
use super::{escape, figures, style, without_controls};

/// Heights in pixels: of the title with the gap below it, and of one line of the legend.
const TITLE: u32 = 40;
const LEGEND: u32 = 18;
/// The left edge of the title and the legend, in pixels.
const LEFT: u32 = 8;
/// Widths in the legend, in pixels: about that of a letter, and that of a mark with its gaps.
const LETTER: u32 = 6;
const MARK: u32 = 30;

/// A chart as an SVG document: for each group of workloads and each subject, the geometric mean of the ratios to the
/// subject that the report compares with. `None` if it compares with none.
pub fn picture(report: &Report) -> Option<String> {
    let base = report.method.relative_to.as_deref()?;
    let rows = figures::means(report, base);
    if rows.is_empty() {
        return None;
    }
    let title = format!("Time as a multiple of {base}'s: smaller is faster");
    let chart = figures::ratio_bars(&title, &rows);
    let (_, view) = chart.split_once("viewBox=\"0 0 ")?;
    let height: u32 = view.split(['"', ' ']).nth(1)?.parse().ok()?;
    let (legend, lines) = legend(report, base);
    let top = TITLE + lines * LEGEND;
    let chart = chart.replacen("<svg ", &format!("<svg y=\"{top}\" width=\"{WIDTH}\" height=\"{height}\" "), 1);
    let machine = [&report.machine.kernel, &report.machine.filesystem, &report.method.user];
    let machine = machine.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ");
    let day = report.date.split('T').next().unwrap_or_default();
    let drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{all}\" viewBox=\"0 0 {WIDTH} {all}\" \
         font-family=\"sans-serif\">\n<style>\n{style}</style>\n\
         <text x=\"{LEFT}\" y=\"17\" font-size=\"14\" font-weight=\"bold\" fill=\"{ink}\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"33\" font-size=\"10\" fill=\"{ink}\">Geometric means of each group; overfuse {version}, \
         Linux {machine}, {day}</text>\n{legend}{chart}\n</svg>\n",
        all = top + height,
        style = style::dark_sheet(),
        ink = hex(INK.0),
        title = escape(&title),
        version = escape(&report.version),
        machine = escape(&machine),
        day = escape(day),
    );
    Some(without_controls(&drawn))
}

/// The legend of colours, and its number of lines.
fn legend(report: &Report, base: &str) -> (String, u32) {
    let (mut drawn, mut x, mut line) = (String::new(), LEFT, 0);
    for (series, name) in figures::series(report).filter(|(_, name)| name != base) {
        let width = MARK + LETTER * name.chars().count() as u32;
        if x > LEFT && x + width > WIDTH {
            (x, line) = (LEFT, line + 1);
        }
        let (y, fill) = (TITLE + line * LEGEND, hex(PALETTE[series % PALETTE.len()].0));
        drawn += &format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"10\" height=\"10\" fill=\"{fill}\"/>\n\
             <text x=\"{}\" y=\"{}\" font-size=\"11\" fill=\"{}\">{}</text>\n",
            x + 15,
            y + 9,
            hex(INK.0),
            escape(&name)
        );
        x += width;
    }
    (drawn, line + 1)
}
