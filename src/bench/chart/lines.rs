//! Line charts over logarithmic axes, with whiskers; each subject has a mark of its own.

use plotters::prelude::*;

use super::axis::Axis;
use super::{GRID, INK, colour, svg, text};

/// One value and its interval.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Point {
    pub x: f64,
    pub y: f64,
    pub interval: Option<(f64, f64)>,
}

/// The values of one subject, from left to right.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Line {
    /// The index of the colour and the mark.
    pub series: usize,
    pub points: Vec<Point>,
}

const HEIGHT: u32 = 300;

/// Draws `lines`. Each axis comes with its name and a function that formats its marks.
pub(in crate::bench) fn lines(
    about: &str,
    lines: &[Line],
    (across, called, written): (&Axis, &str, impl Fn(f64) -> String),
    (up, up_written): (&Axis, impl Fn(f64) -> String),
) -> String {
    svg(HEIGHT, about, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_left(2)
            .margin_right(22)
            .margin_top(8)
            .x_label_area_size(38)
            .y_label_area_size(56)
            .build_cartesian_2d(across.clone(), up.clone())?;
        chart
            .configure_mesh()
            .axis_style(GRID.0)
            .light_line_style(GRID.0)
            .bold_line_style(GRID.0)
            .label_style(text(10))
            .axis_desc_style(text(11))
            .x_desc(called)
            .x_label_formatter(&|value| written(*value))
            .y_label_formatter(&|value| up_written(*value))
            .draw()?;
        for line in lines {
            let colour = colour(line.series);
            let places: Vec<(f64, f64)> = line.points.iter().map(|point| (point.x, point.y)).collect();
            chart.draw_series(LineSeries::new(places.iter().copied(), colour.stroke_width(2)))?;
            for point in &line.points {
                let Some((low, high)) = point.interval else { continue };
                let whisker = [(point.x, low), (point.x, high)];
                chart.draw_series([PathElement::new(whisker, INK.0.stroke_width(1))])?;
            }
            for place in places {
                let fill = colour.filled();
                // Marks differ too, for readers who cannot tell the colours apart.
                match line.series % 4 {
                    0 => chart.draw_series([Circle::new(place, 4, fill)])?,
                    1 => chart.draw_series([TriangleMarker::new(place, 5, fill)])?,
                    2 => chart.draw_series([EmptyElement::at(place) + Rectangle::new([(-4, -4), (4, 4)], fill)])?,
                    _ => chart.draw_series([Cross::new(place, 4, colour.stroke_width(2))])?,
                };
            }
        }
        Ok(())
    })
}
