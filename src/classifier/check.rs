//! A heatmap of a photo → whether it is better than chance, step by step.

use super::Classifier;
use crate::error::{Error, Result};
use crate::heatmap::{Check, CheckQuery, Checked, Sign};
use crate::result::{Heatmap, Run};

/// An unfinished check; see [`Classifier::check`].
pub struct Checking {
    class_index: usize,
    check: Check,
}

impl Checking {
    /// Runs of the network done, and in all.
    pub fn progress(&self) -> (usize, usize) {
        self.check.progress()
    }

    /// The result.
    ///
    /// # Errors
    /// [`Error::Cancelled`] before every step is done.
    pub fn finish(&self) -> Result<Checked> {
        self.check.finish()
    }
}

impl Classifier {
    /// Starts to check a heatmap of a photo: hides and shows its cells in the order of their values, and in random
    /// orders, and compares what that does to the probability of the explained class. [`Classifier::check_step`]
    /// continues it.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a map of what speaks against a class, for one of a single cell, and for numbers out of
    /// range.
    pub fn check(&self, run: &Run, heatmap: &Heatmap, query: &CheckQuery) -> Result<Checking> {
        let size = (heatmap.height, heatmap.width);
        let (class, sign) = (heatmap.class_index, heatmap.sign);
        self.check_values(run, class, sign, &heatmap.values, size, query)
    }

    /// [`Classifier::check`] of the values of a heatmap of `rows` × `columns`.
    pub(crate) fn check_values(
        &self,
        run: &Run,
        class_index: usize,
        sign: Sign,
        values: &[f32],
        (rows, columns): (usize, usize),
        query: &CheckQuery,
    ) -> Result<Checking> {
        if sign == Sign::Against {
            return Err(Error::BadOption(
                "a map of what speaks against a class cannot be checked; make one of both signs"
                    .into(),
            ));
        }
        let classes = self.labels.len();
        if class_index >= classes {
            return Err(Error::BadOption(format!(
                "the heatmap is of class {class_index}, but the model has {classes}"
            )));
        }
        let layout = self.manifest.input.layout;
        let check = Check::new(&run.photo.input, layout, values, (rows, columns), query)?;
        Ok(Checking { class_index, check })
    }

    /// Takes the next step of an unfinished check, one run of the network at most; returns whether it is finished.
    ///
    /// # Errors
    /// Those of [`Model::forward`](crate::Model::forward).
    pub fn check_step(&self, checking: &mut Checking) -> Result<bool> {
        let (done, of) = checking.progress();
        if done < of {
            let class = checking.class_index;
            checking.check.step(|input| {
                let scores = self.model.forward(input)?.scores;
                Ok(self.probabilities(&scores)[class])
            })?;
        }
        let (done, of) = checking.progress();
        Ok(done == of)
    }
}
