//! scores → predictions: softmax, sigmoid or nothing, then top-k above a threshold.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::manifest::{Activation, Output};

/// How the scores of a model are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What makes probabilities of the scores.
    pub apply: Activation,
    /// What those are: of one class among many, of each class on its own, or no probabilities at all.
    pub kind: Activation,
}

impl Reading {
    /// From what `model.json` says about the output, and what the graph is found to end in, which is
    /// stepped over: the scores are those before it. A single class is always read on its own, since a
    /// softmax over one class is 1 whatever the score.
    pub fn of(output: &Output, ends: Option<Activation>, classes: usize) -> Reading {
        let alone = |activation| match activation {
            Activation::Softmax if classes == 1 => Activation::Sigmoid,
            activation => activation,
        };
        let apply = alone(ends.unwrap_or(output.activation));
        let kind = match (apply, output.applied) {
            (Activation::None, Some(applied)) => alone(applied),
            (apply, _) => apply,
        };
        Reading { apply, kind }
    }
}

/// One class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Index of the class in the output tensor.
    pub index: usize,
    /// Name of the class.
    pub label: String,
    /// Probability, 0..=1; the score where the output holds no probabilities, see [`Reading`].
    pub probability: f32,
    /// The value before softmax or sigmoid.
    pub score: f32,
}

/// Checks the caller's options for predictions.
///
/// # Errors
/// [`Error::BadOption`].
pub fn check(top_k: f64, threshold: f64) -> Result<()> {
    if top_k.fract() != 0.0 || top_k < 1.0 {
        return Err(Error::BadOption(format!(
            "topK is {top_k}, expected a whole number from 1"
        )));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::BadOption(format!(
            "threshold is {threshold}, expected 0 to 1"
        )));
    }
    Ok(())
}

/// The `top_k` most probable classes with a probability of at least `threshold`, best first; equal
/// ones in class order. Scores that are no probabilities have no threshold: the `top_k` highest of them. A NaN score
/// counts as probability 0 and comes last.
pub fn rank(
    scores: &[f32],
    labels: &[String],
    reading: Reading,
    top_k: usize,
    threshold: f32,
) -> Vec<Prediction> {
    let probabilities = probabilities(scores, reading.apply);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let nan_last = scores[a].is_nan().cmp(&scores[b].is_nan());
        nan_last
            .then(probabilities[b].total_cmp(&probabilities[a]))
            .then(a.cmp(&b))
    });
    order
        .into_iter()
        .take(top_k)
        .take_while(|&index| reading.kind == Activation::None || probabilities[index] >= threshold)
        .map(|index| Prediction {
            index,
            label: labels
                .get(index)
                .cloned()
                .unwrap_or_else(|| format!("class {index}")),
            probability: probabilities[index],
            score: scores[index],
        })
        .collect()
}

/// Whether a class has at least the probability `threshold`; true without one, or if the output holds no
/// probabilities.
pub fn reaches(scores: &[f32], reading: Reading, threshold: Option<f64>) -> bool {
    match threshold {
        Some(threshold) if reading.kind != Activation::None => probabilities(scores, reading.apply)
            .iter()
            .any(|&probability| probability >= threshold as f32),
        _ => true,
    }
}

/// Applies `activation` to scores; every value is a number in 0..=1 except for `none`, which passes numbers
/// through.
pub fn probabilities(scores: &[f32], activation: Activation) -> Vec<f32> {
    let mut values: Vec<f32> = match activation {
        Activation::None => scores.to_vec(),
        Activation::Sigmoid => scores.iter().map(|&s| 1.0 / (1.0 + (-s).exp())).collect(),
        Activation::Softmax => softmax(scores),
    };
    for value in values.iter_mut().filter(|value| value.is_nan()) {
        *value = 0.0;
    }
    values
}

