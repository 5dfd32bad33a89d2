//! image + the part of it that is wanted → that part.

use super::Region;
use crate::decode::Image;
use crate::error::{Error, Result};

/// Cuts a part out of an image, and tells which: the wanted one with its edges rounded to whole pixels, halves to even,
/// as Pillow's `Image.crop` does. Of an image that is stored at a part of its size, all pixels that the part touches.
///
/// # Errors
/// [`Error::BadOption`] for a part that is empty or reaches over the edge of the image.
pub fn crop(mut image: Image, wanted: &Region) -> Result<(Image, Region)> {
    let (left, right) = edges(wanted.x, wanted.width);
    let (top, bottom) = edges(wanted.y, wanted.height);
    let (across, down) = (f64::from(image.width), f64::from(image.height));
    // Written so that NaN is refused.
    let inside = left >= 0.0 && top >= 0.0 && right <= across && bottom <= down;
    if !(inside && right > left && bottom > top) {
        let Region {
            x,
            y,
            width,
            height,
        } = wanted;
        return Err(Error::BadOption(format!(
            "the region is {width} × {height} pixels at {x}, {y}; \
            expected at least one pixel within the {across} × {down} of the photo"
        )));
    }
    let columns = f64::from(image.columns) / across;
    let rows = f64::from(image.rows) / down;
    let (first, last) = ((left * columns).floor(), (right * columns).ceil());
    let (above, below) = ((top * rows).floor(), (bottom * rows).ceil());
    let stride = 3 * image.columns as usize;
    let length = 3 * (last - first) as usize;
    let mut to = 0;
    for row in above as usize..below as usize {
        let from = row * stride + 3 * first as usize;
        image.rgb.copy_within(from..from + length, to);
        to += length;
    }
    image.rgb.truncate(to);
    (image.columns, image.rows) = ((last - first) as u32, (below - above) as u32);
    (image.width, image.height) = ((right - left) as u32, (bottom - top) as u32);
    let part = Region {
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
    };
    Ok((image, part))
}

fn edges(start: f64, length: f64) -> (f64, f64) {
    (start.round_ties_even(), (start + length).round_ties_even())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `columns × rows` pixels, each of which tells where it is.
    fn image(columns: u32, rows: u32, scale: u32) -> Image {
        let pixels = (0..rows).flat_map(|y| (0..columns).map(move |x| [x as u8, y as u8, 0]));
        Image {
            width: columns * scale,
            height: rows * scale,
            columns,
            rows,
            rgb: pixels.flatten().collect(),
            partial: None,
        }
    }

    fn region(x: f64, y: f64, width: f64, height: f64) -> Region {
        Region {
            x,
            y,
            width,
            height,
        }
    }

    #[test]
    fn the_part_holds_its_pixels() {
        let (part, told) = crop(image(7, 5, 1), &region(2.0, 1.0, 3.0, 2.0)).unwrap();
        assert_eq!((part.width, part.height), (3, 2));
        assert_eq!(
            part.rgb,
            [2, 1, 0, 3, 1, 0, 4, 1, 0, 2, 2, 0, 3, 2, 0, 4, 2, 0]
        );
        assert_eq!(told, region(2.0, 1.0, 3.0, 2.0));
        let whole = image(7, 5, 1);
        let (part, _) = crop(whole.clone(), &region(0.0, 0.0, 7.0, 5.0)).unwrap();
        assert_eq!(part, whole);
    }

    #[test]
    fn edges_are_rounded_and_told() {
        let (_, told) = crop(image(7, 5, 1), &region(0.5, 1.5, 2.0, 2.2)).unwrap();
        assert_eq!(told, region(0.0, 2.0, 2.0, 2.0));
    }

    #[test]
    fn of_an_image_at_half_its_size_every_pixel_that_is_touched_is_taken() {
        let (part, told) = crop(image(6, 4, 2), &region(3.0, 2.0, 4.0, 4.0)).unwrap();
        assert_eq!(
            (part.width, part.height, part.columns, part.rows),
            (4, 4, 3, 2)
        );
        assert_eq!(
            part.rgb,
            [1, 1, 0, 2, 1, 0, 3, 1, 0, 1, 2, 0, 2, 2, 0, 3, 2, 0]
        );
        assert_eq!(told, region(3.0, 2.0, 4.0, 4.0));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for wrong in [
            region(-1.0, 0.0, 2.0, 2.0),
            region(0.0, -0.6, 2.0, 2.0),
            region(6.0, 0.0, 2.0, 2.0),
            region(0.0, 4.0, 2.0, 2.0),
            region(0.0, 0.0, 0.0, 2.0),
            region(0.0, 0.0, 2.0, 0.4),
            region(2.0, 2.0, -1.0, 1.0),
            region(f64::NAN, 0.0, 2.0, 2.0),
            region(0.0, 0.0, f64::INFINITY, 2.0),
            region(1e300, 0.0, 2.0, 2.0),
        ] {
            let error = crop(image(7, 5, 1), &wrong).unwrap_err();
            assert_eq!(error.code(), "bad-option", "{wrong:?}");
        }
    }
}
