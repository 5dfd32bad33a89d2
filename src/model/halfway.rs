//! A photo and a layer → the scores without one of its channels.

use super::error::contained;
#[cfg(feature = "compile")]
use super::graphs;
use super::run::steps::executor;
use super::{Engine, Model};
use crate::error::{Error, Result};
use crate::preprocess::Tensor as Input;

/// A run that stopped at a layer: the rest of it can be run again without some of the layer's values.
pub struct Halfway {
    layer: usize,
    at: At,
}

enum At {
    Step(executor::Halfway),
    #[cfg(feature = "compile")]
    Graph(graphs::Halfway),
}

impl Model {
    /// Runs the network on an input as far as the layer of this number among [`Model::layers`].
    ///
    /// # Errors
    /// Those of [`Model::forward`]; [`Error::UnsupportedModel`] for a layer from which the network cannot be run on.
    pub fn until(&self, input: &Input, layer: usize) -> Result<Halfway> {
        if layer >= self.layers.len() {
            return Err(Error::BadOption(format!(
                "there is no layer {layer}, expected less than {}",
                self.layers.len()
            )));
        }
        let at = match &self.engine {
            Engine::Steps(executor) => {
                self.check_input(executor, input)?;
                let halfway = contained(|| Ok(executor.until(&input.values, layer)))?;
                halfway.map(At::Step)
            }
            #[cfg(feature = "compile")]
            Engine::Graphs(graphs) => self.graph_until(graphs, input, layer)?.map(At::Graph),
        };
        let at = at.ok_or_else(|| {
            Error::UnsupportedModel(format!(
                "the network cannot be run on from the layer `{}`; name another layer, or use another method",
                self.layers[layer].name
            ))
        })?;
        Ok(Halfway { layer, at })
    }

    /// The scores without a channel of the layer: it is 0 at every place, those of tokens that have none on the map
    /// included.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a run of another model; those of [`Model::forward`].
    pub fn without(&self, halfway: &Halfway, channel: usize) -> Result<Vec<f32>> {
        let other = || Error::BadOption("a run of another model".into());
        let place = self.places.get(halfway.layer).ok_or_else(other)?;
        let values = place.channel(channel);
        match (&self.engine, &halfway.at) {
            (Engine::Steps(executor), At::Step(at)) => {
                let scores = contained(|| Ok(executor.onwards(at, values)))?;
                scores.ok_or_else(other)
            }
            #[cfg(feature = "compile")]
            (Engine::Graphs(graphs), At::Graph(at)) => {
                self.graph_onwards(graphs, halfway.layer, at, values)
            }
            #[cfg(feature = "compile")]
            _ => Err(other()),
        }
    }
}
