//! Heatmaps that run the network again: step by step, so that a caller can do something else between two steps, or stop.

use super::{Map, Method, Occlusion, ScoreCam, Sign, average};
use crate::error::{Error, Result};
use crate::manifest::Layout;
use crate::model::FeatureMap;
use crate::preprocess::Tensor;

/// An unfinished heatmap of this kind.
#[derive(Debug, Clone)]
pub enum Runs {
    /// [`Method::Occlusion`].
    Occlusion(Occlusion),
    /// [`Method::ScoreCam`], of each layer.
    ScoreCam(Vec<ScoreCam>),
}

impl Runs {
    /// Starts one; `whole` is what the target is for the input as it is.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a method that does not run the network, or has no such sign, and when the input is not a
    /// batch of one image.
    pub fn new(
        method: Method,
        input: &Tensor,
        layout: Layout,
        whole: f32,
        layers: &[&FeatureMap],
        sign: Sign,
    ) -> Result<Runs> {
        method.check_sign(sign)?;
        match method {
            Method::Occlusion => Ok(Runs::Occlusion(Occlusion::new(input, layout, whole)?)),
            Method::ScoreCam => {
                let layers = layers.iter();
                let begun = layers.map(|features| ScoreCam::new(input, layout, features));
                Ok(Runs::ScoreCam(begun.collect::<Result<_>>()?))
            }
            _ => Err(Error::BadOption(format!("{method} takes one run"))),
        }
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        match self {
            Runs::Occlusion(occlusion) => occlusion.progress(),
            Runs::ScoreCam(layers) => {
                let each = layers.iter().map(ScoreCam::progress);
                each.fold((0, 0), |(done, of), (d, o)| (done + d, of + o))
            }
        }
    }

    /// Takes the next step; `value` is what the target is for an input.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn step(&mut self, value: impl FnOnce(&Tensor) -> Result<f32>) -> Result<()> {
        match self {
            Runs::Occlusion(occlusion) => occlusion.step(value),
            Runs::ScoreCam(layers) => {
                let unfinished = layers.iter_mut().find(|layer| {
                    let (done, of) = layer.progress();
                    done < of
                });
                unfinished.map_or(Ok(()), |layer| layer.step(value))
            }
        }
    }

    /// The map of the steps so far.
    pub fn map(&self, sign: Sign) -> Map {
        match self {
            Runs::Occlusion(occlusion) => occlusion.map(sign),
            Runs::ScoreCam(layers) => {
                let maps: Vec<Map> = layers.iter().map(ScoreCam::map).collect();
                average(&maps, sign)
            }
        }
    }
}
