//! features + gradients → heatmap.
//!
//! Definitions are those of pytorch-grad-cam (<https://github.com/jacobgil/pytorch-grad-cam>); each
//! method cites its paper.

mod occlusion;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::occlusion::Occlusion;
use crate::error::{Error, Result};
use crate::model::FeatureMap;

/// How a heatmap is made from the activations A (C×H×W) of a layer and the gradient G of a score
/// with respect to them. Negative results become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Σ_c mean(G_c) · A_c. Selvaraju et al., 2017, arXiv:1610.02391.
    #[default]
    GradCam,
    /// Σ_c Σ(α_c · max(G_c, 0)) · A_c with α = G² / (2 G² + ΣA_c · G³). Chattopadhyay et al., 2018,
    /// arXiv:1710.11063.
    #[serde(rename = "gradcam++")]
    GradCamPlusPlus,
    /// Σ_c G_c · A_c, place by place. Draelos and Carin, 2020, arXiv:2011.08891.
    HiResCam,
    /// Σ_c max(G_c, 0) · A_c, place by place. Jiang et al., 2021, doi:10.1109/TIP.2021.3089943.
    LayerCam,
    /// Σ_c (Σ(G_c · A_c) / ΣA_c) · A_c. Fu et al., 2020, arXiv:2008.02312.
    XGradCam,
    /// A, each channel without its mean, projected on its first principal component; the same for every
    /// class. Its sign is the one that follows the mean of the channels. Muhammad and Yeasin, 2020,
    /// arXiv:2008.00299.
    EigenCam,
    /// How much the score falls when a part of the input is blank. Needs no gradient, but one run of the
    /// network for each place. Zeiler and Fergus, 2013, arXiv:1311.2901.
    Occlusion,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 7] = [
        Method::GradCam,
        Method::GradCamPlusPlus,
        Method::HiResCam,
        Method::LayerCam,
        Method::XGradCam,
        Method::EigenCam,
        Method::Occlusion,
    ];

    /// The methods that work for a model, by whether it has gradients and a layer.
    pub fn usable(gradients: bool, layer: bool) -> Vec<Method> {
        let usable = |method: &Method| match method {
            Method::Occlusion => true,
            method => layer && (gradients || !method.needs_gradients()),
        };
        Method::ALL.into_iter().filter(usable).collect()
    }

    /// Whether the gradient is used.
    pub fn needs_gradients(self) -> bool {
        !matches!(self, Method::EigenCam | Method::Occlusion)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Which side of a score a heatmap shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// What raises it.
    #[default]
    For,
    /// What lowers it: the heatmap of its negative.
    Against,
}

impl Sign {
    /// What the score is multiplied by.
    pub fn factor(self) -> f32 {
        match self {
            Sign::For => 1.0,
            Sign::Against => -1.0,
        }
    }
}

/// A heatmap: how much each place of a layer speaks for a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width` values, row-major, none negative, none NaN.
    pub values: Vec<f32>,
    /// The largest value; 0 when nothing speaks for the class.
    pub max: f32,
}

/// Makes a heatmap of one layer; `gradients` are those of the class, in the features' shape;
/// [`Method::EigenCam`] ignores them.
///
/// # Errors
/// [`Error::BadOption`] for [`Method::Occlusion`], which takes no layer.
pub fn heatmap(method: Method, features: &FeatureMap, gradients: &FeatureMap) -> Result<Map> {
    let (a, g) = (features, gradients);
    let values = match method {
        Method::GradCam => {
            let weights = planes(g).map(|g| g.iter().sum::<f32>() / g.len() as f32);
            weighted_sum(a, weights)
        }
        Method::GradCamPlusPlus => {
            let weights = planes(a).zip(planes(g)).map(|(a, g)| {
                let total: f32 = a.iter().sum();
                let alpha = |g: f32| match g {
                    0.0 => 0.0,
                    g => g * g / (2.0 * g * g + total * g * g * g + 1e-6),
                };
                g.iter().map(|&g| g.max(0.0) * alpha(g)).sum()
            });
            weighted_sum(a, weights)
        }
        Method::XGradCam => {
            let weights = planes(a).zip(planes(g)).map(|(a, g)| {
                let total: f32 = a.iter().sum();
                let terms = a.iter().zip(g).map(|(a, g)| a * g / (total + 1e-7));
                terms.sum()
            });
            weighted_sum(a, weights)
        }
        Method::HiResCam => sum_of_products(a, g, |g| g),
        Method::LayerCam => sum_of_products(a, g, |g| g.max(0.0)),
        Method::EigenCam => first_component(a),
        Method::Occlusion => {
            return Err(Error::BadOption(
                "occlusion looks at the input, not at a layer".into(),
            ));
        }
    };
    Ok(positive(a.width, a.height, values))
}

