//! ONNX bytes → runnable model; tensor → scores + features (+ gradients). The only folder that
//! names tract.

#[cfg(feature = "compile")]
pub mod compile;
mod error;
#[cfg(feature = "compile")]
mod graphs;
mod halfway;
mod layer;
mod needed;
mod run;

use std::borrow::Cow;

use error::contained;
pub use halfway::Halfway;
use layer::Place;
pub use layer::{Candidate, Candidates, FeatureMap, Layer};
#[cfg(feature = "compile")]
pub use needed::memory;
use needed::{Needed, needed};
use run::File;
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub(crate) use run::crew;
use run::steps::executor::Executor;
pub use run::steps::executor::{USUAL_THREADS, threads};
use run::steps::record::Plan;

/// Version of the plans that this crate makes and understands.
pub const PLAN: u32 = run::steps::record::VERSION;

use crate::error::{Error, Result};
use crate::estimate;
use crate::manifest::{Activation, Manifest};
use crate::preprocess::Tensor as Input;

/// Classes whose gradients are checked to find out whether a model has any.
const MOST_CHECKED: usize = 8;

/// How a model is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether heatmaps are wanted; if not, no features are kept and no gradient is built.
    pub heatmap: bool,
    /// ONNX tensors to explain, instead of the manifest's; empty: the manifest's, or one that is found.
    pub layers: Vec<String>,
    /// Bytes that may be in use when it is loaded and run; none: no limit. On wasm32, bytes that are in use
    /// already count.
    pub memory: Option<u64>,
    /// Threads that run a plan, 1 to 64; none: as many as there are cores, at most 8. Results are the same to the last
    /// bit for any number.
    pub threads: Option<usize>,
}

/// A model that is ready to run. Holds the only copy of the weights.
pub struct Model {
    engine: Engine,
    /// Whether there are gradients, and why not; absent without heatmaps.
    explains: Option<Result<()>>,
    /// Shape of the scores' tensor.
    scores: Vec<usize>,
    layers: Vec<Layer>,
    places: Vec<Place>,
    activation: Option<Activation>,
    work: u64,
}

/// What runs a model.
enum Engine {
    Steps(Box<Executor>),
    #[cfg(feature = "compile")]
    Graphs(graphs::Graphs),
}

/// What a gradient needs of a forward pass.
enum Kept {
    Values(Vec<f32>),
    #[cfg(feature = "compile")]
    Tensors(graphs::Tensors),
}

/// What one forward pass leaves behind: all that a gradient needs later.
pub struct Forward {
    /// One score per class, before softmax or sigmoid.
    pub scores: Vec<f32>,
    /// The activations of each of [`Model::layers`]; empty without heatmaps.
    pub features: Vec<FeatureMap>,
    /// What else the gradient needs.
    kept: Kept,
}

impl Model {
    /// Loads a model by the plan in its ONNX file, or else by the graph.
    ///
    /// # Errors
    /// [`Error::NotAModel`], [`Error::Truncated`], [`Error::ExternalData`],
    /// [`Error::UnsupportedOperator`], [`Error::UnsupportedModel`], [`Error::BadManifest`] when the
    /// manifest does not fit the graph or names a layer that does not exist, [`Error::BadOption`] where the
    /// options name it, [`Error::Unplanned`] without the feature `compile`.
    pub fn load(onnx: &[u8], manifest: &Manifest, options: &Options) -> Result<Model> {
        Model::of(onnx.into(), manifest, options)
    }

    /// Like [`Model::load`]; an owned file is freed as it is read.
    pub(crate) fn of(mut onnx: Cow<[u8]>, manifest: &Manifest, options: &Options) -> Result<Model> {
        if let Some(model) = Model::by_plan(&mut onnx, manifest, options)? {
            return Ok(model);
        }
        #[cfg(feature = "compile")]
        return Model::compiled(onnx, manifest, options);
        #[cfg(not(feature = "compile"))]
        Err(Error::Unplanned(None))
    }

