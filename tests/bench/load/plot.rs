//! Pictures of curves.

use std::path::Path;

use plotters::prelude::{
    BLUE, ChartBuilder, Circle, Color, IntoDrawingArea, IntoFont, IntoLogRange, LineSeries, SVGBackend, WHITE,
};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 280;

/// One curve.
pub struct Panel {
    pub title: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Draws panels side by side.
pub fn plot(file: &Path, axis: &str, panels: &[Panel]) {
    let area = SVGBackend::new(file, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE).expect("a picture");
    for (panel, area) in panels.iter().zip(area.split_evenly((1, panels.len()))) {
        let xs = panel.points.iter().map(|point| point.0);
        let (least, most) = xs.fold((f64::MAX, 0.0_f64), |(least, most), x| (least.min(x), most.max(x)));
        let highest = panel.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(panel.title, ("sans-serif", 15).into_font())
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d((least..most * 1.1).log_scale(), 0.0..highest * 1.15)
            .expect("axes");
        let numbers = |number: &f64| if *number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") };
        chart
            .configure_mesh()
            .x_desc(axis)
            .x_labels(5)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&numbers)
            .light_line_style(WHITE)
            .draw()
            .expect("a mesh");
        chart.draw_series(LineSeries::new(panel.points.iter().copied(), &BLUE)).expect("a line");
        chart.draw_series(panel.points.iter().map(|point| Circle::new(*point, 3, BLUE.filled()))).expect("points");
    }
    area.present().expect("a file");
}
