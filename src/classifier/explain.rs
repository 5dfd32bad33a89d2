//! A run of the network → the heatmap of a class, step by step.

use super::Classifier;
use super::network::Explained;
use crate::error::{Error, Result};
use crate::heatmap::{self, Effort, Evidence, Fill, Map, Method, Runs, Sign, Target};
use crate::model::{FeatureMap, Forward, Halfway};
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
    /// Places of its layers among the model's; none: it is taken at the input.
    chosen: Vec<usize>,
    /// The [`Classifier`] that began it.
    by: u64,
    state: State,
}

enum State {
    Slow(Box<Runs>, Vec<Halfway>),
    Done(Map),
}

impl Explaining {
    /// Steps done, and steps in all.
    pub fn progress(&self) -> (usize, usize) {
        match &self.state {
            State::Slow(runs, _) => runs.progress(),
            State::Done(_) => (1, 1),
        }
    }
}

impl Classifier {
    /// The heatmap of a class of a photo. Only [slow](Method::is_slow) methods and [smooth](Effort::smooth) maps need
    /// further passes.
    ///
    /// # Errors
    /// Those of [`Classifier::explain`] and of [`Classifier::step`].
    pub fn heatmap(&self, run: &Run, query: &HeatmapQuery) -> Result<Heatmap> {
        self.heatmap_while(run, query, |_, _| true)
    }

