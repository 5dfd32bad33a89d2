//! A step of a heatmap that runs the network again → what it asks of the network.

use std::slice;

use super::Classifier;
use crate::error::{Error, Result};
use crate::heatmap::{Map, Method, Network, Sign, Target};
use crate::model::{FeatureMap, Halfway};
use crate::preprocess::Tensor;

/// The network, and what of it a heatmap explains.
pub(super) struct Explained<'a> {
    pub classifier: &'a Classifier,
    pub target: &'a Target,
    pub method: Method,
    pub sign: Sign,
    /// Places of the layers among the model's.
    pub chosen: &'a [usize],
    /// Runs that stopped at them, where the method needs them.
    pub halves: &'a [Halfway],
}

impl Network for Explained<'_> {
    fn value(&self, input: &Tensor) -> Result<f32> {
        let forward = self.classifier.model.forward(input)?;
        Ok(self.target.value(&forward.scores))
    }

    fn probability(&self, input: &Tensor) -> Result<f32> {
        let scores = self.classifier.model.forward(input)?.scores;
        Ok(match *self.target {
            Target::Score(class) => self.classifier.probabilities(&scores)[class],
            _ => self.target.value(&scores),
        })
    }

    fn without(&self, layer: usize, channel: usize) -> Result<f32> {
        let half = self.halves.get(layer);
        let half = half.ok_or_else(|| Error::BadOption("a run without layers".into()))?;
        let scores = self.classifier.model.without(half, channel)?;
        Ok(self.target.value(&scores))
    }

    fn gradient(&self, input: &Tensor) -> Result<FeatureMap> {
        let at = self.classifier.input_layer()?;
        let model = &self.classifier.model;
        let forward = model.forward(input)?;
        let direction = self.target.gradient(&forward.scores);
        let mut gradients = model.gradients_along(&forward, &direction)?;
        let value = |scores: &[f32]| self.target.value(scores);
        model.check_gradient(input, &forward, value, slice::from_ref(&gradients[at]))?;
        Ok(gradients.swap_remove(at))
    }

    fn map(&self, input: &Tensor) -> Result<Map> {
        let forward = self.classifier.model.forward(input)?;
        self.classifier.map(
            (self.method, self.sign),
            input,
            &forward,
            self.target,
            self.chosen,
        )
    }
}

impl Classifier {
    /// The layer that is the input itself.
    ///
    /// # Errors
    /// [`Error::BadOption`] if the model was loaded without it.
    pub(super) fn input_layer(&self) -> Result<usize> {
        let name = &self.manifest.input.name;
        let at = self
            .model
            .layers()
            .iter()
            .position(|layer| layer.name == *name);
        at.ok_or_else(|| {
            self.explainable().err().unwrap_or_else(|| {
                Error::BadOption(format!(
                    "the model was loaded without the gradient at its input; name `{name}` as a layer when it is loaded"
                ))
            })
        })
    }
}
