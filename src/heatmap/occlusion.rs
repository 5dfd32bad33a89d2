//! Hidden parts of the input → how much the score falls.

use super::pixels::Pixels;
use super::{Map, Sign};
use crate::error::Result;
use crate::manifest::Layout;
use crate::preprocess::Tensor;

/// How much the score of a class falls when a window of the input is set to 0, which is the mean
/// colour after the usual normalisation. The window is two cells of the grid wide and moves by
/// one; each cell gets the mean of the windows that cover it.
///
/// Each step is one run of the network, so that a caller can do something else between two steps, or stop.
#[derive(Debug, Clone)]
pub struct Occlusion {
    input: Tensor,
    pixels: Pixels,
    /// The score with nothing hidden.
    whole: f32,
    rows: usize,
    columns: usize,
    falls: Vec<f32>,
    covered: Vec<f32>,
    done: usize,
}

impl Occlusion {
    /// Starts a map of `grid` rows and columns, or as many as the input has; `whole` is the score of the input as it is.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the input is not a batch of one image.
    pub fn new(input: &Tensor, layout: Layout, whole: f32, grid: usize) -> Result<Occlusion> {
        let pixels = Pixels::of(input, layout)?;
        let (rows, columns) = (grid.min(pixels.height), grid.min(pixels.width));
        Ok(Occlusion {
            input: input.clone(),
            pixels,
            whole,
            rows,
            columns,
            falls: vec![0.0; rows * columns],
            covered: vec![0.0; rows * columns],
            done: 0,
        })
    }

    /// Steps done, and steps in all. Windows reach over the edges by one cell, so that every cell is
    /// covered four times.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, (self.rows + 1) * (self.columns + 1))
    }

    /// Hides the next window; `score` runs the network.
    ///
    /// # Errors
    /// Those of `score`.
    pub fn step(&mut self, score: impl FnOnce(&Tensor) -> Result<f32>) -> Result<()> {
        let (row, column) = (
            self.done / (self.columns + 1),
            self.done % (self.columns + 1),
        );
        let cells = |at: usize, of: usize| at.saturating_sub(1)..(at + 1).min(of);
        let hidden = [cells(row, self.rows), cells(column, self.columns)];
        let mut blank = self.input.clone();
        for at in self.pixels.under(hidden, [self.rows, self.columns]) {
            blank.values[at] = 0.0;
        }
        let fall = self.whole - score(&blank)?;
        for y in cells(row, self.rows) {
            for x in cells(column, self.columns) {
                self.falls[y * self.columns + x] += fall;
                self.covered[y * self.columns + x] += 1.0;
            }
        }
        self.done += 1;
        Ok(())
    }

    /// The map of the windows that were hidden so far.
    pub fn map(&self, sign: Sign) -> Map {
        let means = self.falls.iter().zip(&self.covered);
        let means = means.map(|(fall, count)| sign.factor() * fall / count.max(1.0));
        Map::of(self.columns, self.rows, means.collect(), sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occlusion_finds_the_place_that_counts() {
        let shape = vec![1, 1, 14, 14];
        let input = Tensor {
            shape,
            values: vec![1.0; 196],
        };
        let corner = |input: &Tensor| Ok(input.values[13 * 14 + 13]);
        let mut occlusion = Occlusion::new(&input, Layout::Nchw, 1.0, 7).unwrap();
        for done in 0..64 {
            assert_eq!(occlusion.progress(), (done, 64));
            occlusion.step(corner).unwrap();
        }
        assert_eq!(occlusion.progress(), (64, 64));
        let map = occlusion.map(Sign::For);
        assert_eq!((map.width, map.height, map.max), (7, 7, 1.0));
        assert_eq!(map.values[48], 1.0);
        assert_eq!(map.values[0], 0.0);
    }
}
