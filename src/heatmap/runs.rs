//! Heatmaps that run the network again: step by step, so that a caller can do something else between two steps, or stop.

use super::{
    AblationCam, Effort, Integrated, Map, Method, Occlusion, Rise, ScoreCam, Sign, Smooth, average,
};
use crate::error::{Error, Result};
use crate::manifest::Layout;
use crate::model::FeatureMap;
use crate::preprocess::Tensor;

/// What a step asks of the network.
pub trait Network {
    /// What is explained, for an input.
    ///
    /// # Errors
    /// Those of a run of the network, as of all of these.
    fn value(&self, input: &Tensor) -> Result<f32>;
    /// The probability of the explained class; what is explained, where that is no score of one class.
    ///
    /// # Errors
    /// The same.
    fn probability(&self, input: &Tensor) -> Result<f32>;
    /// What is explained, of the photo without a channel of one of the layers.
    ///
    /// # Errors
    /// The same.
    fn without(&self, layer: usize, channel: usize) -> Result<f32>;
    /// The gradient at the input.
    ///
    /// # Errors
    /// The same.
    fn gradient(&self, input: &Tensor) -> Result<FeatureMap>;
    /// The map of an input by a method that takes one run.
    ///
    /// # Errors
    /// The same.
    fn map(&self, input: &Tensor) -> Result<Map>;
}

/// An unfinished heatmap of this kind.
#[derive(Debug, Clone)]
pub enum Runs {
    /// [`Method::Occlusion`].
    Occlusion(Occlusion),
    /// [`Method::ScoreCam`], of each layer.
    ScoreCam(Vec<ScoreCam>),
    /// [`Method::AblationCam`], of each layer.
    AblationCam(Vec<AblationCam>),
    /// [`Method::Rise`].
    Rise(Rise),
    /// [`Method::IntegratedGradients`].
    Integrated(Integrated),
    /// A method that takes one run, [smoothed](Effort::smooth).
    Smooth(Smooth),
}

impl Runs {
    /// Starts one; `whole` is what the target is for the input as it is, `layers` are those of the map.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a method that does not run the network, or has no such sign, and when the input is not a
    /// batch of one image.
    pub fn new(
        (method, effort, sign): (Method, &Effort, Sign),
        input: &Tensor,
        layout: Layout,
        whole: f32,
        layers: &[&FeatureMap],
    ) -> Result<Runs> {
        method.check_sign(sign)?;
        effort.check(method)?;
        Ok(match method {
            Method::Occlusion => {
                Runs::Occlusion(Occlusion::new(input, layout, whole, effort.grid())?)
            }
            Method::ScoreCam => {
                let layers = layers.iter();
                let begun = layers.map(|features| ScoreCam::new(input, layout, features));
                Runs::ScoreCam(begun.collect::<Result<_>>()?)
            }
            Method::AblationCam => {
                let layers = layers.iter();
                Runs::AblationCam(layers.map(|layer| AblationCam::new(layer, whole)).collect())
            }
            Method::Rise => {
                let (grid, masks) = (effort.grid(), effort.masks());
                Runs::Rise(Rise::new(input, layout, grid, masks, effort.seed())?)
            }
            Method::IntegratedGradients => {
                let (steps, fill) = (effort.steps(), effort.fill());
                Runs::Integrated(Integrated::new(input, layout, steps, fill)?)
            }
            _ if effort.smooth => {
                let most =
                    |side: fn(&FeatureMap) -> usize| layers.iter().map(|layer| side(layer)).max();
                let size = [most(|map| map.height), most(|map| map.width)];
                let size = size.map(Option::unwrap_or_default);
                Runs::Smooth(Smooth::new(input, layout, size, sign)?)
            }
            _ => return Err(Error::BadOption(format!("{method} takes one run"))),
        })
    }

    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        let sum = |(done, of): (usize, usize), (d, o): (usize, usize)| (done + d, of + o);
        match self {
            Runs::Occlusion(occlusion) => occlusion.progress(),
            Runs::ScoreCam(layers) => layers.iter().map(ScoreCam::progress).fold((0, 0), sum),
            Runs::AblationCam(layers) => layers.iter().map(AblationCam::progress).fold((0, 0), sum),
            Runs::Rise(rise) => rise.progress(),
            Runs::Integrated(integrated) => integrated.progress(),
            Runs::Smooth(smooth) => smooth.progress(),
        }
    }

    /// Takes the next step.
    ///
    /// # Errors
    /// Those of the network.
    pub fn step(&mut self, network: &impl Network) -> Result<()> {
        match self {
            Runs::Occlusion(occlusion) => occlusion.step(|input| network.value(input)),
            Runs::ScoreCam(layers) => {
                let unfinished = layers.iter_mut().find(|layer| {
                    let (done, of) = layer.progress();
                    done < of
                });
                unfinished.map_or(Ok(()), |layer| layer.step(|input| network.value(input)))
            }
            Runs::AblationCam(layers) => {
                let unfinished = layers.iter_mut().enumerate().find(|(_, layer)| {
                    let (done, of) = layer.progress();
                    done < of
                });
                unfinished.map_or(Ok(()), |(at, layer)| {
                    layer.step(|channel| network.without(at, channel))
                })
            }
            Runs::Rise(rise) => rise.step(|input| network.probability(input)),
            Runs::Integrated(integrated) => integrated.step(|input| network.gradient(input)),
            Runs::Smooth(smooth) => smooth.step(|input| network.map(input)),
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
            Runs::AblationCam(layers) => {
                let maps: Vec<Map> = layers.iter().map(|layer| layer.map(sign)).collect();
                average(&maps, sign)
            }
            Runs::Rise(rise) => rise.map(),
            Runs::Integrated(integrated) => integrated.map(sign),
            Runs::Smooth(smooth) => smooth.map(),
        }
    }
}
