//! heatmap + region → RGBA pixels: upsample, colour map.

use fast_image_resize::images::{Image as Canvas, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::heatmap::Map;
use crate::preprocess::Region;

/// Colour maps; all but `turbo` are safe for colour-blind readers, and all but that and `diverging` perceptually
/// uniform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the definition
pub enum Colormap {
    #[default]
    Inferno,
    Viridis,
    Magma,
    Plasma,
    Cividis,
    Turbo,
    Grey,
    /// Blue for what speaks against a class, orange for what speaks for it, white at zero: the two hues that Okabe and
    /// Ito chose for colour-blind readers (<https://jfly.uni-koeln.de/color/>).
    Diverging,
}

/// The ends of [`Colormap::Diverging`].
const AGAINST: [u8; 3] = [0, 114, 178];
const FOR: [u8; 3] = [230, 159, 0];

impl Colormap {
    /// The usual one: for a map of one side, or of both.
    pub fn usual(signed: bool) -> Colormap {
        match signed {
            true => Colormap::Diverging,
            false => Colormap::default(),
        }
    }

    /// sRGB colour of a value in 0..=1, or in -1..=1 of [`Colormap::Diverging`].
    pub fn color(self, value: f32) -> [u8; 3] {
        let gradient = match self {
            Colormap::Inferno => colorous::INFERNO,
            Colormap::Viridis => colorous::VIRIDIS,
            Colormap::Magma => colorous::MAGMA,
            Colormap::Plasma => colorous::PLASMA,
            Colormap::Cividis => colorous::CIVIDIS,
            Colormap::Turbo => colorous::TURBO,
            Colormap::Grey => return [(value.clamp(0.0, 1.0) * 255.0).round() as u8; 3],
            Colormap::Diverging => {
                let end = if value < 0.0 { AGAINST } else { FOR };
                let share = value.abs().min(1.0);
                return end.map(|end| (255.0 + (f32::from(end) - 255.0) * share).round() as u8);
            }
        };
        gradient
            .eval_continuous(f64::from(value.clamp(0.0, 1.0)))
            .into_array()
    }
}

/// How a heatmap is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// Width of the picture that stands for the whole upright image, in pixels.
    pub width: u32,
    /// Height of the same.
    pub height: u32,
    /// Colours of 0 to the map's maximum, for and against on one scale; none: [`Colormap::usual`].
    pub colormap: Option<Colormap>,
    /// Opacity of the strongest evidence, 0..=1; weaker evidence is more transparent, none is clear.
    pub opacity: f32,
}

/// Most pixels that are drawn, 64 megapixels: the same as the largest photo read by default.
pub const MOST_PIXELS: u64 = 64_000_000;

/// Draws a heatmap as RGBA pixels (straight alpha, sRGB, row-major) to be laid over a picture of the
/// whole image, of whose `image` (width, height) the map covers `region`. Outside, and outside of the `part` that was
/// classified, it is clear: a region that is padded reaches over the part.
///
/// # Errors
/// [`Error::BadOption`] for a size or an opacity that cannot be drawn.
pub fn overlay(
    map: &Map,
    region: &Region,
    part: Option<&Region>,
    image: (u32, u32),
    style: &Style,
) -> Result<Vec<u8>> {
    let (width, height) = (style.width, style.height);
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(Error::BadOption(format!(
            "cannot draw {width} × {height} pixels, expected 1 to {MOST_PIXELS}"
        )));
    }
    if !(0.0..=1.0).contains(&style.opacity) {
        return Err(Error::BadOption(format!(
            "`opacity` is {}, expected 0 to 1",
            style.opacity
        )));
    }
    let colormap = style.colormap.unwrap_or(Colormap::usual(map.signed));
    if map.signed && colormap != Colormap::Diverging {
        return Err(Error::BadOption(
            "a heatmap of both signs is drawn in the colours `diverging`".into(),
        ));
    }
    let mut rgba = vec![0; pixels as usize * 4];
    if map.max <= 0.0 {
        return Ok(rgba);
    }
    let across = f64::from(width) / f64::from(image.0.max(1));
    let down = f64::from(height) / f64::from(image.1.max(1));
    let edges = |region: &Region| {
        let (right, bottom) = (region.x + region.width, region.y + region.height);
        [
            region.x * across,
            right * across,
            region.y * down,
            bottom * down,
        ]
        .map(|at| at.round() as i64)
    };
    let [left, right, top, bottom] = edges(region);
    let whole = [0, i64::from(width), 0, i64::from(height)];
    let [first, last, above, below] = part.map_or(whole, edges);
    let (columns, rows) = ((right - left).max(1), (bottom - top).max(1));
    let values = upsample(map, columns, rows)?;
    let palette = |sign: f32| -> Vec<[u8; 3]> {
        let values = (0..=255).map(|i| sign * i as f32 / 255.0);
        values.map(|value| colormap.color(value)).collect()
    };
    let (raises, lowers) = (palette(1.0), palette(-1.0));
    for y in top.max(above).max(0)..bottom.min(below).min(i64::from(height)) {
        for x in left.max(first).max(0)..right.min(last).min(i64::from(width)) {
            let value = values[((y - top) * columns + x - left) as usize] / map.max;
            let (palette, value) = match map.signed && value < 0.0 {
                true => (&lowers, (-value).min(1.0)),
                false => (&raises, value.clamp(0.0, 1.0)),
            };
            let at = (y as usize * width as usize + x as usize) * 4;
            rgba[at..at + 3].copy_from_slice(&palette[(value * 255.0).round() as usize]);
            rgba[at + 3] = (style.opacity * value.sqrt() * 255.0).round() as u8;
        }
    }
    Ok(rgba)
}

