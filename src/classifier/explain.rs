//! A run of the network → the heatmap of a class, step by step.

use super::Classifier;
use crate::error::{Error, Result};
use crate::heatmap::{self, Map, Method, Runs, Sign, Target};
use crate::model::Forward;
use crate::preprocess::{Region, Tensor};
use crate::result::{Class, Contrast, Heatmap, HeatmapQuery, Named, Run, Size};

/// An unfinished heatmap; see [`Classifier::explain`].
pub struct Explaining {
    target: Target,
    region: Region,
    part: Option<Region>,
    image: Size,
    sign: Sign,
    method: Method,
    state: State,
}

enum State {
    Slow(Box<Runs>, Vec<String>),
    Done(Map, Vec<String>),
}

impl Explaining {
    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        match &self.state {
            State::Slow(runs, _) => runs.progress(),
            State::Done(..) => (1, 1),
        }
    }
}

impl Classifier {
    /// The heatmap of a class of a photo. Only [slow](Method::is_slow) methods need further forward passes.
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
        let target = self.target(query, &forward.scores)?;
        let sign = query.sign;
        let begin = |method: Method| -> Result<Explaining> {
            let state = if method.is_slow() {
                let layout = self.manifest.input.layout;
                let whole = target.value(&forward.scores);
                let chosen = match method {
                    Method::Occlusion => Vec::new(),
                    _ => self.chosen(query)?,
                };
                let features: Vec<_> = chosen.iter().map(|&at| &forward.features[at]).collect();
                let runs = Runs::new(method, tensor, layout, whole, &features, sign)?;
                State::Slow(Box::new(runs), self.names(&chosen))
            } else {
                let chosen = self.chosen(query)?;
                let map = self.map(method, sign, tensor, forward, &target, &chosen)?;
                State::Done(map, self.names(&chosen))
            };
            Ok(Explaining {
                target: target.clone(),
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
        let fits = |method: &Method| match method {
            Method::Occlusion => query.layers.is_empty(),
            method => sign == Sign::For || method.has_sign(),
        };
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
        let target = &explaining.target;
        if let State::Slow(runs, _) = &mut explaining.state {
            let (done, of) = runs.progress();
            if done < of {
                runs.step(|tensor| Ok(target.value(&self.model.forward(tensor)?.scores)))?;
            }
        }
        let (done, of) = explaining.progress();
        Ok(done == of)
    }

    /// The heatmap from the steps that were done.
    pub fn finish(&self, explaining: Explaining) -> Heatmap {
        let (map, layers) = match explaining.state {
            State::Slow(runs, layers) => (runs.map(explaining.sign), layers),
            State::Done(map, layers) => (map, layers),
        };
        let Map {
            width,
            height,
            values,
            max,
            ..
        } = map;
        let target = &explaining.target;
        let named = |&class_index: &usize| Named {
            class_index,
            label: self.labels[class_index].clone(),
        };
        let Named { class_index, label } = named(&target.class());
        Heatmap {
            class_index,
            label,
            contrast: target.others().iter().map(named).collect(),
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

    /// What is explained.
    fn target(&self, query: &HeatmapQuery, scores: &[f32]) -> Result<Target> {
        let class = self.class_index(query.class.as_ref(), scores)?;
        match &query.contrast {
            None => Ok(Target::Score(class)),
            Some(_) if scores.len() < 2 => Err(Error::BadOption(
                "the model has one class, which cannot be compared with another".into(),
            )),
            Some(Contrast::Alike) => Ok(Target::finer(class, scores)),
            Some(Contrast::Class(other)) => match self.class_index(Some(other), scores)? {
                other if other == class => Err(Error::BadOption(format!(
                    "`contrast` is the explained class itself, {class}; name another one"
                ))),
                other => Ok(Target::Difference(class, other)),
            },
        }
    }

    /// Places of the requested layers among those that the model was loaded with.
    fn chosen(&self, query: &HeatmapQuery) -> Result<Vec<usize>> {
        let layers = self.model.layers();
        if layers.is_empty() {
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
        let chosen = query.layers.iter().map(place).collect::<Result<Vec<_>>>()?;
        Ok(match (chosen.is_empty(), self.own_layers) {
            (false, _) => chosen,
            (true, 0) => (0..layers.len()).collect(),
            (true, own) => (0..own).collect(),
        })
    }

    fn names(&self, chosen: &[usize]) -> Vec<String> {
        let layers = self.model.layers();
        chosen.iter().map(|&at| layers[at].name.clone()).collect()
    }

    /// The map of layers, by the activations and gradients of one run.
    fn map(
        &self,
        method: Method,
        sign: Sign,
        tensor: &Tensor,
        forward: &Forward,
        target: &Target,
        chosen: &[usize],
    ) -> Result<Map> {
        method.check_sign(sign)?;
        let gradients = if method.needs_gradients() {
            self.explainable()?;
            let direction = target.gradient(&forward.scores);
            let gradients = self.model.gradients_along(forward, &direction)?;
            let value = |scores: &[f32]| target.value(scores);
            self.model
                .check_gradient(tensor, forward, value, &gradients)?;
            gradients
        } else {
            forward.features.clone()
        };
        let maps = chosen.iter().map(|&at| {
            let (features, gradients) = (&forward.features[at], &gradients[at]);
            heatmap::heatmap(method, features, gradients, sign)
        });
        let maps = maps.collect::<Result<Vec<_>>>()?;
        Ok(heatmap::average(&maps, sign))
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
