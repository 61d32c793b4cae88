//! Rows of the room `monitor`, with the feature `plot`: pictures of series.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use crate::base::whole::{self, Readers};
use crate::monitor::PlotQuery;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.push(Operation::blocking(
        "monitor.plot",
        "Draws a series, what was odd in it and, if wanted, how it goes on: as SVG or PNG, told or written to a file.",
        &[Code::INVALID, Code::NOT_FOUND, Code::ALREADY_EXISTS, Code::DENIED, Code::IO],
        plot,
    ));
}

/// How a picture is written.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Picture {
    /// Scalable Vector Graphics.
    #[default]
    Svg,
    /// Portable Network Graphics.
    Png,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    /// `svg` or `png`. Default: what the path ends in, `.svg` or `.png`; without a path `svg`.
    #[serde(default)]
    format: Option<Picture>,
    /// A file that it is written to, which is there as a whole or not at all, and may be read by whom the process's mask leaves; told in the
    /// answer without it.
    #[serde(default)]
    path: Option<String>,
    /// Whether a file that is there may be replaced.
    #[serde(default)]
    replace: bool,
    #[serde(flatten)]
    query: PlotQuery,
}

#[derive(Serialize, JsonSchema)]
struct Drawn {
    /// What it is.
    format: Picture,
    /// Bytes of the picture.
    bytes: u64,
    /// The picture, if it is SVG and was not written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    svg: Option<String>,
    /// The picture in base64, if it is PNG and was not written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    png: Option<String>,
}

/// What is asked for, or else what the path ends in.
///
/// # Errors
/// [`Code::INVALID`] where a path says neither.
fn format_of(asked: Option<Picture>, path: Option<&Path>) -> Result<Picture> {
    let (None, Some(path)) = (asked, path) else { return Ok(asked.unwrap_or_default()) };
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    match end.as_deref() {
        Some("svg") => Ok(Picture::Svg),
        Some("png") => Ok(Picture::Png),
        _ => Err(Error::new(Code::INVALID, "a picture's file ends in .svg or .png")
            .operation("monitor.plot")
            .with("path", path.display())
            .advice("another name; or say the format, svg or png, whatever the name")),
    }
}

fn plot(surface: &Surface, request: Request) -> Result<Drawn> {
    let Request { format, path, replace, query } = request;
    let kernel = surface.kernel();
    let path = path.as_deref().map(Path::new);
    let format = format_of(format, path)?;
    if let (Some(path), Some(directory)) = (path, kernel.data_dir()) {
        whole::outside(directory, path)?;
    }
    let plot = kernel.plot(&query)?;
    let picture = match format {
        Picture::Svg => plot.to_svg()?.into_bytes(),
        Picture::Png => plot.to_png()?,
    };
    let bytes = picture.len() as u64;
    let mut drawn = Drawn { format, bytes, svg: None, png: None };
    match (path, format) {
        (Some(path), _) => {
            let written = |mut file: &std::fs::File| {
                file.write_all(&picture).map_err(|error| whole::unusable(path, error))?;
                Ok(bytes)
            };
            whole::into(path, Readers::Usual, replace, written)
                .map_err(|error| error.operation("monitor.plot"))?;
        }
        (None, Picture::Svg) => drawn.svg = Some(String::from_utf8_lossy(&picture).into_owned()),
        (None, Picture::Png) => drawn.png = Some(STANDARD.encode(&picture)),
    }
    Ok(drawn)
}
