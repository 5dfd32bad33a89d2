//! A run of the network → the heatmap of a class, step by step.

use super::Classifier;
use crate::error::{Error, Result};
use crate::heatmap::{self, Map, Method, Occlusion, Sign};
use crate::model::Forward;
use crate::preprocess::{Region, Tensor};
use crate::result::{Class, Heatmap, HeatmapQuery, Run, Size};

/// An unfinished heatmap; see [`Classifier::explain`].
pub struct Explaining {
    class_index: usize,
    region: Region,
    part: Option<Region>,
    image: Size,
    sign: Sign,
    method: Method,
    state: State,
}

enum State {
    Slow(Box<Occlusion>),
    Done { map: Map, layers: Vec<String> },
}

impl Explaining {
    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        match &self.state {
            State::Slow(occlusion) => occlusion.progress(),
            State::Done { .. } => (1, 1),
        }
    }
}

impl Classifier {
    /// The heatmap of a class of a photo. Only [`Method::Occlusion`] needs further forward passes.
    ///
    /// # Errors
    /// Those of [`Classifier::explain`] and of [`Classifier::step`].
    pub fn heatmap(&self, run: &Run, query: &HeatmapQuery) -> Result<Heatmap> {
        self.heatmap_while(run, query, |_, _| true)
    }

