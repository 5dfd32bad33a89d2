//! features + gradients → heatmap.
//!
//! Definitions are those of pytorch-grad-cam (<https://github.com/jacobgil/pytorch-grad-cam>); each
//! method cites its paper.

mod ablation;
mod check;
mod effort;
mod evidence;
mod fill;
mod impute;
mod integrated;
mod jpeg;
mod layer;
mod occlusion;
mod pixels;
mod random;
mod rise;
mod runs;
mod score;
mod smooth;
mod stability;
mod target;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::ablation::AblationCam;
pub use self::check::{Check, CheckQuery, Checked, Verdict};
pub use self::effort::Effort;
pub use self::evidence::{Evidence, Side};
pub use self::fill::Fill;
use self::integrated::Integrated;
pub use self::layer::heatmap;
pub use self::occlusion::Occlusion;
use self::rise::Rise;
pub use self::runs::{Network, Runs};
use self::score::ScoreCam;
use self::smooth::Smooth;
pub use self::stability::{Change, Stability, Steadiness, Variant};
pub use self::target::Target;
use crate::error::{Error, Result};

/// How a heatmap is made from the activations A (C×H×W) of a layer and the gradient G of a score
/// with respect to them. Negative results become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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
    /// Like [`Method::EigenCam`] of G · A, place by place. Its sign is the one that follows the sum of the products, so
    /// that it tells classes apart. Defined by pytorch-grad-cam.
    #[serde(rename = "eigengradcam")]
    EigenGradCam,
    /// Σ_c softmax(s)_c · A_c, where s_c is the score of the input multiplied by A_c, which is scaled to 0..=1 and
    /// enlarged bilinearly. Needs no gradient, but one run of the network for each channel. Wang et al., 2020,
    /// arXiv:1910.01279.
    ScoreCam,
    /// Σ_c ((s − s_c) / |s|) · A_c, where s is the score and s_c what is left of it when the channel is 0 at every place.
    /// Needs no gradient, but for each channel a run of what the network computes from the layer on. Desai and
    /// Ramaswamy, 2020, doi:10.1109/WACV45572.2020.9093360.
    AblationCam,
    /// How much the score falls when a part of the input is blank. Needs no gradient, but one run of the
    /// network for each place. Zeiler and Fergus, 2013, arXiv:1311.2901.
    Occlusion,
    /// The mean of random masks, each times the probability of the class behind it: at each pixel of the input, what is
    /// to be expected when it is shown. Needs no gradient, but one run of the network for each mask. Petsiuk et al.,
    /// 2018, arXiv:1806.07421.
    Rise,
    /// Σ_c (x − b) · the mean of the gradients between a baseline b and the input x, at each pixel of the input. Needs
    /// the gradient at the input, and one run of the network with its gradient for each point between. Sundararajan et
    /// al., 2017, arXiv:1703.01365.
    IntegratedGradients,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 12] = [
        Method::GradCam,
        Method::GradCamPlusPlus,
        Method::HiResCam,
        Method::LayerCam,
        Method::XGradCam,
        Method::EigenCam,
        Method::EigenGradCam,
        Method::ScoreCam,
        Method::AblationCam,
        Method::Occlusion,
        Method::Rise,
        Method::IntegratedGradients,
    ];

    /// The methods that work for a model, by whether it has gradients and a layer.
    pub fn usable(gradients: bool, layer: bool) -> Vec<Method> {
        let usable = |method: &Method| {
            (layer || !method.needs_layer()) && (gradients || !method.needs_gradients())
        };
        Method::ALL.into_iter().filter(usable).collect()
    }

    /// Whether the gradient is used.
    pub fn needs_gradients(self) -> bool {
        !matches!(
            self,
            Method::EigenCam
                | Method::ScoreCam
                | Method::AblationCam
                | Method::Occlusion
                | Method::Rise
        )
    }

    /// Whether the map is one of a layer, and not of the input.
    pub fn needs_layer(self) -> bool {
        !matches!(
            self,
            Method::Occlusion | Method::Rise | Method::IntegratedGradients
        )
    }

    /// Whether the network runs again, which takes as long as many photos do.
    pub fn is_slow(self) -> bool {
        !self.needs_layer() || matches!(self, Method::ScoreCam | Method::AblationCam)
    }

    /// Whether it tells what speaks for a class from what speaks against it.
    pub fn has_sign(self) -> bool {
        !matches!(self, Method::EigenCam | Method::ScoreCam | Method::Rise)
    }

    /// Refuses a sign that it does not have.
    ///
    /// # Errors
    /// [`Error::BadOption`].
    pub(crate) fn check_sign(self, sign: Sign) -> Result<()> {
        match sign == Sign::For || self.has_sign() {
            true => Ok(()),
            false => Err(Error::BadOption(format!(
                "{self} does not tell what speaks for a class from what speaks against it; use another method"
            ))),
        }
    }

    /// Whether the map of the negative gradient is the negative of the map.
    fn is_linear(self) -> bool {
        !matches!(self, Method::GradCamPlusPlus | Method::LayerCam)
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
    /// Both: what raises it is positive, what lowers it negative.
    Both,
}

