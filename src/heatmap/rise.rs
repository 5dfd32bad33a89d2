//! Random parts of the input → how much the class is seen in each pixel.

use super::pixels::Pixels;
use super::random::Random;
use super::{Map, Sign};
use crate::error::Result;
use crate::manifest::Layout;
use crate::preprocess::Tensor;

/// A heatmap by [`Method::Rise`](super::Method::Rise), a mask at a time. The mean of the masks, each times the
/// probability of the class behind it, divided by the share of cells that are shown, a half. A hidden pixel is 0, which
/// is the mean colour after the usual normalisation.
///
/// A mask starts as a grid of n × n cells, each shown (1) or hidden (0), and is enlarged bilinearly (half-pixel centres,
/// edges repeated) to (n + 1) · c_y × (n + 1) · c_x, where c = ⌈size / n⌉. The part of the input's size that begins at a
/// random place among the first c_y × c_x is the mask. Cells are drawn row by row, then the row and the column of the
/// place: a cell is shown if the highest bit of the next number is 1, and a row is the next number modulo c_y.
#[derive(Debug, Clone)]
pub struct Rise {
    input: Tensor,
    pixels: Pixels,
    grid: [usize; 2],
    masks: usize,
    random: Random,
    sum: Vec<f64>,
    done: usize,
}

impl Rise {
    /// Starts a map of so many masks of `grid` rows and columns, or as many as the input has.
    ///
    /// # Errors
    /// [`Error::BadOption`](crate::Error::BadOption) when the input is not a batch of one image.
    pub fn new(
        input: &Tensor,
        layout: Layout,
        grid: usize,
        masks: usize,
        seed: u64,
    ) -> Result<Rise> {
        let pixels = Pixels::of(input, layout)?;
        Ok(Rise {
            input: input.clone(),
            pixels,
            grid: [grid.min(pixels.height), grid.min(pixels.width)],
            masks,
            random: Random(seed),
            sum: vec![0.0; pixels.height * pixels.width],
            done: 0,
        })
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.masks)
    }

    /// Lets the network see what the next mask shows; `value` runs it.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn step(&mut self, value: impl FnOnce(&Tensor) -> Result<f32>) -> Result<()> {
        let mask = self.mask();
        let mut seen = self.input.clone();
        for channel in 0..self.pixels.channels {
            for (at, share) in mask.iter().enumerate() {
                let (y, x) = (at / self.pixels.width, at % self.pixels.width);
                seen.values[self.pixels.place(channel, y, x)] *= share;
            }
        }
        let value = f64::from(value(&seen)?);
        for (sum, share) in self.sum.iter_mut().zip(mask) {
            *sum += value * f64::from(share);
        }
        self.done += 1;
        Ok(())
    }

    /// The map of the masks so far.
    pub fn map(&self) -> Map {
        let scale = 2.0 / self.done.max(1) as f64;
        let values = self.sum.iter().map(|sum| (sum * scale) as f32).collect();
        Map::of(self.pixels.width, self.pixels.height, values, Sign::For)
    }

    fn mask(&mut self) -> Vec<f32> {
        let [rows, columns] = self.grid;
        let cells: Vec<f32> = (0..rows * columns)
            .map(|_| (self.random.next() >> 63) as f32)
            .collect();
        let sides = [(self.pixels.height, rows), (self.pixels.width, columns)];
        let [down, across] = sides.map(|(size, cells)| {
            let each = size.div_ceil(cells);
            let first = (self.random.next() % each as u64) as usize;
            let scale = cells as f32 / ((cells + 1) * each) as f32;
            let between = |at: usize| {
                let at = ((at + first) as f32 + 0.5) * scale - 0.5;
                let at = at.clamp(0.0, (cells - 1) as f32);
                let low = at as usize;
                (low, (low + 1).min(cells - 1), at - low as f32)
            };
            (0..size).map(between).collect::<Vec<_>>()
        });
        let mut mask = Vec::with_capacity(self.sum.len());
        for &(top, bottom, down) in &down {
            for &(left, right, across) in &across {
                let row = |row: usize| {
                    let row = &cells[row * columns..][..columns];
                    row[left] * (1.0 - across) + row[right] * across
                };
                mask.push(row(top) * (1.0 - down) + row(bottom) * down);
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_counts_is_found_by_any_seed() {
        let input = Tensor {
            shape: vec![1, 1, 14, 14],
            values: vec![1.0; 196],
        };
        for seed in [1, 2] {
            let mut rise = Rise::new(&input, Layout::Nchw, 4, 300, seed).unwrap();
            while rise.progress().0 < 300 {
                rise.step(|seen| Ok(seen.values[10 * 14 + 3])).unwrap();
            }
            let map = rise.map();
            let most = (0..196).max_by(|&a, &b| map.values[a].total_cmp(&map.values[b]));
            let at = most.unwrap();
            assert!(
                at / 14 >= 8 && at / 14 <= 12 && at % 14 >= 1 && at % 14 <= 5,
                "{at}"
            );
        }
    }
}