    /// Loads a model by the plan in its file, without compiling anything; none if there is no plan for this
    /// manifest and these options, or the plan is not sound.
    ///
    /// # Errors
    /// [`Error::OverMemoryLimit`] for one that needs more than `options.memory`, before anything is
    /// allocated.
    pub fn planned<'a>(
        onnx: impl Into<Cow<'a, [u8]>>,
        manifest: &Manifest,
        options: &Options,
    ) -> Result<Option<Model>> {
        Model::by_plan(&mut onnx.into(), manifest, options)
    }

    fn by_plan(
        onnx: &mut Cow<[u8]>,
        manifest: &Manifest,
        options: &Options,
    ) -> Result<Option<Model>> {
        let Some(plan) = Plan::find(&File::read(onnx)) else {
            return Ok(None);
        };
        let fits = plan.input == manifest.input.shape()
            && plan.layout == manifest.input.layout
            && plan.output == manifest.output.name;
        if !fits || !explains(&plan, manifest, options) {
            return Ok(None);
        }
        let Ok(mut draft) = plan.draft(&File::read(onnx), options.heatmap) else {
            return Ok(None);
        };
        let ours = match onnx {
            Cow::Owned(bytes) => bytes.len(),
            Cow::Borrowed(_) => 0,
        };
        draft.threads = threads(options.threads);
        let Needed { work, most } = needed(&plan, &draft, ours, options.heatmap);
        check_memory(manifest, options, most, ours)?;
        if most > run::MOST_WORK {
            return Ok(None);
        }
        let explains = options.heatmap.then(|| plan.explains());
        let places = match options.heatmap {
            true => plan.places,
            false => Vec::new(),
        };
        Ok(Some(Model {
            engine: Engine::Steps(Box::new(draft.finish(&plan.numbers, onnx))),
            explains,
            work,
            scores: plan.scores,
            layers: places.iter().map(|place| place.layer.clone()).collect(),
            places,
            activation: plan.activation,
        }))
    }

    /// Runs the network on one input.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the tensor does not have the shape of the graph's input.
    pub fn forward(&self, input: &Input) -> Result<Forward> {
        match &self.engine {
            Engine::Steps(executor) => self.passed(executor, input),
            #[cfg(feature = "compile")]
            Engine::Graphs(graphs) => self.run_graph(graphs, input),
        }
    }

    fn passed(&self, executor: &Executor, input: &Input) -> Result<Forward> {
        self.check_input(executor, input)?;
        let passed = contained(|| Ok(executor.forward(&input.values)))?;
        let mut made = passed.made.into_iter();
        Ok(Forward {
            scores: made.next().unwrap_or_default(),
            features: self.features(made),
            kept: Kept::Values(passed.kept),
        })
    }

    fn check_input(&self, executor: &Executor, input: &Input) -> Result<()> {
        match executor.takes(&input.shape, input.values.len()) {
            true => Ok(()),
            false => Err(Error::BadOption(format!(
                "the input tensor of shape {:?} with {} values is not that of the model",
                input.shape,
                input.values.len()
            ))),
        }
    }

    /// How long each step of the forward pass takes, as a table for people; none without a plan.
    #[cfg(feature = "profile")]
    pub fn profile(&self, input: &Input, rounds: usize) -> Option<String> {
        match &self.engine {
            Engine::Steps(executor) => Some(executor.profile(&input.values, rounds)),
            #[cfg(feature = "compile")]
            Engine::Graphs(_) => None,
        }
    }

    fn features(&self, made: impl Iterator<Item = Vec<f32>>) -> Vec<FeatureMap> {
        let maps = self.places.iter().zip(made);
        maps.map(|(place, values)| place.feature(values)).collect()
    }

    /// Gradient of the score of `class` with respect to the features of each layer.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a class that does not exist, and those of [`Model::explainable`].
    pub fn gradients(&self, forward: &Forward, class: usize) -> Result<Vec<FeatureMap>> {
        self.check_class(class)?;
        let mut direction = vec![0.0; self.classes()];
        direction[class] = 1.0;
        self.gradients_along(forward, &direction)
    }

    /// Gradient of a sum of the scores, each times its weight, with respect to the features of each layer.
    ///
    /// # Errors
    /// [`Error::BadOption`] for another number of weights than of classes, and those of [`Model::explainable`].
    pub fn gradients_along(&self, forward: &Forward, weights: &[f32]) -> Result<Vec<FeatureMap>> {
        self.explainable()?;
        let (given, classes) = (weights.len(), self.classes());
        if given != classes {
            return Err(Error::BadOption(format!(
                "{given} weights for {classes} classes"
            )));
        }
        match (&self.engine, &forward.kept) {
            (Engine::Steps(executor), Kept::Values(kept)) => {
                let gradients = contained(|| Ok(executor.gradients(kept, weights)))?;
                Ok(self.features(gradients.into_iter().flatten()))
            }
            #[cfg(feature = "compile")]
            (Engine::Graphs(graphs), Kept::Tensors(kept)) => self.pull(graphs, kept, weights),
            #[cfg(feature = "compile")]
            _ => Err(Error::BadOption("a run of another model".into())),
        }
    }

    fn check_class(&self, class: usize) -> Result<()> {
        let most = self.classes().saturating_sub(1);
        match class <= most {
            true => Ok(()),
            false => Err(Error::BadOption(format!(
                "there is no class {class}, expected 0 to {most}"
            ))),
        }
    }

    /// Checks that the gradients of a forward pass on `input` explain anything. They do not if they are
    /// zero everywhere, for every class that is checked, although the scores change with the image.
    ///
    /// # Errors
    /// [`Error::UnsupportedOperator`] when they explain nothing, and those of [`Model::gradients`].
    pub fn check_gradients(&self, input: &Input, forward: &Forward) -> Result<()> {
        for class in 0..self.classes().min(MOST_CHECKED) {
            let gradients = self.gradients(forward, class)?;
            let score = |scores: &[f32]| scores.get(class).copied().unwrap_or_default();
            if self
                .check_gradient(input, forward, score, &gradients)
                .is_ok()
            {
                return Ok(());
            }
        }
        Err(self.silent())
    }

    /// [`Model::check_gradients`] for one number that follows from the scores, whose gradients are known.
    ///
    /// # Errors
    /// The same.
    pub fn check_gradient(
        &self,
        input: &Input,
        forward: &Forward,
        value: impl Fn(&[f32]) -> f32,
        gradients: &[FeatureMap],
    ) -> Result<()> {
        let told = |map: &FeatureMap| map.values.iter().any(|&value| value != 0.0);
        if gradients.iter().any(told) {
            return Ok(());
        }
        let blank = Input {
            shape: input.shape.clone(),
            values: vec![0.0; input.values.len()],
        };
        let other = self.forward(&blank)?.scores;
        match value(&other) == value(&forward.scores) {
            true => Ok(()),
            false => Err(self.silent()),
        }
    }

    fn silent(&self) -> Error {
        let names: Vec<_> = self
            .layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect();
        Error::UnsupportedOperator(format!(
            "the gradient at `{}` is zero everywhere, although the scores change with the photo; name another \
            layer, or use the method eigencam or occlusion",
            names.join("`, `")
        ))
    }

    /// Whether there are gradients, and why not.
    ///
    /// # Errors
    /// [`Error::BadOption`] when the model was loaded without heatmaps,
    /// [`Error::UnsupportedOperator`] when an operator between the layer and the scores has no
    /// derivative here, or one that is zero everywhere; [`Error::UnsupportedModel`] when no layer was named
    /// and none was found.
    pub fn explainable(&self) -> Result<()> {
        match &self.explains {
            Some(explains) => explains.clone(),
            None => Err(Error::BadOption(
                "the model was loaded without heatmaps; load it with `heatmap: true`".into(),
            )),
        }
    }

    /// Whether the model was loaded with heatmaps.
    pub fn explains(&self) -> bool {
        self.explains.is_some()
    }

    /// The layers at which heatmaps are taken; empty without heatmaps.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Most bytes of values that one run holds at once, without the weights.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The same, with even the smallest steps of a plan shared out, for tests.
    #[doc(hidden)]
    #[cfg(feature = "compile")]
    pub fn sharing_all(mut self) -> Model {
        if let Engine::Steps(executor) = self.engine {
            self.engine = Engine::Steps(Box::new(executor.sharing_all()));
        }
        self
    }

    /// Whether a plan runs it.
    pub fn is_planned(&self) -> bool {
        matches!(self.engine, Engine::Steps(_))
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.scores.iter().product()
    }

    /// The softmax or sigmoid that ends the graph itself and is stepped over: it is still to be
    /// applied to the scores, whatever the manifest says.
    pub fn activation(&self) -> Option<Activation> {
        self.activation
    }
}