    /// [`Classifier::heatmap`] that can be stopped: a slow method calls `go_on` with the steps done and the
    /// steps in all, and continues as long as it returns true.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when stopped; those of [`Classifier::heatmap`].
    pub fn heatmap_while(
        &self,
        run: &Run,
        query: &HeatmapQuery,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Heatmap> {
        let mut explaining = self.explain(run, query)?;
        while !self.step(&mut explaining)? {
            let (done, of) = explaining.progress();
            if !go_on(done, of) {
                return Err(Error::Cancelled);
            }
        }
        Ok(self.finish(explaining))
    }

    /// Starts the heatmap of a class of a photo; [`Classifier::step`] continues it.
    ///
    /// # Errors
    /// [`Error::BadOption`] for an unknown class or layer, for a run of another classifier, and where the
    /// model was loaded without heatmaps; those of [`Model::gradients`](crate::Model::gradients). If no
    /// method is requested and none works, the error of the first.
    pub fn explain(&self, run: &Run, query: &HeatmapQuery) -> Result<Explaining> {
        if run.by != self.id {
            return Err(Error::BadOption(
                "this result is from another model, or from other layers; classify the photo again"
                    .into(),
            ));
        }
        let Run { photo, forward, .. } = run;
        let tensor = &photo.input;
        let class_index = self.class_index(query.class.as_ref(), &forward.scores)?;
        let sign = query.sign;
        let begin = |method| -> Result<Explaining> {
            let state = if method == Method::Occlusion {
                let layout = self.manifest.input.layout;
                let whole = forward.scores[class_index] * sign.factor();
                State::Slow(Box::new(Occlusion::new(tensor, layout, whole)?))
            } else {
                let (map, layers) = self.map(method, query, tensor, forward, class_index)?;
                State::Done { map, layers }
            };
            Ok(Explaining {
                class_index,
                region: photo.region,
                part: photo.part,
                image: photo.image,
                sign,
                method,
                state,
            })
        };
        if let Some(method) = query.method {
            return begin(method);
        }
        // Occlusion does not use a layer.
        let fits = |method: &Method| *method != Method::Occlusion || query.layers.is_empty();
        let mut reason = self.explainable().err();
        for method in self.methods().into_iter().filter(fits) {
            match begin(method) {
                Err(error) => drop(reason.get_or_insert(error)),
                begun => return begun,
            }
        }
        Err(reason.unwrap_or_else(|| Error::UnsupportedModel("no heatmap can be made".into())))
    }

    /// Takes the next step of an unfinished heatmap, at most one run of the network; returns whether it is
    /// finished. Other photos may be classified in between.
    ///
    /// # Errors
    /// Those of [`Model::forward`](crate::Model::forward).
    pub fn step(&self, explaining: &mut Explaining) -> Result<bool> {
        let (class, factor) = (explaining.class_index, explaining.sign.factor());
        if let State::Slow(occlusion) = &mut explaining.state {
            let (done, of) = occlusion.progress();
            if done < of {
                occlusion.step(|tensor| Ok(self.model.forward(tensor)?.scores[class] * factor))?;
            }
        }
        let (done, of) = explaining.progress();
        Ok(done == of)
    }

    /// The heatmap from the steps that were done.
    pub fn finish(&self, explaining: Explaining) -> Heatmap {
        let (map, layers) = match explaining.state {
            State::Slow(occlusion) => (occlusion.map(), Vec::new()),
            State::Done { map, layers } => (map, layers),
        };
        let Map {
            width,
            height,
            values,
            max,
        } = map;
        Heatmap {
            class_index: explaining.class_index,
            label: self.labels[explaining.class_index].clone(),
            sign: explaining.sign,
            method: explaining.method,
            layer: match layers.is_empty() {
                true => self.manifest.input.name.clone(),
                false => layers.join(" + "),
            },
            layers,
            width,
            height,
            values,
            max,
            region: explaining.region,
            part: explaining.part,
            image: explaining.image,
        }
    }

    /// The map of the requested layers, and their names.
    fn map(
        &self,
        method: Method,
        query: &HeatmapQuery,
        tensor: &Tensor,
        forward: &Forward,
        class_index: usize,
    ) -> Result<(Map, Vec<String>)> {
        let layers = self.model.layers();
        if method.needs_gradients() || layers.is_empty() {
            self.explainable()?;
        }
        let place = |name: &String| {
            let at = layers.iter().position(|layer| layer.name == *name);
            at.ok_or_else(|| {
                Error::BadOption(format!(
                    "layer `{name}` was not loaded; name it when the model is loaded"
                ))
            })
        };
        let mut chosen = query.layers.iter().map(place).collect::<Result<Vec<_>>>()?;
        if chosen.is_empty() {
            let own = match self.own_layers {
                0 => layers.len(),
                own => own,
            };
            chosen = (0..own).collect();
        }
        let gradients = if method.needs_gradients() {
            let mut gradients = self.model.gradients(forward, class_index)?;
            self.model
                .check_gradient(tensor, forward, class_index, &gradients)?;
            if query.sign == Sign::Against {
                let values = gradients.iter_mut().flat_map(|map| &mut map.values);
                values.for_each(|value| *value = -*value);
            }
            gradients
        } else if query.sign == Sign::Against {
            return Err(Error::BadOption(format!(
                "{method} is the same for and against a class; use another method"
            )));
        } else {
            forward.features.clone()
        };
        let mut maps = Vec::new();
        for &at in &chosen {
            let (features, gradients) = (&forward.features[at], &gradients[at]);
            maps.push(heatmap::heatmap(method, features, gradients)?);
        }
        let map = match maps.len() {
            1 => maps.remove(0),
            _ => heatmap::average(&maps),
        };
        let names = chosen.iter().map(|&at| layers[at].name.clone());
        Ok((map, names.collect()))
    }

    fn class_index(&self, class: Option<&Class>, scores: &[f32]) -> Result<usize> {
        match class {
            None => Ok((0..scores.len())
                .rev()
                .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
                .unwrap_or(0)),
            Some(&Class::Index(index)) if index < self.labels.len() => Ok(index),
            Some(Class::Index(index)) => {
                let most = self.labels.len() - 1;
                Err(Error::BadOption(format!(
                    "there is no class {index}, expected 0 to {most}"
                )))
            }
            Some(Class::Label(label)) => {
                let wanted = label.to_lowercase();
                let at = self.labels.iter().position(|l| l == label);
                at.or_else(|| self.labels.iter().position(|l| l.to_lowercase() == wanted))
                    .ok_or_else(|| Error::BadOption(format!("no class is labelled `{label}`")))
            }
        }
    }
}
