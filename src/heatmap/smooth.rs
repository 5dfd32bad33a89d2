//! Maps of mirrored and shifted inputs → their mean.

use super::pixels::Pixels;
use super::{Map, Sign};
use crate::error::Result;
use crate::manifest::Layout;
use crate::preprocess::Tensor;

/// A smoothed heatmap, an input at a time: the mean of the maps of ten inputs, each map brought back to the places of the
/// photo. The inputs are the photo and its mirror image, each as it is, and shifted up, down, left and right by a third of
/// a cell of the map (in whole pixels, at least one; edges repeated). A map of R × C cells of an input that was shifted by
/// (y, x) pixels of H × W is read bilinearly at (row + y · R / H, column + x · C / W), edges repeated, and mirrored if its
/// input was.
///
/// The option `aug_smooth` of pytorch-grad-cam averages mirrored and brightened inputs instead, each map scaled to 0..=1.
#[derive(Debug, Clone)]
pub struct Smooth {
    input: Tensor,
    pixels: Pixels,
    /// Rows and columns of the map.
    size: [usize; 2],
    sum: Vec<f64>,
    done: usize,
    sign: Sign,
}

/// Directions in which the input is shifted: down, right.
const SHIFTS: [[isize; 2]; 5] = [[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]];

impl Smooth {
    /// Starts a map of so many rows and columns.
    ///
    /// # Errors
    /// [`Error::BadOption`](crate::Error::BadOption) when the input is not a batch of one image.
    pub fn new(input: &Tensor, layout: Layout, size: [usize; 2], sign: Sign) -> Result<Smooth> {
        Ok(Smooth {
            pixels: Pixels::of(input, layout)?,
            input: input.clone(),
            size,
            sum: vec![0.0; size[0] * size[1]],
            done: 0,
            sign,
        })
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, 2 * SHIFTS.len())
    }

    /// Takes the next input; `map` makes its map, of the size that was told.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn step(&mut self, map: impl FnOnce(&Tensor) -> Result<Map>) -> Result<()> {
        let [rows, columns] = self.size;
        let (height, width) = (self.pixels.height, self.pixels.width);
        let mirrored = self.done >= SHIFTS.len();
        let shift = SHIFTS[self.done % SHIFTS.len()];
        let third = |size: usize, cells: usize| {
            ((size as f64 / cells as f64 / 3.0).round() as isize).max(1)
        };
        let [y, x] = [
            shift[0] * third(height, rows),
            shift[1] * third(width, columns),
        ];
        let input = match mirrored {
            true => self.pixels.mirrored(&self.input),
            false => self.input.clone(),
        };
        let map = map(&self.pixels.shifted(&input, x, y))?;
        let moved = |by: isize, size: usize, cells: usize| by as f64 * cells as f64 / size as f64;
        let (down, across) = (moved(y, height, rows), moved(x, width, columns));
        for row in 0..rows {
            for column in 0..columns {
                let to = match mirrored {
                    true => columns - 1 - column,
                    false => column,
                };
                self.sum[row * columns + to] += map.at(column as f64 + across, row as f64 + down);
            }
        }
        self.done += 1;
        Ok(())
    }

    /// The mean of the maps so far.
    pub fn map(&self) -> Map {
        let count = self.done.max(1) as f64;
        let values = self.sum.iter().map(|sum| (sum / count) as f32).collect();
        Map::of(self.size[1], self.size[0], values, self.sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network whose map is the photo itself, each cell the mean of its pixels.
    #[test]
    fn maps_come_back_to_the_places_of_the_photo() {
        let input = Tensor {
            shape: vec![1, 1, 12, 12],
            values: (0..144).map(|at| (at % 12) as f32).collect(),
        };
        let cells = |seen: &Tensor| {
            let mean = |row: usize, column: usize| {
                let pixel = |at: usize| seen.values[(row * 3 + at / 3) * 12 + column * 3 + at % 3];
                (0..9).map(pixel).sum::<f32>() / 9.0
            };
            let values = (0..16).map(|at| mean(at / 4, at % 4)).collect();
            Ok(Map::of(4, 4, values, Sign::For))
        };
        let mut smooth = Smooth::new(&input, Layout::Nchw, [4, 4], Sign::For).unwrap();
        while smooth.progress().0 < smooth.progress().1 {
            smooth.step(cells).unwrap();
        }
        let map = smooth.map();
        // A ramp stays a ramp where no edge is repeated.
        for row in 0..4 {
            let row = &map.values[row * 4..][..4];
            assert!(
                (row[1] - 4.0).abs() < 1e-5 && (row[2] - 7.0).abs() < 1e-5,
                "{row:?}"
            );
        }
    }
}