fn planes(map: &FeatureMap) -> impl Iterator<Item = &[f32]> {
    map.values.chunks_exact((map.height * map.width).max(1))
}

fn weighted_sum(features: &FeatureMap, weights: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut sum = vec![0.0; features.height * features.width];
    for (plane, weight) in planes(features).zip(weights) {
        for (sum, value) in sum.iter_mut().zip(plane) {
            *sum += value * weight;
        }
    }
    sum
}

fn sum_of_products(a: &FeatureMap, g: &FeatureMap, weight: fn(f32) -> f32) -> Vec<f32> {
    let mut sum = vec![0.0; a.height * a.width];
    for (a, g) in planes(a).zip(planes(g)) {
        for ((sum, a), &g) in sum.iter_mut().zip(a).zip(g) {
            *sum += a * weight(g);
        }
    }
    sum
}

/// Most rounds of the power iteration, which ends when the direction no longer changes.
const MOST_ROUNDS: usize = 2000;

/// Projection of each place's channels, centred, on their first principal component, found by power
/// iteration.
fn first_component(features: &FeatureMap) -> Vec<f32> {
    let mut centred = features.values.clone();
    let places = (features.height * features.width).max(1);
    for plane in centred.chunks_exact_mut(places) {
        let mean = plane.iter().sum::<f32>() / places as f32;
        plane.iter_mut().for_each(|value| *value -= mean);
    }
    let planes = || centred.chunks_exact(places);
    let project = |places: &[f64]| -> Vec<f64> {
        let dot = |plane: &[f32]| {
            plane
                .iter()
                .zip(places)
                .map(|(&a, b)| f64::from(a) * b)
                .sum()
        };
        planes().map(dot).collect()
    };
    let spread = |channels: &[f64]| {
        let mut sum = vec![0.0; places];
        for (plane, weight) in planes().zip(channels) {
            for (sum, &value) in sum.iter_mut().zip(plane) {
                *sum += f64::from(value) * weight;
            }
        }
        sum
    };
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mean = spread(&vec![1.0; features.channels]);
    // Any start that is not at right angles to the component will do; the strongest place is far from that.
    let energy = |place: usize| planes().map(|plane| plane[place].powi(2)).sum::<f32>();
    let odd = (0..places).max_by(|&a, &b| energy(a).total_cmp(&energy(b)));
    let mut map = vec![0.0; places];
    map[odd.unwrap_or(0)] = 1.0;
    for _ in 0..MOST_ROUNDS {
        let mut next = spread(&project(&map));
        let length = norm(&next);
        if length == 0.0 || !length.is_finite() {
            return vec![0.0; places];
        }
        next.iter_mut().for_each(|value| *value /= length);
        let moved = next.iter().zip(&map).map(|(a, b)| (a - b).abs());
        let moved = moved.fold(0.0, f64::max);
        map = next;
        if moved < 1e-9 {
            break;
        }
    }
    // The projection X·v of X = U·S·Vᵀ is the left vector times its singular value.
    let strength = norm(&project(&map));
    let along: f64 = map.iter().zip(&mean).map(|(a, b)| a * b).sum();
    let scale = strength.copysign(along);
    map.iter().map(|value| (value * scale) as f32).collect()
}