    /// [`Classifier::heatmap`] that can be stopped: a slow method calls `go_on` with the steps done, none before the
    /// first, and the steps in all, and continues as long as it returns true.
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
        loop {
            let (done, of) = explaining.progress();
            if done == of {
                return Ok(self.finish(explaining));
            }
            if !go_on(done, of) {
                return Err(Error::Cancelled);
            }
            self.step(&mut explaining)?;
        }
    }

    /// Starts the heatmap of a class of a photo; [`Classifier::step`] continues it.
    ///
    /// # Errors
    /// [`Error::BadOption`] for an unknown class or layer, for a run of another classifier, and where the
    /// model was loaded without heatmaps; those of [`Model::gradients`](crate::Model::gradients). If no
    /// method is requested and none works, the error of the first.
    pub fn explain(&self, run: &Run, query: &HeatmapQuery) -> Result<Explaining> {
        self.check_run(run)?;
        let Run { photo, forward, .. } = run;
        let tensor = &photo.input;
        let target = self.target(query, &forward.scores)?;
        let sign = query.sign;
        let effort = &query.effort;
        let begin = |method: Method| -> Result<Explaining> {
            let layout = self.manifest.input.layout;
            effort.check(method)?;
            let chosen = match method.needs_layer() {
                true => self.chosen(&query.layers)?,
                false => Vec::new(),
            };
            let state = if method.is_slow() || effort.smooth {
                if method == Method::IntegratedGradients {
                    self.input_layer()?;
                }
                let halves = chosen.iter().filter(|_| method == Method::AblationCam);
                let halves = halves.map(|&at| self.model.until(tensor, at));
                let halves = halves.collect::<Result<Vec<_>>>()?;
                let whole = target.value(&forward.scores);
                let features: Vec<_> = chosen.iter().map(|&at| &forward.features[at]).collect();
                let runs = Runs::new((method, effort, sign), tensor, layout, whole, &features)?;
                State::Slow(Box::new(runs), halves)
            } else {
                State::Done(self.map((method, sign), tensor, forward, &target, &chosen)?)
            };
            Ok(Explaining {
                target: target.clone(),
                region: photo.region,
                part: photo.part,
                image: photo.image,
                sign,
                method,
                chosen,
                by: self.id,
                state,
            })
        };
        if let Some(method) = query.method {
            return begin(method);
        }
        let fits = |method: &Method| {
            (query.layers.is_empty() || method.needs_layer())
                && (sign == Sign::For || method.has_sign())
                && effort.check(*method).is_ok()
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
    /// [`Error::BadOption`] for one of another classifier; those of [`Model::forward`](crate::Model::forward) and, where
    /// the method needs them, of [`Model::gradients`](crate::Model::gradients).
    pub fn step(&self, explaining: &mut Explaining) -> Result<bool> {
        if explaining.by != self.id {
            return Err(Error::BadOption(
                "this heatmap was begun with other layers; begin it again".into(),
            ));
        }
        if let State::Slow(runs, halves) = &mut explaining.state {
            let (done, of) = runs.progress();
            if done < of {
                runs.step(&Explained {
                    classifier: self,
                    target: &explaining.target,
                    method: explaining.method,
                    sign: explaining.sign,
                    chosen: &explaining.chosen,
                    halves,
                })?;
            }
        }
        let (done, of) = explaining.progress();
        Ok(done == of)
    }

    /// The heatmap from the steps that were done.
    pub fn finish(&self, explaining: Explaining) -> Heatmap {
        let layers = self.names(&explaining.chosen);
        let map = match explaining.state {
            State::Slow(runs, _) => runs.map(explaining.sign),
            State::Done(map) => map,
        };
        let (evidence, opposing) = (Evidence::of(&map), Evidence::opposing(&map));
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
            evidence,
            opposing,
            region: explaining.region,
            part: explaining.part,
            image: explaining.image,
        }
    }

    /// How many runs of the network each method takes beside the one that classifies a photo, as far as nobody asks for
    /// more or fewer.
    pub fn costs(&self) -> Vec<(Method, usize)> {
        let input = &self.manifest.input;
        let shape = input.shape().to_vec();
        let blank = Tensor {
            values: vec![0.0; shape.iter().product()],
            shape,
        };
        let own = self.model.layers().iter().take(match self.own_layers {
            0 => usize::MAX,
            own => own,
        });
        let empty = own.map(|layer| FeatureMap {
            channels: layer.channels,
            height: 1,
            width: 1,
            values: vec![0.0; layer.channels],
        });
        let features: Vec<FeatureMap> = empty.collect();
        let features: Vec<&FeatureMap> = features.iter().collect();
        let runs = |method: Method| {
            // A blurred baseline would be computed.
            let fill = (method == Method::IntegratedGradients).then_some(Fill::Mean);
            let effort = Effort {
                fill,
                ..Effort::default()
            };
            Runs::new(
                (method, &effort, Sign::For),
                &blank,
                input.layout,
                0.0,
                &features,
            )
        };
        let cost = |method: Method| match method.is_slow() {
            true => runs(method).map_or(0, |runs| runs.progress().1),
            false => 0,
        };
        let methods = self.methods().into_iter();
        methods.map(|method| (method, cost(method))).collect()
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
    pub(super) fn chosen(&self, names: &[String]) -> Result<Vec<usize>> {
        let layers = self.model.layers();
        if layers.is_empty() {
            self.explainable()?;
        }
        let chosen = names.iter().map(|name| self.layer(name));
        let chosen = chosen.collect::<Result<Vec<_>>>()?;
        Ok(match (chosen.is_empty(), self.own_layers) {
            (false, _) => chosen,
            (true, 0) => (0..layers.len()).collect(),
            (true, own) => (0..own).collect(),
        })
    }

    /// Place of a layer among those that the model was loaded with.
    pub(super) fn layer(&self, name: &str) -> Result<usize> {
        let at = self
            .model
            .layers()
            .iter()
            .position(|layer| layer.name == name);
        at.ok_or_else(|| {
            Error::BadOption(format!(
                "layer `{name}` was not loaded; name it when the model is loaded"
            ))
        })
    }

    pub(super) fn check_run(&self, run: &Run) -> Result<()> {
        match run.by == self.id {
            true => Ok(()),
            false => Err(Error::BadOption(
                "this result is from another model, or from other layers; classify the photo again"
                    .into(),
            )),
        }
    }

    fn names(&self, chosen: &[usize]) -> Vec<String> {
        let layers = self.model.layers();
        let named = |&at: &usize| layers.get(at).map(|layer| layer.name.clone());
        chosen.iter().filter_map(named).collect()
    }

    /// The map of layers, by the activations and gradients of one run.
    pub(super) fn map(
        &self,
        (method, sign): (Method, Sign),
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