impl Sign {
    /// What the score is multiplied by.
    pub fn factor(self) -> f32 {
        match self {
            Sign::For | Sign::Both => 1.0,
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
    /// `height × width` values, row-major, none NaN; negative only where `signed`.
    pub values: Vec<f32>,
    /// The largest absolute value; 0 when nothing speaks for the class, and nothing that is shown against it.
    pub max: f32,
    /// Whether it shows both what speaks for the class and, as negative values, what speaks against it.
    pub signed: bool,
}

impl Map {
    /// The value at a column and a row, counted from the middle of the first cell: bilinear between the middles of cells,
    /// and beyond those at the edge as there.
    fn at(&self, column: f64, row: f64) -> f64 {
        let between = |at: f64, cells: usize| {
            let at = at.clamp(0.0, cells as f64 - 1.0);
            let low = at as usize;
            (low, (low + 1).min(cells - 1), at - low as f64)
        };
        let (left, right, across) = between(column, self.width);
        let (top, bottom, down) = between(row, self.height);
        let along = |row: usize| {
            let value = |column: usize| f64::from(self.values[row * self.width + column]);
            value(left) * (1.0 - across) + value(right) * across
        };
        along(top) * (1.0 - down) + along(bottom) * down
    }

    /// A map of these values. Without a sign of both, negative values become 0; NaN and infinities count as no evidence.
    fn of(width: usize, height: usize, mut values: Vec<f32>, sign: Sign) -> Map {
        let signed = sign == Sign::Both;
        for value in &mut values {
            if !value.is_finite() || !signed && *value < 0.0 {
                *value = 0.0;
            }
        }
        let max = values
            .iter()
            .fold(0.0, |max: f32, value| max.max(value.abs()));
        Map {
            width,
            height,
            values,
            max,
            signed,
        }
    }
}

/// Several layers' maps as one, of the size of the finest: each scaled to 0..=1, or to -1..=1 around zero if it is
/// signed, resized bilinearly, then averaged.
pub fn average(maps: &[Map], sign: Sign) -> Map {
    if let [map] = maps {
        return map.clone();
    }
    let width = maps.iter().map(|map| map.width).max().unwrap_or(0);
    let height = maps.iter().map(|map| map.height).max().unwrap_or(0);
    let mut sum = vec![0.0; width * height];
    for map in maps {
        let least = match map.signed {
            true => 0.0,
            false => map.values.iter().copied().fold(f32::INFINITY, f32::min),
        };
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
    Map::of(width, height, sum, sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureMap;

    fn heatmap(method: Method, features: &FeatureMap, gradients: &FeatureMap) -> Map {
        super::heatmap(method, features, gradients, Sign::For).unwrap()
    }

    fn map(channels: usize, values: &[f32]) -> FeatureMap {
        FeatureMap {
            channels,
            height: 1,
            width: values.len() / channels,
            values: values.to_vec(),
        }
    }

    const LAYER_METHODS: &[Method] = Method::ALL.as_slice().split_at(7).0;

    #[test]
    fn nothing_but_evidence_against_is_all_zero() {
        let (features, against) = (map(1, &[1.0, 2.0]), map(1, &[-1.0, -1.0]));
        for method in &LAYER_METHODS[..5] {
            let map = heatmap(*method, &features, &against);
            assert_eq!((map.max, map.values), (0.0, vec![0.0, 0.0]), "{method:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_evidence() {
        let odd = map(2, &[f32::NAN, f32::INFINITY, 0.0, f32::NEG_INFINITY]);
        for method in LAYER_METHODS {
            let map = heatmap(*method, &odd, &odd);
            assert!(
                map.values.iter().all(|v| v.is_finite() && *v >= 0.0),
                "{method:?}: {map:?}"
            );
            assert!(map.max.is_finite(), "{method:?}");
        }
        for method in LAYER_METHODS {
            let zero = map(2, &[0.0; 4]);
            assert_eq!(heatmap(*method, &zero, &zero).max, 0.0, "{method:?}");
        }
    }

    #[test]
    fn gradcam_weighs_channels_by_their_mean_gradient() {
        let features = map(2, &[1.0, 2.0, 3.0, 4.0]);
        let gradients = map(2, &[1.0, 3.0, -1.0, 0.0]);
        let map = heatmap(Method::GradCam, &features, &gradients);
        assert_eq!(map.values, [2.0 - 1.5, 4.0 - 2.0]);
    }

    #[test]
    fn layers_of_unlike_sizes_are_averaged() {
        let one = |width, values: &[f32]| Map::of(width, 1, values.to_vec(), Sign::For);
        let average = average(&[one(1, &[5.0]), one(2, &[0.0, 8.0])], Sign::For);
        assert_eq!((average.width, average.height), (2, 1));
        assert!((average.values[1] - 0.5).abs() < 1e-5, "{average:?}");
        assert_eq!(average.values[0], 0.0);
    }

    #[test]
    fn both_sides_are_one_map_less_the_other() {
        let features = map(2, &[1.0, 2.0, 3.0, 0.5]);
        let gradients = map(2, &[1.0, -3.0, -1.0, 0.5]);
        let made = |method, sign| super::heatmap(method, &features, &gradients, sign).unwrap();
        for method in LAYER_METHODS.iter().filter(|method| method.has_sign()) {
            let [raises, lowers, both] =
                [Sign::For, Sign::Against, Sign::Both].map(|sign| made(*method, sign));
            for ((r, l), b) in raises.values.iter().zip(&lowers.values).zip(&both.values) {
                assert!((r - l - b).abs() < 1e-6, "{method}");
            }
            assert!(both.signed && !raises.signed);
            assert!(both.max <= raises.max.max(lowers.max), "{method}");
            assert!(
                both.values.iter().any(|value| value.abs() == both.max),
                "{method}"
            );
        }
        let refused = super::heatmap(Method::EigenCam, &features, &gradients, Sign::Both);
        assert_eq!(refused.unwrap_err().code(), "bad-option");
    }
}
