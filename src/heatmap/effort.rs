//! What a caller says of a method that takes many runs → how many it takes, checked.

use super::{Fill, Method};
use crate::error::{Error, Result};

/// How thoroughly a heatmap is made. What is none has its usual value, and only the methods that it is for take another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effort {
    /// Rows and columns: of an [occlusion](Method::Occlusion) map, of a [RISE](Method::Rise) mask before it is enlarged;
    /// 2 to 32, usually 7.
    pub grid: Option<usize>,
    /// Masks of [`Method::Rise`]: 1 to 10000, usually 500.
    pub masks: Option<usize>,
    /// Points between baseline and photo of [`Method::IntegratedGradients`]: 1 to 1000, usually 20.
    pub steps: Option<usize>,
    /// What the masks of [`Method::Rise`] follow from, usually 1.
    pub seed: Option<u64>,
    /// The baseline of [`Method::IntegratedGradients`], usually the blurred photo.
    pub fill: Option<Fill>,
    /// Whether the map is the mean of those of mirrored and shifted inputs; see `docs/explaining.md`. For methods that
    /// take one run.
    pub smooth: bool,
}

/// Usual values.
const GRID: usize = 7;
const MASKS: usize = 500;
const STEPS: usize = 20;

impl Effort {
    /// Refuses what is out of range, and what is not for this method.
    ///
    /// # Errors
    /// [`Error::BadOption`].
    pub fn check(&self, method: Method) -> Result<()> {
        let range = |name: &str, value: Option<usize>, least: usize, most: usize| match value {
            Some(value) if !(least..=most).contains(&value) => Err(Error::BadOption(format!(
                "`{name}` is {value}, expected {least} to {most}"
            ))),
            _ => Ok(()),
        };
        range("grid", self.grid, 2, 32)?;
        range("masks", self.masks, 1, 10_000)?;
        range("steps", self.steps, 1, 1000)?;
        let fits = |name: &str, given: bool, own: &[Method]| match given && !own.contains(&method) {
            true => Err(Error::BadOption(format!(
                "`{name}` is for {}, not for {method}",
                own.iter()
                    .map(Method::to_string)
                    .collect::<Vec<_>>()
                    .join(" and ")
            ))),
            false => Ok(()),
        };
        fits(
            "grid",
            self.grid.is_some(),
            &[Method::Occlusion, Method::Rise],
        )?;
        fits("masks", self.masks.is_some(), &[Method::Rise])?;
        fits("seed", self.seed.is_some(), &[Method::Rise])?;
        let integrated = &[Method::IntegratedGradients];
        fits("steps", self.steps.is_some(), integrated)?;
        fits("fill", self.fill.is_some(), integrated)?;
        match self.smooth && method.is_slow() {
            true => Err(Error::BadOption(format!(
                "`smooth` is for methods that take one run, and {method} takes many"
            ))),
            false => Ok(()),
        }
    }

    /// Rows and columns, see [`Effort::grid`].
    pub(super) fn grid(&self) -> usize {
        self.grid.unwrap_or(GRID)
    }

    /// See [`Effort::masks`].
    pub(super) fn masks(&self) -> usize {
        self.masks.unwrap_or(MASKS)
    }

    /// See [`Effort::steps`].
    pub(super) fn steps(&self) -> usize {
        self.steps.unwrap_or(STEPS)
    }

    /// See [`Effort::seed`].
    pub(super) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    /// See [`Effort::fill`].
    pub(super) fn fill(&self) -> Fill {
        self.fill.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_takes_its_own_numbers_only() {
        let grid = |grid| Effort {
            grid: Some(grid),
            ..Effort::default()
        };
        assert_eq!(grid(32).check(Method::Occlusion), Ok(()));
        assert_eq!(grid(2).check(Method::Rise), Ok(()));
        let refused =
            |effort: Effort, method: Method| effort.check(method).unwrap_err().to_string();
        assert_eq!(
            refused(grid(33), Method::Rise),
            "`grid` is 33, expected 2 to 32"
        );
        assert_eq!(
            refused(grid(7), Method::GradCam),
            "`grid` is for occlusion and rise, not for gradcam"
        );
        let smooth = Effort {
            smooth: true,
            ..Effort::default()
        };
        assert_eq!(smooth.check(Method::GradCam), Ok(()));
        assert_eq!(
            refused(smooth, Method::Occlusion),
            "`smooth` is for methods that take one run, and occlusion takes many"
        );
    }
}
