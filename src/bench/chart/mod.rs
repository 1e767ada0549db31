//! Charts, as SVG: bars with spread, and lines over logarithmic axes. plotters draws.
//!
//! Owns what a chart looks like, and nothing of what it is about. Every colour is one of [`INK`], [`GRID`] and
//! [`PALETTE`], so that a style sheet can tell them apart and give them others in the dark.

mod axis;
mod bars;
mod lines;

use plotters::prelude::*;

pub(super) use axis::Axis;
pub(super) use bars::{Bar, Row, bars};
pub(super) use lines::{Line, Point, lines};

/// A colour on white, and what takes its place on black.
pub(super) type Shade = (RGBColor, RGBColor);

/// Of text and axes.
pub(super) const INK: Shade = (RGBColor(0x24, 0x29, 0x2f), RGBColor(0xe0, 0xe4, 0xe8));
/// Of lines that help to read a value off.
pub(super) const GRID: Shade = (RGBColor(0xd8, 0xdd, 0xe2), RGBColor(0x3a, 0x41, 0x49));
/// Of those who are compared, after Okabe and Ito: told apart by whoever tells colours apart otherwise than most.
pub(super) const PALETTE: [Shade; 7] = [
    (RGBColor(0x00, 0x72, 0xb2), RGBColor(0x5c, 0xb0, 0xee)),
    (RGBColor(0xd5, 0x5e, 0x00), RGBColor(0xf5, 0x8e, 0x4e)),
    (RGBColor(0x00, 0x9e, 0x73), RGBColor(0x2f, 0xc4, 0x9b)),
    (RGBColor(0xb0, 0x4a, 0x87), RGBColor(0xe5, 0x94, 0xc4)),
    (RGBColor(0xc9, 0x8a, 0x00), RGBColor(0xf0, 0xc2, 0x4a)),
    (RGBColor(0x6e, 0x77, 0x81), RGBColor(0xa6, 0xaf, 0xb8)),
    (RGBColor(0x4a, 0xa8, 0xd8), RGBColor(0xa5, 0xdd, 0xf7)),
];

/// All charts are so wide, in pixels; narrow enough to be read on a phone.
pub(super) const WIDTH: u32 = 520;

/// As a style sheet writes it.
pub(super) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

fn colour(series: usize) -> RGBColor {
    PALETTE[series % PALETTE.len()].0
}

fn text(size: i32) -> TextStyle<'static> {
    // plotters makes letters smaller by that factor.
    TextStyle::from(("sans-serif", f64::from(size) * 1.24)).color(&INK.0)
}

/// A drawing of `height` pixels, as an element to be put into a page; `about` is for those who do not see it.
fn svg(
    height: u32,
    about: &str,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), Box<dyn std::error::Error>>,
) -> String {
    let mut drawn = String::new();
    let result = {
        let area = SVGBackend::with_string(&mut drawn, (WIDTH, height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    let about = super::html::escape(about);
    match result {
        // Within a page the name space goes without saying, and a width of its own would not shrink with the page.
        Ok(()) => drawn.trim_end().replacen(
            &format!("<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">"),
            &format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{about}\">"),
            1,
        ),
        Err(error) => format!("<p>{about}: cannot be drawn: {}</p>", super::html::escape(&error.to_string())),
    }
}
