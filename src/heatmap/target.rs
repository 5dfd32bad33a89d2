//! Scores → the one number that a heatmap explains, and its gradient.

/// What a heatmap explains.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The score of a class.
    Score(usize),
    /// How far the score of the first class is above that of the second.
    Difference(usize, usize),
    /// How far the score of a class is above those of the classes whose scores are most like its own, weighed by their
    /// probabilities by softmax. Finer-CAM with α = 1, as in pytorch-grad-cam; Zhang et al., 2025, arXiv:2501.11309.
    Finer {
        /// The class.
        class: usize,
        /// The others, the most alike first.
        others: Vec<usize>,
    },
}

/// How many classes one is compared with.
const OTHERS: usize = 3;

impl Target {
    /// A class against those whose scores are nearest to its own.
    pub fn finer(class: usize, scores: &[f32]) -> Target {
        let mut others: Vec<usize> = (0..scores.len()).filter(|&other| other != class).collect();
        let distance = |other: usize| (scores[other] - scores[class]).abs();
        others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        others.truncate(OTHERS);
        Target::Finer { class, others }
    }

    /// A class against others: none, one, or those that [`Target::finer`] found before.
    pub fn against(class: usize, others: &[usize]) -> Target {
        match *others {
            [] => Target::Score(class),
            [other] => Target::Difference(class, other),
            _ => Target::Finer {
                class,
                others: others.to_vec(),
            },
        }
    }

    /// The explained class.
    pub fn class(&self) -> usize {
        match *self {
            Target::Score(class) | Target::Difference(class, _) | Target::Finer { class, .. } => {
                class
            }
        }
    }

    /// The classes that it is compared with.
    pub fn others(&self) -> &[usize] {
        match self {
            Target::Score(_) => &[],
            Target::Difference(_, other) => std::slice::from_ref(other),
            Target::Finer { others, .. } => others,
        }
    }

    /// The number.
    pub fn value(&self, scores: &[f32]) -> f32 {
        match *self {
            Target::Score(class) => scores[class],
            Target::Difference(class, other) => scores[class] - scores[other],
            Target::Finer { .. } => {
                let (sum, total, _) = self.weighed(scores);
                (sum / total) as f32
            }
        }
    }

    /// Its derivative by each score.
    pub fn gradient(&self, scores: &[f32]) -> Vec<f32> {
        let mut gradient = vec![0.0; scores.len()];
        match *self {
            Target::Score(class) => gradient[class] = 1.0,
            Target::Difference(class, other) => {
                gradient[class] += 1.0;
                gradient[other] -= 1.0;
            }
            Target::Finer { class, ref others } => {
                let (sum, total, shares) = self.weighed(scores);
                let above = |other: usize| f64::from(scores[class]) - f64::from(scores[other]);
                let weights: f64 = others.iter().map(|&other| shares[other]).sum();
                // By the quotient rule; each share w_k of the softmax changes by w_k (δ_kj - w_j) with score j.
                for (at, value) in gradient.iter_mut().enumerate() {
                    let share = shares[at];
                    let (mut up, mut down) = (-share * sum, -share * weights);
                    if others.contains(&at) {
                        up += share * above(at) - share;
                        down += share;
                    }
                    if at == class {
                        up += weights;
                    }
                    *value = ((up * total - sum * down) / (total * total)) as f32;
                }
            }
        }
        gradient
    }

    /// Σ w_k (s − s_k), Σ w_k without a zero, and the softmax w of all scores.
    fn weighed(&self, scores: &[f32]) -> (f64, f64, Vec<f64>) {
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut shares: Vec<f64> = scores
            .iter()
            .map(|score| f64::from(score - most).exp())
            .collect();
        let all: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= all);
        let score = f64::from(scores[self.class()]);
        let (mut sum, mut total) = (0.0, 1e-9);
        for &other in self.others() {
            sum += shares[other] * (score - f64::from(scores[other]));
            total += shares[other];
        }
        (sum, total, shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_the_values() {
        let scores = [1.5f32, -0.5, 0.75, 1.25, 0.0];
        for target in [
            Target::Score(2),
            Target::Difference(3, 0),
            Target::Difference(3, 3),
            Target::finer(0, &scores),
            Target::finer(1, &scores[..2]),
        ] {
            let scores = match target {
                Target::Finer { class: 1, .. } => &scores[..2],
                _ => &scores[..],
            };
            let gradient = target.gradient(scores);
            for at in 0..scores.len() {
                let moved = |by: f32| {
                    let mut moved = scores.to_vec();
                    moved[at] += by;
                    target.value(&moved)
                };
                let slope = (moved(0.03125) - moved(-0.03125)) / 0.0625;
                assert!(
                    (slope - gradient[at]).abs() < 1e-3,
                    "{target:?} {at}: {slope}"
                );
            }
        }
    }

    #[test]
    fn the_most_alike_are_compared() {
        let target = Target::finer(1, &[9.0, 2.0, 1.0, 4.0, -3.0]);
        assert_eq!((target.class(), target.others()), (1, &[2, 3, 4][..]));
        assert_eq!(Target::finer(0, &[1.0]).others(), &[] as &[usize]);
    }
}
