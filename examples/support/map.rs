//! Draws one mode as a map.

use ndarray::{Array2, ArrayView1};
use plotters::prelude::*;
use std::path::Path;

/// Latitude of the first row, longitude of the first column and the length of a cell, in degrees.
const SOUTH: f64 = -22.5;
const WEST: f64 = 117.5;
const CELL: f64 = 5.0;
const SIZE: (u32, u32) = (1000, 620);
/// Steps of the colour bar.
const SHADES: i32 = 64;

type Failed = Box<dyn std::error::Error>;

/// Values on a grid of latitude (rows, northward) and longitude (columns, eastward); NaN is land.
pub struct Map {
    values: Array2<f64>,
}

impl Map {
    /// Puts the values of the ocean cells back into the grid and takes their weight √cos(latitude) off.
    pub fn new(ocean: &Array2<f64>, vector: ArrayView1<f64>) -> Map {
        let mut rest = vector.iter();
        let values = Array2::from_shape_fn(ocean.dim(), |(i, j)| {
            let weight = latitude(i).to_radians().cos().sqrt();
            if ocean[(i, j)] > 0.0 { rest.next().map_or(f64::NAN, |x| x / weight) } else { f64::NAN }
        });
        Map { values }
    }

    /// The same mode with the sign that makes the eastern equator warm.
    pub fn warm_at_the_equator(self) -> Map {
        let (rows, cols) = self.values.dim();
        let near = |i: &usize| latitude(*i).abs() < CELL;
        let cells = (0..rows).filter(near).flat_map(|i| (cols / 2..cols).map(move |j| (i, j)));
        let sum: f64 = cells.map(|at| self.values[at]).filter(|x| !x.is_nan()).sum();
        if sum < 0.0 { Map { values: -self.values } } else { self }
    }

    pub fn draw(&self, path: &Path, title: &str) -> Result<(), Failed> {
        let limit = self.values.iter().filter(|x| !x.is_nan()).fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
        let (rows, cols) = self.values.dim();
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 - 110);
        let (west, south) = (WEST - CELL / 2.0, SOUTH - CELL / 2.0);
        let (east, north) = (west + CELL * cols as f64, south + CELL * rows as f64);
        let mut chart = ChartBuilder::on(&left)
            .margin(15)
            .caption(title, ("sans-serif", 24))
            .x_label_area_size(40)
            .y_label_area_size(55)
            .build_cartesian_2d(west..east, south..north)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(8)
            .y_labels(8)
            .x_label_formatter(&|x| {
                if *x > 180.0 { format!("{:.0}° W", 360.0 - x) } else { format!("{x:.0}° E") }
            })
            .y_label_formatter(&|y| match *y {
                y if y > 0.0 => format!("{y:.0}° N"),
                y if y < 0.0 => format!("{:.0}° S", -y),
                _ => "equator".into(),
            })
            .label_style(("sans-serif", 15))
            .draw()?;
        chart.draw_series(self.values.indexed_iter().map(|((i, j), x)| {
            let corner = (west + CELL * j as f64, south + CELL * i as f64);
            let shade = if x.is_nan() { RGBColor(190, 190, 190) } else { colour(x / limit) };
            Rectangle::new([corner, (corner.0 + CELL, corner.1 + CELL)], shade.filled())
        }))?;
        chart.draw_series([PathElement::new([(west, 0.0), (east, 0.0)], BLACK.mix(0.4))])?;

        let mut bar = ChartBuilder::on(&right)
            .margin_top(60)
            .margin_bottom(55)
            .margin_right(15)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..1.0, -limit..limit)?;
        bar.configure_mesh()
            .disable_mesh()
            .disable_x_axis()
            .y_labels(5)
            .y_label_formatter(&|y| if y.abs() < 1e-9 { "0".into() } else { format!("{y:+.2}") })
            .label_style(("sans-serif", 14))
            .draw()?;
        let step = 2.0 / f64::from(SHADES);
        bar.draw_series((0..SHADES).map(|i| {
            let low = -1.0 + step * f64::from(i);
            let corners = [(0.0, low * limit), (1.0, (low + step) * limit)];
            Rectangle::new(corners, colour(low + step / 2.0).filled())
        }))?;
        root.present()?;
        Ok(())
    }
}

fn latitude(row: usize) -> f64 {
    SOUTH + CELL * row as f64
}

/// From blue (−1) over white (0) to red (1), fading evenly on both sides.
fn colour(x: f64) -> RGBColor {
    let end = if x < 0.0 { (33.0, 102.0, 172.0) } else { (178.0, 24.0, 43.0) };
    let fade = |end: f64| (255.0 + (end - 255.0) * x.abs().min(1.0)).round() as u8;
    RGBColor(fade(end.0), fade(end.1), fade(end.2))
}