/// Chooses the kernels that suit this machine by measuring them, in a few milliseconds; returns whether
/// tiles for many vector registers are faster. Until then, those for few are used. With `threads`, chooses their number
/// too: a machine may have slow cores, or busy ones.
#[cfg(target_arch = "wasm32")]
pub fn tune(threads: bool) -> bool {
    let start = web_time::Instant::now();
    let now = || start.elapsed().as_secs_f64();
    let tall = run::kernel::tune(8, now);
    #[cfg(target_feature = "atomics")]
    if threads {
        run::crew::tune(8, now, run::kernel::exercise);
    }
    #[cfg(not(target_feature = "atomics"))]
    let _ = threads;
    tall
}

/// Whether layers of a plan are those that a manifest or the options name.
fn explains(plan: &Plan, manifest: &Manifest, options: &Options) -> bool {
    let places = &plan.places;
    let names = || places.iter().map(|place| &place.layer.name);
    let named = &manifest.heatmap.layer;
    let asked = match (options.heatmap, options.layers.is_empty()) {
        (false, _) => true,
        (true, true) => named.iter().all(|layer| names().eq([layer])),
        (true, false) => names().eq(&options.layers),
    };
    let there = !options.heatmap || !places.is_empty() || plan.unexplained.is_some();
    asked && there && places.iter().all(Place::is_sound)
}

/// Refuses a model that would take more than allowed; of what it needs, `ours` bytes are in use already.
fn check_memory(manifest: &Manifest, options: &Options, needed: u64, ours: usize) -> Result<()> {
    #[cfg(target_arch = "wasm32")]
    let used = crate::memory::live().saturating_sub(ours) as u64;
    #[cfg(not(target_arch = "wasm32"))]
    let (used, _) = (0, ours);
    match options.memory {
        Some(memory) => estimate::check_run(&manifest.name, needed, used, memory as f64),
        None => Ok(()),
    }
}
