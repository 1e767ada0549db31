//! Horizontal bars in groups: one bar for each subject, with whiskers and a figure.

use plotters::prelude::*;

use super::axis::Axis;
use super::{GRID, INK, colour, svg, text};

/// One bar.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Bar {
    /// The index of the colour.
    pub series: usize,
    pub value: f64,
    /// Ends of the interval.
    pub interval: Option<(f64, f64)>,
    /// The value should not be quoted; the bar is drawn paler.
    pub unsure: bool,
    /// The text after the bar.
    pub label: String,
}

/// A group of bars below a common name.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Row {
    pub name: String,
    pub bars: Vec<Bar>,
}

const BAR: f64 = 9.0;
const PITCH: f64 = 12.0;
const NAME: f64 = 17.0;
const GAP: f64 = 8.0;
const AXIS: u32 = 22;
/// The width for the figures after the bars, in pixels.
const FIGURES: u32 = 62;

/// Draws `rows`. Bars begin at `from`, or at the low end of the axis if that is `None`.
pub(in crate::bench) fn bars(
    about: &str,
    rows: &[Row],
    axis: &Axis,
    from: Option<f64>,
    mark: impl Fn(f64) -> String,
) -> String {
    let heights = rows.iter().map(|row| NAME + row.bars.len() as f64 * PITCH + GAP);
    let inner = heights.sum::<f64>();
    svg(inner as u32 + AXIS + 4, about, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_left(26)
            .margin_right(FIGURES)
            .margin_top(2)
            .x_label_area_size(AXIS)
            .build_cartesian_2d(axis.clone(), inner..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .axis_style(GRID.0)
            .light_line_style(GRID.0)
            .bold_line_style(GRID.0)
            .x_label_style(text(10))
            .x_label_formatter(&|value| mark(*value))
            .draw()?;
        let start = from.unwrap_or(axis.start());
        let mut top = 0.0;
        for row in rows {
            let name = EmptyElement::at((axis.start(), top)) + Text::new(row.name.clone(), (-22, 4), text(11));
            chart.draw_series([name])?;
            for (n, bar) in row.bars.iter().enumerate() {
                let (upper, end) = (top + NAME + n as f64 * PITCH, bar.value);
                let fill = colour(bar.series).mix(if bar.unsure { 0.45 } else { 1.0 }).filled();
                chart.draw_series([Rectangle::new([(start, upper), (end, upper + BAR)], fill)])?;
                let middle = upper + BAR / 2.0;
                let mut furthest = end.max(start);
                if let Some((low, high)) = bar.interval {
                    furthest = furthest.max(high);
                    let line = INK.0.stroke_width(1);
                    chart.draw_series([
                        PathElement::new([(low, middle), (high, middle)], line),
                        PathElement::new([(low, middle - 3.0), (low, middle + 3.0)], line),
                        PathElement::new([(high, middle - 3.0), (high, middle + 3.0)], line),
                    ])?;
                }
                let figure = EmptyElement::at((furthest, upper)) + Text::new(bar.label.clone(), (5, 0), text(10));
                chart.draw_series([figure])?;
            }
            if from.is_some() {
                // Only beside the bars, so that the line does not cross the names.
                let ends = [NAME - 2.0, NAME + row.bars.len() as f64 * PITCH].map(|y| (start, top + y));
                chart.draw_series([PathElement::new(ends, INK.0.stroke_width(1))])?;
            }
            top += NAME + row.bars.len() as f64 * PITCH + GAP;
        }
        Ok(())
    })
}