/// ReLU; NaN and infinities count as no evidence.
fn positive(width: usize, height: usize, mut values: Vec<f32>) -> Map {
    for value in &mut values {
        *value = if *value > 0.0 && value.is_finite() {
            *value
        } else {
            0.0
        };
    }
    let max = values.iter().copied().fold(0.0, f32::max);
    Map {
        width,
        height,
        values,
        max,
    }
}

/// Several layers' maps as one, of the size of the finest: each scaled to 0..=1, resized bilinearly,
/// then averaged.
pub fn average(maps: &[Map]) -> Map {
    let width = maps.iter().map(|map| map.width).max().unwrap_or(0);
    let height = maps.iter().map(|map| map.height).max().unwrap_or(0);
    let mut sum = vec![0.0; width * height];
    for map in maps {
        let least = map.values.iter().copied().fold(f32::INFINITY, f32::min);
        let range = map.max - least + 1e-7;
        for (index, sum) in sum.iter_mut().enumerate() {
            let across = |at: usize, from: usize, to: usize| {
                let at = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5)
                    .clamp(0.0, from as f32 - 1.0);
                let low = at.floor() as usize;
                (low, (low + 1).min(from - 1), at - low as f32)
            };
            let (left, right, x) = across(index % width, map.width, width);
            let (top, bottom, y) = across(index / width, map.height, height);
            let value = |row: usize, column: usize| map.values[row * map.width + column];
            let upper = value(top, left) * (1.0 - x) + value(top, right) * x;
            let lower = value(bottom, left) * (1.0 - x) + value(bottom, right) * x;
            *sum += ((upper * (1.0 - y) + lower * y) - least) / range / maps.len() as f32;
        }
    }
    positive(width, height, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(channels: usize, values: &[f32]) -> FeatureMap {
        FeatureMap {
            channels,
            height: 1,
            width: values.len() / channels,
            values: values.to_vec(),
        }
    }

    const LAYER_METHODS: &[Method] = Method::ALL.as_slice().split_at(6).0;

    #[test]
    fn nothing_but_evidence_against_is_all_zero() {
        let (features, against) = (map(1, &[1.0, 2.0]), map(1, &[-1.0, -1.0]));
        for method in &LAYER_METHODS[..5] {
            let map = heatmap(*method, &features, &against).unwrap();
            assert_eq!((map.max, map.values), (0.0, vec![0.0, 0.0]), "{method:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_evidence() {
        let odd = map(2, &[f32::NAN, f32::INFINITY, 0.0, f32::NEG_INFINITY]);
        for method in LAYER_METHODS {
            let map = heatmap(*method, &odd, &odd).unwrap();
            assert!(
                map.values.iter().all(|v| v.is_finite() && *v >= 0.0),
                "{method:?}: {map:?}"
            );
            assert!(map.max.is_finite(), "{method:?}");
        }
        for method in LAYER_METHODS {
            let zero = map(2, &[0.0; 4]);
            assert_eq!(
                heatmap(*method, &zero, &zero).unwrap().max,
                0.0,
                "{method:?}"
            );
        }
    }

    #[test]
    fn gradcam_weighs_channels_by_their_mean_gradient() {
        let features = map(2, &[1.0, 2.0, 3.0, 4.0]);
        let gradients = map(2, &[1.0, 3.0, -1.0, 0.0]);
        let map = heatmap(Method::GradCam, &features, &gradients).unwrap();
        assert_eq!(map.values, [2.0 - 1.5, 4.0 - 2.0]);
    }

    #[test]
    fn layers_of_unlike_sizes_are_averaged() {
        let one = |width, values: &[f32]| positive(width, 1, values.to_vec());
        let average = average(&[one(1, &[5.0]), one(2, &[0.0, 8.0])]);
        assert_eq!((average.width, average.height), (2, 1));
        assert!((average.values[1] - 0.5).abs() < 1e-5, "{average:?}");
        assert_eq!(average.values[0], 0.0);
    }
}
