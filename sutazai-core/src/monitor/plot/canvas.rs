//! What a plot is painted on: SVG, and pixels that become PNG.

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::drawing::IntoDrawingArea as _;

use super::Plot;
use super::paint::{Painter, Surface};
use crate::{Code, Error, Result};

/// Units of the picture in which SVG is written: coordinates are whole numbers.
const FINE: u32 = 4;
/// Pixels that become one, each way: edges are smooth.
const SMOOTH: u32 = 2;
/// Bytes of a pixel.
const RGB: usize = 3;

pub(super) fn svg(plot: &Plot) -> Result<String> {
    let (width, height) = (plot.width * FINE, plot.height * FINE);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        Painter::new(plot, &area, Surface::Vectors, FINE).paint().map_err(failed)?;
        area.present().map_err(failed)?;
    }
    let size = |width, height| format!("width=\"{width}\" height=\"{height}\"");
    Ok(text.replacen(&size(width, height), &size(plot.width, plot.height), 1))
}

pub(super) fn png(plot: &Plot) -> Result<Vec<u8>> {
    let (width, height) = (plot.width * SMOOTH, plot.height * SMOOTH);
    let mut pixels = vec![0; width as usize * height as usize * RGB];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        Painter::new(plot, &area, Surface::Pixels, SMOOTH).paint().map_err(failed)?;
        area.present().map_err(failed)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, plot.width, plot.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&smooth(&pixels, width as usize)).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// Each pixel the mean of those that it is made of.
fn smooth(pixels: &[u8], width: usize) -> Vec<u8> {
    const EACH: usize = SMOOTH as usize;
    let mut small = Vec::with_capacity(pixels.len() / (EACH * EACH));
    for rows in pixels.chunks_exact(width * RGB * EACH) {
        let mut sums = vec![0_u16; width / EACH * RGB];
        for row in rows.chunks_exact(width * RGB) {
            for (column, pixel) in row.chunks_exact(RGB).enumerate() {
                let place = column / EACH * RGB;
                let sums = sums.iter_mut().skip(place);
                sums.zip(pixel).for_each(|(sum, part)| *sum += u16::from(*part));
            }
        }
        let share = |sum: u16| u8::try_from(sum / (EACH * EACH) as u16).unwrap_or(u8::MAX);
        small.extend(sums.into_iter().map(share));
    }
    small
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::INTERNAL, "the plot could not be drawn")
        .operation("monitor.plot")
        .because(error)
}
