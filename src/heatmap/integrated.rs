//! Gradients at the input between a baseline and the photo → how much each pixel speaks for a class.

use super::fill::{Fill, filled};
use super::pixels::Pixels;
use super::{Map, Sign};
use crate::error::Result;
use crate::manifest::Layout;
use crate::model::FeatureMap;
use crate::preprocess::Tensor;

/// A heatmap by [`Method::IntegratedGradients`](super::Method::IntegratedGradients), a point at a time: Σ_c (x − b) · the
/// mean gradient at b + α (x − b) for n values of α, the middles of n equal parts of 0..=1 (the midpoint rule). The sum of
/// the map is close to the score of x less that of the baseline b.
#[derive(Debug, Clone)]
pub struct Integrated {
    input: Tensor,
    baseline: Vec<f32>,
    pixels: Pixels,
    steps: usize,
    /// Sums of gradients: channel, row, column.
    sum: Vec<f64>,
    done: usize,
}

impl Integrated {
    /// Starts a map of so many points.
    ///
    /// # Errors
    /// [`Error::BadOption`](crate::Error::BadOption) when the input is not a batch of one image.
    pub fn new(input: &Tensor, layout: Layout, steps: usize, fill: Fill) -> Result<Integrated> {
        let pixels = Pixels::of(input, layout)?;
        Ok(Integrated {
            input: input.clone(),
            baseline: filled(input, &pixels, fill),
            pixels,
            steps,
            sum: vec![0.0; input.values.len()],
            done: 0,
        })
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.steps)
    }

    /// Lets the network see the next point; `gradient` gives the gradient there.
    ///
    /// # Errors
    /// Those of `gradient`.
    pub fn step(&mut self, gradient: impl FnOnce(&Tensor) -> Result<FeatureMap>) -> Result<()> {
        let share = (self.done as f32 + 0.5) / self.steps as f32;
        let pairs = self.input.values.iter().zip(&self.baseline);
        let point = Tensor {
            shape: self.input.shape.clone(),
            values: pairs.map(|(x, b)| b + share * (x - b)).collect(),
        };
        let gradient = gradient(&point)?;
        for (sum, value) in self.sum.iter_mut().zip(&gradient.values) {
            *sum += f64::from(*value);
        }
        self.done += 1;
        Ok(())
    }

    /// The map of the points so far.
    pub fn map(&self, sign: Sign) -> Map {
        let Pixels {
            channels,
            height,
            width,
            ..
        } = self.pixels;
        let mut values = vec![0.0; height * width];
        let mut sums = self.sum.iter();
        for channel in 0..channels {
            for (at, value) in values.iter_mut().enumerate() {
                let place = self.pixels.place(channel, at / width, at % width);
                let way = f64::from(self.input.values[place] - self.baseline[place]);
                let mean = sums.next().copied().unwrap_or(0.0) / self.done.max(1) as f64;
                *value += f64::from(sign.factor()) * way * mean;
            }
        }
        let values = values.into_iter().map(|value| value as f32).collect();
        Map::of(width, height, values, sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_difference_of_the_scores() {
        let input = Tensor {
            shape: vec![1, 2, 2, 2],
            values: vec![1.0, -2.0, 3.0, 4.0, 0.5, 0.0, 2.0, -1.0],
        };
        let score = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
        let mut integrated = Integrated::new(&input, Layout::Nchw, 4, Fill::Mean).unwrap();
        while integrated.progress().0 < 4 {
            let gradient = |point: &Tensor| {
                Ok(FeatureMap {
                    channels: 2,
                    height: 2,
                    width: 2,
                    values: point.values.iter().map(|v| 2.0 * v).collect(),
                })
            };
            integrated.step(gradient).unwrap();
        }
        let map = integrated.map(Sign::Both);
        let baseline = [[1.5f32; 4], [0.375; 4]].concat();
        let difference = score(&input.values) - score(&baseline);
        assert!((map.values.iter().sum::<f32>() - difference).abs() < 1e-4);
    }
}
