//! Activations and gradients of a layer → how much each place of it speaks for a class.

use super::{Map, Method, Sign};
use crate::error::{Error, Result};
use crate::model::FeatureMap;

/// Makes a heatmap of one layer; `gradients` are those of the class, in the features' shape;
/// [`Method::EigenCam`] ignores them.
///
/// # Errors
/// [`Error::BadOption`] for a method that runs the network, and where [`Method::has_sign`] is false, for what speaks
/// against a class.
pub fn heatmap(
    method: Method,
    features: &FeatureMap,
    gradients: &FeatureMap,
    sign: Sign,
) -> Result<Map> {
    method.check_sign(sign)?;
    let (width, height) = (features.width, features.height);
    let values = match sign {
        Sign::For => evidence(method, features, gradients)?,
        Sign::Against => evidence(method, features, &negative(gradients))?,
        Sign::Both if method.is_linear() => evidence(method, features, gradients)?,
        Sign::Both => {
            let raises = evidence(method, features, gradients)?;
            let lowers = evidence(method, features, &negative(gradients))?;
            let sides = raises.iter().zip(&lowers);
            sides.map(|(r, l)| r.max(0.0) - l.max(0.0)).collect()
        }
    };
    Ok(Map::of(width, height, values, sign))
}

fn negative(gradients: &FeatureMap) -> FeatureMap {
    let values = gradients.values.iter().map(|value| -value).collect();
    FeatureMap {
        values,
        ..*gradients
    }
}

/// The map before negative values become 0.
fn evidence(method: Method, a: &FeatureMap, g: &FeatureMap) -> Result<Vec<f32>> {
    Ok(match method {
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
        Method::EigenGradCam => {
            let products = a.values.iter().zip(&g.values).map(|(a, g)| a * g);
            let values = products.collect();
            first_component(&FeatureMap { values, ..*a })
        }
        Method::ScoreCam
        | Method::AblationCam
        | Method::Occlusion
        | Method::Rise
        | Method::IntegratedGradients => {
            return Err(Error::BadOption(format!(
                "{method} runs the network, and is not made of one layer's gradient"
            )));
        }
    })
}

/// The channels of a feature map.
pub(super) fn planes(map: &FeatureMap) -> impl Iterator<Item = &[f32]> {
    map.values.chunks_exact((map.height * map.width).max(1))
}

/// Σ_c weight_c · A_c.
pub(super) fn weighted_sum(features: &FeatureMap, weights: impl Iterator<Item = f32>) -> Vec<f32> {
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