fn upsample(map: &Map, columns: i64, rows: i64) -> Result<Vec<f32>> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::BadOption(format!("the heatmap cannot be drawn: {error}"))
    };
    let (Ok(columns), Ok(rows)) = (u32::try_from(columns), u32::try_from(rows)) else {
        return Err(failed(&"it is too large"));
    };
    if u64::from(columns) * u64::from(rows) > MOST_PIXELS * 4 {
        return Err(failed(&"the region is too large"));
    }
    let bytes: Vec<u8> = map
        .values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    let source = ImageRef::new(map.width as u32, map.height as u32, &bytes, PixelType::F32)
        .map_err(|e| failed(&e))?;
    let mut canvas = Canvas::new(columns, rows, PixelType::F32);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Mitchell))
        .use_alpha(false);
    Resizer::new()
        .resize(&source, &mut canvas, &options)
        .map_err(|e| failed(&e))?;
    Ok(canvas
        .buffer()
        .chunks_exact(4)
        .map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: [f32; 4], region: Region, width: u32, height: u32) -> Vec<u8> {
        drawn_in(None, values, region, width, height)
    }

    fn drawn_in(
        part: Option<&Region>,
        values: [f32; 4],
        region: Region,
        width: u32,
        height: u32,
    ) -> Vec<u8> {
        let max = values.iter().copied().fold(0.0, f32::max);
        let map = Map {
            width: 2,
            height: 2,
            values: values.to_vec(),
            max,
            signed: false,
        };
        let style = Style {
            width,
            height,
            colormap: Some(Colormap::Grey),
            opacity: 1.0,
        };
        overlay(&map, &region, part, (100, 50), &style).unwrap()
    }

    const MIDDLE: Region = Region {
        x: 25.0,
        y: 0.0,
        width: 50.0,
        height: 50.0,
    };

    #[test]
    fn only_the_region_is_painted() {
        let rgba = drawn([1.0; 4], MIDDLE, 100, 50);
        let alpha = |x: usize, y: usize| rgba[(y * 100 + x) * 4 + 3];
        assert_eq!(
            [alpha(24, 25), alpha(25, 25), alpha(74, 25), alpha(75, 25)],
            [0, 255, 255, 0]
        );
    }

    #[test]
    fn the_brightest_corner_stays_in_its_corner() {
        let rgba = drawn([0.0, 0.0, 0.0, 1.0], MIDDLE, 40, 20);
        let at = |x: usize, y: usize| rgba[(y * 40 + x) * 4 + 3];
        assert!(at(29, 19) > 200 && at(10, 0) < 60 && at(29, 0) < at(29, 19));
    }

    #[test]
    fn no_evidence_is_clear() {
        assert!(drawn([0.0; 4], MIDDLE, 40, 20).iter().all(|&v| v == 0));
    }

    #[test]
    fn a_region_that_reaches_over_the_edge_is_cut() {
        let padded = Region {
            x: -25.0,
            y: -50.0,
            width: 150.0,
            height: 150.0,
        };
        assert!(
            drawn([1.0; 4], padded, 10, 5)
                .chunks(4)
                .all(|p| p[3] == 255)
        );
    }

    #[test]
    fn padding_around_the_part_that_was_classified_is_clear() {
        let part = Region {
            y: 20.0,
            height: 10.0,
            ..MIDDLE
        };
        let rgba = drawn_in(Some(&part), [1.0; 4], MIDDLE, 100, 50);
        let alpha = |x: usize, y: usize| rgba[(y * 100 + x) * 4 + 3];
        assert_eq!(
            [alpha(50, 19), alpha(50, 20), alpha(50, 29), alpha(50, 30)],
            [0, 255, 255, 0]
        );
    }

    #[test]
    fn sizes_and_opacities_that_cannot_be_drawn_are_refused() {
        let map = Map {
            width: 1,
            height: 1,
            values: vec![1.0],
            max: 1.0,
            signed: false,
        };
        let style = |width, opacity| Style {
            width,
            height: 9,
            colormap: None,
            opacity,
        };
        for style in [
            style(0, 1.0),
            style(u32::MAX, 1.0),
            style(9, f32::NAN),
            style(9, 2.0),
        ] {
            assert_eq!(
                overlay(&map, &MIDDLE, None, (100, 50), &style)
                    .unwrap_err()
                    .code(),
                "bad-option"
            );
        }
    }

    #[test]
    fn both_sides_are_drawn_on_one_scale() {
        let map = |signed| Map {
            width: 2,
            height: 1,
            values: vec![-1.0, 4.0],
            max: 4.0,
            signed,
        };
        let whole = Region {
            x: 0.0,
            y: 0.0,
            width: 2.0,
            height: 1.0,
        };
        let drawn = |signed, colormap| {
            let style = Style {
                width: 2,
                height: 1,
                colormap,
                opacity: 1.0,
            };
            overlay(&map(signed), &whole, None, (2, 1), &style)
        };
        let rgba = drawn(true, None).unwrap();
        assert_eq!(&rgba[4..], &[230, 159, 0, 255]);
        assert_eq!(
            &rgba[..4],
            &[191, 220, 236, 128],
            "a quarter of the way to blue"
        );
        let refused = drawn(true, Some(Colormap::Viridis)).unwrap_err();
        assert_eq!(refused.code(), "bad-option");
        assert_eq!(drawn(false, None).unwrap()[3], 0, "nothing below zero");
    }
}
