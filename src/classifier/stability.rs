//! A heatmap of a photo → whether small changes of the photo leave it as it is, step by step.

use super::Classifier;
use crate::error::{Error, Result};
use crate::heatmap::{Change, Map, Method, Sign, Stability, Target, Variant};
use crate::result::{Heatmap, Named, Run};

/// An unfinished test of a heatmap's stability; see [`Classifier::stability`].
pub struct Steadying {
    explained: Made,
    chosen: Vec<usize>,
    target: Target,
    changes: Vec<Change>,
    variants: Vec<Variant>,
}

/// What is needed of a heatmap to make it again.
pub(crate) struct Made {
    pub class_index: usize,
    /// The classes that it was compared with.
    pub others: Vec<usize>,
    pub sign: Sign,
    pub method: Method,
    pub layers: Vec<String>,
    pub map: Map,
}

impl From<&Heatmap> for Made {
    fn from(heatmap: &Heatmap) -> Made {
        let others = heatmap.contrast.iter();
        Made {
            class_index: heatmap.class_index,
            others: others
                .map(|&Named { class_index, .. }| class_index)
                .collect(),
            sign: heatmap.sign,
            method: heatmap.method,
            layers: heatmap.layers.clone(),
            map: Map {
                width: heatmap.width,
                height: heatmap.height,
                values: heatmap.values.clone(),
                max: heatmap.max,
                signed: heatmap.sign == Sign::Both,
            },
        }
    }
}

impl Steadying {
    /// Changed photos done, and in all.
    pub fn progress(&self) -> (usize, usize) {
        (self.variants.len(), self.changes.len())
    }

    /// The result.
    ///
    /// # Errors
    /// [`Error::Cancelled`] before every step is done.
    pub fn finish(&self) -> Result<Stability> {
        match self.progress() {
            (done, of) if done < of => Err(Error::Cancelled),
            _ => Ok(Stability::of(self.variants.clone())),
        }
    }
}

impl Classifier {
    /// Starts to make a heatmap of a photo again with the photo moved a little and stored as a JPEG, to see whether it
    /// stays the same. [`Classifier::stability_step`] continues it; each of the [changes](Change::all) takes one run
    /// of the network, and of its gradient where the method needs one.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a [slow](Method::is_slow) method, for an unknown layer or class, and for a map of
    /// another size than the model's.
    pub fn stability(&self, run: &Run, heatmap: &Heatmap) -> Result<Steadying> {
        self.stability_of(run, Made::from(heatmap))
    }

    /// [`Classifier::stability`] of what was explained.
    pub(crate) fn stability_of(&self, run: &Run, explained: Made) -> Result<Steadying> {
        let Made {
            class_index,
            ref others,
            sign,
            method,
            ref layers,
            ref map,
        } = explained;
        let input = &self.manifest.input;
        let changes = Change::all(input);
        if method.is_slow() {
            return Err(Error::BadOption(format!(
                "{method} takes many runs of the network, and would take them {} times over; \
                 use a method that takes one",
                changes.len()
            )));
        }
        method.check_sign(sign)?;
        let classes = self.labels.len();
        for &class in others.iter().chain([&class_index]) {
            if class >= classes {
                return Err(Error::BadOption(format!(
                    "the heatmap is of class {class}, but the model has {classes}"
                )));
            }
        }
        if map.values.len() != map.width * map.height || map.values.is_empty() {
            return Err(Error::BadOption(format!(
                "the heatmap has {} values for {} × {} cells",
                map.values.len(),
                map.height,
                map.width
            )));
        }
        if run.photo.input.shape != input.shape() {
            return Err(Error::BadOption(format!(
                "the input has the shape {:?}, expected {:?}",
                run.photo.input.shape,
                input.shape()
            )));
        }
        Ok(Steadying {
            target: Target::against(class_index, others),
            chosen: self.chosen(layers)?,
            explained,
            changes,
            variants: Vec::new(),
        })
    }

    /// Takes the next step of an unfinished test on the photo that it was begun with: one run of the network at most,
    /// and of its gradient; returns whether it is finished.
    ///
    /// # Errors
    /// Those of [`Model::forward`](crate::Model::forward) and [`Model::gradients`](crate::Model::gradients).
    pub fn stability_step(&self, run: &Run, steadying: &mut Steadying) -> Result<bool> {
        let (done, of) = steadying.progress();
        if done == of {
            return Ok(true);
        }
        let input = &self.manifest.input;
        let change = steadying.changes[done];
        let Made {
            class_index,
            sign,
            method,
            map: ref own,
            ..
        } = steadying.explained;
        let tensor = change.apply(&run.photo.input, input)?;
        let forward = self.model.forward(&tensor)?;
        let (target, chosen) = (&steadying.target, &steadying.chosen);
        let map = self.map((method, sign), &tensor, &forward, target, chosen)?;
        if (map.width, map.height) != (own.width, own.height) {
            return Err(Error::BadOption(format!(
                "the heatmap has {} × {} cells, but this model's has {} × {}",
                own.width, own.height, map.width, map.height
            )));
        }
        let size = (input.width as usize, input.height as usize);
        steadying.variants.push(Variant {
            change,
            correlation: change.correlation(own, &map, size),
            probability: self.probabilities(&forward.scores)[class_index],
        });
        Ok(done + 1 == of)
    }
}
