//! A run of the network → the activations of a layer.

use super::Classifier;
use crate::error::Result;
use crate::result::{Features, FeaturesQuery, Run};

impl Classifier {
    /// The activations of a layer for a photo: its map, or their mean over all places.
    ///
    /// # Errors
    /// [`Error::BadOption`](crate::Error::BadOption) for a layer that the model was not loaded with, and for a run of
    /// another classifier; those of [`Model::explainable`](crate::Model::explainable) where there is no layer.
    pub fn features(&self, run: &Run, query: &FeaturesQuery) -> Result<Features> {
        self.check_run(run)?;
        let at = match &query.layer {
            Some(name) => self.layer(name)?,
            None if self.model.layers().is_empty() => {
                self.explainable()?;
                return Err(crate::Error::UnsupportedModel(
                    "the model has no layer".into(),
                ));
            }
            None => 0,
        };
        let map = &run.forward.features[at];
        let places = map.height * map.width;
        let (values, shape) = match query.pooled {
            true => {
                let planes = map.values.chunks_exact(places.max(1));
                let mean = |plane: &[f32]| {
                    (plane.iter().map(|&v| f64::from(v)).sum::<f64>() / places as f64) as f32
                };
                (planes.map(mean).collect(), vec![map.channels])
            }
            false => (
                map.values.clone(),
                vec![map.channels, map.height, map.width],
            ),
        };
        Ok(Features {
            layer: self.model.layers()[at].name.clone(),
            shape,
            values,
        })
    }
}
