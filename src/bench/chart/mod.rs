//! Charts as SVG: bars with whiskers, and lines over logarithmic axes. The crate plotters draws them.
//!
//! Owns the look of a chart and knows nothing of its content. Every colour is one of [`INK`], [`GRID`] and
//! [`PALETTE`], so that a style sheet can replace them in dark mode.

mod axis;
mod bars;
mod lines;

use plotters::prelude::*;

use super::markup::escape;

pub(super) use axis::Axis;
pub(super) use bars::{Bar, Row, bars};
pub(super) use lines::{Line, Point, lines};

/// A colour for a light background, and its replacement for a dark one.
pub(super) type Shade = (RGBColor, RGBColor);

/// The colour of text and axes.
pub(super) const INK: Shade = (RGBColor(0x24, 0x29, 0x2f), RGBColor(0xe0, 0xe4, 0xe8));
/// The colour of grid lines.
pub(super) const GRID: Shade = (RGBColor(0xd8, 0xdd, 0xe2), RGBColor(0x3a, 0x41, 0x49));
/// The colours of the subjects, after Okabe and Ito: readers with colour blindness can tell them apart.
pub(super) const PALETTE: [Shade; 7] = [
    (RGBColor(0x00, 0x72, 0xb2), RGBColor(0x5c, 0xb0, 0xee)),
    (RGBColor(0xd5, 0x5e, 0x00), RGBColor(0xf5, 0x8e, 0x4e)),
    (RGBColor(0x00, 0x9e, 0x73), RGBColor(0x2f, 0xc4, 0x9b)),
    (RGBColor(0xb0, 0x4a, 0x87), RGBColor(0xe5, 0x94, 0xc4)),
    (RGBColor(0xc9, 0x8a, 0x00), RGBColor(0xf0, 0xc2, 0x4a)),
    (RGBColor(0x6e, 0x77, 0x81), RGBColor(0xa6, 0xaf, 0xb8)),
    (RGBColor(0x4a, 0xa8, 0xd8), RGBColor(0xa5, 0xdd, 0xf7)),
];

/// The width of all charts, in pixels; narrow enough for a phone.
pub(super) const WIDTH: u32 = 520;

/// The colour as a style sheet writes it: `#RRGGBB`.
pub(super) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

fn colour(series: usize) -> RGBColor {
    PALETTE[series % PALETTE.len()].0
}

fn text(size: i32) -> TextStyle<'static> {
    // plotters draws letters smaller by this factor.
    TextStyle::from(("sans-serif", f64::from(size) * 1.24)).color(&INK.0)
}

/// A drawing of `height` pixels, as an element for a page; `about` is the text for screen readers.
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
    let about = escape(about);
    match result {
        // A page does not need the XML namespace, and without a fixed width the drawing shrinks with the page.
        Ok(()) => drawn.trim_end().replacen(
            &format!("<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">"),
            &format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{about}\">"),
            1,
        ),
        Err(error) => format!("<p>{about}: cannot be drawn: {}</p>", escape(&error.to_string())),
    }
}
