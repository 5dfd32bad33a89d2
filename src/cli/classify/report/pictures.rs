//! photo + heatmap → their pictures as data URLs.

use std::io::Cursor;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fast_image_resize::images::{Image as Canvas, ImageRef};
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use whylens::{Classifier, Heatmap, Image, Region, Sign, Size, Style};

/// As on the page.
const QUALITY: u8 = 85;
const OPACITY: f32 = 0.75;
/// What a legend is drawn over.
const GROUND: u8 = 0x8a;

/// Pictures of a photo.
pub struct Drawn {
    pub src: String,
    pub width: u32,
    pub height: u32,
    /// None: there is nothing to draw.
    pub map: Option<DrawnMap>,
}

/// A heatmap over the photo, and its colours.
pub struct DrawnMap {
    pub src: String,
    pub legend: String,
}

/// Draws a photo with at most `side` pixels a side.
pub fn draw(image: &Image, heatmap: Option<&Heatmap>, side: u32) -> Result<Drawn> {
    let longest = image.width.max(image.height);
    let scale = (f64::from(side) / f64::from(longest)).min(1.0);
    let [width, height] = [image.width, image.height]
        .map(|each| ((f64::from(each) * scale + 0.5).floor() as u32).max(1));
    let rgb = resized(image, width, height)?;
    let map = match heatmap {
        Some(heatmap) if heatmap.max > 0.0 => Some(DrawnMap {
            src: jpeg(&over(&rgb, heatmap, width, height, OPACITY)?, width, height)?,
            legend: legend(heatmap)?,
        }),
        _ => None,
    };
    Ok(Drawn {
        src: jpeg(&rgb, width, height)?,
        width,
        height,
        map,
    })
}

fn resized(image: &Image, width: u32, height: u32) -> Result<Vec<u8>> {
    let source = ImageRef::new(image.columns, image.rows, &image.rgb, PixelType::U8x3)
        .context("the photo cannot be drawn")?;
    let mut canvas = Canvas::new(width, height, PixelType::U8x3);
    Resizer::new()
        .resize(&source, &mut canvas, &ResizeOptions::new().use_alpha(false))
        .context("the photo cannot be drawn")?;
    Ok(canvas.into_vec())
}

/// Pixels with a heatmap over them.
pub fn over(
    rgb: &[u8],
    heatmap: &Heatmap,
    width: u32,
    height: u32,
    opacity: f32,
) -> Result<Vec<u8>> {
    let style = Style {
        width,
        height,
        colormap: None,
        opacity,
    };
    let overlay = Classifier::render(heatmap, &style)?;
    let mut rgb = rgb.to_vec();
    for (under, over) in rgb.chunks_exact_mut(3).zip(overlay.chunks_exact(4)) {
        let alpha = u32::from(over[3]);
        for (under, &over) in under.iter_mut().zip(over) {
            *under =
                ((u32::from(over) * alpha + u32::from(*under) * (255 - alpha) + 127) / 255) as u8;
        }
    }
    Ok(rgb)
}

/// The colours from the least to the most.
fn legend(like: &Heatmap) -> Result<String> {
    let size = Size {
        width: 256,
        height: 1,
    };
    let values = (0..256).map(|at| match like.sign {
        Sign::Both => at as f32 / 127.5 - 1.0,
        _ => at as f32 / 255.0,
    });
    let ramp = Heatmap {
        width: 256,
        height: 1,
        values: values.collect(),
        max: 1.0,
        region: Region {
            x: 0.0,
            y: 0.0,
            width: 256.0,
            height: 1.0,
        },
        part: None,
        image: size,
        ..like.clone()
    };
    let rgb = over(&[GROUND; 3 * 256], &ramp, 256, 1, 1.0)?;
    Ok(format!(
        "data:image/png;base64,{}",
        STANDARD.encode(png(&rgb, 256, 1)?)
    ))
}

/// An RGB picture as PNG.
pub fn png(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let (colour, format) = (image::ColorType::Rgb8, image::ImageFormat::Png);
    image::write_buffer_with_format(&mut png, rgb, width, height, colour, format)?;
    Ok(png.into_inner())
}

fn jpeg(rgb: &[u8], width: u32, height: u32) -> Result<String> {
    let (columns, rows) = (width as usize, height as usize);
    let bytes = compress(
        rgb,
        columns,
        rows,
        PixelFormat::Rgb,
        QUALITY,
        Subsampling::S420,
    )
    .map_err(|error| anyhow::anyhow!("the picture cannot be encoded: {error}"))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}