/// exp(s − max) / Σ exp(s − max), summed in f64.
fn softmax(scores: &[f32]) -> Vec<f32> {
    let max = scores
        .iter()
        .copied()
        .filter(|s| !s.is_nan())
        .fold(f32::NEG_INFINITY, f32::max);
    let exp = |s: f32| {
        if s == max {
            1.0
        } else {
            f64::from(s - max).exp()
        }
    };
    let sum: f64 = scores.iter().filter(|s| !s.is_nan()).map(|&s| exp(s)).sum();
    scores.iter().map(|&s| (exp(s) / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(
        scores: &[f32],
        activation: Activation,
        top_k: usize,
        threshold: f32,
    ) -> Vec<(usize, f32)> {
        let reading = Reading {
            apply: activation,
            kind: activation,
        };
        let predictions = rank(scores, &[], reading, top_k, threshold);
        predictions
            .into_iter()
            .map(|p| (p.index, p.probability))
            .collect()
    }

    #[test]
    fn probabilities_are_known_as_such_wherever_they_are_made() {
        use Activation::{None as Nothing, Sigmoid, Softmax};
        let reading = |activation, applied, ends, classes| {
            let output = Output {
                name: String::new(),
                activation,
                applied,
                unit: None,
                threshold: None,
            };
            let Reading { apply, kind } = Reading::of(&output, ends, classes);
            (apply, kind)
        };
        for (given, expected) in [
            (reading(Softmax, None, None, 5), (Softmax, Softmax)),
            // A graph that ends in its own: as it is packed now, as it was, and by a wrong guess.
            (
                reading(Nothing, Some(Softmax), Some(Softmax), 5),
                (Softmax, Softmax),
            ),
            (reading(Nothing, None, Some(Sigmoid), 5), (Sigmoid, Sigmoid)),
            (reading(Softmax, None, Some(Sigmoid), 5), (Sigmoid, Sigmoid)),
            // Made by operators that are not recognised, but said to be there.
            (reading(Nothing, Some(Softmax), None, 5), (Nothing, Softmax)),
            (reading(Nothing, None, None, 5), (Nothing, Nothing)),
            // One class.
            (reading(Softmax, None, None, 1), (Sigmoid, Sigmoid)),
            (reading(Nothing, None, Some(Softmax), 1), (Sigmoid, Sigmoid)),
            (reading(Nothing, Some(Softmax), None, 1), (Nothing, Sigmoid)),
            (reading(Nothing, None, None, 1), (Nothing, Nothing)),
        ] {
            assert_eq!(given, expected);
        }
    }

    #[test]
    fn what_no_class_is_probable_enough_for_is_not_recognised() {
        use Activation::{None as Nothing, Sigmoid, Softmax};
        let reaches = |scores: &[f32], apply, kind, threshold| {
            reaches(scores, Reading { apply, kind }, threshold)
        };
        let thirds = [0.0; 3];
        assert!(reaches(&thirds, Softmax, Softmax, None));
        assert!(reaches(&thirds, Softmax, Softmax, Some(0.33)));
        assert!(!reaches(&thirds, Softmax, Softmax, Some(0.34)));
        assert!(reaches(&thirds, Sigmoid, Sigmoid, Some(0.5)));
        assert!(!reaches(&[-1.0, f32::NAN], Sigmoid, Sigmoid, Some(0.5)));
        // Probabilities by the graph itself, and numbers that are none.
        assert!(!reaches(&[0.2, 0.3], Nothing, Softmax, Some(0.5)));
        assert!(reaches(&[0.2, 0.3], Nothing, Nothing, Some(0.5)));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for (top_k, threshold) in [(1.0, 0.0), (1000.0, 1.0), (5.0, 0.5)] {
            check(top_k, threshold).unwrap();
        }
        for (top_k, threshold) in [
            (0.0, 0.0),
            (-1.0, 0.0),
            (2.5, 0.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
            (5.0, f64::NAN),
            (5.0, -0.1),
            (5.0, 1.1),
        ] {
            let error = check(top_k, threshold).unwrap_err();
            assert_eq!(error.code(), "bad-option", "{top_k} {threshold}");
        }
    }

    #[test]
    fn softmax_sums_to_one_and_survives_large_scores() {
        assert_eq!(
            ranked(&[1e30, 1e30], Activation::Softmax, 5, 0.0),
            [(0, 0.5), (1, 0.5)]
        );
        let sum: f32 = probabilities(&[0.1, -3.0, 7.0], Activation::Softmax)
            .iter()
            .sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn sigmoid_treats_each_class_alone() {
        assert_eq!(
            ranked(&[0.0, 200.0, -200.0], Activation::Sigmoid, 5, 0.4),
            [(1, 1.0), (0, 0.5)]
        );
    }

    #[test]
    fn nan_and_infinity_do_not_end_the_instance() {
        assert_eq!(
            ranked(&[f32::NAN, 1.0], Activation::Softmax, 5, 0.0),
            [(1, 1.0), (0, 0.0)]
        );
        assert_eq!(
            ranked(&[f32::INFINITY, 1.0], Activation::Softmax, 1, 0.0),
            [(0, 1.0)]
        );
        assert_eq!(
            ranked(&[f32::NEG_INFINITY; 2], Activation::Softmax, 1, 0.0),
            [(0, 0.5)]
        );
    }

    #[test]
    fn scores_that_are_no_probabilities_have_no_threshold() {
        for threshold in [0.0, 0.5, 1.0] {
            assert_eq!(
                ranked(&[-2.0, f32::NAN, -1.0], Activation::None, 5, threshold),
                [(2, -1.0), (0, -2.0), (1, 0.0)],
                "{threshold}"
            );
        }
        // Those that the graph itself made probabilities of have one.
        let reading = Reading {
            apply: Activation::None,
            kind: Activation::Softmax,
        };
        assert_eq!(rank(&[0.2, 0.8], &[], reading, 5, 0.5).len(), 1);
    }

    #[test]
    fn classes_without_a_label_are_numbered() {
        let reading = Reading {
            apply: Activation::Softmax,
            kind: Activation::Softmax,
        };
        assert_eq!(rank(&[1.0], &[], reading, 1, 0.0)[0].label, "class 0");
        assert!(rank(&[], &[], reading, 5, 0.0).is_empty());
    }
}
