//! Scores without a channel → how much each channel speaks for a class.

use super::layer::weighted_sum;
use super::{Map, Sign};
use crate::error::Result;
use crate::model::FeatureMap;

/// A heatmap by [`Method::AblationCam`](super::Method::AblationCam), a channel at a time. Each takes a run of what the
/// network computes from the layer on.
#[derive(Debug, Clone)]
pub struct AblationCam {
    features: FeatureMap,
    /// What is explained, of the photo as it is.
    whole: f32,
    /// The same without each of the channels so far.
    without: Vec<f32>,
}

impl AblationCam {
    /// Starts a map of a layer; `whole` is what is explained.
    pub fn new(features: &FeatureMap, whole: f32) -> AblationCam {
        AblationCam {
            features: features.clone(),
            whole,
            without: Vec::with_capacity(features.channels),
        }
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.without.len(), self.features.channels)
    }

    /// Leaves out the next channel; `score` runs the network without the one of this number.
    ///
    /// # Errors
    /// Those of `score`.
    pub fn step(&mut self, score: impl FnOnce(usize) -> Result<f32>) -> Result<()> {
        self.without.push(score(self.without.len())?);
        Ok(())
    }

    /// The map of the channels so far.
    pub fn map(&self, sign: Sign) -> Map {
        // The paper divides by the score itself, which exchanges for and against where it is negative.
        let scale = match self.whole.abs() {
            0.0 => 1.0,
            scale => scale,
        };
        let weight = |without: &f32| sign.factor() * (self.whole - without) / scale;
        let values = weighted_sum(&self.features, self.without.iter().map(weight));
        Map::of(self.features.width, self.features.height, values, sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_weighs_what_its_loss_costs() {
        let features = FeatureMap {
            channels: 3,
            height: 1,
            width: 2,
            values: vec![1.0, 2.0, 0.0, 5.0, 1.0, 0.0],
        };
        let [map, against, both] = [Sign::For, Sign::Against, Sign::Both].map(|sign| {
            let mut ablation = AblationCam::new(&features, -4.0);
            for (at, without) in [-6.0, -4.0, 0.0].into_iter().enumerate() {
                assert_eq!(ablation.progress(), (at, 3));
                ablation
                    .step(|channel| Ok([channel as f32, without][1]))
                    .unwrap();
            }
            ablation.map(sign)
        });
        assert_eq!(both.values, [0.5 - 1.0, 1.0]);
        assert_eq!(map.values, [0.0, 1.0]);
        assert_eq!(against.values, [0.5, 0.0]);
    }
}
